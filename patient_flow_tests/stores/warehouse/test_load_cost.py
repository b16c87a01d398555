"""What a load costs follows what it writes, not what the warehouse holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from patient_flow.contracts.tables import FACT_PATIENT_FLOW
from patient_flow.dashboard import queries
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.targets.sqlite import SQLite
from patient_flow.stores.warehouse.views import TABLES as VIEWS
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.calendar import time_key
from patient_flow_tests.stores.warehouse.builders import changed, hospital, whole

NOW = datetime(2026, 11, 20, tzinfo=UTC)
STAYS = TABLES[FACT_PATIENT_FLOW.path]
NEW = 200
VISITS_BY_ARRIVAL = "USING INDEX ix_FactPatientFlow_arrival_time_key (arrival_time_key=? AND visit_id=?)"


def stays(count: int) -> pl.DataFrame:
    """Stays, one every two minutes until now, with the keys and visit numbers of hashes."""
    number = pl.int_range(count, dtype=pl.Int64)
    one = hospital(NOW - timedelta(days=5), NOW, visits=1).frames()[FACT_PATIENT_FLOW.path][:1]
    at = pl.lit(NOW) - pl.duration(minutes=2) * (count - number)
    return (
        pl.concat([one] * count)
        .with_columns(
            stay_key=number.hash(1).reinterpret(signed=True),
            visit_id=number.hash(2).cast(pl.String),
            patient_key=number,
            admission_at=at,
            arrival_at=at,
        )
        .with_columns(time_key(pl.col("arrival_at")).alias(name) for name in ("arrival_time_key", "admission_time_key"))
        .cast(dict(FACT_PATIENT_FLOW.schema))
    )


def bytes_of_a_load(folder: Path, history: int) -> int:
    """Bytes of the log that a load of new stays writes."""
    folder.mkdir()
    warehouse = Warehouse(f"sqlite:///{folder}/warehouse.db", "sqlite")
    warehouse.init()
    rows = stays(history + NEW)
    first = whole(FACT_PATIENT_FLOW, rows[:history], version=1)
    warehouse.load([first], newest_event_at=None, loaded_at=NOW, run_id="test")
    with warehouse.writing() as connection:
        connection.exec_driver_sql("UPDATE \"LoadLog\" SET run_id = 'begin'")
    with warehouse._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    more = changed(FACT_PATIENT_FLOW, rows[:0], rows[history:], since=1, version=2)
    warehouse.load([more], newest_event_at=None, loaded_at=NOW, run_id="test")
    written = (folder / "warehouse.db-wal").stat().st_size
    warehouse.dispose()
    return written


def test_new_stays_are_written_side_by_side_however_many_there_are(tmp_path: Path) -> None:
    small, large = (bytes_of_a_load(tmp_path / str(history), history) for history in (2_000, 40_000))
    assert large <= 1.5 * small


def plan(warehouse: Warehouse, statement: sa.Select[object] | sa.Delete) -> str:
    text = str(statement.compile(dialect=SQLite().dialect(), compile_kwargs={"literal_binds": True}))
    with warehouse.reading() as connection:
        return "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))


@pytest.fixture
def filled(tmp_path: Path) -> Warehouse:
    """A SQLite warehouse with stays and the statistics of a whole load."""
    warehouse = Warehouse(f"sqlite:///{tmp_path}/warehouse.db", "sqlite")
    warehouse.init()
    batch = whole(FACT_PATIENT_FLOW, stays(5_000), version=1)
    warehouse.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")
    return warehouse


def test_stays_of_a_visit_are_found_by_its_arrival(filled: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CurrentPatients", "LongStays", "Overstays"):
        assert VISITS_BY_ARRIVAL in plan(filled, sa.select(VIEWS[name])), name
    asked: list[sa.Select[object]] = []
    monkeypatch.setattr(filled, "query", asked.append)
    queries.wards_of_present(filled, 2026112000)
    assert VISITS_BY_ARRIVAL in plan(filled, asked[0])


def test_changed_stays_are_found_by_hour_and_key(filled: Warehouse) -> None:
    target = SQLite()
    stage = target.temporary(STAYS)
    with filled.writing() as connection:
        stage.create(connection)
        text = str(sa.delete(STAYS).where(target.staged_rows(STAYS, stage)).compile(dialect=target.dialect()))
        found = "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
    assert "(admission_time_key=? AND stay_key=?)" in found


def test_rows_of_a_patient_are_found_without_reading_all(filled: Warehouse) -> None:
    found = plan(filled, sa.select(STAYS.c.stay_key).where(STAYS.c.patient_key == 1))
    assert "USING INDEX ix_FactPatientFlow_patient_key (patient_key=?)" in found
