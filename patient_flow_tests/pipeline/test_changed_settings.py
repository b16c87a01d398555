"""Settings that the tables depend on: a new time zone is taken over, another key of the pseudonyms is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import polars as pl
import pytest

from patient_flow.contracts.tables import DATA_QUALITY_DAY, DIM_TIME, KPI_DEPARTMENT_DAY, SILVER_EVENTS
from patient_flow.pipeline import key_check, silver, unaccepted
from patient_flow.pipeline.checkpoints import FORMER_PSEUDONYM_KEY, PSEUDONYM_KEY
from patient_flow.pipeline.graph import run_gold
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.replay import replay
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests import builders
from patient_flow_tests.builders import (
    SECRET,
    STEPS,
    Delivery,
    at,
    contents,
    event,
    receive,
    run_micro_batches,
    run_step,
    step_context,
)

pytestmark = pytest.mark.embedded_only("what the steps decide; the scenarios of invariance run them on both stacks")

WITH_DATES = (DIM_TIME, KPI_DEPARTMENT_DAY, DATA_QUALITY_DAY)


def visits(number: int) -> list[Delivery]:
    """Patients who came around midnight, of Paris and of New York."""
    hours = ("00:30", "04:30", "22:30", "23:30")
    return [
        Delivery(
            event(event_id=f"e{number}-{hour}", visit_id=f"v{number}-{hour}", event_time=at(hour)),
            at(hour),
            "0",
            10 * number + place,
        )
        for place, hour in enumerate(hours)
    ]


def test_tables_with_local_dates_follow_a_new_time_zone_without_a_new_event(
    lakes: Callable[[int], AbstractContextManager[list[Lake]]],
    departments: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with lakes(2) as (moved, always_there):
        run_micro_batches(moved, [visits(1)], departments)
        monkeypatch.setattr(builders, "ZONE", "America/New_York")
        for step in STEPS:
            run_step(step, moved, departments)
        run_micro_batches(always_there, [visits(1)], departments)
        for table in WITH_DATES:
            assert contents(moved, table).equals(contents(always_there, table)), table.path
        versions = [moved.open(table).version for table in WITH_DATES]
        for step in STEPS:
            run_step(step, moved, departments)
        assert [moved.open(table).version for table in WITH_DATES] == versions


@pytest.fixture
def other(departments: pl.DataFrame) -> ParserConfig:
    return ParserConfig(departments, "another key")


def test_another_key_is_refused_before_a_patient_becomes_two(
    lake: Lake, departments: pl.DataFrame, other: ParserConfig
) -> None:
    run_micro_batches(lake, [visits(1)], departments)
    before = contents(lake, SILVER_EVENTS)
    receive(lake, visits(2))
    for step in (
        lambda: silver.accept_events(step_context(lake, other)),
        lambda: unaccepted.quarantine_events(step_context(lake, other)),
        lambda: replay(step_context(lake, other), reason=None),
    ):
        with pytest.raises(silver.KeyRefused, match="run `patient-flow rebuild`"):
            step()
    assert contents(lake, SILVER_EVENTS).equals(before)


def test_a_rebuild_takes_over_another_key_and_the_former_one_is_refused_from_then_on(
    lake: Lake, departments: pl.DataFrame, other: ParserConfig
) -> None:
    run_micro_batches(lake, [visits(1)], departments)
    patients = set(contents(lake, SILVER_EVENTS)["patient_id"])
    list(rebuild(step_context(lake, other)))
    assert patients.isdisjoint(contents(lake, SILVER_EVENTS)["patient_id"])
    receive(lake, visits(2))
    with pytest.raises(silver.KeyRefused):
        silver.accept_events(step_context(lake, ParserConfig(departments, SECRET)))
    silver.accept_events(step_context(lake, other))
    list(run_gold(step_context(lake, departments)))
    assert contents(lake, SILVER_EVENTS).height == len(visits(1)) + len(visits(2))


def test_a_lake_that_records_no_key_yet_takes_the_one_there_is(lake: Lake, departments: pl.DataFrame) -> None:
    run_micro_batches(lake, [visits(1)], departments)
    lake.open(SILVER_EVENTS).append(SILVER_EVENTS.empty(), PSEUDONYM_KEY.of(None))
    run_micro_batches(lake, [visits(2)], departments)
    table = lake.open(SILVER_EVENTS)
    assert PSEUDONYM_KEY.read(table.checkpoint) == PSEUDONYM_KEY.read(silver.key_of(table, SECRET).get)


def test_a_lake_with_a_number_that_keys_can_be_tested_against_replaces_it(
    lake: Lake, departments: pl.DataFrame, other: ParserConfig
) -> None:
    run_micro_batches(lake, [visits(1)], departments)
    former = silver._former_number(SECRET, "pseudonyms of scoped numbers")
    lake.open(SILVER_EVENTS).record({**PSEUDONYM_KEY.of(None), **FORMER_PSEUDONYM_KEY.of(former)})
    receive(lake, visits(2))
    with pytest.raises(silver.KeyRefused):
        silver.accept_events(step_context(lake, other))
    run_micro_batches(lake, [visits(3)], departments)
    recorded = lake.open(SILVER_EVENTS).checkpoint
    assert FORMER_PSEUDONYM_KEY.read(recorded) is None
    assert PSEUDONYM_KEY.read(recorded) not in (None, former)


def test_the_number_of_a_key_differs_from_table_to_table(lake: Lake) -> None:
    first, second = (key_check.key_check(SECRET, "test", lake.open(table)) for table in (SILVER_EVENTS, DIM_TIME))
    assert first != second
