"""Facts, census and departments → measures by local date, department and gender.

Pure functions of the rows of the dates asked for; the same call makes one touched date or the whole history.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import polars as pl

from patient_flow.contracts import events, measures
from patient_flow.contracts.tables import INSTANT, KPI_DEPARTMENT_DAY
from patient_flow.transforms.calendar import date_of_hour, is_day_start, local_date
from patient_flow.transforms.census import hours_of

c = pl.col

FACT_COLUMNS = (
    "department_key",
    "from_department_key",
    "gender",
    "admission_at",
    "discharge_at",
    "wait_minutes",
    "length_of_stay_hours",
    "visit_length_of_stay_hours",
    "is_visit_start",
    "is_visit_end",
)
"""Columns of FactPatientFlow that the measures need."""

DAY = ["date", "department_key"]
"""A department's day: what measures are computed for."""

_KEY = list(KPI_DEPARTMENT_DAY.key)


def kpi_department_day(
    facts: pl.DataFrame,
    census: pl.DataFrame,
    departments: pl.DataFrame,
    *,
    wanted: pl.DataFrame,
    first_hour: datetime | None,
    until: datetime | None,
    zone: str,
) -> pl.DataFrame:
    """KpiDepartmentDay rows of the ``wanted`` days of departments (date, department_key).

    ``facts`` holds every stay that is admitted or discharged on one of these, ``census`` their hours.
    ``first_hour`` is where the census begins and ``until`` the newest event: in between staffed beds count, also where
    nobody lay in them. Later discharges are plans and count when their time has come.
    """
    admitted = facts.with_columns(date=date_of_hour(c("admission_at"), zone)).pipe(_only, wanted)
    left = (
        facts.filter(c("discharge_at") <= pl.lit(until, dtype=INSTANT))
        .with_columns(date=date_of_hour(c("discharge_at"), zone))
        .pipe(_only, wanted)
    )
    counted = [
        _admissions(admitted),
        _discharges(left, departments),
        _occupied(census, zone, wanted),
    ]
    staffed = _staffed(departments, wanted, first_hour, until, zone)
    keys = pl.concat([frame.select(_KEY) for frame in (*counted, staffed)]).unique()
    for frame in (*counted, staffed):
        keys = keys.join(frame, on=_KEY, how="left", maintain_order="left")
    counts = [name for name, dtype in KPI_DEPARTMENT_DAY.schema.items() if dtype == pl.Int64 and name not in _KEY]
    return keys.with_columns(c(counts).fill_null(0)).select(
        c(name).cast(dtype) for name, dtype in KPI_DEPARTMENT_DAY.schema.items()
    )


def _only(rows: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    return rows.join(wanted, on=DAY, how="semi")


def _admissions(admitted: pl.DataFrame) -> pl.DataFrame:
    wait = c("wait_minutes").filter("is_visit_start").drop_nulls()
    return admitted.group_by(_KEY).agg(
        admissions=c("is_visit_start").sum(),
        transfers_in=(c("from_department_key") != events.UNKNOWN_KEY).sum(),
        waits=wait.len(),
        wait_minutes_sum=_sum(wait),
        wait_minutes_p50=wait.quantile(0.5, "linear"),
        wait_minutes_p90=wait.quantile(0.9, "linear"),
        waits_within_240=(wait <= measures.WAIT_STANDARD_MINUTES).sum(),
    )


def _discharges(left: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    length = c("visit_length_of_stay_hours").filter("is_visit_end").drop_nulls()
    expected = departments.select("department_key", "expected_los_hours")
    return (
        left.join(expected, on="department_key", how="left")
        .group_by(_KEY)
        .agg(
            discharges=c("is_visit_end").sum(),
            length_of_stay_hours_sum=_sum(length),
            length_of_stay_hours_median=length.median(),
            overstays=(c("length_of_stay_hours") > c("expected_los_hours")).sum(),
        )
    )


def _sum(values: pl.Expr) -> pl.Expr:
    """Sum in ascending order: floats added in another order differ in the last digit. Null where there are none."""
    return pl.when(values.len() > 0).then(values.sort().sum())


def _occupied(census: pl.DataFrame, zone: str, wanted: pl.DataFrame) -> pl.DataFrame:
    return (
        hours_of(census)
        .with_columns(date=local_date(c("hour_at"), zone))
        .pipe(_only, wanted)
        .group_by(_KEY)
        .agg(
            occupied_bed_hours=c("occupied_beds").sum(),
            midnight_beds=c("occupied_beds").filter(is_day_start(c("hour_at"), zone)).sum(),
        )
    )


def _staffed(
    departments: pl.DataFrame, wanted: pl.DataFrame, first_hour: datetime | None, until: datetime | None, zone: str
) -> pl.DataFrame:
    """Staffed bed hours of the departments on the dates, once per gender (the same figure: not to be added up)."""
    empty = pl.DataFrame(schema={name: KPI_DEPARTMENT_DAY.schema[name] for name in (*_KEY, "staffed_bed_hours")})
    if first_hour is None or until is None or wanted.is_empty():
        return empty
    hours = (
        pl.DataFrame({"hour": pl.datetime_range(first_hour, until, "1h", time_unit="us", eager=True)})
        .with_columns(date=local_date(c("hour"), zone))
        .filter(c("date").is_in(wanted["date"].unique().implode()))
    )
    beds = departments.filter(c("staffed_beds").is_not_null()).select(
        "department_key", "staffed_beds", "valid_from", "valid_to"
    )
    return (
        hours.join_where(beds, c("hour") >= c("valid_from"), (c("hour") < c("valid_to")) | c("valid_to").is_null())
        .pipe(_only, wanted)
        .group_by(DAY)
        .agg(staffed_bed_hours=c("staffed_beds").sum().cast(pl.Float64))
        .join(pl.DataFrame({"gender": events.GENDERS}), how="cross")
        .select(empty.columns)
    )


def days(rows: pl.DataFrame, instant: str, zone: str) -> pl.DataFrame:
    """The departments' days (date, department_key) on which the ``instant`` of ``rows`` falls; nulls left out."""
    known = rows.filter(c(instant).is_not_null())
    return known.select(date=date_of_hour(c(instant), zone), department_key="department_key").unique()


def every_department(dates: Iterable[date], departments: pl.DataFrame) -> pl.DataFrame:
    """The days (date, department_key) of all ``departments`` on ``dates``."""
    return pl.DataFrame({"date": sorted(dates)}, schema={"date": pl.Date}).join(
        departments.select("department_key").unique(), how="cross"
    )
