"""Senders: a silent or changed one is named, and an outage of our own is not blamed on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from patient_flow.contracts.rules import ALL
from patient_flow.contracts.tables import DIM_DEPARTMENT
from patient_flow.monitoring import thresholds
from patient_flow.monitoring.finding import Finding
from patient_flow.monitoring.inputs import Volume
from patient_flow.monitoring.rules import senders
from patient_flow.monitoring.rules.senders import no_new_fields
from patient_flow.transforms.dimensions import department_versions

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
HOUR = datetime(2026, 3, 20, 11, tzinfo=UTC)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def few_quarantined(quality: pl.DataFrame) -> Finding:
    return senders.quarantine_rate(quality, thresholds.QUARANTINE, min_events=thresholds.QUARANTINE_MIN_EVENTS)


def volume_usual(events: int, earlier: list[int], hour: datetime, *, read_until: datetime | None) -> Finding:
    volume = Volume(hour, events, earlier)
    return senders.event_volume_normal(
        volume, thresholds.VOLUME, min_events=thresholds.VOLUME_MIN_EVENTS, read_until=read_until
    )


def every_hospital_sends(
    last_sent: pl.DataFrame, listed: pl.Series, *, now: datetime, read_until: datetime | None
) -> Finding:
    return senders.every_hospital_sends(last_sent, listed, thresholds.SENDER_SILENT, now=now, read_until=read_until)


def quality(accepted: int, quarantined: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"rule": [ALL, "patient_is_missing"], "accepted": [accepted, 0], "quarantined": [quarantined, quarantined]}
    )


def test_a_tenth_in_quarantine_is_the_limit_and_the_rules_are_named() -> None:
    assert few_quarantined(quality(90, 10)).is_ok
    finding = few_quarantined(quality(89, 11))
    assert not finding.is_ok
    assert not finding.is_error
    assert finding.rows == [{"rule": "patient_is_missing", "quarantined": 11}]
    assert few_quarantined(quality(0, 0).clear()).is_ok


def test_of_the_few_events_after_midnight_no_share_is_judged() -> None:
    finding = few_quarantined(quality(4, 1))
    assert finding.is_ok
    assert "too few events" in finding.message
    assert finding.figures["quarantined"] == 1
    assert few_quarantined(quality(0, thresholds.QUARANTINE_MIN_EVENTS - 1)).is_ok
    assert not few_quarantined(quality(0, thresholds.QUARANTINE_MIN_EVENTS)).is_ok


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
    assert volume_usual(events, earlier, HOUR, read_until=NOW).is_ok is is_fine


@pytest.mark.parametrize("read_until", [None, HOUR + timedelta(minutes=59)])
def test_an_hour_that_the_pipeline_did_not_read_to_its_end_is_not_blamed_on_the_senders(
    read_until: datetime | None,
) -> None:
    finding = volume_usual(0, [300, 300], HOUR, read_until=read_until)
    assert finding.is_ok
    assert "cannot be judged: the pipeline is behind the hub" in finding.message
    assert not volume_usual(0, [300, 300], HOUR, read_until=HOUR + timedelta(hours=1)).is_ok


LISTED = pl.Series(["1", "2"])
SENT = pl.DataFrame({"hospital_id": ["1", "2"], "last_at": [ago(minutes=3), ago(hours=7)]})


def test_a_hospital_that_falls_silent_is_named() -> None:
    finding = every_hospital_sends(SENT, LISTED, now=NOW, read_until=NOW)
    assert not finding.is_ok
    assert finding.rows == [{"hospital_id": "2", "silent_hours": 7.0}]
    assert every_hospital_sends(SENT.head(1), LISTED, now=NOW, read_until=NOW).is_ok


def test_a_hospital_whose_events_may_all_be_quarantined_is_not_reported_as_silent() -> None:
    finding = every_hospital_sends(SENT, LISTED, now=NOW, read_until=NOW)
    assert finding.message == "1 hospital has had no accepted event for more than 6 hours."


def test_hospitals_are_judged_up_to_the_instant_to_which_the_hub_was_read() -> None:
    assert not every_hospital_sends(SENT, LISTED, now=NOW, read_until=ago(minutes=30)).is_ok
    assert every_hospital_sends(SENT, LISTED, now=NOW, read_until=ago(hours=2)).is_ok


@pytest.mark.parametrize("read_until", [None, ago(hours=7)])
def test_while_our_own_pipeline_is_down_no_hospital_is_called_silent(read_until: datetime | None) -> None:
    finding = every_hospital_sends(
        SENT.with_columns(last_at=pl.lit(ago(days=2))), LISTED, now=NOW, read_until=read_until
    )
    assert finding.is_ok
    assert "cannot be judged: the pipeline is behind the hub" in finding.message


def test_a_silent_hospital_that_the_list_lacks_is_counted_and_not_named() -> None:
    finding = every_hospital_sends(SENT, LISTED.head(1), now=NOW, read_until=NOW)
    assert finding.figures["silent"] == 1
    assert finding.rows == [{"hospital_id": "not in the list", "silent_hours": 7.0}]


def test_new_fields_are_named() -> None:
    finding = no_new_fields({"ward_phone", "nurse"})
    assert not finding.is_ok
    assert "nurse, ward_phone" in finding.message
    assert no_new_fields(set()).is_ok


def test_a_field_name_that_looks_like_data_is_counted_and_not_shown() -> None:
    finding = no_new_fields({"Jane Roe 1971-02-03", "nurse", "4711"})
    assert finding.figures["new_fields"] == 3
    assert "nurse" in finding.message
    assert "Roe" not in finding.message
    assert "4711" not in finding.message


def departments_current(
    departments: pl.DataFrame, list_: pl.DataFrame, *, now: datetime, is_demo_list: bool
) -> Finding:
    return senders.department_list_current(
        departments, list_, thresholds.DEPARTMENT_LIST_AGE, now=now, is_demo_list=is_demo_list
    )


NAMES = pl.Schema({"hospital_id": pl.String(), "department": pl.String()})


def judged(list_: pl.DataFrame, *named: tuple[str, str], now: datetime = NOW, is_shipped: bool = True) -> Finding:
    """The department list against (hospital, department) as events name them."""
    table = department_versions(list_, pl.DataFrame(named, schema=NAMES, orient="row"))
    return departments_current(table, list_, now=now, is_demo_list=is_shipped)


def test_departments_that_only_events_name_are_counted_by_hospital(departments: pl.DataFrame) -> None:
    finding = judged(departments, ("1", "ICU"), ("1", "Sugery"), ("2", "Sugery"), ("2", "Annex"))
    assert not finding.is_ok
    assert not finding.is_error
    assert "3 departments" in finding.message
    assert finding.rows == [{"hospital_id": "2", "departments": 2}, {"hospital_id": "1", "departments": 1}]
    assert judged(departments, ("1", "ICU")).is_ok


def test_no_name_that_a_sender_made_up_is_shown_since_it_may_be_a_patient_s(departments: pl.DataFrame) -> None:
    finding = judged(departments, ("1", "Jane Roe"), ("Roe", "ICU"), ("Doe", "ICU"))
    assert finding.rows == [
        {"hospital_id": "not in the list", "departments": 2},
        {"hospital_id": "1", "departments": 1},
    ]
    assert "oe" not in finding.message


def test_a_list_without_a_new_line_for_long_is_old_unless_it_is_the_demo_s(departments: pl.DataFrame) -> None:
    newest = departments["valid_from"].max()
    assert isinstance(newest, datetime)
    later = newest + timedelta(days=thresholds.DEPARTMENT_LIST_AGE.warning + 1)
    assert not judged(departments, now=later, is_shipped=False).is_ok
    assert judged(departments, now=later, is_shipped=True).is_ok
    assert judged(departments, now=newest, is_shipped=False).is_ok
    assert departments_current(DIM_DEPARTMENT.empty(), departments.clear(), now=NOW, is_demo_list=False).is_ok


def test_a_line_that_confirms_the_beds_as_they_are_makes_the_list_current(departments: pl.DataFrame) -> None:
    later = NOW + timedelta(days=10 * thresholds.DEPARTMENT_LIST_AGE.warning)
    assert not judged(departments, now=later, is_shipped=False).is_ok
    confirmed = departments.head(1).with_columns(valid_from=pl.lit(later - timedelta(days=1)))
    assert judged(pl.concat([departments, confirmed]), now=later, is_shipped=False).is_ok
