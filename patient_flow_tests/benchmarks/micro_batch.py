"""One micro-batch on a lake with a history: everything after bronze, and the load of a SQLite warehouse.

    python -m patient_flow_tests.benchmarks.micro_batch FOLDER FIRST_VISIT KIND

``steady`` traffic touches the newest rows. ``mixed`` traffic also has patients who come back and corrections of stays
of the last month, whose rows lie anywhere in the history: it costs the rewriting of the files they lie in.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow.pipeline import load
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.benchmarks import history

EVENTS = 10_000
VISITS = EVENTS // history.EVENTS_A_VISIT
KINDS = ("steady", "mixed")
STEPS, LOAD = "steps", "load"


def make_history(folder: Path, events: int) -> int:
    """A lake with ``events`` events after maintenance, and its warehouse; the number of the next visit."""
    following = history.fill(Lake(f"{folder}/{{layer}}"), events)
    _load(folder)
    return following


def warehouse(folder: Path) -> Warehouse:
    return Warehouse(f"sqlite:///{folder}/warehouse.db", "sqlite", export=Lake(f"{folder}/{{layer}}").export)


def _load(folder: Path) -> None:
    lake = Lake(f"{folder}/{{layer}}")
    load.load_warehouse(lake, warehouse(folder), WAREHOUSE_TABLES, now=datetime.now(UTC), run_id="benchmark")


def main(folder: str, first_visit: str, kind: str, events: str = str(EVENTS)) -> None:
    if kind == "steady":
        history.RETURNING = history.CORRECTED = 0.0
    lake = Lake(f"{folder}/{{layer}}")
    history.append(lake, history.events(int(first_visit), int(events) // history.EVENTS_A_VISIT))
    figures = {}
    parts: dict[str, Callable[[], None]] = {STEPS: lambda: history.run_steps(lake), LOAD: lambda: _load(Path(folder))}
    for name, run in parts.items():
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        figures[f"{name}, wall"] = round(time.perf_counter() - wall, 3)
        figures[f"{name}, CPU"] = round(time.process_time() - cpu, 3)
    print(json.dumps({"steps": figures}))


if __name__ == "__main__":
    main(*sys.argv[1:])
