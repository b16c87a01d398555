"""A rebuild beside other writers, and one that dies: gold keeps what it has until silver is whole again."""

from __future__ import annotations

import _thread
import dataclasses
import itertools
import threading
import time
from typing import Any

import polars as pl
import pytest

from patient_flow.contracts import tables
from patient_flow.contracts.tables import LAKE_TABLES, QUARANTINE, SILVER_EVENTS, WAREHOUSE_TABLES, Table
from patient_flow.monitoring.finding import Finding
from patient_flow.monitoring.rules.keys import keys_unique
from patient_flow.pipeline import graph, received, silver, steps
from patient_flow.pipeline import rebuild as rebuilding
from patient_flow.pipeline.graph import GOLD as GOLD_STEPS
from patient_flow.pipeline.load import load_warehouse
from patient_flow.pipeline.rebuild import STEPS_AT_ONCE, rebuild, side_by_side
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import CommitConflict
from patient_flow.stores.lake.table import LakeTable
from patient_flow.stores.warehouse.reconciliation import verify
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import (
    NOW,
    SECRET,
    STEPS,
    Delivery,
    contents,
    event,
    receive,
    run_step,
    snapshot,
    step_context,
)
from patient_flow_tests.stacks import Stack

BODIES = [
    *(snapshot(patient_id=f"p{number}") for number in range(11)),
    event(event_type="arrival", patient_id="p11", department="Emergency"),
    b"no JSON",
]
BATCHES = [
    [Delivery(body, NOW, "0", 10 * batch + n) for n, body in enumerate(BODIES[3 * batch :][:3])] for batch in range(5)
]
"""Five commits of bronze, which silver takes in one by one: see ``one_by_one``."""


GOLD = [step.table for step in GOLD_STEPS]

OTHERWISE = {
    "dim_time": pl.lit("Someday").alias("day_name"),
    "dim_department": pl.lit(99).alias("staffed_beds"),
    "dim_patient": pl.col("patient_hash") - 2**40,
    "fact_patient_flow": pl.lit("2020-01").alias("admission_month"),
    "fact_ed_attendance": pl.lit("2020-01").alias("arrival_month"),
    "fact_bed_census": pl.lit(99).alias("occupied_beds"),
    "kpi_department_day": pl.lit(99).alias("admissions"),
    "data_quality_day": pl.lit(99).alias("accepted"),
}
"""Table of gold → what the second row says otherwise; also where it lies in another partition, or file."""


class Died(Exception):
    """The process that rebuilds is gone."""


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "ROWS_AT_ONCE", 1)


@pytest.fixture
def parser(departments: pl.DataFrame) -> ParserConfig:
    return ParserConfig(departments, SECRET)


@pytest.fixture
def filled(lake: Lake, departments: pl.DataFrame) -> Lake:
    for batch in BATCHES:
        receive(lake, batch)
    for step in STEPS:
        run_step(step, lake, departments)
    return lake


def die_after(monkeypatch: pytest.MonkeyPatch, commits: int) -> None:
    """Whoever takes rows into silver dies instead, once it has been done so many times."""
    commit_accepted, left = silver.commit_accepted, itertools.count(commits, -1)

    def dying(*args: object, **kwargs: object) -> object:
        if next(left) == 0:
            raise Died
        return commit_accepted(*args, **kwargs)  # type: ignore[arg-type]  # whatever it takes

    monkeypatch.setattr(silver, "commit_accepted", dying)


