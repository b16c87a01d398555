"""One micro-batch on a lake with a history: the steps after bronze, the checks, and the load of a SQLite warehouse.

    python -m patient_flow_tests.benchmarks.micro_batch FOLDER FIRST_VISIT TRAFFIC EVENTS

``steady`` traffic touches the newest rows. ``mixed`` traffic also has patients who come back and corrections of stays
of the last month, whose rows lie anywhere in the history: it costs the rewriting of the files they lie in.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from patient_flow.contracts.tables import BRONZE_EVENTS, WAREHOUSE_TABLES, Table
from patient_flow.monitoring.rule import Cadence
from patient_flow.orchestration import checks
from patient_flow.orchestration.check_context import CheckContext, ask_hub
from patient_flow.pipeline import load
from patient_flow.pipeline.graph import STEPS
from patient_flow.services import Services
from patient_flow.settings import load as settings
from patient_flow_tests.benchmarks import history, measuring, report
from patient_flow_tests.benchmarks.history import MIXED, STEADY, Traffic
from patient_flow_tests.benchmarks.measuring import Figures
from patient_flow_tests.benchmarks.sizes import Size

TITLE = "Micro-batch"
NETWORK = Traffic(visits_a_day=8_640, hospitals=35)
"""A tenth of a national network: 0.4 events a second."""
TRAFFIC = {"steady": STEADY, "mixed": MIXED, "network": NETWORK}
REBUILT = "mixed, after a rebuild"
PARTS = ("steps", "checks", "load")
AUDIT = "audit"
USUAL = 24
"""Events of a minute of ``NETWORK``."""
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class History:
    """A lake and its warehouse in ``folder``; ``following`` is the number of the next visit."""

    folder: Path
    following: int

    def measure(self, traffic: str, events: int, *, audit: bool = False) -> Figures:
        """One micro-batch of about ``events`` events in a process of its own."""
        arguments = (str(self.folder), str(self.following), traffic, str(events), *([AUDIT] if audit else []))
        figures = measuring.measure([sys.executable, "-m", __name__, *arguments])
        self.following += events // history.EVENTS_A_VISIT
        return figures

    def copy(self, folder: Path) -> History:
        """The same once more. Data files never change, so both share them."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder, copy_function=_linked)
        return History(folder, self.following)


def run(folder: Path, size: Size) -> report.Section:
    """A micro-batch on histories of different length."""
    kept = {total: rebuilt(folder, total, str(total)) for total in size.histories}
    for one in kept.values():
        history.maintain_all(services(one.folder).lake)
    runs: dict[tuple[str, int], list[Figures]] = defaultdict(list)
    for number in range(size.rounds + (size.rounds > 1)):  # the first of several warms up
        for kind, total in itertools.product((REBUILT, "steady", "mixed"), size.histories):
            scratch = rebuilt(folder, total, "scratch") if kind == REBUILT else kept[total]
            figures = scratch.measure("mixed" if kind == REBUILT else kind, size.micro_batch)
            if number or size.rounds == 1:
                runs[kind, total].append(figures)
    medians = {key: measuring.median(found) for key, found in runs.items()}
    audits = {total: one.measure("steady", USUAL, audit=True).steps for total, one in kept.items()}
    rows = [
        [kind, f"{total:,}", *(f"{seconds:.2f}" for seconds in one.steps.values()), f"{one.peak_mib:,.0f}"]
        for (kind, total), one in medians.items()
    ]
    head = ["traffic", "history, events", *(f"{part}, {unit} s" for part in PARTS for unit in ("wall", "CPU"))]
    nightly = ", ".join(f"{total:,} events {found[f'{AUDIT}, CPU']:.1f} s" for total, found in audits.items())
    return report.Section(
        f"{size.micro_batch:,} events: all steps after bronze, their checks, then the load of a SQLite warehouse; "
        f"medians of {size.rounds}. Each batch is a process of its own, whose start is left out. The lake is as a "
        "rebuild leaves it, or as maintenance does. Mixed: 30 % of the patients were here before, 1 % of the visits "
        f"are corrected.\n\n{report.table([*head, 'peak MiB'], rows)}\n\nThe nightly audit of the whole history, CPU "
        f"time: {nightly}.",
        f"{size.micro_batch:,} events, CPU of steps, checks and load: "
        + ", ".join(f"{cpu(medians['mixed', total]):.1f} s on a history of {total:,}" for total in size.histories),
    )


