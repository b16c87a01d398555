"""An hour of the demo, measured: is every minute kept, how old is an event when people see it, does anything grow?

    python -m patient_flow_tests.benchmarks.hour --minutes 60 --rate 200

Runs hub, simulator, ``dagster dev`` and dashboard as processes on a machine of their own (a throw-away folder, free
ports, a Dagster home of its own) and prints distributions:

* minutes without a finished micro-batch;
* tick → finished run, with its parts (tick → run asked for → started → finished);
* event → warehouse: from the hub's enqueued time of every single event (as bronze keeps it) to the moment when the load
  that brought it was first seen in ``LoadLog`` (looked at every half second, so at most so much too long);
* event → dashboard: age of the newest event that ``/health`` speaks of, each second;
* memory (proportional share, PSS) of each process tree and bytes on disk, over time.

The first minutes, in which Python starts and the first run finds no tables, are left out of the distributions.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS, FACT_PATIENT_FLOW, SILVER_EVENTS
from patient_flow.stores.warehouse.schema import LOAD_LOG
from patient_flow_tests.benchmarks.watching import every, folder_for, program_of, pss_mib, size_mib
from patient_flow_tests.e2e.processes import Machine, free_port
from patient_flow_tests.e2e.webserver import Webserver, wait_for

MICRO_BATCH = "micro_batch"
FINISHED = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass
class Seen:
    """What was seen while it ran; instants are epoch seconds."""

    loads: dict[str, float] = field(default_factory=dict)
    """Run → when its load was first seen."""
    loaded_at: dict[str, float] = field(default_factory=dict)
    """Run → what LoadLog says."""
    dashboard_ages: list[tuple[float, float]] = field(default_factory=list)
    memory: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    disk: list[tuple[float, dict[str, float]]] = field(default_factory=list)


def main() -> None:
    """Runs it and prints the figures; exit code 1 when a minute was missed or the p95 is 75 s or more."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--minutes", type=float, default=60.0)
    asked.add_argument("--rate", type=float, default=200.0, help="events a second")
    asked.add_argument("--warm-up", type=float, default=2.0, help="minutes that do not count")
    asked.add_argument("--folder", type=Path, help="keep everything there (default: a folder that is deleted)")
    asked.add_argument("--json", type=Path, help="write the raw figures there as well")
    options = asked.parse_args()
    with folder_for(options.folder) as folder, Machine(folder) as machine:
        ok = _run(machine, options)
    sys.exit(0 if ok else 1)


def _run(machine: Machine, options: argparse.Namespace) -> bool:
    machine.start_hub()
    dagster, port = machine.start_dagster_dev()
    server = Webserver(port)
    wait_for(server.locations)
    dashboard_port = free_port()
    dashboard = machine.start("dashboard", "patient-flow", "dashboard", "--port", str(dashboard_port))
    dashboard.wait_for("^ready: ")
    simulator = machine.start("simulator", "patient-flow", "simulate", "--rate", f"{options.rate:g}")
    print(f"running for {options.minutes:g} minutes at {options.rate:g} events a second", flush=True)
    seen, over = Seen(), threading.Event()
    watchers = [
        threading.Thread(target=every, args=(seconds, over, look))
        for seconds, look in (
            (0.5, lambda: _look_at_loads(machine, seen)),
            (1.0, lambda: _look_at_dashboard(dashboard_port, seen)),
            (15.0, lambda: _look_at_machine(machine, seen)),
        )
    ]
    began = time.time()
    for watcher in watchers:
        watcher.start()
    try:
        _wait(began + 60 * options.minutes, seen)
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()
    ended = time.time()
    assert not simulator.has_ended, simulator.output[-2000:]
    assert not dagster.has_ended, dagster.output[-2000:]
    runs, ticks = _runs(server), _ticks(server)
    simulator.interrupt()
    dagster.interrupt()
    events = _events(machine)
    return _print(seen, runs, ticks, events, (began + 60 * options.warm_up, ended), options)


