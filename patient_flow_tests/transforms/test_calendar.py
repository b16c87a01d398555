"""DimTime and local dates: right on ordinary days, on the days the clocks change, and far from either."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from patient_flow.contracts.tables import DIM_TIME
from patient_flow.transforms import calendar
from patient_flow_tests import oracle
from patient_flow_tests.builders import ZONE

SAMPLE_DAYS = (
    datetime(2026, 1, 1, tzinfo=UTC),  # a Thursday of ISO week 1
    datetime(2027, 1, 1, tzinfo=UTC),  # a Friday that still belongs to week 53
    datetime(2024, 2, 29, tzinfo=UTC),
    datetime(2026, 3, 29, tzinfo=UTC),  # Paris skips 02:00
    datetime(2026, 10, 25, tzinfo=UTC),  # Paris has 02:00 twice
    datetime(2026, 12, 31, tzinfo=UTC),  # already next year in Paris, in its last hour
)


@pytest.fixture(scope="module")
def dim_time() -> pl.DataFrame:
    return calendar.dim_time([], ZONE)


@pytest.mark.parametrize("day", SAMPLE_DAYS, ids=lambda day: f"{day:%Y-%m-%d}")
def test_every_hour_of_a_day_has_the_attributes_of_the_wall_clock(day: datetime, dim_time: pl.DataFrame) -> None:
    for number in range(24):
        expected = oracle.calendar(day + timedelta(hours=number), ZONE)
        assert dim_time.filter(time_key=expected["time_key"]).to_dicts() == [expected]


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 3, 28), 24)])
def test_a_local_day_has_as_many_hours_as_the_clocks_give_it(day: date, hours: int, dim_time: pl.DataFrame) -> None:
    local = dim_time.filter(date=day)
    assert local.height == hours
    assert local["time_key"].n_unique() == hours
    assert local.filter("is_day_start")["hour"].to_list() == [0]


def test_every_utc_hour_of_the_calendar_is_there_once(dim_time: pl.DataFrame) -> None:
    known = dim_time.filter(pl.col("time_key") != 0).sort("time_key")
    assert (known["hour_start_at"].diff().drop_nulls() == timedelta(hours=1)).all()
    assert (known["hour_start_at"].min(), known["hour_start_at"].max()) == (
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(2035, 12, 31, 23, tzinfo=UTC),
    )
    assert dim_time.schema == DIM_TIME.schema


def test_the_unknown_hour_is_there_once(dim_time: pl.DataFrame) -> None:
    unknown = dim_time.filter(time_key=0)
    assert unknown.height == 1
    assert unknown.drop("time_key").null_count().sum_horizontal().item() == len(DIM_TIME.columns) - 1


def test_years_that_the_data_mentions_are_added() -> None:
    frame = pl.DataFrame(
        {"a": [datetime(2019, 12, 31, 23, tzinfo=UTC), None], "b": [datetime(2026, 1, 1, tzinfo=UTC)] * 2}
    )
    assert calendar.years_outside_calendar(frame.lazy(), ["a", "b"]) == {2019}
    assert calendar.dim_time({2019}, ZONE).filter(time_key=2019123123).height == 1


@pytest.mark.parametrize(
    ("instant", "key"),
    [
        (datetime(2026, 3, 9, 7, 59, 59, 999_999, UTC), 2026030907),
        (datetime(999, 1, 1, tzinfo=UTC), 999010100),
        (None, 0),
    ],
)
def test_an_instant_belongs_to_its_utc_hour(instant: datetime | None, key: int) -> None:
    frame = pl.DataFrame({"at": [instant]}, schema={"at": pl.Datetime("us", "UTC")})
    assert frame.select(calendar.time_key(pl.col("at"))).item() == key
    if instant is not None:
        back = frame.select(calendar.hour_start(calendar.time_key(pl.col("at")))).item()
        assert back == instant.replace(minute=0, second=0, microsecond=0)


@pytest.mark.parametrize(
    ("utc", "zone", "day"),
    [
        ("2026-03-19T22:59:59", "Europe/Paris", "2026-03-19"),
        ("2026-03-19T23:00:00", "Europe/Paris", "2026-03-20"),
        ("2026-06-30T22:00:00", "Europe/Paris", "2026-07-01"),
        ("2026-03-19T18:30:00", "Asia/Kolkata", "2026-03-20"),
        ("2026-03-20T03:59:59", "America/New_York", "2026-03-19"),
    ],
)
def test_a_date_is_that_of_the_hospitals_zone(utc: str, zone: str, day: str) -> None:
    frame = pl.DataFrame({"at": [datetime.fromisoformat(f"{utc}+00:00")]})
    assert frame.select(calendar.local_date(pl.col("at"), zone)).item() == date.fromisoformat(day)