@pytest.mark.embedded_only("what the steps decide, on any storage")
@pytest.mark.parametrize("commits", [0, 2])
def test_nothing_is_made_of_half_a_silver_and_the_next_micro_batch_completes_it(
    filled: Lake, departments: pl.DataFrame, parser: ParserConfig, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    expected = {table: contents(filled, table) for table in LAKE_TABLES}
    monkeypatch.setattr(steps, "ATTEMPTS", 1)  # nobody is at work whom to wait for
    die_after(monkeypatch, commits)
    with pytest.raises(Died):
        list(rebuild(step_context(filled, parser)))
    assert filled.open(SILVER_EVENTS).row_count() < expected[SILVER_EVENTS].height
    for step in STEPS[STEPS.index("quarantine_events") :]:
        if step != "kpi_department_day":  # it reads gold alone
            with pytest.raises(CommitConflict, match="next micro-batch completes it"):
                run_step(step, filled, departments)
    for table in GOLD:
        assert contents(filled, table).equals(expected[table]), table.path
    for step in STEPS:
        run_step(step, filled, departments)
    for table in LAKE_TABLES:
        assert contents(filled, table).equals(expected[table]), table.path


def test_a_rebuild_and_a_micro_batch_that_fill_silver_side_by_side_both_get_there(
    filled: Lake, departments: pl.DataFrame, parser: ParserConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {table: contents(filled, table) for table in LAKE_TABLES}
    commit_accepted, commits = silver.commit_accepted, itertools.count()

    def overtaken(silver_table: LakeTable, *arguments: Any, run_id: str) -> object:
        if next(commits) in {0, 2, 5}:  # the other writer takes the same rows in, and is done first
            commit_accepted(filled.open(SILVER_EVENTS), *arguments, run_id="other")
        return commit_accepted(silver_table, *arguments, run_id=run_id)

    monkeypatch.setattr(silver, "commit_accepted", overtaken)
    list(rebuild(step_context(filled, parser)))
    for table in LAKE_TABLES:
        assert contents(filled, table).equals(expected[table]), table.path


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_rebuild_of_a_lake_without_events_leaves_it_usable(
    stack: Stack, departments: pl.DataFrame, parser: ParserConfig
) -> None:
    lake = Lake(stack.lake_uri())
    list(rebuild(step_context(lake, parser)))
    receive(lake, BATCHES[0])
    for step in STEPS:
        run_step(step, lake, departments)
    assert lake.open(SILVER_EVENTS).row_count() == 3
    assert lake.open(QUARANTINE).row_count() == 0


@pytest.mark.embedded_only("what a rebuild decides, on any storage")
@pytest.mark.parametrize("is_changed", [False, True], ids=["the same", "another"])
def test_a_row_that_gold_has_twice_is_there_once_after_a_rebuild_and_the_warehouse_agrees(
    filled: Lake, departments: pl.DataFrame, parser: ParserConfig, stack: Stack, *, is_changed: bool
) -> None:
    expected = {table: contents(filled, table) for table in GOLD}
    warehouse = Warehouse(stack.warehouse_url(), stack.warehouse_kind)
    load_warehouse(filled, warehouse, WAREHOUSE_TABLES, now=NOW, run_id="test")
    for table in GOLD:
        opened = filled.open(table)
        rows = opened.scan().collect().sort(table.key)
        again = pl.concat([rows.head(1), rows.tail(1)])  # the unknown member is the first, where there is one
        opened.append(again.with_columns(OTHERWISE[table.name] if is_changed else []), {})
        assert not keys_of(filled, table).is_ok, table.path
    list(rebuild(step_context(filled, parser)))
    for table in GOLD:
        assert contents(filled, table).equals(expected[table]), table.path
        assert keys_of(filled, table).is_ok, table.path
    load_warehouse(filled, warehouse, WAREHOUSE_TABLES, now=NOW, run_id="test")
    frames = {table.path: filled.open(table).scan() for table in WAREHOUSE_TABLES}
    assert verify(warehouse, frames) == []
    warehouse.dispose()


def keys_of(lake: Lake, table: Table) -> Finding:
    """What the check says of the whole table."""
    rows = lake.open(table).changes(None)
    return keys_unique(rows, table.key)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_steps_of_a_rebuild_run_side_by_side_and_none_before_what_it_needs(
    filled: Lake, parser: ParserConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended, beside = set[str](), set[str](), list[set[str]]()

    def watched(step: graph.Step) -> graph.Step:
        def run(context: steps.StepContext) -> steps.StepResult:
            path = step.table.path
            assert step.needs - {tables.BRONZE_EVENTS.path} <= ended, path
            begun.add(path)
            beside.append(begun - ended)
            with context.lake.writing():
                result = step.run(context)
            ended.add(path)
            return result

        return dataclasses.replace(step, run=run)

    monkeypatch.setattr(graph, "STEPS", tuple(watched(step) for step in graph.STEPS))
    results = list(rebuild(step_context(filled, parser)))
    assert [result.table for result in results] == [step.table for step in graph.STEPS[1:]]
    assert max(map(len, beside)) == STEPS_AT_ONCE


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_rebuild_ends_with_the_error_of_the_step_that_fails(
    filled: Lake, parser: ParserConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def failing(step: graph.Step) -> graph.Step:
        def run(context: steps.StepContext) -> steps.StepResult:
            begun.append(step.table.name)
            if step.table is tables.DIM_PATIENT:
                raise Died
            return step.run(context)

        return dataclasses.replace(step, run=run)

    monkeypatch.setattr(graph, "STEPS", tuple(failing(step) for step in graph.STEPS))
    with pytest.raises(Died):
        list(rebuild(step_context(filled, parser)))
    assert "fact_patient_flow" not in begun


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_rebuild_that_is_interrupted_twice_ends_when_its_running_step_has_ended(
    filled: Lake, parser: ParserConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it is inside the lake: a repair that waits to be alone must not begin while a step writes."""
    begun, ended, noticed = threading.Event(), threading.Event(), threading.Event()

    def slow(step: graph.Step) -> graph.Step:
        def run(context: steps.StepContext) -> steps.StepResult:
            begun.set()
            assert noticed.wait(30)
            result = step.run(context)
            ended.set()
            return result

        return dataclasses.replace(step, run=run)

    def interrupt_twice() -> None:
        assert begun.wait(30)
        for _ in range(2):
            time.sleep(20 * rebuilding.WAKE_SECONDS)  # by then the caller waits
            _thread.interrupt_main()
        time.sleep(20 * rebuilding.WAKE_SECONDS)
        noticed.set()

    monkeypatch.setattr(rebuilding, "WAKE_SECONDS", 0.05)
    interrupting = threading.Thread(target=interrupt_twice)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        list(side_by_side([slow(graph.step_of(SILVER_EVENTS))], step_context(filled, parser)))
    assert ended.is_set()
    interrupting.join()
