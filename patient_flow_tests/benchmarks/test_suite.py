"""The benchmark suite on a few events: its sides agree, and figures are written only then."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from patient_flow_tests.benchmarks import __main__ as suite
from patient_flow_tests.benchmarks import live, measuring, report
from patient_flow_tests.benchmarks.measuring import CommandFailed, Contender, ResultsDiffer
from patient_flow_tests.benchmarks.sizes import Size

LEFT_OUT = ("start", "latency", "erasure", "run-history", "cluster")
"""Parts that take long for what they add: tests of ``dagster dev``, erasure and cluster run the same things."""


@pytest.mark.long
@pytest.mark.timeout(900)  # some thirty processes, of a second or two each
def test_every_part_runs_and_its_sides_come_to_the_same_result() -> None:
    """``uv run python -m patient_flow_tests.benchmarks``, as the README says."""
    parts = {name: part.TITLE for name, part in suite.PARTS.items() if name not in LEFT_OUT}
    command = [sys.executable, "-m", "patient_flow_tests.benchmarks", "--size", "tiny"]
    command += [word for name in parts for word in ("--only", name)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert [title for title in parts.values() if f"## {title}\n" not in printed] == []


def test_no_time_is_given_when_the_results_differ() -> None:
    def side(name: str, rows: int) -> Contender:
        return Contender(name, lambda: ["true"], lambda: {"rows": rows})

    with pytest.raises(ResultsDiffer, match="one and other differ in rows: 1 and 2"):
        measuring.compare([side("one", 1), side("other", 2)], rounds=1)


LEAVES_A_CHILD = """
import os, subprocess, sys
busy = "import time\\nwhile time.process_time() < 2: pass\\nprint(flush=True)\\ninput()"
child = subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
os._exit(0)
"""


def test_the_time_of_a_child_that_nobody_waits_for_counts() -> None:
    assert measuring.measure([sys.executable, "-c", LEAVES_A_CHILD]).cpu_seconds > 0.5


def test_a_command_that_is_stuck_is_ended_and_fails() -> None:
    with pytest.raises(CommandFailed, match="did not end within 1 s"):
        measuring.measure([sys.executable, "-c", "import time; time.sleep(600)"], limit_seconds=1)


def test_a_part_that_fails_does_not_keep_the_others_from_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(folder: Path, size: Size) -> report.Section:
        raise ResultsDiffer("one and other differ")

    broken = SimpleNamespace(TITLE="Broken", run=fails)
    sound = SimpleNamespace(TITLE="Sound", run=lambda folder, size: report.Section("measured", "well"))
    monkeypatch.setattr(measuring, "saves_processes", False)  # the size sets it, for all that follows
    monkeypatch.setattr(suite, "PARTS", {"broken": broken, "sound": sound})
    with pytest.raises(SystemExit, match="failed: broken"):
        suite.main(["--size", "tiny"])
    printed = capsys.readouterr()
    assert "one and other differ" in printed.err
    assert "## Sound" in printed.out


def test_a_section_replaces_its_own_figures_and_keeps_the_others(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    report.write({"Batch": "old", "Where the time goes": "kept"}, page)
    report.write({"Batch": "new"}, page)
    assert page.read_text() == f"{report.HEAD}\n## Batch\n\nnew\n\n## Where the time goes\n\nkept\n"


def test_the_readme_shows_a_row_for_each_part_in_their_order(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{report.START}\n{report.END}\nafter\n")
    report.summarize({"Drain": "old"}, ["Batch", "Drain"], page)
    report.summarize({"Batch": "first", "Drain": "new"}, ["Batch", "Drain"], page)
    rows = [line.rpartition(" | ")[0] for line in page.read_text().splitlines()[4:-2]]
    assert rows == ["| Batch | first", "| Drain | new"]
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("\nafter\n")


def test_an_event_counts_from_the_hub_until_the_load_of_its_run_or_of_the_next_one_is_seen() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    start = at.timestamp()
    events = pl.DataFrame({"run_id": ["loaded", "died", "late"], "enqueued_at": [at] * 3, "ingested_at": [at] * 3})
    loads = {"loaded": start + 20, "next": start + 70}
    found = live.ages(loads, events.filter(pl.col("run_id") != "late"))
    assert found["age"].to_list() == [20.0, 20.0]
    assert live.ages({}, events).is_empty()


def test_readme_has_the_markers_of_the_table() -> None:
    assert report.START in report.README.read_text()
    assert report.END in report.README.read_text()
