"""The lag from hub to warehouse: an idle hospital is never late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from patient_flow.monitoring.finding import Finding
from patient_flow.monitoring.inputs import ReadProgress
from patient_flow.monitoring.rules import freshness
from patient_flow.monitoring.rules.freshness import DataAge, data_age, data_lag
from patient_flow.monitoring.thresholds import DATA_AGE

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def data_fresh(
    read_until: datetime | None = None, waiting: int | None = None, newest: datetime | None = None
) -> Finding:
    return freshness.data_fresh(ReadProgress(read_until, waiting), newest, NOW, DATA_AGE)


@pytest.mark.parametrize(
    ("progress", "newest", "age"),
    [
        (ReadProgress(failure="no answer"), ago(hours=1), DataAge.UNKNOWN),
        (ReadProgress(None, 0), None, DataAge.CAUGHT_UP),
        (ReadProgress(), None, DataAge.CAUGHT_UP),
        (ReadProgress(None, 5), None, DataAge.NEVER_READ),
        (ReadProgress(ago(minutes=5), 5), ago(days=1), DataAge.RECENT),
        (ReadProgress(ago(minutes=6), 5), ago(minutes=1), DataAge.LATE),
        (ReadProgress(ago(minutes=15)), ago(minutes=1), DataAge.LATE),
        (ReadProgress(ago(minutes=16), 5), None, DataAge.OUTDATED),
    ],
)
def test_the_age_of_the_data_is_decided_before_it_is_worded(
    progress: ReadProgress, newest: datetime | None, age: DataAge
) -> None:
    assert data_age(progress, newest, data_lag(progress, newest, NOW), DATA_AGE) is age


def test_an_idle_hospital_is_not_late_however_old_its_newest_event() -> None:
    finding = data_fresh(newest=ago(days=3), waiting=0)
    assert finding.is_ok
    assert finding.figures["lag_minutes"] == 0
    assert finding.figures["age_minutes"] == 3 * 24 * 60


def test_an_event_after_days_of_silence_is_late_since_the_last_hub_query() -> None:
    assert data_fresh(ago(minutes=1), 1, ago(days=3)).is_ok


@pytest.mark.parametrize(("minutes", "is_ok", "is_error"), [(1, True, False), (6, False, False), (16, False, True)])
def test_events_that_wait_warn_and_then_are_an_error(minutes: int, is_ok: bool, is_error: bool) -> None:
    finding = data_fresh(newest=ago(minutes=minutes), waiting=10)
    assert (finding.is_ok, finding.is_error) == (is_ok, is_error)
    if not is_ok:
        assert "10 events wait at the hub" in finding.message
        assert f"{ago(minutes=minutes):%H:%M:%S}" in finding.message  # since when


def test_data_is_late_when_the_last_drain_is_long_ago() -> None:
    assert data_fresh(ago(minutes=2), newest=ago(hours=1)).is_ok
    assert data_fresh(ago(minutes=20), newest=ago(hours=1)).is_error


def test_events_that_wait_before_anything_was_read_are_an_error_and_an_empty_hub_is_not() -> None:
    unread = data_fresh(waiting=1000)
    assert unread.is_error
    assert unread.message == "1,000 events wait at the hub, and none was ever read."
    assert data_fresh(waiting=0).is_ok


def test_an_unreachable_hub_is_reported_with_the_newest_event() -> None:
    finding = freshness.data_fresh(ReadProgress(failure="Event Hub cannot be read."), ago(hours=2), NOW, DATA_AGE)
    assert not finding.is_ok
    assert finding.message == "Event Hub cannot be read; the newest loaded event is from 2026-03-20 10:00:00 UTC."
