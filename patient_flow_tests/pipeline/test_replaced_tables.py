"""A table that was deleted and created again is noticed: nobody follows it from a version that only happens to fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DIM_PATIENT,
    LAKE_TABLES,
    SILVER_EVENTS,
    WAREHOUSE_TABLES,
    Table,
)
from patient_flow.pipeline.checkpoints import identity_of
from patient_flow.pipeline.graph import GOLD
from patient_flow.pipeline.load import load_warehouse
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.warehouse.reconciliation import verify
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import NOW, STEPS, Delivery, contents, event, run_micro_batches, run_step

GOLD_STEPS = [step.run.__name__ for step in GOLD]


def batch(patient: str, number: int) -> list[Delivery]:
    return [Delivery(event(patient_id=patient, visit_id=f"visit of {patient}"), NOW, "0", number)]


def delete(lake: Lake, *tables: Table) -> None:
    for table in tables:
        shutil.rmtree(Path(lake.uri(table)))


@pytest.fixture
def local(tmp_path: Path) -> Lake:
    return Lake(f"{tmp_path}/{{layer}}")


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(f"sqlite:///{tmp_path}/warehouse.db", "sqlite")


def load(lake: Lake, warehouse: Warehouse) -> None:
    load_warehouse(lake, warehouse, WAREHOUSE_TABLES, now=NOW, run_id="test")


def differences(lake: Lake, warehouse: Warehouse) -> list[str]:
    frames = {table.path: lake.open(table).scan() for table in WAREHOUSE_TABLES}
    return [difference.table for difference in verify(warehouse, frames)]


def test_gold_is_recomputed_from_a_silver_that_was_made_again(local: Lake, departments: pl.DataFrame) -> None:
    run_micro_batches(local, [batch("old", 0)], departments)
    expected = Lake(f"{Path(local.uri(BRONZE_EVENTS)).parents[1]}/again/{{layer}}")
    delete(local, *(table for table in LAKE_TABLES if table.layer != "gold"))
    for lake in (local, expected):
        run_micro_batches(lake, [batch("new", 0), batch("newer", 1)], departments)
    for step in GOLD:
        assert contents(local, step.table).equals(contents(expected, step.table)), step.table.path


def test_the_warehouse_is_loaded_as_a_whole_from_a_lake_that_was_made_again(
    local: Lake, warehouse: Warehouse, departments: pl.DataFrame
) -> None:
    run_micro_batches(local, [batch("old", 0)], departments)
    load(local, warehouse)
    delete(local, *LAKE_TABLES)
    run_micro_batches(local, [batch("new", 0), batch("newer", 1)], departments)
    load(local, warehouse)
    assert differences(local, warehouse) == []


@pytest.mark.parametrize("batches", [1, 2])
def test_silver_takes_all_of_a_bronze_that_was_made_again_and_rebuilds_end(
    local: Lake, departments: pl.DataFrame, batches: int
) -> None:
    from patient_flow.pipeline.rebuild import rebuild
    from patient_flow_tests.builders import step_context

    run_micro_batches(local, [batch("old", number) for number in range(3)], departments)
    list(rebuild(step_context(local, departments)))
    delete(local, BRONZE_EVENTS)
    run_micro_batches(local, [batch(f"new {number}", 10 + number) for number in range(batches)], departments)
    assert local.open(SILVER_EVENTS).row_count() == 1 + batches
    assert contents(local, DIM_PATIENT).height == 1 + 1 + batches


def test_a_lake_and_a_warehouse_without_identities_go_on_and_record_them(
    local: Lake, warehouse: Warehouse, departments: pl.DataFrame
) -> None:
    run_micro_batches(local, [batch("first", 0)], departments)
    load(local, warehouse)
    for table in LAKE_TABLES:
        known = [source for source in LAKE_TABLES if identity_of(source).read(local.open(table).checkpoint) is not None]
        for source in known:
            local.open(table).record(identity_of(source).of(None))
    load(local, warehouse)
    with warehouse._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE LoadLog SET gold_table_id = NULL")
    rows = {table.path: contents(local, table) for table in LAKE_TABLES}
    for step in STEPS:
        run_step(step, local, departments)
    assert all(contents(local, table).equals(rows[table.path]) for table in LAKE_TABLES)
    run_micro_batches(local, [batch("second", 1)], departments)
    load(local, warehouse)
    assert differences(local, warehouse) == []
    assert identity_of(SILVER_EVENTS).read(local.open(DIM_PATIENT).checkpoint) == local.open(SILVER_EVENTS).identity
    assert warehouse.loaded_identities()[DIM_PATIENT.path] == local.open(DIM_PATIENT).identity
