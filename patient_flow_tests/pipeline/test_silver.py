"""Silver and quarantine take in a backlog of any length and age: some rows at a time, every row once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from patient_flow.contracts.tables import BRONZE_EVENTS, QUARANTINE, SILVER_EVENTS
from patient_flow.pipeline import reading_process, received, silver
from patient_flow.stores.lake import snapshot
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.builders import Delivery, contents, deliveries, event, forget_log, receive, run_step
from patient_flow_tests.stacks import Stack

BOTH = ("accept_events", "quarantine_events")
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


def assert_as_in_one_batch(lake: Lake, alone: Lake, departments: pl.DataFrame) -> None:
    receive(alone, RECEIVED)
    run(alone, departments)
    for table in (SILVER_EVENTS, QUARANTINE):
        assert contents(lake, table).to_dicts() == contents(alone, table).to_dicts(), table.path


@pytest.fixture
def alone(stack: Stack) -> Lake:
    return Lake(stack.lake_uri())


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "ROWS_AT_ONCE", 2)


@pytest.fixture
def most_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of what was read and judged at once."""
    sizes = []

    def read(rows: pl.DataFrame, *args: Any) -> pl.DataFrame:
        sizes.append(rows.height)
        return read_events(rows, *args)

    read_events = reading_process.read_events
    monkeypatch.setattr(reading_process, "read_events", read)
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
    replace, commits, deaths = silver.LakeTable.replace, 0, 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal commits
        written = replace(*args, **kwargs)
        commits += 1
        if commits > deaths:
            raise Killed
        return written

    monkeypatch.setattr(silver.LakeTable, "replace", deadly)
    while True:
        commits = 0
        try:
            run(lake, departments)
            break
        except Killed:
            deaths += 1
    assert deaths > 1
    monkeypatch.setattr(silver.LakeTable, "replace", replace)
    assert_as_in_one_batch(lake, alone, departments)
