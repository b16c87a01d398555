"""Figures → Markdown: one section per part in ``infra/docs/benchmarks.md``, and one row per part in the README.

Sections and rows of parts that were not measured are kept, and so are sections written by hand.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from patient_flow_tests.benchmarks.measuring import Figures

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "infra" / "docs" / "benchmarks.md"
README = ROOT / "README.md"
START, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
"""Markers around the table of the README."""
HEAD = """# Benchmarks

`uv run python -m patient_flow_tests.benchmarks` measures and writes this page. Every run is a process of its own, and
the sides of a comparison run in turn. Their results are compared before a time is written. Figures are medians; CPU
seconds and memory are those of the whole process tree. On shared machines trust the ratios. What the figures mean for
larger networks: [scale.md](scale.md).
"""


@dataclass(frozen=True)
class Section:
    """What a part has measured: its section of the page, and one line of it for the README."""

    text: str
    summary: str


def machine() -> str:
    """Where and when figures were measured."""
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, load average {load:.1f}"
    )


def comparison(figures: Mapping[str, Figures]) -> str:
    """A table of figures by name, with ratios to the first."""
    first = next(iter(figures.values()))
    rows = [
        (
            name,
            f"{found.wall_seconds:.1f}",
            f"{found.cpu_seconds:.1f}",
            f"{found.peak_mib:,.0f}",
            f"{found.wall_seconds / first.wall_seconds:.2f}",
            f"{found.cpu_seconds / first.cpu_seconds:.2f}",
        )
        for name, found in figures.items()
    ]
    return table(("", "wall s", "CPU s", "peak MiB", "wall, first = 1", "CPU, first = 1"), rows)


def steps(figures: Mapping[str, Figures]) -> str:
    """Seconds of the steps that each command printed."""
    return "\n".join(
        f"* {name}: " + ", ".join(f"{step} {seconds:.2f}" for step, seconds in found.steps.items())
        for name, found in figures.items()
        if found.steps
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Any other table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write(sections: Mapping[str, str], page: Path = PAGE) -> None:
    """Replaces or adds ``sections`` (text by title)."""
    parts = page.read_text().split("\n## ")[1:] if page.exists() else []
    found = {title: body.strip() for title, _, body in (part.partition("\n") for part in parts)}
    found |= sections
    page.write_text(HEAD + "".join(f"\n## {title}\n\n{body}\n" for title, body in found.items()))


def summarize(summaries: Mapping[str, str], order: Sequence[str], page: Path = README) -> None:
    """Replaces or adds rows (summary by title) of the table between the markers; ``order``: titles of all rows."""
    before, _, rest = page.read_text().partition(START)
    rows, _, after = rest.partition(END)
    cells = [line.strip("| ").split(" | ") for line in rows.splitlines() if line.startswith("| ")]
    found = {title: (summary, measured) for title, summary, measured in cells}
    measured = f"{datetime.now(UTC):%Y-%m-%d}, load {os.getloadavg()[0]:.0f}"
    found |= {title: (summary, measured) for title, summary in summaries.items()}
    kept = [(title, *found[title]) for title in order if title in found]
    page.write_text(f"{before}{START}\n{table(('part', 'result', 'measured'), kept)}\n{END}{after}")
