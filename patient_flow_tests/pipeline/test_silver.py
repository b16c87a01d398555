"""Silver and quarantine take in a backlog of any length and age: some rows at a time, every row once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import polars as pl
import pytest

from patient_flow.contracts.events import IMPORTED
from patient_flow.contracts.tables import BRONZE_EVENTS, IGNORED, QUARANTINE, SILVER_EVENTS
from patient_flow.pipeline import moves, reading, received, silver
from patient_flow.stores.lake import snapshot
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow_tests.builders import (
    ENQUEUED,
    Delivery,
    contents,
    deliveries,
    event,
    forget_log,
    receive,
    run_step,
)
from patient_flow_tests.stacks import Stack

BOTH = ("accept_events", "quarantine_events")
ALL = ("accept_events", "ignore_events", "quarantine_events")
BODIES = [
    event(),
    b"rubbish",
    event(visit_id="v2"),
    event(),
    event(visit_id="v3", department=None),
    event(age=43),
    event(visit_id="v4"),
    b"more rubbish",
    event(visit_id="v2"),
]
"""Acceptable, unreadable, a redelivery, an identity reused, one that lacks its department."""
RECEIVED = deliveries(BODIES)


def run(lake: Lake, departments: pl.DataFrame, steps: Sequence[str] = BOTH) -> None:
    for step in steps:
        run_step(step, lake, departments)


def receive_one_by_one(lake: Lake, received: Sequence[Delivery]) -> None:
    for item in received:
        receive(lake, [item])


def assert_as_in_one_batch(
    lake: Lake,
    alone: Lake,
    departments: pl.DataFrame,
    received: Sequence[Delivery] = RECEIVED,
    steps: Sequence[str] = BOTH,
) -> None:
    receive(alone, received)
    run(alone, departments, steps)
    for table in (SILVER_EVENTS, IGNORED, QUARANTINE):
        assert contents(lake, table).to_dicts() == contents(alone, table).to_dicts(), table.path


@pytest.fixture
def alone(stack: Stack) -> Lake:
    return Lake(stack.lake_uri())


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(moves, "COORDINATES_AT_ONCE", 2)


@pytest.fixture
def most_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of what was read and judged at once."""
    sizes = []

    def read(rows: pl.DataFrame, *args: Any) -> pl.DataFrame:
        sizes.append(rows.height)
        return read_events(rows, *args)

    read_events = reading.read_events
    monkeypatch.setattr(reading, "read_events", read)
    return sizes


@pytest.mark.embedded_only("how many rows a step reads, on any storage")
@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("before", [0, 3])
def test_a_long_backlog_is_read_some_rows_at_a_time(
    lake: Lake, alone: Lake, departments: pl.DataFrame, most_read: list[int], before: int
) -> None:
    if before:
        receive_one_by_one(lake, RECEIVED[:before])
        run(lake, departments)
    receive_one_by_one(lake, RECEIVED[before:])
    run(lake, departments)
    assert max(most_read) == 2
    assert_as_in_one_batch(lake, alone, departments)