def cpu(figures: Figures) -> float:
    """CPU seconds of steps, checks and load."""
    return sum(figures.steps[f"{part}, CPU"] for part in PARTS)


def rebuilt(folder: Path, events: int, name: str) -> History:
    """A copy in ``folder / name`` of a lake with ``events`` events as a rebuild leaves it, made once for all parts."""
    shared = folder.parent / f"history-{events}"
    if not shared.exists():
        make_history(shared, events, "mixed")
    return History(shared, events // history.EVENTS_A_VISIT).copy(folder / name)


def make_history(folder: Path, events: int, traffic: str) -> History:
    """A lake with ``events`` events as a rebuild leaves it, and its loaded warehouse."""
    found = services(folder)
    following = history.fill(found.lake, events, TRAFFIC[traffic])
    found.warehouse.init()
    load_warehouse(found)
    found.warehouse.dispose()
    return History(folder, following)


def services(folder: Path, warehouse: str = "") -> Services:
    """Lake and warehouse in ``folder``, or another warehouse at the URL."""
    places = {
        "PATIENT_FLOW_LAKE_URI": f"{folder}/{{layer}}",
        "PATIENT_FLOW_WAREHOUSE_URL": warehouse or f"sqlite:///{folder}/warehouse.db",
    }
    return Services(settings(places, environ={}))


def load_warehouse(found: Services) -> int:
    """Loads what the warehouse does not have yet; rows inserted."""
    results = load.load_warehouse(found.lake, found.warehouse, WAREHOUSE_TABLES, now=NOW, run_id="benchmark")
    return sum(result.written.inserted for result in results.values())


def main(folder: str, first_visit: str, traffic: str, events: str, audit: str = "") -> None:
    found, lived = services(Path(folder)), TRAFFIC[traffic]
    loaded = found.warehouse.loaded_versions()
    context = history.step_context(found.lake, NOW, lived)
    history.append(found.lake, history.events(int(first_visit), int(events) // history.EVENTS_A_VISIT, lived))
    spent: dict[str, float] = dict.fromkeys([f"{part}, {unit}" for part in PARTS for unit in ("wall", "CPU")], 0.0)

    def validate(table: Table) -> None:
        with _timed(spent, "checks"):
            of_table = CheckContext(found, table, loaded if table.warehouse else {})
            for rule in checks.rules_of(table):
                assert rule.evaluate is not None
                assert not rule.evaluate(of_table).is_error, rule.name

    validate(BRONZE_EVENTS)
    for step in STEPS[1:]:
        with _timed(spent, "steps"):
            step.run(context)
        validate(step.table)
    with _timed(spent, "load"):
        load_warehouse(found)
    with _timed(spent, "checks"):
        found.warehouse.row_counts()
    if audit:
        with _timed(spent, AUDIT):
            for rule in checks.rules_at(Cadence.NIGHTLY):
                finding = checks.evaluate_history(rule, found, NOW, lambda: ask_hub(found, NOW))
                assert not finding.is_error, f"{rule.name}: {finding.message}"
    print(json.dumps({"steps": {name: round(seconds, 3) for name, seconds in spent.items()}}))


@contextmanager
def _timed(spent: dict[str, float], part: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    for unit, seconds in (("wall", time.perf_counter() - wall), ("CPU", time.process_time() - cpu)):
        spent[f"{part}, {unit}"] = spent.get(f"{part}, {unit}", 0.0) + seconds


def _linked(source: str, target: str) -> None:
    if source.endswith(".parquet"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
