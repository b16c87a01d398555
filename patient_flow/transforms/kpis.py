"""Facts, attendances, census and departments → measures by local date, department and gender.

Pure functions of the rows of the dates asked for; the same call makes one touched date or the whole history.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import polars as pl

from patient_flow.contracts import measures
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.measure_types import ATTENDANCES, CENSUS, STAYS, Part, Percentile
from patient_flow.contracts.tables import KPI_DEPARTMENT_DAY
from patient_flow.transforms.calendar import date_of_hour, is_day_start, local_date
from patient_flow.transforms.census import hours_of
from patient_flow.transforms.measures import percentile, total
from patient_flow.transforms.staffing import Staffing, staffed_hours

c = pl.col

FACT_COLUMNS = tuple(
    dict.fromkeys(
        (
            "department_key",
            "gender",
            "admission_at",
            "discharge_at",
            *measures.columns_of(STAYS, "admission_at", "discharge_at"),
        )
    )
)
"""Columns of FactPatientFlow that the daily table needs."""

ATTENDANCE_COLUMNS = tuple(
    dict.fromkeys(
        ("department_key", "gender", "arrival_at", "departure_at", *measures.columns_of(ATTENDANCES, "arrival_at"))
    )
)
"""Columns of FactEdAttendance that the daily table needs."""

DAY = ["date", "department_key"]
"""A department's day: what measures are computed for."""

_KEY = list(KPI_DEPARTMENT_DAY.key)


def kpi_department_day(
    facts: pl.DataFrame,
    attendances: pl.DataFrame,
    census: pl.DataFrame,
    departments: pl.DataFrame,
    *,
    wanted: pl.DataFrame,
    staffed: Staffing,
    until: datetime | None,
    zone: str,
) -> pl.DataFrame:
    """KpiDepartmentDay rows of the ``wanted`` days of departments (date, department_key).

    ``facts`` holds every stay that is admitted or discharged on one of these, ``attendances`` every attendance that
    arrives on one, ``census`` their hours. ``staffed`` says in which hours up to ``until``, the newest event, staffed
    beds count, occupied or not. Later discharges and departures are plans and count when their time has come.
    """
    expected = departments.select("department_key", "expected_los_hours")
    stays = facts.join(expected, on="department_key", how="left")
    now = pl.lit(until, dtype=INSTANT)
    dated = {
        "admission_at": stays.with_columns(date=date_of_hour(c("admission_at"), zone)),
        "discharge_at": stays.filter(c("discharge_at") <= now).with_columns(
            date=date_of_hour(c("discharge_at"), zone),
            hour=c("discharge_at").dt.truncate("1h").dt.convert_time_zone(zone).dt.hour(),
        ),
    }
    attended = attendances.with_columns(
        date=date_of_hour(c("arrival_at"), zone), departure_at=pl.when(c("departure_at") <= now).then("departure_at")
    )
    hours = hours_of(census).with_columns(
        date=local_date(c("hour_at"), zone), is_day_start=is_day_start(c("hour_at"), zone)
    )
    counted = [
        *(_aggregated(_only(rows, wanted), STAYS, instant) for instant, rows in dated.items()),
        _aggregated(_only(attended, wanted), ATTENDANCES, "arrival_at"),
        _aggregated(_only(hours, wanted), CENSUS, "hour_at"),
        staffed_hours(departments, staffed, wanted, until, zone),
    ]
    keys = pl.concat([frame.select(_KEY) for frame in counted]).unique()
    for frame in counted:
        keys = keys.join(frame, on=_KEY, how="left", maintain_order="left")
    counts = [name for name, dtype in KPI_DEPARTMENT_DAY.schema.items() if dtype == pl.Int64 and name not in _KEY]
    return keys.with_columns(c(counts).fill_null(0)).select(
        c(name).cast(dtype) for name, dtype in KPI_DEPARTMENT_DAY.schema.items()
    )


def _only(rows: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    return rows.join(wanted, on=DAY, how="semi")


def _aggregated(rows: pl.DataFrame, table: str, dated_by: str) -> pl.DataFrame:
    """The daily columns that are made of the rows of ``table`` dated by one instant."""
    columns = {}
    for column in measures.DAILY:
        part = column.rows if isinstance(column, Percentile) else column
        if isinstance(part, Part) and (part.table, part.dated_by) == (table, dated_by):
            columns[column.name] = percentile(column) if isinstance(column, Percentile) else total(part)
    return rows.group_by(_KEY).agg(**columns)


def days(rows: pl.DataFrame, instant: str, zone: str) -> pl.DataFrame:
    """The departments' days (date, department_key) on which the ``instant`` of ``rows`` falls; nulls left out."""
    known = rows.filter(c(instant).is_not_null())
    return known.select(date=date_of_hour(c(instant), zone), department_key="department_key").unique()


def no_days() -> pl.DataFrame:
    """No day of a department."""
    return KPI_DEPARTMENT_DAY.empty().select(DAY)


def of_hospitals(days: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """``days`` (date, department_key) of all departments of the hospitals of these: staffed hours depend on them."""
    hospitals = departments.select("department_key", "hospital_id")
    dates = days.join(hospitals, on="department_key").select("date", "hospital_id").unique()
    return dates.join(hospitals, on="hospital_id").select(DAY)


def every_department(dates: Iterable[date], departments: pl.DataFrame) -> pl.DataFrame:
    """The days (date, department_key) of all ``departments`` on ``dates``."""
    return pl.DataFrame({"date": sorted(dates)}, schema={"date": pl.Date}).join(
        departments.select("department_key").unique(), how="cross"
    )
