"""What tests run as processes of their own: ``python processes.py VERB URL KIND``."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[3]))

from patient_flow.contracts.access_log import Entry, Kind
from patient_flow.contracts.tables import FACT_BED_CENSUS
from patient_flow.stores.warehouse import access_log
from patient_flow.stores.warehouse.access_log import AccessLog, ChainWriter
from patient_flow.stores.warehouse.errors import WarehouseConflict
from patient_flow.stores.warehouse.schema import LOAD_LOG, TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stores.warehouse.builders import census_of, changed, whole

CENSUS = TABLES[FACT_BED_CENSUS.path]
ROWS = 3000
VERSIONS_TO_SEE = 6
VIEWS_PER_PROCESS = 8


def init(warehouse: Warehouse) -> None:
    """Initialises the warehouse."""
    warehouse.init()


def count(warehouse: Warehouse) -> None:
    """Loads version after version, each row holding its version's number, until it is killed."""
    while True:
        since = warehouse.loaded_versions()[FACT_BED_CENSUS.path]
        version = (since or 0) + 1
        rows = census_of(dict.fromkeys(range(ROWS), version))
        batch = (
            changed(FACT_BED_CENSUS, rows, rows, since=since, version=version)
            if version % 4
            else whole(FACT_BED_CENSUS, rows, since=since, version=version)
        )
        with contextlib.suppress(WarehouseConflict):
            warehouse.load([batch], newest_event_at=None, loaded_at=datetime.now(UTC), run_id="count")


def watch(warehouse: Warehouse) -> None:
    """Reads until it has seen several versions; fails when one of them was not whole."""
    beds = sa.select(sa.func.count(), sa.func.min(CENSUS.c.occupied_beds), sa.func.max(CENSUS.c.occupied_beds))
    logged = sa.select(LOAD_LOG.c.gold_version).where(LOAD_LOG.c.table_name == CENSUS.name).scalar_subquery()
    seen: set[int] = set()
    while len(seen) < VERSIONS_TO_SEE:
        rows, lowest, highest, version = warehouse.query(beds.add_columns(logged)).row(0)
        if not (rows == ROWS and lowest == highest == version):
            sys.exit(f"half a batch: {rows} rows from {lowest} to {highest} at version {version}")
        seen.add(version)


def look(warehouse: Warehouse) -> None:
    """Writes a chain of the access log, naming the heads of all chains with each line."""
    access_log.HEARTBEAT = timedelta(0)
    process = ChainWriter(AccessLog(warehouse), "key", lambda: datetime.now(UTC))
    for _ in range(VIEWS_PER_PROCESS):
        process.write([Entry(datetime.now(UTC), "somebody", "page", "", Kind.PAGE)])
    process.end()


def keep(warehouse: Warehouse) -> None:
    """Keeps an idle connection until its input ends."""
    warehouse.loaded_versions()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    verb, url, kind = sys.argv[1:]
    {"init": init, "count": count, "watch": watch, "look": look, "keep": keep}[verb](Warehouse(url, kind))
