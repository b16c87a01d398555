"""Figures → Markdown: one section per comparison in ``infra/docs/benchmarks.md``; the others of the page are kept."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from patient_flow_tests.benchmarks.measuring import Figures

PAGE = Path(__file__).parents[2] / "infra" / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

`uv run python -m patient_flow_tests.benchmarks` measures and writes this page. Every run is a process of its own, and
the sides of a comparison run in turn. Their results are compared before a time is written. Figures are medians; CPU
seconds and memory are those of the whole process tree. On shared machines trust the ratios. What the figures mean for
larger networks: [scale.md](scale.md).
"""


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
    lines = ["| | wall s | CPU s | peak MiB | wall, first = 1 | CPU, first = 1 |", "|---|---|---|---|---|---|"]
    for name, found in figures.items():
        lines.append(
            f"| {name} | {found.wall_seconds:.1f} | {found.cpu_seconds:.1f} | {found.peak_mib:,.0f} "
            f"| {found.wall_seconds / first.wall_seconds:.2f} | {found.cpu_seconds / first.cpu_seconds:.2f} |"
        )
    return "\n".join(lines)


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
