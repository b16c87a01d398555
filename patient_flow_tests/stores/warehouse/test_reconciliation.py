"""Lake against warehouse: agreement is silent, every kind of damage is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from patient_flow.contracts.tables import FACT_PATIENT_FLOW
from patient_flow.stores.warehouse.reconciliation import verify
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stores.warehouse.builders import everything, hospital

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def gold(warehouse: Warehouse) -> dict[str, pl.LazyFrame]:
    """Gold tables that the warehouse holds."""
    frames = hospital(NOW - timedelta(days=3), NOW, visits=30).frames()
    warehouse.load(everything(frames), newest_event_at=None, loaded_at=NOW, run_id="test")
    return {path: frame.lazy() for path, frame in frames.items()}


def test_what_was_loaded_agrees(warehouse: Warehouse, gold: dict[str, pl.LazyFrame]) -> None:
    assert verify(warehouse, gold) == []


def test_empty_tables_agree(warehouse: Warehouse) -> None:
    assert verify(warehouse, {FACT_PATIENT_FLOW.path: FACT_PATIENT_FLOW.empty().lazy()}) == []


@pytest.mark.parametrize(
    ("damage", "figure"),
    [
        ('DELETE FROM "FactPatientFlow" WHERE stay_key = 1000004', "rows"),
        ('UPDATE "FactPatientFlow" SET wait_minutes = 9999 WHERE stay_key = 1000004', "sum of wait_minutes"),
        ("UPDATE \"FactPatientFlow\" SET gender = 'Fenale' WHERE gender = 'Female'", "checksum of gender"),
        ('UPDATE "FactPatientFlow" SET bed_id = NULL WHERE stay_key = 1000004', "checksum of bed_id"),
        ("UPDATE \"FactPatientFlow\" SET admission_at = '2026-11-01 00:00:00.000001'", "checksum of admission_at"),
        ('UPDATE "FactPatientFlow" SET is_visit_end = NOT is_visit_end', "checksum of is_visit_end"),
        ("UPDATE \"DataQualityDay\" SET date = '2026-01-01'", "checksum of date"),
    ],
)
def test_damage_is_found_and_named(
    warehouse: Warehouse, gold: dict[str, pl.LazyFrame], damage: str, figure: str
) -> None:
    with warehouse._engine.begin() as connection:
        connection.exec_driver_sql(damage)
    found = verify(warehouse, gold)
    assert figure in [difference.figure for difference in found]
    assert len({difference.table for difference in found}) == 1


def test_values_that_changed_places_are_seen(warehouse: Warehouse, gold: dict[str, pl.LazyFrame]) -> None:
    """Row counts and sums agree; only the checksum, which binds a value to its key, does not."""
    with warehouse._engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "FactPatientFlow" SET stay_number = CASE stay_number WHEN 1 THEN 2 ELSE 1 END '
            'WHERE visit_id IN (SELECT visit_id FROM "FactPatientFlow" GROUP BY visit_id HAVING COUNT(*) = 2)'
        )
    assert [difference.figure for difference in verify(warehouse, gold)] == ["checksum of stay_number"]


def test_a_stay_that_is_there_under_two_hours_is_a_duplicate(
    warehouse: Warehouse, gold: dict[str, pl.LazyFrame]
) -> None:
    with warehouse.writing() as connection:
        stay = dict(connection.execute(sa.select(TABLES[FACT_PATIENT_FLOW.path]).limit(1)).mappings().one())
        twin = {**stay, "admission_time_key": stay["admission_time_key"] + 1}
        connection.execute(sa.insert(TABLES[FACT_PATIENT_FLOW.path]).values(twin))
    figures = {found.figure for found in verify(warehouse, gold)}
    assert {"rows", "duplicated keys"} <= figures


def test_counting_rows_is_enough_for_every_load(warehouse: Warehouse, gold: dict[str, pl.LazyFrame]) -> None:
    with warehouse._engine.begin() as connection:
        connection.exec_driver_sql('UPDATE "FactPatientFlow" SET wait_minutes = 9999')
    assert verify(warehouse, gold, thorough=False) == []
    with warehouse._engine.begin() as connection:
        connection.exec_driver_sql('DELETE FROM "FactPatientFlow"')
    (difference,) = verify(warehouse, gold, thorough=False)
    assert (difference.table, difference.figure, difference.warehouse) == (FACT_PATIENT_FLOW.path, "rows", 0)
