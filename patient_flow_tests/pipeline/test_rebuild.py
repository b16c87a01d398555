"""A rebuild beside other writers, and one that dies: gold keeps what it has until silver is whole again."""

from __future__ import annotations

import itertools

import polars as pl
import pytest

from patient_flow.contracts.tables import LAKE_TABLES, QUARANTINE, SILVER_EVENTS
from patient_flow.pipeline import silver, steps
from patient_flow.pipeline.rebuild import GOLD, rebuild
from patient_flow.stores.lake import Conflict, Lake, LakeTable
from patient_flow.transforms.read import Reading
from patient_flow_tests.builders import (
    NOW,
    SECRET,
    STEPS,
    ZONE,
    Delivery,
    contents,
    receive,
    run_step,
    snapshot,
)
from patient_flow_tests.stacks import Stack

BODIES = [*(snapshot(patient_id=f"p{number}") for number in range(12)), b"no JSON"]
BATCHES = [
    [Delivery(body, NOW, "0", 10 * batch + n) for n, body in enumerate(BODIES[3 * batch :][:3])] for batch in range(5)
]
"""Five commits of bronze, which silver takes in one by one: see ``one_by_one``."""


class Died(Exception):
    """The process that rebuilds is gone."""


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silver, "ROWS_AT_ONCE", 1)


@pytest.fixture
def reading(departments: pl.DataFrame) -> Reading:
    return Reading(departments, SECRET)


@pytest.fixture
def filled(lake: Lake, departments: pl.DataFrame) -> Lake:
    for batch in BATCHES:
        receive(lake, batch)
    for step in STEPS:
        run_step(step, lake, departments)
    return lake


def die_after(monkeypatch: pytest.MonkeyPatch, commits: int) -> None:
    """Whoever takes rows into silver dies instead, once it has been done so many times."""
    take_in, left = silver.take_in, itertools.count(commits, -1)

    def dying(*args: object, **kwargs: object) -> object:
        if next(left) == 0:
            raise Died
        return take_in(*args, **kwargs)  # type: ignore[arg-type]  # whatever it takes

    monkeypatch.setattr(silver, "take_in", dying)


@pytest.mark.parametrize("commits", [0, 2])
def test_nothing_is_made_of_half_a_silver_and_the_next_micro_batch_completes_it(
    filled: Lake, departments: pl.DataFrame, reading: Reading, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    expected = {table: contents(filled, table) for table in LAKE_TABLES}
    monkeypatch.setattr(steps, "ATTEMPTS", 1)  # nobody is at work whom to wait for
    die_after(monkeypatch, commits)
    with pytest.raises(Died):
        list(rebuild(filled, reading, departments, ZONE, now=NOW, run_id="test"))
    assert filled.open(SILVER_EVENTS).row_count() < expected[SILVER_EVENTS].height
    for step in STEPS[STEPS.index("quarantine_events") :]:
        if step != "kpi_department_day":  # it reads gold alone
            with pytest.raises(Conflict, match="next micro-batch completes it"):
                run_step(step, filled, departments)
    for table in GOLD:
        assert contents(filled, table).equals(expected[table]), table.path
    for step in STEPS:
        run_step(step, filled, departments)
    for table in LAKE_TABLES:
        assert contents(filled, table).equals(expected[table]), table.path


def test_a_rebuild_and_a_micro_batch_that_fill_silver_side_by_side_both_get_there(
    filled: Lake, departments: pl.DataFrame, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {table: contents(filled, table) for table in LAKE_TABLES}
    take_in, commits = silver.take_in, itertools.count()

    def overtaken(silver_table: LakeTable, candidate: pl.DataFrame, progress: dict[str, int], *, run_id: str) -> object:
        if next(commits) in {0, 2, 5}:  # the other writer takes the same rows in, and is done first
            take_in(filled.open(SILVER_EVENTS), candidate, progress, run_id="other")
        return take_in(silver_table, candidate, progress, run_id=run_id)

    monkeypatch.setattr(silver, "take_in", overtaken)
    list(rebuild(filled, reading, departments, ZONE, now=NOW, run_id="test"))
    for table in LAKE_TABLES:
        assert contents(filled, table).equals(expected[table]), table.path


def test_a_rebuild_of_a_lake_without_events_leaves_it_usable(
    stack: Stack, departments: pl.DataFrame, reading: Reading
) -> None:
    lake = Lake(stack.lake_uri())
    list(rebuild(lake, reading, departments, ZONE, now=NOW, run_id="test"))
    receive(lake, BATCHES[0])
    for step in STEPS:
        run_step(step, lake, departments)
    assert lake.open(SILVER_EVENTS).row_count() == 3
    assert lake.open(QUARANTINE).row_count() == 0
