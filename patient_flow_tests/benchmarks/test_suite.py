"""The benchmark suite on a few events: its sides agree, and figures are written only then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from patient_flow_tests.benchmarks import __main__ as suite
from patient_flow_tests.benchmarks import measuring, pages
from patient_flow_tests.benchmarks.measuring import Contender, ResultsDiffer


@pytest.mark.long
@pytest.mark.timeout(900)  # some thirty processes, of a second or two each
def test_every_comparison_runs_and_its_sides_come_to_the_same_result() -> None:
    """``uv run python -m patient_flow_tests.benchmarks``, as the README says."""
    command = [sys.executable, "-m", "patient_flow_tests.benchmarks", "--tiny"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert [title for title, _ in suite.COMPARISONS.values() if f"## {title}\n" not in printed] == []


def test_no_time_is_given_when_the_results_differ() -> None:
    def side(name: str, rows: int) -> Contender:
        return Contender(name, lambda: ["true"], lambda: {"rows": rows})

    with pytest.raises(ResultsDiffer, match="one and other differ in rows: 1 and 2"):
        measuring.compare([side("one", 1), side("other", 2)], rounds=1)


def test_a_section_replaces_its_own_figures_and_keeps_the_others(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    pages.write({"Batch": "old", "Drain": "kept"}, page)
    pages.write({"Batch": "new"}, page)
    assert page.read_text() == f"{pages.HEAD}\n## Batch\n\nnew\n\n## Drain\n\nkept\n"
