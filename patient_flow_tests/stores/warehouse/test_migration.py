"""A declaration that grew: shown first, then applied, never by surprise."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from patient_flow.contracts.tables import FACT_BED_CENSUS
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stores.warehouse.builders import census_of, whole

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
    assert "ALTER TABLE" in shown[0]
    assert "occupied_beds" in shown[0]
    assert "gold_version" in shown[1]
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
