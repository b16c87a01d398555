"""Replaying the quarantine: what has become acceptable flows on as if it had been so from the start."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from patient_flow.contracts.tables import (
    DATA_QUALITY_DAY,
    FACT_PATIENT_FLOW,
    IGNORED,
    KPI_DEPARTMENT_DAY,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.dialects.mapping import parse_mappings
from patient_flow.pipeline import silver, unaccepted
from patient_flow.pipeline.graph import run_gold
from patient_flow.pipeline.replay import replay
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import (
    NOW,
    SECRET,
    Body,
    contents,
    receive,
    run_step,
    snapshot,
    step_context,
)
from patient_flow_tests.examples import scaled
from patient_flow_tests.scenarios import hospital_days
from patient_flow_tests.stacks import Stack

pytestmark = pytest.mark.embedded_only("what the steps decide; the scenarios of invariance run them on both stacks")

MAPPING = """
[[mapping]]
name = "wards without a name"
match = { hospital_id = 1 }
constant = { department = "ICU" }
"""
EVENTS: list[Body | bytes] = [
    snapshot(patient_id="a", department=None),
    snapshot(patient_id="b"),
    snapshot(patient_id="c", department=None, schema_version="9"),
    b"no JSON",
]


def run(lake: Lake, departments: pl.DataFrame, parser: ParserConfig) -> None:
    silver.accept_events(step_context(lake, parser))
    unaccepted.quarantine_events(step_context(lake, parser))
    for _ in run_gold(step_context(lake, departments)):
        pass


@pytest.fixture
def before(departments: pl.DataFrame) -> ParserConfig:
    return ParserConfig(departments, SECRET)


@pytest.fixture
def after(departments: pl.DataFrame) -> ParserConfig:
    return ParserConfig(departments, SECRET, parse_mappings(MAPPING, "wards.toml").interpreters)


def reasons(lake: Lake) -> list[list[str]]:
    return contents(lake, QUARANTINE)["reasons"].to_list()


@pytest.mark.parametrize("reason", [None, "department_is_missing"])
def test_what_a_mapping_makes_acceptable_ends_as_if_it_had_always_been(
    stack: Stack, lake: Lake, departments: pl.DataFrame, before: ParserConfig, after: ParserConfig, reason: str | None
) -> None:
    receive(lake, EVENTS)
    run(lake, departments, before)
    assert lake.open(SILVER_EVENTS).row_count() == 1
    replayed = replay(step_context(lake, after), reason=reason)
    assert replayed.written.inserted == 1
    run(lake, departments, after)
    from_the_start = Lake(stack.lake_uri())
    receive(from_the_start, EVENTS)
    run(from_the_start, departments, after)
    for table in (SILVER_EVENTS, QUARANTINE, FACT_PATIENT_FLOW, KPI_DEPARTMENT_DAY):
        assert contents(lake, table).equals(contents(from_the_start, table)), table.path


def test_only_rows_with_the_reason_are_judged_again(
    lake: Lake, departments: pl.DataFrame, before: ParserConfig, after: ParserConfig
) -> None:
    receive(lake, EVENTS)
    run(lake, departments, before)
    assert replay(step_context(lake, after), reason="body_is_not_a_json_object").figures["judged_again"] == 1
    assert lake.open(SILVER_EVENTS).row_count() == 1


def test_what_stays_rejected_gets_the_reasons_of_today(
    lake: Lake, departments: pl.DataFrame, before: ParserConfig, after: ParserConfig
) -> None:
    receive(lake, EVENTS)
    run(lake, departments, before)
    assert ["schema_version_is_unsupported", "department_is_missing"] in reasons(lake)
    replay(step_context(lake, after), reason=None)
    run(lake, departments, after)
    assert reasons(lake) == [["schema_version_is_unsupported"], ["body_is_not_a_json_object"]]


def test_a_replay_without_a_change_changes_nothing(lake: Lake, departments: pl.DataFrame, before: ParserConfig) -> None:
    receive(lake, EVENTS)
    run(lake, departments, before)
    rows = contents(lake, QUARANTINE)
    assert replay(step_context(lake, before), reason=None).written.inserted == 0
    run(lake, departments, before)
    assert contents(lake, QUARANTINE).equals(rows)


NAMELESS = """
[[mapping]]
name = "the hospital that does not name itself"
match = { hospital_id = { exists = false } }
constant = { hospital_id = 3 }
"""
"""Of what was accepted before it changes nothing, so a replay can make up for all of it."""


def test_a_replay_leaves_the_quarantine_that_a_rebuild_would_make(stack: Stack, departments: pl.DataFrame) -> None:
    """Few identities: what becomes acceptable meets others that hold it, lose it in the replay, or later."""
    before = ParserConfig(departments, SECRET)
    after = ParserConfig(departments, SECRET, parse_mappings(NAMELESS, "nameless.toml").interpreters)
    bodies = st.builds(
        snapshot,
        event_id=st.sampled_from(("a", "a", "b")),
        age=st.sampled_from((41, 42)),
        hospital_id=st.sampled_from((1, None, None)),
        department=st.sampled_from(("ICU", "ICU", None)),
    )

    def commit_accepted(lake: Lake, parser: ParserConfig) -> None:
        silver.accept_events(step_context(lake, parser))
        unaccepted.quarantine_events(step_context(lake, parser))

    # shrinking lakes takes minutes
    @settings(max_examples=2 if stack.is_slow else scaled(6), phases=(Phase.explicit, Phase.reuse, Phase.generate))
    @given(st.lists(bodies, min_size=3, max_size=8), st.data())
    def they_are_the_same(sent: list[Body], data: st.DataObject) -> None:
        partitions = [data.draw(st.integers(0, 1)) for _ in sent]
        batches = data.draw(hospital_days.batches(hospital_days.at_the_hub(sent, partitions)))
        replayed_after = data.draw(st.integers(1, len(batches)))
        with stack.lakes(2) as (lake, anew):
            for number, batch in enumerate(batches, start=1):
                receive(lake, batch)
                commit_accepted(lake, before if number <= replayed_after else after)
                if number == replayed_after:
                    run_step("data_quality_day", lake, departments)
                    replay(step_context(lake, after), reason=None)
                    commit_accepted(lake, after)
            for batch in batches:
                receive(anew, batch)
            commit_accepted(anew, after)
            for either in (lake, anew):
                run_step("data_quality_day", either, departments)
            for table in (SILVER_EVENTS, IGNORED, QUARANTINE, DATA_QUALITY_DAY):
                assert contents(lake, table).to_dicts() == contents(anew, table).to_dicts(), table.path

    they_are_the_same()


def test_what_is_judged_again_was_rejected_when_it_was(
    lake: Lake, departments: pl.DataFrame, before: ParserConfig, after: ParserConfig
) -> None:
    receive(lake, EVENTS)
    run(lake, departments, before)
    replay(step_context(lake, after), reason=None)
    assert set(lake.open(QUARANTINE).scan().collect()["rejected_at"]) == {NOW}
