"""A table that was deleted and created again is noticed: nobody follows it from a version that only happens to fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DIM_PATIENT,
    FACT_BED_CENSUS,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    IGNORED,
    KPI_DEPARTMENT_DAY,
    LAKE_TABLES,
    QUARANTINE,
    SILVER_EVENTS,
    WAREHOUSE_TABLES,
    Table,
)
from patient_flow.pipeline import graph
from patient_flow.pipeline.checkpoints import identity_of
from patient_flow.pipeline.graph import GOLD
from patient_flow.pipeline.load import load_warehouse
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.stores.warehouse.reconciliation import verify
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import (
    EVENT_STEPS,
    MIDNIGHT,
    NOW,
    STEPS,
    Delivery,
    contents,
    deliveries,
    event,
    forget_log,
    receive,
    run_micro_batches,
    run_step,
    snapshot,
)
from patient_flow_tests.scenarios.test_invariance import make_small_parts

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


class Killed(Exception):
    """The process died here."""


@pytest.mark.parametrize(
    "dying",
    [
        IGNORED,
        QUARANTINE,
        DIM_PATIENT,
        FACT_PATIENT_FLOW,
        FACT_ED_ATTENDANCE,
        FACT_BED_CENSUS,
        KPI_DEPARTMENT_DAY,
    ],
)
def test_a_table_that_was_half_made_is_made_again_from_sources_that_were_restored(
    local: Lake, departments: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, dying: Table
) -> None:
    """A backup of what it is made from takes its place, from before the events that the first part was made of."""

    def several(name: str, first: int) -> list[Delivery]:
        emergency = {"event_type": "arrival", "department": "Emergency", "visit_class": "emergency"}
        arrivals = [event(**emergency, visit_id=f"{name}{n}", patient_id=f"{name}{n}") for n in range(4, 8)]
        stays = [
            event(visit_id=f"{name}{n}", patient_id=f"{name}{n}", event_time=MIDNIGHT - timedelta(days=n % 2 * 31))
            for n in range(4)
        ]
        bodies = [*arrivals, *stays, snapshot(patient_id=name), snapshot(patient_id=name), b"rubbish", b"rubbish"]
        return [each._replace(number=first + each.number) for each in deliveries(bodies)]

    make_small_parts(monkeypatch)
    step, sources = next(
        (each.run.__name__, [source for source in each.reads if isinstance(source, Table)])
        for each in graph.STEPS
        if each.table is dying
    )
    steps = EVENT_STEPS[: EVENT_STEPS.index(step) + 1]
    run_micro_batches(local, [several("old", 0)], departments, steps=steps)
    expected = contents(local, dying)
    folders = {Path(local.uri(table)): Path(f"{local.uri(table)}.backup") for table in sources}
    for folder, backup in folders.items():
        if folder.exists():
            shutil.copytree(folder, backup)
    receive(local, several("new", 100))
    for earlier in steps[:-1]:
        run_step(earlier, local, departments)
    forget_log(local.open(next(source for source in sources if source is not BRONZE_EVENTS)))
    with monkeypatch.context() as patch:
        patch.setattr(LakeTable, "replace", dying_after_one(dying, LakeTable.replace))
        with pytest.raises(Killed):
            run_step(step, local, departments)
    assert not contents(local, dying).equals(expected)
    for folder, backup in folders.items():
        if backup.exists():
            shutil.rmtree(folder)
            backup.rename(folder)
    run_step(step, local, departments)
    assert contents(local, dying).equals(expected)


def dying_after_one(dying: Table, replace: Callable[..., Any]) -> Callable[..., Any]:
    def replace_and_die(self: LakeTable, *arguments: Any, **named: Any) -> Any:
        written = replace(self, *arguments, **named)
        if self.table is dying:
            raise Killed
        return written

    return replace_and_die
