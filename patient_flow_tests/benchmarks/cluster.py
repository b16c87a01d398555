"""The rebuild by this process and by a Spark Connect server (Sail) on the same machine, from the same bronze.

On one machine a cluster cannot gain anything: the figures say what the way through it costs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from patient_flow.contracts.tables import LAKE_TABLES, QUARANTINE
from patient_flow.pipeline import distributed
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.steps import StepResult
from patient_flow.stores.cluster import Cluster
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.benchmarks import report
from patient_flow_tests.benchmarks.history import EVENTS_A_VISIT, append, events, step_context
from patient_flow_tests.benchmarks.measuring import ResultsDiffer
from patient_flow_tests.benchmarks.sizes import Size
from patient_flow_tests.e2e.processes import Machine, free_port

TITLE = "Cluster"

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AT_ONCE = 50_000


def run(folder: Path, size: Size) -> report.Section:
    """Both from copies of one bronze; every table must be equal."""
    with Machine(folder / "machine") as machine:
        port = free_port()
        machine.start("sail", "sail", "spark", "server", "--ip", "127.0.0.1", "--port", str(port))
        bronze, visits = Lake(f"{folder}/alone/{{layer}}"), size.events // EVENTS_A_VISIT
        for first in range(0, visits, AT_ONCE):
            append(bronze, events(first, min(AT_ONCE, visits - first)))
        shutil.copytree(f"{folder}/alone", f"{folder}/cluster")
        alone, clustered = (Lake(f"{folder}/{name}/{{layer}}") for name in ("alone", "cluster"))
        with Cluster(f"sc://127.0.0.1:{port}") as cluster:
            through_sail = _timed(distributed.rebuild(step_context(clustered, NOW), cluster))
        in_process = _timed(rebuild(step_context(alone, NOW)))
    for table in LAKE_TABLES:
        one, other = (lake.open(table).scan().collect().sort(table.key) for lake in (alone, clustered))
        ignored = ["rejected_at"] if table is QUARANTINE else []
        if not one.drop(ignored).equals(other.drop(ignored)):
            raise ResultsDiffer(f"the rebuild by the cluster made another {table.path}")
    return report.Section(
        f"A rebuild of {size.events:,} events by one process and through Sail on the same cores, which cannot gain: "
        f"{in_process:.1f} and {through_sail:.1f} s; once each, all tables equal.",
        f"{size.events:,} events through Sail: {through_sail / in_process:.1f} × the time of one process",
    )


def _timed(steps: Iterator[StepResult]) -> float:
    began = time.perf_counter()
    for _ in steps:
        pass
    return time.perf_counter() - began
