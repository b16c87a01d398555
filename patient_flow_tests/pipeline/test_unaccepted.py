"""Every part of every body ends in exactly one of silver, ignored and quarantine, whatever came in which batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DATA_QUALITY_DAY,
    EVENT_COORDINATES,
    IGNORED,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.dialects import hl7
from patient_flow.pipeline import aggregates, judging, reading, silver, unaccepted
from patient_flow.pipeline.checkpoints import FORMER_PSEUDONYM_KEY, PSEUDONYM_KEY
from patient_flow.pipeline.rebuild import reset
from patient_flow.pipeline.replay import replay
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.bodies import Interpretation
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import SECRET, Body, contents, deliveries, event, receive, snapshot, step_context
from patient_flow_tests.dialects.builders import adt
from patient_flow_tests.scenarios import hospital_days
from patient_flow_tests.stacks import Stack

pytestmark = pytest.mark.embedded_only("what the steps decide; the scenarios of invariance run them on both stacks")

LABORATORY = adt("A01", msh={9: "ORU^R01"})
OUTCOMES = (SILVER_EVENTS, IGNORED, QUARANTINE)


def unwrap(_: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
    """A body with ``rows`` holds an event per row."""
    rows = (value or {}).get("rows")
    return Interpretation(tuple(rows)) if isinstance(rows, list) else None


@pytest.fixture
def parser(departments: pl.DataFrame) -> ParserConfig:
    return ParserConfig(departments, SECRET, formats=(unwrap, hl7.interpret))


def run(lake: Lake, parser: ParserConfig) -> None:
    for step in (silver.accept_events, unaccepted.ignore_events, unaccepted.quarantine_events):
        step(step_context(lake, replace(parser)))  # each asset of a run has a parser of its own


def names(lake: Lake) -> dict[str, int]:
    return dict(contents(lake, IGNORED)["name"].value_counts().iter_rows())


def test_a_snapshot_sent_again_is_ignored_and_its_visit_can_be_confirmed(lake: Lake, parser: ParserConfig) -> None:
    for night in deliveries([snapshot()] * 3):
        receive(lake, [night])
        run(lake, parser)
    (accepted,) = contents(lake, SILVER_EVENTS).to_dicts()
    ignored = contents(lake, IGNORED)
    assert ignored["name"].to_list() == ["already_received"] * 2
    for name in ("visit_id", "visit_hash", "hospital_id", "event_key"):
        assert set(ignored[name]) == {accepted[name]}
    assert lake.open(QUARANTINE).row_count() == 0


def test_a_lifecycle_event_sent_again_stays_a_duplicate(lake: Lake, parser: ParserConfig) -> None:
    receive(lake, [event(), event(), event(age=43)])
    run(lake, parser)
    assert names(lake) == {}
    assert sorted(contents(lake, QUARANTINE)["reasons"].to_list()) == [["event_id_is_reused"], ["event_is_a_duplicate"]]


def test_a_rejected_body_is_read_once_for_both_tables(
    lake: Lake, parser: ParserConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def read_some(rows: pl.DataFrame, of: ParserConfig) -> Iterator[pl.DataFrame]:
        read.append(rows.height)
        return reading.validated(rows, of)

    monkeypatch.setattr(judging, "validated", read_some)
    received = deliveries([event(), LABORATORY, b"rubbish", event(), LABORATORY])
    receive(lake, received[:3])
    run(lake, parser)
    assert sum(read) == 2
    receive(lake, received[3:])
    run(lake, parser)
    assert sum(read) == 4
    reasons = contents(lake, QUARANTINE)["reasons"].explode()
    assert set(reasons) == {"body_is_not_a_json_object", "event_is_a_duplicate"}
    assert names(lake) == {"message_is_not_adt": 2}


def test_what_silver_lacks_is_found_once_for_both_tables_that_follow_from_the_beginning(
    lake: Lake, parser: ParserConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"rows": [event(), event(visit_id="v2", department=None)]}
    receive(lake, [event(), rows, LABORATORY, b"rubbish", event()])
    run(lake, parser)
    followed = [contents(lake, table) for table in OUTCOMES]
    compared: list[str] = []
    at = LakeTable.at

    def watched(table: LakeTable, version: int) -> pl.LazyFrame:
        compared.append(table.table.path)
        return at(table, version)

    monkeypatch.setattr(LakeTable, "at", watched)
    for table in (IGNORED, QUARANTINE):
        reset(lake, table, empty=True)
    run(lake, parser)
    assert compared == [BRONZE_EVENTS.path]
    assert judging._NEWEST.judge is None, "bodies do not stay in memory"
    for table, before in zip(OUTCOMES, followed, strict=True):
        assert_frame_equal(contents(lake, table), before, check_row_order=False)


def test_messages_that_say_nothing_about_the_flow_are_ignored_and_counted(lake: Lake, parser: ParserConfig) -> None:
    receive(lake, [event(), LABORATORY, LABORATORY, adt("A31"), adt("A05"), b"rubbish"])
    run(lake, parser)
    assert names(lake) == {"message_is_not_adt": 2, "message_updates_person_record": 1}
    rejected = contents(lake, QUARANTINE)
    assert rejected["hospital_id"].to_list() == ["NORTH", None]
    aggregates.data_quality_day(step_context(lake, parser))
    counted = contents(lake, DATA_QUALITY_DAY)
    assert counted.filter(pl.col("rule") == "all")["ignored"].sum() == 3
    assert counted.filter(pl.col("rule") == "message_is_not_adt")["ignored"].to_list() == [2]


def test_each_part_of_a_body_has_an_outcome_of_its_own(lake: Lake, parser: ParserConfig) -> None:
    body = {"rows": [event(), event(visit_id="v2", department=None), event(visit_id="v3"), event()]}
    receive(lake, [body, {"rows": []}])
    run(lake, parser)
    assert contents(lake, SILVER_EVENTS).select("part", "parts").rows() == [(0, 4), (2, 4)]
    assert contents(lake, QUARANTINE).select("part", "reasons").rows() == [
        (1, ["department_is_missing"]),
        (3, ["event_is_a_duplicate"]),
    ]
    assert names(lake) == {"body_is_empty": 1}


def test_quarantine_alone_brings_ignored_up_to_date_first(lake: Lake, parser: ParserConfig) -> None:
    receive(lake, [event(), LABORATORY, snapshot(), snapshot()])
    silver.accept_events(step_context(lake, parser))
    unaccepted.quarantine_events(step_context(lake, parser))
    assert names(lake) == {"message_is_not_adt": 1, "already_received": 1}
    assert lake.open(QUARANTINE).row_count() == 0


def test_details_stand_beside_their_reasons_and_hold_no_value(lake: Lake, parser: ParserConfig) -> None:
    receive(lake, [event(patient_id="x" * 65, event_time="1964-01-01T00:00:00", event_id="e")])
    run(lake, parser)
    (row,) = contents(lake, QUARANTINE).to_dicts()
    assert dict(zip(row["reasons"], row["details"], strict=True)) == {
        "patient_is_missing": "patient_id: text longer than 64 characters",
        "time_is_too_old": "event_time: before 1990",
    }


@pytest.mark.parametrize(("hospital", "sender"), [("3", "hospital 3"), ("J. Roe", "a sender that is not in the")])
def test_the_most_frequent_reason_is_named_with_its_sender_where_the_list_has_it(
    hospital: str, sender: str, lake: Lake, parser: ParserConfig
) -> None:
    receive(lake, [b"rubbish", *(event(hospital_id=hospital, patient_id=None, event_id=name) for name in "ab")])
    context = step_context(lake, parser)
    silver.accept_events(context)
    named = str(unaccepted.quarantine_events(context).figures[unaccepted.MOST_FREQUENT])
    assert named.startswith(f"patient_is_missing (2 events of {sender}")
    assert unaccepted.MOST_FREQUENT not in unaccepted.quarantine_events(context).figures


def test_what_a_mapping_stops_reading_between_two_steps_is_not_lost(lake: Lake, departments: pl.DataFrame) -> None:
    """Ignored under the mapping of the second step, rejected under that of the first: it is in quarantine, by name."""
    before, after = ParserConfig(departments, SECRET), ParserConfig(departments, SECRET, formats=(hl7.interpret,))
    receive(lake, [LABORATORY])
    silver.accept_events(step_context(lake, before))
    unaccepted.ignore_events(step_context(lake, before))
    unaccepted.quarantine_events(step_context(lake, after))
    assert contents(lake, QUARANTINE)["reasons"].to_list() == [["rules_have_changed"]]
    replay(step_context(lake, after), reason=None)
    run(lake, after)
    assert names(lake) == {"message_is_not_adt": 1}
    assert lake.open(QUARANTINE).row_count() == 0


def test_numbers_of_another_scheme_ask_for_a_rebuild(lake: Lake, parser: ParserConfig) -> None:
    number = silver._former_number(SECRET, "pseudonyms")
    lake.open(SILVER_EVENTS).record({**PSEUDONYM_KEY.of(None), **FORMER_PSEUDONYM_KEY.of(number)})
    with pytest.raises(silver.KeyRefused, match=r"unique in the whole network.*run `patient-flow rebuild`"):
        silver.accept_events(step_context(lake, parser))


def test_every_part_ends_in_exactly_one_table_whatever_the_batches(stack: Stack, parser: ParserConfig) -> None:
    """Few identities in few bodies: late firsts displace, redeliveries are ignored or rejected, and outcomes change."""
    singles = st.one_of(
        st.builds(snapshot, event_id=st.sampled_from(("a", "b", None)), age=st.sampled_from((41, 42))),
        st.builds(
            event,
            event_id=st.sampled_from(("c", "c")),
            age=st.sampled_from((41, 42)),
            department=st.sampled_from(("ICU", None)),
        ),
    )
    several = st.lists(singles, max_size=3).map(lambda rows: {"rows": rows})
    bodies = st.one_of(singles, singles, several, st.sampled_from([LABORATORY, b"rubbish"]))

    @settings(
        max_examples=2 if stack.is_slow else 8, phases=(Phase.explicit, Phase.reuse, Phase.generate), deadline=None
    )
    @given(st.lists(bodies, min_size=3, max_size=9), st.data())
    def they_are_the_same(sent: list[Body | bytes], data: st.DataObject) -> None:
        partitions = [data.draw(st.integers(0, 1)) for _ in sent]
        received = hospital_days.at_the_hub(sent, partitions)  # type: ignore[arg-type]
        batches = data.draw(hospital_days.batches(received))
        with stack.lakes(2) as (lake, alone):
            for batch in batches:
                receive(lake, batch)
                context = step_context(lake, parser)
                for step in (silver.accept_events, unaccepted.ignore_events, unaccepted.quarantine_events):
                    if data.draw(st.booleans()):
                        step(context)
            run(lake, parser)
            receive(alone, received)
            run(alone, parser)
            assert_equal(lake, alone)
            parts = sum(len(rows) or 1 for rows in map(rows_of, sent))
            places = pl.concat([contents(lake, table).select(EVENT_COORDINATES) for table in OUTCOMES])
            assert (places.height, places.n_unique()) == (parts, parts)
            for either in (lake, alone):
                aggregates.data_quality_day(step_context(either, parser))
            for table in OUTCOMES:
                reset(lake, table, empty=True)
            run(lake, parser)
            aggregates.data_quality_day(step_context(lake, parser))
            assert_equal(lake, alone)
            assert contents(lake, DATA_QUALITY_DAY).to_dicts() == contents(alone, DATA_QUALITY_DAY).to_dicts()

    they_are_the_same()


def rows_of(body: Any) -> list[Any]:
    return body["rows"] if isinstance(body, dict) and "rows" in body else [body]


def assert_equal(lake: Lake, other: Lake) -> None:
    for table in OUTCOMES:
        assert contents(lake, table).to_dicts() == contents(other, table).to_dicts(), table.path
