"""What the checks add to a micro-batch, on lakes of different age: seconds of the steps, of the checks, of the audit.

    python -m patient_flow_tests.benchmarks.checks --history 100000 1000000

Each batch runs in a process of its own, in turn over all lakes, so that a noisy machine disturbs all alike. Steps and
checks are interleaved as a run interleaves them: what is judged is what the warehouse has not loaded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

BATCH = 10_000


def measure(folder: str, first_visit: int, *, with_audit: bool) -> None:
    """One micro-batch with its load, in this process; prints its figures."""
    from patient_flow.contracts import tables
    from patient_flow.monitoring.rule import Cadence
    from patient_flow.orchestration import checks
    from patient_flow.orchestration.check_context import CheckContext, ask_hub
    from patient_flow.pipeline import load
    from patient_flow.pipeline.graph import STEPS
    from patient_flow.services import Services
    from patient_flow.settings import load as settings
    from patient_flow_tests.benchmarks import history

    services = Services(
        settings(
            {
                "PATIENT_FLOW_LAKE_URI": f"{folder}/{{layer}}",
                "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{folder}/warehouse.db",
            },
            environ={},
        )
    )
    lake, now = services.lake, datetime(2030, 1, 1, tzinfo=UTC)
    services.warehouse.init()
    loaded = services.warehouse.loaded_versions()
    spent = {"steps": 0.0, "checks": 0.0, "load": 0.0, "audit": 0.0}
    by_check: dict[str, float] = {}
    warm_up(lake)

    def timed(part: str, began: float) -> None:
        spent[part] += time.perf_counter() - began

    def validate(table: tables.Table) -> None:
        began = time.perf_counter()
        context = CheckContext(services, table, loaded if table.warehouse else {})
        for rule in checks.rules_of(table):
            started = time.perf_counter()
            assert rule.evaluate is not None
            assert not rule.evaluate(context).is_error, rule.name
            by_check[f"{table.path} {rule.name}"] = round(time.perf_counter() - started, 3)
        timed("checks", began)

    history.append(lake, history.events(first_visit, BATCH // history.EVENTS_A_VISIT))
    validate(tables.BRONZE_EVENTS)
    for step in STEPS[1:]:
        began = time.perf_counter()
        step.run(history.step_context(lake, now))
        timed("steps", began)
        validate(step.table)
    began = time.perf_counter()
    load.load_warehouse(lake, services.warehouse, tables.WAREHOUSE_TABLES, now=now, run_id="benchmark")
    timed("load", began)
    began = time.perf_counter()
    services.warehouse.row_counts()
    by_check["warehouse row_counts_match"] = round(time.perf_counter() - began, 3)
    timed("checks", began)
    if with_audit:
        began = time.perf_counter()
        for rule in checks.rules_at(Cadence.NIGHTLY):
            finding = checks.evaluate_history(rule, services, now, lambda: ask_hub(services, now))
            assert not finding.is_error, f"{rule.name}: {finding.message}"
        timed("audit", began)
    services.warehouse.dispose()
    print(json.dumps({**spent, "peak_mib": _peak_mib(), "by_check": by_check}))


def warm_up(lake: object) -> None:
    """Imports and first calls are not what is measured."""
    from patient_flow.contracts import tables

    lake.open(tables.DIM_DEPARTMENT).scan().collect()  # type: ignore[attr-defined]


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Fills the lakes, runs the batches, prints a table."""
    from patient_flow.stores.lake.catalog import Lake
    from patient_flow_tests.benchmarks import history

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--history", type=int, nargs="+", default=[100_000, 1_000_000])
    options.add_argument("--batches", type=int, default=5)
    options.add_argument("--measure", nargs=3, metavar=("FOLDER", "VISIT", "AUDIT"), help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.measure:
        return measure(asked.measure[0], int(asked.measure[1]), with_audit=asked.measure[2] == "yes")
    with tempfile.TemporaryDirectory() as root:
        following = {}
        for total in asked.history:
            began = time.perf_counter()
            following[total] = history.fill(Lake(f"{root}/{total}/{{layer}}"), total)
            print(f"{total:>11,} events of history made in {time.perf_counter() - began:.0f} s", flush=True)
        figures: dict[int, list[dict[str, float]]] = {total: [] for total in asked.history}
        for number in range(asked.batches + 1):
            for total in asked.history:
                is_last = number == asked.batches
                command = [sys.executable, "-m", __spec__.name, "--measure", f"{root}/{total}", str(following[total])]
                done = subprocess.run([*command, "yes" if is_last else "no"], check=True, stdout=subprocess.PIPE)
                figures[total].append(json.loads(done.stdout))
                following[total] += BATCH // history.EVENTS_A_VISIT
        _print(figures)
    return None


def _print(figures: dict[int, list[dict[str, float]]]) -> None:
    print(f"{'history':>11}  {'steps+load':>10}  {'checks':>7}  {'with/without':>12}  {'audit':>7}  {'peak MiB':>8}")
    for total, runs in figures.items():
        later = runs[1:]  # the first loads the whole history
        steps = statistics.median(run["steps"] + run["load"] for run in later)
        checks = statistics.median(run["checks"] for run in later)
        print(
            f"{total:>11,}  {steps:>10.2f}  {checks:>7.2f}  {(steps + checks) / steps:>12.2f}  "
            f"{runs[-1]['audit']:>7.2f}  {runs[-1]['peak_mib']:>8.0f}"
        )
        print(f"             {runs[-1]['by_check']}")


if __name__ == "__main__":
    main()