@pytest.mark.embedded_only("how many rows a step reads, on any storage")
@pytest.mark.parametrize("is_log_gone", [False, True])
def test_a_long_backlog_of_large_bodies_is_read_fewer_rows_at_a_time(
    lake: Lake,
    alone: Lake,
    departments: pl.DataFrame,
    most_read: list[int],
    is_log_gone: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(received, "BYTES_AT_ONCE", 1)
    monkeypatch.setattr(snapshot, "READ_ROWS", 1)
    receive(lake, RECEIVED[:1])
    run(lake, departments)
    receive_one_by_one(lake, RECEIVED[1:])
    if is_log_gone:
        forget_log(lake.open(BRONZE_EVENTS))
    run(lake, departments, BOTH[:1])
    assert max(most_read) == 1
    run(lake, departments, BOTH[1:])
    assert_as_in_one_batch(lake, alone, departments)


@pytest.mark.embedded_only("what the steps decide, on any storage")
@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("fell_behind", [BOTH, BOTH[1:]])
def test_what_fell_behind_until_the_log_was_cleaned_up_misses_nothing(
    lake: Lake, alone: Lake, departments: pl.DataFrame, fell_behind: Sequence[str]
) -> None:
    receive_one_by_one(lake, RECEIVED[:3])
    run(lake, departments)
    receive_one_by_one(lake, RECEIVED[3:-2])
    run(lake, departments, [step for step in BOTH if step not in fell_behind])
    for table in (BRONZE_EVENTS, SILVER_EVENTS):
        forget_log(lake.open(table))
    receive_one_by_one(lake, RECEIVED[-2:])
    run(lake, departments)
    assert_as_in_one_batch(lake, alone, departments)
    versions = [lake.open(table).version for table in (SILVER_EVENTS, QUARANTINE)]
    run(lake, departments)
    assert [lake.open(table).version for table in (SILVER_EVENTS, QUARANTINE)] == versions


class Killed(Exception):
    """The process died here."""


def die_after(commits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run dies after so many commits."""
    replace, left = silver.LakeTable.replace, commits

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        written = replace(*args, **kwargs)
        left -= 1
        if not left:
            raise Killed
        return written

    monkeypatch.setattr(silver.LakeTable, "replace", deadly)


def runs_dying_at_every_commit(lake: Lake, departments: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> int:
    """The first run dies after its first commit, the next after its second, and so on; returns how many died."""
    for deaths in count():
        with monkeypatch.context() as patch:
            die_after(deaths + 1, patch)
            try:
                run(lake, departments)
            except Killed:
                continue
        return deaths
    raise AssertionError


@pytest.mark.embedded_only("how many rows a step reads, on any storage")
@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("is_log_gone", [False, True])
def test_a_backlog_whose_taking_in_dies_at_every_commit_ends_the_same(
    lake: Lake, alone: Lake, departments: pl.DataFrame, is_log_gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive_one_by_one(lake, RECEIVED[:3])
    run(lake, departments)
    receive_one_by_one(lake, RECEIVED[3:])
    if is_log_gone:
        forget_log(lake.open(BRONZE_EVENTS))
    assert runs_dying_at_every_commit(lake, departments, monkeypatch) > 1
    assert_as_in_one_batch(lake, alone, departments)


def imported(file: str, number: int, age: int | None, **changes: Any) -> Delivery:
    """A row of a file; that of the later import counts."""
    at = ENQUEUED + timedelta(days=1 + "AB".index(file))
    return Delivery(event(age=age, **changes), ENQUEUED, f"{IMPORTED}{file}", number, at)


@pytest.mark.embedded_only("which versions of bronze silver reads, on any storage")
@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("commits", [1, 2, 3, 4])
def test_rows_that_leave_bronze_after_a_run_died_between_two_parts_of_a_backlog_leave_silver(
    lake: Lake, alone: Lake, departments: pl.DataFrame, commits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is withdrawn: silver holds some of its rows, one of which kept out that of another file."""
    kept = [*RECEIVED, imported("A", 1, 50, visit_id="v5"), imported("A", 2, 50, visit_id="v6")]
    withdrawn = [imported("B", number, 51, visit_id=f"v{number}") for number in (5, 7, 8)]
    receive_one_by_one(lake, RECEIVED[:1])
    run(lake, departments, ALL)
    receive_one_by_one(lake, [*kept[-2:], *withdrawn, *RECEIVED[1:]])
    with monkeypatch.context() as patch:
        die_after(commits, patch)
        with pytest.raises(Killed):
            run(lake, departments, ALL)
    assert lake.open(BRONZE_EVENTS).delete(f"partition_id = '{IMPORTED}B'", {}) == len(withdrawn)
    run(lake, departments, ALL)
    assert_as_in_one_batch(lake, alone, departments, kept, ALL)


@pytest.mark.embedded_only("how many rows a step reads, on any storage")
@pytest.mark.usefixtures("two_at_once")
def test_rows_that_lost_their_bronze_rows_leave_some_at_a_time_where_the_changes_are_no_longer_kept(
    lake: Lake, alone: Lake, departments: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejected = deliveries([b"rubbish"] * 5, start=ENQUEUED + timedelta(days=1))
    undone = [each._replace(partition="of a file") for each in rejected]
    receive(lake, [*RECEIVED, *undone])
    run(lake, departments)
    lake.open(BRONZE_EVENTS).delete("partition_id = 'of a file'", {})
    forget_log(lake.open(BRONZE_EVENTS))
    leaving = []

    def replace(self: LakeTable, before: pl.DataFrame, *arguments: Any, **named: Any) -> Any:
        leaving.append(before.filter(pl.col("partition_id") == "of a file").height)
        return replaced(self, before, *arguments, **named)

    replaced = LakeTable.replace
    monkeypatch.setattr(LakeTable, "replace", replace)
    run(lake, departments, BOTH)
    assert (sum(leaving), max(leaving)) == (5, 2)
    assert_as_in_one_batch(lake, alone, departments)
