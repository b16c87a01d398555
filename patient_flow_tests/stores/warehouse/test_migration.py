"""A declaration that grew: shown first, then applied, never by surprise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from patient_flow.contracts.tables import FACT_BED_CENSUS, FACT_PATIENT_FLOW
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.reconciliation import verify
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stores.warehouse.builders import census_of, changed, hospital, whole
from patient_flow_tests.stores.warehouse.earlier import OWN_INDEX, scatter

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def load(warehouse: Warehouse, since: int | None, version: int) -> None:
    batch = whole(FACT_BED_CENSUS, census_of({1: 10}), since=since, version=version)
    warehouse.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")


@pytest.fixture
def older(warehouse: Warehouse) -> Warehouse:
    """A warehouse from before FactBedCensus had occupied_beds, loaded once, without its views."""
    load(warehouse, None, 1)
    with warehouse._engine.begin() as connection:
        for view in ("BedOccupancyHourly", "BedOccupancyByGender", "BedTurnover"):
            connection.exec_driver_sql(f'DROP VIEW "{view}"')
        connection.exec_driver_sql('ALTER TABLE "FactBedCensus" DROP COLUMN occupied_beds')
    warehouse._has_all_columns = False
    return warehouse


def test_a_warehouse_of_today_needs_no_migration(warehouse: Warehouse) -> None:
    assert warehouse.migrate(dry_run=True) == []


def test_a_load_names_the_missing_column_and_the_command(older: Warehouse) -> None:
    with pytest.raises(WarehouseError, match=r"lacks FactBedCensus.occupied_beds.*warehouse migrate --dry-run"):
        load(older, 1, 2)


def test_initialising_leaves_what_needs_a_migration_alone(older: Warehouse) -> None:
    before = older.migrate(dry_run=True)
    older.init()
    assert older.migrate(dry_run=True) == before


def test_a_dry_run_shows_the_statements_and_changes_nothing(older: Warehouse) -> None:
    shown = older.migrate(dry_run=True)
    assert "ALTER TABLE" in shown[1]
    assert "occupied_beds" in shown[1]
    assert "gold_version" in shown[0]
    assert shown[0] == shown[2]
    assert [statement for statement in shown if statement.startswith('CREATE VIEW "BedTurnover"')]
    assert older.migrate(dry_run=True) == shown


def test_after_the_migration_the_table_is_loaded_as_a_whole(older: Warehouse) -> None:
    older.migrate(dry_run=False)
    assert older.migrate(dry_run=True) == []
    assert older.loaded_versions()[FACT_BED_CENSUS.path] is None
    load(older, None, 2)
    found = older.query(sa.select(TABLES[FACT_BED_CENSUS.path]))
    assert found["occupied_beds"].to_list() == [10]


def test_a_table_that_is_new_is_created_and_loaded(warehouse: Warehouse) -> None:
    with warehouse._engine.begin() as connection:
        for view in ("BedOccupancyHourly", "BedOccupancyByGender", "BedTurnover"):
            connection.exec_driver_sql(f'DROP VIEW "{view}"')
        connection.exec_driver_sql('DROP TABLE "FactBedCensus"')
        connection.exec_driver_sql("DELETE FROM \"LoadLog\" WHERE table_name = 'FactBedCensus'")
    warehouse._has_all_columns = False
    with pytest.raises(WarehouseError, match=r"FactBedCensus.*warehouse migrate"):
        load(warehouse, None, 1)
    assert warehouse.migrate(dry_run=False)
    assert warehouse.migrate(dry_run=True) == []
    load(warehouse, None, 1)
    assert warehouse.query(sa.select(TABLES[FACT_BED_CENSUS.path])).height == 1


def test_a_view_that_changed_is_replaced(warehouse: Warehouse) -> None:
    with warehouse._engine.begin() as connection:
        connection.exec_driver_sql('DROP VIEW "CurrentPatients"')
        connection.exec_driver_sql('CREATE VIEW "CurrentPatients" AS SELECT 1 AS old')
    shown = warehouse.migrate(dry_run=False)
    assert shown[0] == 'DROP VIEW "CurrentPatients"'
    assert "stay_key" in warehouse.query('SELECT * FROM "CurrentPatients"').columns
    assert warehouse.migrate(dry_run=True) == []


STAYS = TABLES[FACT_PATIENT_FLOW.path]


@pytest.fixture
def scattered(empty: Warehouse) -> Warehouse:
    """A warehouse from when the key and an index of stays began with a hash."""
    scatter(empty)
    return empty


def stays_of(visits: int) -> pl.DataFrame:
    return hospital(NOW - timedelta(days=5), NOW, visits=visits).frames()[FACT_PATIENT_FLOW.path]


def load_stays(
    warehouse: Warehouse, since: int | None, version: int, before: pl.DataFrame, after: pl.DataFrame
) -> None:
    batch = changed(FACT_PATIENT_FLOW, before, after, since=since, version=version)
    warehouse.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")


def loaded_stays(warehouse: Warehouse, visits: int) -> pl.DataFrame:
    """The stays of some visits, which the first load of ``warehouse`` has brought."""
    stays = stays_of(visits)
    load_stays(warehouse, None, 1, stays[:0], stays)
    return stays


def key_and_indexes(warehouse: Warehouse) -> tuple[list[str], set[str]]:
    with warehouse.reading() as connection:
        found = sa.inspect(connection)
        indexes = {str(index["name"]) for index in found.get_indexes(STAYS.name)}
        return found.get_pk_constraint(STAYS.name)["constrained_columns"], indexes


def test_a_warehouse_with_the_former_key_and_index_is_loaded_as_it_is(scattered: Warehouse) -> None:
    stays = stays_of(20)
    moved = stays.with_columns(admission_time_key=pl.col("admission_time_key") + 1)
    load_stays(scattered, None, 1, stays[:0], stays)
    load_stays(scattered, 1, 2, stays, moved)
    assert verify(scattered, {FACT_PATIENT_FLOW.path: moved.lazy()}) == []
    assert key_and_indexes(scattered)[0] == ["stay_key"]


def test_a_migration_brings_the_declared_key_and_indexes_and_keeps_those_of_an_administrator(
    scattered: Warehouse,
) -> None:
    stays = loaded_stays(scattered, 20)
    scattered.migrate(dry_run=False)
    assert scattered.migrate(dry_run=True) == []
    since = scattered.loaded_versions()[FACT_PATIENT_FLOW.path]
    batch = whole(FACT_PATIENT_FLOW, stays, since=since, version=2)
    scattered.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")
    key, indexes = key_and_indexes(scattered)
    assert key == ["admission_time_key", "stay_key"]
    assert indexes == {OWN_INDEX, *(str(index.name) for index in STAYS.indexes)}
    assert scattered.migrate(dry_run=True) == []
    assert verify(scattered, {FACT_PATIENT_FLOW.path: stays.lazy()}) == []


ON_SQLITE = pytest.mark.embedded_only("PostgreSQL changes the key in place")


def replace_stays(warehouse: Warehouse, stays: pl.DataFrame, version: int) -> None:
    since = warehouse.loaded_versions()[FACT_PATIENT_FLOW.path]
    batch = whole(FACT_PATIENT_FLOW, stays, since=since, version=version)
    warehouse.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")


@ON_SQLITE
def test_a_table_with_a_column_of_an_administrator_keeps_its_key_and_the_column(scattered: Warehouse) -> None:
    stays = loaded_stays(scattered, 20)
    with scattered.writing() as connection:
        connection.exec_driver_sql('ALTER TABLE "FactPatientFlow" ADD COLUMN ward_note TEXT')
        connection.exec_driver_sql('CREATE INDEX of_notes ON "FactPatientFlow" (ward_note)')
    scattered.migrate(dry_run=False)
    assert scattered.migrate(dry_run=True) == []
    assert scattered.loaded_versions()[FACT_PATIENT_FLOW.path] == 1
    replace_stays(scattered, stays, 2)
    key, indexes = key_and_indexes(scattered)
    assert key == ["stay_key"]
    assert indexes == {"of_notes", OWN_INDEX, *(str(index.name) for index in STAYS.indexes)}
    assert verify(scattered, {FACT_PATIENT_FLOW.path: stays.lazy()}) == []
    with scattered.writing() as connection:
        connection.exec_driver_sql("DROP INDEX of_notes")
        connection.exec_driver_sql('ALTER TABLE "FactPatientFlow" DROP COLUMN ward_note')
    scattered.migrate(dry_run=False)
    replace_stays(scattered, stays, 3)
    assert key_and_indexes(scattered)[0] == ["admission_time_key", "stay_key"]


@ON_SQLITE
def test_triggers_of_an_administrator_outlive_the_new_key_and_run_for_every_row(scattered: Warehouse) -> None:
    stays = loaded_stays(scattered, 20)
    columns = "stay_key, wait_minutes"
    with scattered.writing() as connection:
        connection.exec_driver_sql(f'CREATE TABLE mirror AS SELECT {columns} FROM "FactPatientFlow"')
        connection.exec_driver_sql(
            "CREATE TRIGGER added AFTER INSERT ON factpatientflow "
            "BEGIN INSERT INTO mirror VALUES (NEW.stay_key, NEW.wait_minutes); END"
        )
        connection.exec_driver_sql(
            'CREATE TRIGGER removed AFTER DELETE ON "FactPatientFlow" '
            "BEGIN DELETE FROM mirror WHERE stay_key = OLD.stay_key; END"
        )

    def rows_of(table: str) -> list[tuple[object, ...]]:
        return scattered.query(f'SELECT {columns} FROM "{table}" ORDER BY stay_key').rows()

    scattered.migrate(dry_run=False)
    replace_stays(scattered, stays, 2)
    assert key_and_indexes(scattered)[0] == ["admission_time_key", "stay_key"]
    assert len(rows_of("mirror")) == stays.height
    load_stays(scattered, 2, 3, stays[:1], stays[:1].with_columns(wait_minutes=7))
    assert rows_of("mirror") == rows_of("FactPatientFlow")