def _wait(until: float, seen: Seen) -> None:
    said = 0
    while time.time() < until:
        time.sleep(min(10.0, max(0.0, until - time.time())))
        if len(seen.loads) > said:
            said = len(seen.loads)
            print(f"  {datetime.now(UTC):%H:%M:%S} {said} micro-batches in the warehouse", flush=True)


def _look_at_loads(machine: Machine, seen: Seen) -> None:
    with machine.services() as services:
        log = services.warehouse.query(LOAD_LOG.select().where(LOAD_LOG.c.table_name == _FACT))
    for run_id, loaded_at in log.select("run_id", "loaded_at").iter_rows():
        if run_id is not None and run_id not in seen.loads:
            seen.loads[run_id] = time.time()
            seen.loaded_at[run_id] = loaded_at.replace(tzinfo=UTC).timestamp()


_FACT = FACT_PATIENT_FLOW.warehouse_name


def _look_at_dashboard(port: int, seen: Seen) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
        newest = json.load(reply)["newest_event_at"]
    if newest is not None:
        now = time.time()
        seen.dashboard_ages.append((now, now - datetime.fromisoformat(newest).timestamp()))


def _look_at_machine(machine: Machine, seen: Seen) -> None:
    used: dict[str, float] = defaultdict(float)
    for pid in machine.processes():
        with contextlib.suppress(OSError, ProcessLookupError):
            used[program_of(pid)] += pss_mib(pid)
    seen.memory.append((time.time(), dict(used)))
    places = {"hub": "data/hub", "bronze": "data/bronze", "silver": "data/silver", "gold": "data/gold"}
    sizes = {name: size_mib(machine.folder / place) for name, place in places.items()}
    sizes["warehouse"] = sum(size_mib(path) for path in (machine.folder / "data").glob("warehouse.db*"))
    sizes["dagster"] = size_mib(machine.folder / "dagster")
    seen.disk.append((time.time(), sizes))


def _runs(server: Webserver) -> list[dict[str, Any]]:
    """All micro-batches, oldest first, with the instants of their life."""
    answer = server.ask(
        f"""{{ runsOrError(filter: {{ pipelineName: "{MICRO_BATCH}" }}) {{ ... on Runs {{ results {{
            runId status creationTime startTime endTime }} }} }} }}"""
    )
    return sorted(answer["runsOrError"]["results"], key=lambda run: run["creationTime"])


def _ticks(server: Webserver) -> list[dict[str, Any]]:
    answer = server.ask(
        """{ sensorOrError(sensorSelector: { repositoryName: "__repository__",
            repositoryLocationName: "patient_flow.definitions", sensorName: "event_hub_backlog" }) {
            ... on Sensor { sensorState { ticks(limit: 10000) { timestamp endTimestamp status runIds } } } } }"""
    )
    ticks: list[dict[str, Any]] = answer["sensorOrError"]["sensorState"]["ticks"]
    return ticks


def _events(machine: Machine) -> pl.DataFrame:
    """Every event in bronze: the run that fetched it and when the hub had accepted it; and whether silver has it."""
    with machine.services() as services:
        bronze = services.lake.open(BRONZE_EVENTS).scan().select("run_id", "enqueued_at", "ingested_at").collect()
        accepted = services.lake.open(SILVER_EVENTS).row_count()
    print(f"\n{bronze.height:,} events in bronze, {accepted:,} accepted", flush=True)
    return bronze


