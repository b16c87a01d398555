"""F19: in which hours the staffed beds of a department count.

A department is staffed from its first patient hour on, or from its ``valid_from`` where that lies after its hospital's
first patient hour (a ward that opened later and is still empty), up to its ``valid_to``, and only on local dates on
which its hospital has a patient hour. A patient hour is one with somebody in a bed, as the census counts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.tables import KPI_DEPARTMENT_DAY
from patient_flow.transforms.calendar import local_date
from patient_flow.transforms.census import hours_of

c = pl.col

_PAIR = ["hospital_id", "department"]
_COLUMNS = ("date", "department_key", "gender", "staffed_bed_hours")
_AROUND = (timedelta(hours=-15), timedelta(hours=39))
"""UTC hours of a local date lie within this distance of its midnight in UTC, whatever the zone."""


@dataclass(frozen=True)
class Staffing:
    """Since when each department counts, and on which dates its hospital has patients.

    ``beginnings``: department_key, staffed_from (an hour). ``patient_days``: hospital_id, date.
    """

    beginnings: pl.DataFrame
    patient_days: pl.DataFrame


def staffing(census: pl.DataFrame, departments: pl.DataFrame, zone: str) -> Staffing:
    """The staffing that follows from the whole ``census``."""
    first = hours_of(census).group_by("department_key").agg(first_hour=c("hour_at").min())
    return Staffing(beginnings(first, departments), patient_days(census, departments, zone))


def beginnings(first_hours: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """department_key and staffed_from of every version of a department that counts at all.

    ``first_hours`` has the first patient hour (first_hour) of each department version (department_key) that has one.
    """
    return (
        departments.join(first_hours, on="department_key", how="left")
        .with_columns(
            first_hour=c("first_hour").min().over(_PAIR),
            hospitals_first=c("first_hour").min().over("hospital_id"),
            listed_from=c("valid_from").filter(~c("is_inferred")).min().over(_PAIR),
        )
        .with_columns(opened=pl.when(c("listed_from") > c("hospitals_first")).then("listed_from"))
        .select("department_key", staffed_from=pl.min_horizontal("first_hour", "opened"))
        .drop_nulls()
    )


def patient_days(census: pl.DataFrame, departments: pl.DataFrame, zone: str) -> pl.DataFrame:
    """hospital_id and date of the days on which a hospital has a patient hour in ``census``."""
    hospitals = departments.select("department_key", "hospital_id")
    return (
        hours_of(census)
        .select("department_key", date=local_date(c("hour_at"), zone))
        .unique()
        .join(hospitals, on="department_key")
        .select("hospital_id", "date")
        .unique()
    )


def staffed_hours(
    departments: pl.DataFrame, staffed: Staffing, wanted: pl.DataFrame, until: datetime | None, zone: str
) -> pl.DataFrame:
    """Staffed bed hours on the ``wanted`` days (date, department_key), up to ``until``, once per gender.

    Each gender has the same figure, which must not be added up.
    """
    beds = (
        departments.filter(c("staffed_beds").is_not_null())
        .select("department_key", "hospital_id", "staffed_beds", "valid_from", "valid_to")
        .join(staffed.beginnings, on="department_key")
    )
    days = wanted.unique().join(beds, on="department_key").join(staffed.patient_days, on=["hospital_id", "date"])
    midnight = c("date").cast(pl.Datetime("us", "UTC"))
    first, last = (midnight + distance for distance in _AROUND)
    hours = (
        days.select("date")
        .unique()
        .with_columns(hour=pl.datetime_ranges(first, last, "1h"))
        .explode("hour")
        .filter(local_date(c("hour"), zone) == c("date"), c("hour") <= pl.lit(until, dtype=pl.Datetime("us", "UTC")))
    )
    counted = (
        days.join(hours, on="date")
        .filter(
            c("hour") >= c("staffed_from"),
            c("hour") >= c("valid_from"),
            (c("hour") < c("valid_to")) | c("valid_to").is_null(),
        )
        .group_by("date", "department_key")
        .agg(staffed_bed_hours=c("staffed_beds").sum().cast(pl.Float64))
    )
    schema = {name: KPI_DEPARTMENT_DAY.schema[name] for name in _COLUMNS}
    return counted.join(pl.DataFrame({"gender": events.GENDERS}), how="cross").select(
        c(name).cast(dtype) for name, dtype in schema.items()
    )
