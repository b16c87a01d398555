"""The rebuild by this process and by a Spark Connect server (Sail) on the same machine, from the same bronze.

``python -m patient_flow_tests.benchmarks.cluster [EVENTS]``. On one machine a cluster cannot gain anything: the figures
say what the way through it costs, and the memory that this process needs.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
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
from patient_flow_tests.benchmarks.history import EVENTS_A_VISIT, append, events, step_context
from patient_flow_tests.e2e.processes import Machine, free_port

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AT_ONCE = 50_000


def timed(name: str, steps: Iterator[StepResult]) -> None:
    started = last = time.perf_counter()
    for result in steps:
        print(f"    {result.table.path:30} {time.perf_counter() - last:6.1f} s")
        last = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{name}: {last - started:.1f} s, this process up to {memory} MB so far")


def main(total: int) -> None:
    with tempfile.TemporaryDirectory(prefix="cluster-") as place, Machine(Path(place) / "machine") as machine:
        port = free_port()
        machine.start("sail", "sail", "spark", "server", "--ip", "127.0.0.1", "--port", str(port))
        bronze = Lake(f"{place}/alone/{{layer}}")
        for first in range(0, total // EVENTS_A_VISIT, AT_ONCE):
            append(bronze, events(first, min(AT_ONCE, total // EVENTS_A_VISIT - first)))
        shutil.copytree(f"{place}/alone", f"{place}/cluster")
        alone, clustered = (Lake(f"{place}/{name}/{{layer}}") for name in ("alone", "cluster"))
        with Cluster(f"sc://127.0.0.1:{port}") as cluster:
            steps = distributed.rebuild(step_context(clustered, NOW), cluster)
            timed("by the cluster", steps)
        timed("by this process", rebuild(step_context(alone, NOW)))
        for table in LAKE_TABLES:
            one, other = (lake.open(table).scan().collect().sort(table.key) for lake in (alone, clustered))
            ignored = ["rejected_at"] if table is QUARANTINE else []
            verdict = "equal" if one.drop(ignored).equals(other.drop(ignored)) else "DIFFERENT"
            print(f"{table.path:30} {one.height:9,} rows, {verdict}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