def _visible(seen: Seen, events: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Age of each event when it could be seen first; and how many came too late to be loaded before the end.

    A run that died before its load leaves its events to the next one that loads.
    """
    loads = sorted(seen.loads.items(), key=lambda load: load[1])
    fetched = events.group_by("run_id").agg(pl.col("ingested_at").dt.epoch("ms").min() / 1000)
    at = {
        run: seen.loads[run] if run in seen.loads else next((when for _, when in loads if when > ingested), None)
        for run, ingested in fetched.iter_rows()
    }
    shown = events.with_columns(seen_at=pl.col("run_id").replace_strict(at, return_dtype=pl.Float64()))
    loaded = shown.drop_nulls("seen_at")
    ages = loaded.select("seen_at", age=pl.col("seen_at") - pl.col("enqueued_at").dt.epoch("us") / 1e6)
    return ages, events.height - loaded.height


def _print(
    seen: Seen,
    runs: list[dict[str, Any]],
    ticks: list[dict[str, Any]],
    events: pl.DataFrame,
    counted: tuple[float, float],
    options: argparse.Namespace,
) -> bool:
    first, last = counted
    asked_at = {run: tick["timestamp"] for tick in ticks for run in tick["runIds"]}
    done = [run for run in runs if run["status"] in FINISHED and run["endTime"] >= first]
    good = [run for run in done if run["status"] == "SUCCESS"]
    failed = len(done) - len(good)
    whole_minutes = int((last - first) // 60)
    finished_in = {int((run["endTime"] - first) // 60) for run in good}
    missed = [minute for minute in range(whole_minutes) if minute not in finished_in]
    print(f"\n{len(good)} micro-batches finished in {whole_minutes} whole minutes, {failed} did not succeed")
    print(f"minutes without a finished micro-batch: {len(missed)} {missed or ''}")
    gaps = [after["endTime"] - before["endTime"] for before, after in itertools.pairwise(good)]
    print(f"\n{'seconds':<34}{'n':>9}{'p50':>8}{'p95':>8}{'max':>8}")
    timed = [run for run in good if run["runId"] in asked_at]
    _line("from one finish to the next", gaps)
    _line("tick → finished run", [run["endTime"] - asked_at[run["runId"]] for run in timed])
    _line("  tick → run asked for", [run["creationTime"] - asked_at[run["runId"]] for run in timed])
    _line("  run asked for → started", [run["startTime"] - run["creationTime"] for run in timed])
    _line("  started → finished", [run["endTime"] - run["startTime"] for run in timed])
    _line("tick → visible", [seen.loads[r["runId"]] - asked_at[r["runId"]] for r in timed if r["runId"] in seen.loads])
    ages, late = _visible(seen, events)
    counted_ages = ages.filter(pl.col("seen_at") >= first)["age"].to_list()
    p95 = _line("event → warehouse", counted_ages)
    _line("event → dashboard (newest, any time)", [age for at, age in seen.dashboard_ages if at >= first])
    print(f"{late:,} events were not in the warehouse at the end")
    _growth("memory, MiB (PSS)", seen.memory, first)
    _growth("disk, MiB", seen.disk, first)
    if options.json:
        options.json.write_text(json.dumps({"runs": runs, "ticks": ticks, **seen.__dict__}))
    return not missed and not failed and p95 < 75


def _line(what: str, values: Sequence[float]) -> float:
    if len(values) < 2:
        print(f"{what:<34}{len(values):>9}" + "".join(f"{value:>8.1f}" for value in values))
        return values[0] if values else float("inf")
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
    print(f"{what:<34}{len(values):>9,}{statistics.median(values):>8.1f}{p95:>8.1f}{max(values):>8.1f}")
    return p95


def _growth(what: str, samples: list[tuple[float, dict[str, float]]], first: float) -> None:
    """First, middle and last look of those that count, the highest, and growth an hour over the second half."""
    samples = [sample for sample in samples if sample[0] >= first] or samples
    if not samples:
        return
    names = sorted({name for _, used in samples for name in used})
    print(f"\n{what:<22}{'first':>9}{'middle':>9}{'last':>9}{'highest':>9}{'an hour':>10}")
    for name in [*names, "all"]:
        values = [sum(used.values()) if name == "all" else used.get(name, 0.0) for _, used in samples]
        half = len(samples) // 2
        hours = (samples[-1][0] - samples[half][0]) / 3600
        rate = (values[-1] - values[half]) / hours if hours > 0 else 0.0
        print(f"  {name:<20}{values[0]:>9.0f}{values[half]:>9.0f}{values[-1]:>9.0f}{max(values):>9.0f}{rate:>+10.0f}")


if __name__ == "__main__":
    main()
