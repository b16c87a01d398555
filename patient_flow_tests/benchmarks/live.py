"""Hub, simulator and ``dagster dev`` as processes on a machine of their own, observed while they run."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from patient_flow.contracts.tables import BRONZE_EVENTS, FACT_PATIENT_FLOW
from patient_flow.stores.warehouse.schema import LOAD_LOG
from patient_flow_tests.benchmarks.watching import every, program_of, pss_mib
from patient_flow_tests.e2e.processes import Machine
from patient_flow_tests.e2e.webserver import Webserver, wait_for

MICRO_BATCH = "micro_batch"
FINISHED = ("SUCCESS", "FAILURE", "CANCELED")
START_SECONDS = 600
"""Patience with a busy machine."""


@dataclass
class Observed:
    """Instants are epoch seconds, memory is MiB by program."""

    loads: dict[str, float] = field(default_factory=dict)
    """Run → when its load was first seen in the warehouse; at most half a second too late."""
    memory: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """The most that each program had."""


@dataclass
class Deployment:
    """The running pipeline."""

    machine: Machine
    server: Webserver
    observed: Observed

    def runs(self) -> list[dict[str, Any]]:
        """All micro-batches, oldest first, with the instants of their life; ``tick`` is that of their sensor."""
        answer = self.server.ask(
            f"""{{ runsOrError(filter: {{ pipelineName: "{MICRO_BATCH}" }}) {{ ... on Runs {{ results {{
                runId status creationTime startTime endTime }} }} }} }}"""
        )
        asked = {run: tick["timestamp"] for tick in self.server.ticks(limit=10_000) for run in tick["runIds"]}
        runs = [{**run, "tick": asked.get(run["runId"])} for run in answer["runsOrError"]["results"]]
        return sorted(runs, key=lambda run: run["creationTime"])

    def finished(self) -> list[dict[str, Any]]:
        """Micro-batches that have ended, oldest first."""
        return [run for run in self.runs() if run["status"] in FINISHED]

    def wait_for_runs(self, number: int) -> None:
        """Waits until so many micro-batches have ended."""
        wait_for(lambda: len(self.finished()) >= number, START_SECONDS)

    def wait_for_events(self, number: int) -> None:
        """Waits until bronze has so many events and no micro-batch is under way."""

        def are_read() -> bool:
            runs = self.runs()
            return bool(runs) and all(one["status"] in FINISHED for one in runs) and self.events().height >= number

        wait_for(are_read, START_SECONDS)

    def cpu_seconds(self) -> float:
        """CPU time of the pipeline's processes so far, also of those that ended; hub and simulator left out."""
        total = 0.0
        for pid in self.machine.processes():
            with contextlib.suppress(psutil.Error, OSError):
                if program_of(pid) not in ("hub", "simulator"):
                    used = psutil.Process(pid).cpu_times()
                    total += used.user + used.system + used.children_user + used.children_system
        return total

    def events(self) -> pl.DataFrame:
        """Events in bronze: run_id, enqueued_at, ingested_at."""
        with self.machine.services() as services:
            return services.lake.open(BRONZE_EVENTS).scan().select("run_id", "enqueued_at", "ingested_at").collect()


def send(machine: Machine, events: int) -> None:
    """Sends events of the simulated hospitals to the machine's hub at once, each time of other visits."""
    command = ("patient-flow", "simulate", "--events", str(events), "--rate", "100000")
    machine.run(*command, "--seed", str(time.time_ns() % 2**31), seconds=START_SECONDS).assert_success()


@contextlib.contextmanager
def deployment(folder: Path, cadence: int) -> Iterator[Deployment]:
    """Hub and ``dagster dev`` with a micro-batch every ``cadence`` seconds, observed until the block ends."""
    with Machine(folder) as machine:
        machine.start_hub()
        dagster, port = machine.start_dagster_dev(PATIENT_FLOW_CADENCE_SECONDS=str(cadence))
        server = Webserver(port)
        wait_for(server.locations, START_SECONDS)
        running, over = Deployment(machine, server, Observed()), threading.Event()
        watchers = [
            threading.Thread(target=every, args=(0.5, over, lambda: _observe_loads(machine, running.observed))),
            threading.Thread(target=every, args=(5.0, over, lambda: _observe_memory(machine, running.observed))),
        ]
        for watcher in watchers:
            watcher.start()
        try:
            yield running
        finally:
            over.set()
            for watcher in watchers:
                watcher.join()
        assert not dagster.has_ended, dagster.output[-2000:]
        dagster.interrupt()


def _observe_loads(machine: Machine, observed: Observed) -> None:
    with machine.services() as services:
        log = services.warehouse.query(
            LOAD_LOG.select().where(LOAD_LOG.c.table_name == FACT_PATIENT_FLOW.warehouse_name)
        )
    for run_id in log["run_id"].drop_nulls():
        observed.loads.setdefault(run_id, time.time())


def _observe_memory(machine: Machine, observed: Observed) -> None:
    used: dict[str, float] = defaultdict(float)
    for pid in machine.processes():
        with contextlib.suppress(OSError):
            used[program_of(pid)] += pss_mib(pid)
    for name, mib in used.items():
        observed.memory[name] = max(observed.memory[name], mib)


def ages(loads: dict[str, float], events: pl.DataFrame) -> pl.DataFrame:
    """``seen_at`` (epoch seconds) and ``age`` (seconds since the hub had it) of each event in the warehouse.

    A run that died before its load leaves its events to the next one that loads.
    """
    ordered = sorted(loads.items(), key=lambda load: load[1])
    fetched = events.group_by("run_id").agg(pl.col("ingested_at").dt.epoch("ms").min() / 1000)
    at = {
        run: loads[run] if run in loads else next((when for _, when in ordered if when > ingested), None)
        for run, ingested in fetched.iter_rows()
    }
    seen = events.with_columns(seen_at=pl.col("run_id").replace_strict(at, return_dtype=pl.Float64())).drop_nulls(
        "seen_at"
    )
    return seen.select("seen_at", age=pl.col("seen_at") - pl.col("enqueued_at").dt.epoch("us") / 1e6)


def quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, 95th percentile, maximum."""
    if len(values) < 2:
        one = values[0] if values else float("nan")
        return one, one, one
    return statistics.median(values), statistics.quantiles(values, n=20, method="inclusive")[-1], max(values)
