"""Hours and dates: the hour key, the hospital's local calendar, DimTime."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.tables import DIM_TIME

c = pl.col


def time_key(instant: pl.Expr) -> pl.Expr:
    """UTC hour of an instant as YYYYMMDDHH; 0 (the unknown member) for null."""
    utc = instant.dt
    key = (
        utc.year().cast(pl.Int64) * 1_000_000
        + utc.month().cast(pl.Int64) * 10_000
        + utc.day().cast(pl.Int64) * 100
        + utc.hour().cast(pl.Int64)
    )
    return key.fill_null(events.UNKNOWN_KEY)


def hour_start(key: pl.Expr) -> pl.Expr:
    """First instant of the hour that ``key`` (YYYYMMDDHH) names."""
    return pl.datetime(
        key // 1_000_000, key // 10_000 % 100, key // 100 % 100, key % 100, time_zone="UTC", time_unit="us"
    )


def local_date(instant: pl.Expr, zone: str) -> pl.Expr:
    """Date on the hospital's wall clock."""
    return instant.dt.convert_time_zone(zone).dt.date()


def date_of_hour(instant: pl.Expr, zone: str) -> pl.Expr:
    """Date that DimTime gives the hour of ``instant``.

    Not always that of the wall clock: where midnight lies within a UTC hour, the hour counts for the date on which it
    begins. Whatever counts by dates counts so, to agree with what counts by hours.
    """
    return local_date(instant.dt.truncate("1h"), zone)


def first_hour(day: date, zone: ZoneInfo) -> datetime:
    """First full UTC hour of a local date."""
    midnight = datetime.combine(day, time(), zone).astimezone(UTC)
    return midnight if midnight.minute == 0 else midnight.replace(minute=0) + timedelta(hours=1)


def hour_key(instant: datetime) -> int:
    """:func:`time_key` of one UTC instant."""
    return int(instant.strftime("%Y%m%d%H"))


def is_day_start(hour: pl.Expr, zone: str) -> pl.Expr:
    """True for the first full UTC hour of a local date. Hour 0 would not do: some zones skip or repeat it."""
    return local_date(hour, zone) != local_date(hour - timedelta(hours=1), zone)


def years_outside_calendar(rows: pl.LazyFrame, columns: Iterable[str]) -> set[int]:
    """UTC years that the instants in ``columns`` mention beyond :data:`contracts.events.CALENDAR_YEARS`."""
    years = pl.concat([rows.select(year=pl.col(name).dt.year()).unique() for name in columns])
    mentioned = set(years.drop_nulls().collect(engine="streaming")["year"])
    return mentioned - set(events.CALENDAR_YEARS)


def years_to_add(mentioned: Iterable[int], newest_event: int) -> set[int]:
    """Years that DimTime needs beyond its calendar: those ``mentioned``, and those that an open stay may span.

    A stay that began before the calendar occupies hours up to the newest event; a plan far ahead occupies none.
    """
    calendar = set(events.CALENDAR_YEARS)
    spanned = range(min([*mentioned, newest_event, *calendar]), newest_event + 1)
    return {*mentioned, *spanned} - calendar


def dim_time(extra_years: Iterable[int], zone: str) -> pl.DataFrame:
    """DimTime: every UTC hour of the calendar's years and of ``extra_years``, and the unknown member."""
    hours = pl.concat(
        pl.datetime_range(
            datetime(year, 1, 1, tzinfo=UTC),
            datetime(year, 12, 31, 23, tzinfo=UTC),
            "1h",
            time_unit="us",
            eager=True,
        ).cast(INSTANT)
        for year in sorted({*events.CALENDAR_YEARS, *extra_years})
    )
    local = c("local").dt
    known = (
        pl.DataFrame({"hour_start_at": hours})
        .with_columns(time_key=time_key(c("hour_start_at")), local=c("hour_start_at").dt.convert_time_zone(zone))
        .with_columns(
            date=local.date(),
            hour=local.hour(),
            is_day_start=is_day_start(c("hour_start_at"), zone),
            day_name=local.strftime("%A"),
            is_weekend=local.weekday() >= 6,
            week=local.week(),
            month=local.month(),
            month_name=local.strftime("%B"),
            quarter=local.quarter(),
            year=local.year(),
            shift=pl.when(local.hour().is_between(6, 13))
            .then(pl.lit("day"))
            .when(local.hour().is_between(14, 21))
            .then(pl.lit("evening"))
            .otherwise(pl.lit("night")),
        )
    )
    unknown = pl.DataFrame({"time_key": [events.UNKNOWN_KEY]})
    columns = [c(name).cast(dtype) for name, dtype in DIM_TIME.schema.items()]
    return pl.concat([unknown, known], how="diagonal_relaxed").select(columns)
