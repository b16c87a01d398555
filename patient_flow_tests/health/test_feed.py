"""Senders and their lag: an idle hospital does not look broken, a silent or changed one is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from patient_flow.contracts import measures
from patient_flow.contracts.rules import ALL
from patient_flow.contracts.tables import DIM_DEPARTMENT
from patient_flow.health.feed import (
    data_recent,
    departments_current,
    every_hospital_sends,
    few_quarantined,
    fields_known,
    hub_silent,
    volume_usual,
)
from patient_flow.health.findings import Finding
from patient_flow.transforms.dimensions import department_versions

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
HOUR = datetime(2026, 3, 20, 11, tzinfo=UTC)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def test_an_idle_hospital_is_not_late_however_old_its_newest_event() -> None:
    finding = data_recent(now=NOW, newest=ago(days=3), complete_until=None, waiting=0)
    assert finding.is_fine
    assert finding.figures["lag_minutes"] == 0
    assert finding.figures["age_minutes"] == 3 * 24 * 60


def test_an_event_after_days_of_silence_is_as_late_as_the_last_look_at_the_hub() -> None:
    assert data_recent(now=NOW, newest=ago(days=3), complete_until=ago(minutes=1), waiting=1).is_fine


@pytest.mark.parametrize(("minutes", "is_fine", "is_grave"), [(1, True, False), (6, False, False), (16, False, True)])
def test_events_that_wait_warn_and_then_are_grave(minutes: int, is_fine: bool, is_grave: bool) -> None:
    finding = data_recent(now=NOW, newest=ago(minutes=minutes), complete_until=None, waiting=10)
    assert (finding.is_fine, finding.is_grave) == (is_fine, is_grave)
    if not is_fine:
        assert "10 events wait at the hub" in finding.sentence
        assert f"{ago(minutes=minutes):%H:%M:%S}" in finding.sentence  # since when


def test_a_run_that_drained_the_hub_long_ago_is_late_though_nobody_asked_again() -> None:
    assert data_recent(now=NOW, newest=ago(hours=1), complete_until=ago(minutes=2), waiting=None).is_fine
    assert data_recent(now=NOW, newest=ago(hours=1), complete_until=ago(minutes=20), waiting=None).is_grave


def test_events_that_wait_before_anything_was_read_are_grave_and_an_empty_hub_is_not() -> None:
    unread = data_recent(now=NOW, newest=None, complete_until=None, waiting=1000)
    assert unread.is_grave
    assert unread.sentence == "1,000 events wait at the hub, and none was ever read."
    assert data_recent(now=NOW, newest=None, complete_until=None, waiting=0).is_fine


def test_a_hub_that_does_not_answer_is_said_with_the_newest_event() -> None:
    finding = hub_silent("Event Hub cannot be read.", now=NOW, newest=ago(hours=2))
    assert not finding.is_fine
    assert finding.sentence == "Event Hub cannot be read. The newest event loaded is of 2026-03-20 10:00:00 UTC."


def quality(accepted: int, quarantined: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"rule": [ALL, "patient_is_missing"], "accepted": [accepted, 0], "quarantined": [quarantined, quarantined]}
    )


def test_a_tenth_in_quarantine_is_the_limit_and_the_rules_are_named() -> None:
    assert few_quarantined(quality(90, 10)).is_fine
    finding = few_quarantined(quality(89, 11))
    assert not finding.is_fine
    assert not finding.is_grave
    assert finding.rows == [{"rule": "patient_is_missing", "quarantined": 11}]
    assert few_quarantined(quality(0, 0).clear()).is_fine


def test_of_the_few_events_after_midnight_no_share_is_judged() -> None:
    finding = few_quarantined(quality(4, 1))
    assert finding.is_fine
    assert "too few events" in finding.sentence
    assert finding.figures["quarantined"] == 1
    assert few_quarantined(quality(0, measures.QUARANTINE_LEAST_EVENTS - 1)).is_fine
    assert not few_quarantined(quality(0, measures.QUARANTINE_LEAST_EVENTS)).is_fine


@pytest.mark.parametrize(
    ("events", "earlier", "is_fine"),
    [
        (300, [300, 310, 290], True),
        (101, [300, 300], True),
        (90, [300, 300], False),
        (0, [300, 300], False),
        (901, [300, 300], False),
        (0, [300], True),  # one week says nothing
        (0, [20, 30, 40], True),  # chance
        (300, [0, 300, 310], True),  # one odd week does not move the median
    ],
)
def test_an_hour_is_compared_with_the_same_hour_of_other_weeks(
    events: int,
    earlier: list[int],
    is_fine: bool,
) -> None:
    assert volume_usual(events, earlier, HOUR, read_until=NOW).is_fine is is_fine


@pytest.mark.parametrize("read_until", [None, HOUR + timedelta(minutes=59)])
def test_an_hour_that_the_pipeline_did_not_read_to_its_end_is_not_blamed_on_the_senders(
    read_until: datetime | None,
) -> None:
    finding = volume_usual(0, [300, 300], HOUR, read_until=read_until)
    assert finding.is_fine
    assert "cannot be judged: the pipeline is behind the hub" in finding.sentence
    assert not volume_usual(0, [300, 300], HOUR, read_until=HOUR + timedelta(hours=1)).is_fine


LISTED = pl.Series(["1", "2"])
SENT = pl.DataFrame({"hospital_id": ["1", "2"], "last_at": [ago(minutes=3), ago(hours=7)]})


def test_a_hospital_that_falls_silent_is_named() -> None:
    finding = every_hospital_sends(SENT, LISTED, now=NOW, read_until=NOW)
    assert not finding.is_fine
    assert finding.rows == [{"hospital_id": "2", "silent_hours": 7.0}]
    assert every_hospital_sends(SENT.head(1), LISTED, now=NOW, read_until=NOW).is_fine


def test_of_a_hospital_whose_events_may_all_be_quarantined_it_is_not_said_that_it_sent_nothing() -> None:
    finding = every_hospital_sends(SENT, LISTED, now=NOW, read_until=NOW)
    assert finding.sentence == "Of 1 hospitals no event was accepted for more than 6 hours."


def test_hospitals_are_judged_up_to_the_instant_to_which_the_hub_was_read() -> None:
    assert not every_hospital_sends(SENT, LISTED, now=NOW, read_until=ago(minutes=30)).is_fine
    assert every_hospital_sends(SENT, LISTED, now=NOW, read_until=ago(hours=2)).is_fine


@pytest.mark.parametrize("read_until", [None, ago(hours=7)])
def test_while_our_own_pipeline_is_down_no_hospital_is_called_silent(read_until: datetime | None) -> None:
    finding = every_hospital_sends(
        SENT.with_columns(last_at=pl.lit(ago(days=2))), LISTED, now=NOW, read_until=read_until
    )
    assert finding.is_fine
    assert "cannot be judged: the pipeline is behind the hub" in finding.sentence


def test_a_silent_hospital_that_the_list_lacks_is_counted_and_not_named() -> None:
    finding = every_hospital_sends(SENT, LISTED.head(1), now=NOW, read_until=NOW)
    assert finding.figures["silent"] == 1
    assert finding.rows == [{"hospital_id": "not in the list", "silent_hours": 7.0}]


def test_new_fields_are_named() -> None:
    finding = fields_known({"ward_phone", "nurse"})
    assert not finding.is_fine
    assert "nurse, ward_phone" in finding.sentence
    assert fields_known(set()).is_fine


def test_a_field_name_that_looks_like_data_is_counted_and_not_shown() -> None:
    finding = fields_known({"Jane Roe 1971-02-03", "nurse", "4711"})
    assert finding.figures["new_fields"] == 3
    assert "nurse" in finding.sentence
    assert "Roe" not in finding.sentence
    assert "4711" not in finding.sentence


NAMES = pl.Schema({"hospital_id": pl.String(), "department": pl.String()})


def judged(list_: pl.DataFrame, *named: tuple[str, str], now: datetime = NOW, is_shipped: bool = True) -> Finding:
    """The department list against (hospital, department) as events name them."""
    table = department_versions(list_, pl.DataFrame(named, schema=NAMES, orient="row"))
    return departments_current(table, list_, now=now, is_shipped=is_shipped)


def test_departments_that_only_events_name_are_counted_by_hospital(departments: pl.DataFrame) -> None:
    finding = judged(departments, ("1", "ICU"), ("1", "Sugery"), ("2", "Sugery"), ("2", "Annex"))
    assert not finding.is_fine
    assert not finding.is_grave
    assert "3 departments" in finding.sentence
    assert finding.rows == [{"hospital_id": "2", "departments": 2}, {"hospital_id": "1", "departments": 1}]
    assert judged(departments, ("1", "ICU")).is_fine


def test_no_name_that_a_sender_made_up_is_shown_since_it_may_be_a_patient_s(departments: pl.DataFrame) -> None:
    finding = judged(departments, ("1", "Jane Roe"), ("Roe", "ICU"), ("Doe", "ICU"))
    assert finding.rows == [
        {"hospital_id": "not in the list", "departments": 2},
        {"hospital_id": "1", "departments": 1},
    ]
    assert "oe" not in finding.sentence


def test_a_list_without_a_new_line_for_long_is_old_unless_it_is_the_demo_s(departments: pl.DataFrame) -> None:
    newest = departments["valid_from"].max()
    assert isinstance(newest, datetime)
    later = newest + timedelta(days=measures.DEPARTMENT_LIST_WARNING_DAYS + 1)
    assert not judged(departments, now=later, is_shipped=False).is_fine
    assert judged(departments, now=later, is_shipped=True).is_fine
    assert judged(departments, now=newest, is_shipped=False).is_fine
    assert departments_current(DIM_DEPARTMENT.empty(), departments.clear(), now=NOW, is_shipped=False).is_fine


def test_a_line_that_confirms_the_beds_as_they_are_makes_the_list_current(departments: pl.DataFrame) -> None:
    later = NOW + timedelta(days=10 * measures.DEPARTMENT_LIST_WARNING_DAYS)
    assert not judged(departments, now=later, is_shipped=False).is_fine
    confirmed = departments.head(1).with_columns(valid_from=pl.lit(later - timedelta(days=1)))
    assert judged(pl.concat([departments, confirmed]), now=later, is_shipped=False).is_fine
