"""The import of history from files, from nothing to a lake with all tables."""

from __future__ import annotations

from pathlib import Path

from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow_tests.benchmarks import history, measuring, report
from patient_flow_tests.benchmarks.measuring import ResultsDiffer
from patient_flow_tests.benchmarks.sizes import Size
from patient_flow_tests.e2e.processes import COMMANDS, Machine

TITLE = "Import"


def run(folder: Path, size: Size) -> report.Section:
    """``patient-flow import`` of JSON lines. Bronze must hold a row per line."""
    lines = history.events(0, size.events // history.EVENTS_A_VISIT)["body"].to_list()
    source = folder / "events.jsonl"
    source.write_bytes(b"\n".join(lines) + b"\n")
    runs = []
    for number in range(size.rounds):
        with Machine(folder / f"machine-{number}") as machine:
            command = [str(COMMANDS / "patient-flow"), "import", str(source)]
            runs.append(measuring.measure(command, machine.settings, machine.folder))
            with machine.services() as services:
                found = services.lake.open(BRONZE_EVENTS).row_count()
        if found != len(lines):
            raise ResultsDiffer(f"{len(lines)} lines were imported as {found} rows")
    figures = measuring.median(runs)
    return report.Section(
        f"{len(lines):,} events as JSON lines, {source.stat().st_size / 2**20:,.0f} MiB, by `patient-flow import` "
        f"into an empty lake and warehouse; medians of {size.rounds}, start of the process included.\n\n"
        + report.comparison({"patient-flow import": figures}),
        f"{len(lines):,} events: {figures.wall_seconds:.0f} s, {figures.cpu_seconds:.0f} CPU s",
    )
