"""Stays → occupied beds per hour, department and gender.

A stay occupies a bed at hour h when admission_at ≤ h < discharge_at and, where no fact ended it, the hour is confirmed
(F17): an open stay costs its confirmed hours, however long ago it began. Counting is additive: what a change of stays
does to the census is the census of the stays as they are minus the census of the stays as they were. So a micro-batch
costs what it touches, and any sequence of changes adds up to the census of the final stays.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.events import UNKNOWN_KEY
from patient_flow.contracts.tables import FACT_BED_CENSUS, FACT_PATIENT_FLOW
from patient_flow.transforms.calendar import hour_start, time_key
from patient_flow.transforms.dimensions import BEGINNING, version_at

c = pl.col

STAY_COLUMNS = ("stay_key", "department_key", "gender", "admission_at", "discharge_at", "confirmed_spans")
"""Columns of FactPatientFlow that the census needs."""

HOUR = timedelta(hours=1)
_KEY = list(FACT_BED_CENSUS.key)
_PLACE = ["hospital_id", "department"]
_HOURS = 2**32
"""More hours than there are in all years of an instant."""


def spans(
    stays: pl.DataFrame | pl.LazyFrame, *, until: datetime, after: datetime | None = None, weight: int = 1
) -> pl.DataFrame:
    """The hours that each stay occupies a bed, as half-open spans: department_key, gender, first, end, weight.

    Of a stay that no fact ended only confirmed hours count (F17). Only hours ``after < h <= until`` do; ``weight`` is
    -1 to take stays out.
    """
    begins, ends = c("admission_at"), c("discharge_at")
    is_whole = c("confirmed_spans").is_null()
    chosen = stays.lazy().select("department_key", "gender", "admission_at", "discharge_at", "confirmed_spans")
    open_stays = (
        chosen.filter(~is_whole)
        .with_columns(_number=pl.int_ranges(0, c("confirmed_spans").list.len(), 2))
        .with_columns(
            first=c("confirmed_spans").list.gather(c("_number")),
            last=c("confirmed_spans").list.gather(c("_number") + 1),
        )
        .explode("first", "last")
        .filter(c("first").is_not_null())
    )
    covered = pl.concat(
        [
            chosen.filter(is_whole).select("department_key", "gender", first=begins, last=ends),
            open_stays.select(
                "department_key",
                "gender",
                first=pl.max_horizontal("first", begins),
                last=pl.min_horizontal("last", ends),
            ),
        ]
    )
    first, end = _next_hour(c("first")), _next_hour(c("last"))
    if after is not None:
        first = pl.max_horizontal(first, pl.lit(_hour(after) + HOUR))
    return (
        covered.select(
            "department_key",
            "gender",
            first=first,
            end=pl.min_horizontal(end, pl.lit(_hour(until) + HOUR)),
            weight=pl.lit(weight, dtype=pl.Int64),
        )
        .filter(c("first") < c("end"))
        .collect()
    )


def no_spans() -> pl.DataFrame:
    """No span of a stay, in the form of :func:`spans`."""
    return spans(FACT_PATIENT_FLOW.empty(), until=BEGINNING)


def split(spanned: pl.DataFrame, hour: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``spanned`` (:func:`spans`) before a full ``hour``, and from it on."""
    at = pl.lit(hour, spanned.schema["first"])
    return (
        spanned.filter(c("first") < at).with_columns(end=pl.min_horizontal("end", at)),
        spanned.filter(c("end") > at).with_columns(first=pl.max_horizontal("first", at)),
    )


def bed_hours(spanned: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """Sum of weights per hour, department version valid at that hour, and gender: FactBedCensus rows, zeros left out.

    ``departments`` is DimDepartment.
    """
    # Hours of a department and gender are numbered together: names are expensive to group and to sort by.
    genders = spanned.select(c("gender").unique()).with_row_index("number").cast({"number": pl.Int64})
    places = departments.select("department_key", *_PLACE, place=pl.struct(_PLACE).rank("dense").cast(pl.Int64))
    unknown = places.filter(department_key=UNKNOWN_KEY)["place"].first()
    group = c("place").fill_null(unknown or 0) * genders.height + c("number")
    numbered = (
        spanned.join(places.select("department_key", "place"), on="department_key", how="left")
        .join(genders, on="gender", how="left", nulls_equal=True)
        .select("first", "end", "weight", group=group)
    )
    change = pl.concat(
        [
            numbered.select("weight", at=_numbered_hour("first")),
            numbered.select(-c("weight"), at=_numbered_hour("end")),
        ]
    )
    steps = (
        change.group_by("at")
        .agg(c("weight").sum())
        .sort("at")
        # Every span ends: behind the last hour of a group its sum is 0.
        .with_columns(
            next_at=c("at").shift(-1),
            group=(c("at") + _HOURS // 2) // _HOURS,
            occupied_beds=c("weight").cum_sum(),
        )
        .filter(c("occupied_beds") != 0)
    )
    hours = (
        steps.with_columns(place=c("group") // genders.height, number=c("group") % genders.height)
        .join(places.select("place", *_PLACE).unique(), on="place", how="left")
        .join(genders, on="number", how="left")
        .with_columns(at=pl.int_ranges("at", "next_at"))
        .explode("at")
        .with_columns(hour=_hour_of(c("at") - c("group") * _HOURS))
    )
    return (
        hours.pipe(version_at, departments, by=_PLACE, at="hour", columns=["department_key"])
        .with_columns(time_key=time_key(c("hour")), census_month=c("hour").dt.strftime("%Y-%m"))
        .select(c(name).cast(dtype) for name, dtype in FACT_BED_CENSUS.schema.items())
    )


def _numbered_hour(instant: str) -> pl.Expr:
    """The hour that begins at ``instant``, numbered among those of its group: groups are ``_HOURS`` apart."""
    return c("group") * _HOURS + c(instant).dt.epoch("s") // 3_600


def _hour_of(number: pl.Expr) -> pl.Expr:
    return (number * 3_600_000_000).cast(INSTANT)


def add(census: pl.DataFrame, change: pl.DataFrame) -> pl.DataFrame:
    """``census`` with ``change`` (rows of :func:`bed_hours`, maybe negative) added; zeros left out."""
    total = pl.concat([census, change.select(census.columns)]).group_by(_KEY)
    return (
        total.agg(c("occupied_beds").sum(), c("census_month").first())
        .filter(c("occupied_beds") != 0)
        .select(census.columns)
    )


def hours_of(census: pl.DataFrame) -> pl.DataFrame:
    """``census`` with the first instant of its hour as ``hour_at``."""
    return census.with_columns(hour_at=hour_start(c("time_key")))


def _next_hour(instant: pl.Expr) -> pl.Expr:
    """The first full hour at or after ``instant``."""
    return (instant + timedelta(hours=1) - timedelta(microseconds=1)).dt.truncate("1h")


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)
