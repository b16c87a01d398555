"""What measures would change: the forecast as it is beside the same model with the measures taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from patient_flow.forecasting.forecast import ALL, Change, forecast_beds
from patient_flow.forecasting.places import Places

c = pl.col

HOURS = (24, 48, 72)
WHOLE = ""
"""``department`` of a whole hospital."""
_FIGURES = {"expected": "expected_beds", "low": "p10", "high": "p90", "full": "probability_full"}


@dataclass(frozen=True)
class WhatIf:
    """A forecast of one hospital without and with changes, 24, 48 and 72 hours ahead and at each midnight.

    ``rows``: department (empty = the whole hospital), target_at, staffed_beds (null where unknown) and, of occupied
    beds, expected, low and high (the 80 % interval) and full (the probability to reach the staffed beds by then); then
    the same with the changes, named ``changed_…``.
    """

    made_at: datetime
    rows: pl.DataFrame


def changes_of(
    versions: pl.DataFrame, hospital_id: str, department: str, beds: int, postponed: float, earlier_hours: int
) -> list[Change]:
    """The changes of one department; without one, patients of all departments of the hospital leave earlier.

    Raises ``ValueError`` for an unknown hospital, and for beds or admissions without a department.
    """
    if department:
        return [Change(hospital_id, department, beds, postponed, earlier_hours)]
    if beds or postponed:
        raise ValueError("beds and postponed admissions belong to a department: name it")
    names = Places.of(versions).of_hospital(hospital_id)
    if not names:
        raise ValueError(f"there is no hospital {hospital_id}")
    return [Change(hospital_id, name, earlier_hours=earlier_hours) for name in names]


def compare(
    rows: pl.DataFrame, versions: pl.DataFrame, made_at: datetime, zone: str, changes: Sequence[Change]
) -> WhatIf:
    """What ``changes``, all in one hospital, do to the forecast of ``forecast_beds`` with these arguments.

    Raises ``ValueError`` for a change that cannot be made.
    """
    hospital = changes[0].hospital_id
    plain, changed = (
        _chosen(forecast_beds(rows, versions, made_at, zone, given), versions, hospital, zone)
        for given in ((), changes)
    )
    names = {f"changed_{name}": c(name) for name in _FIGURES}
    beds = {
        name: sum(change.beds for change in changes if name in (change.department, WHOLE))
        for name in {WHOLE, *(change.department for change in changes)}
    }
    both = plain.join(changed.select("department", "target_at", **names), on=["department", "target_at"])
    staffed = _staffed(versions, hospital, both.select("target_at").unique())
    more = c("department").replace_strict(beds, default=0, return_dtype=pl.Int64)
    both = both.join(staffed, on=["department", "target_at"], how="left").with_columns(
        changed_staffed_beds=(c("staffed_beds") + more).clip(lower_bound=0)
    )
    return WhatIf(made_at, both.sort("department", "target_at"))


def _chosen(rows: pl.DataFrame, versions: pl.DataFrame, hospital: str, zone: str) -> pl.DataFrame:
    local = c("target_at").dt.convert_time_zone(zone)
    is_midnight = local.dt.date() != (local - pl.duration(hours=1)).dt.date()
    names = versions.filter(c("department_key") != 0).select("department_key", "department")
    return (
        rows.filter(c("gender") == ALL, c("hospital_id") == hospital, is_midnight | c("horizon_hours").is_in(HOURS))
        .join(names, on="department_key", how="left")
        .select(c("department").fill_null(WHOLE), "target_at", **{name: c(column) for name, column in _FIGURES.items()})
    )


def _staffed(versions: pl.DataFrame, hospital: str, targets: pl.DataFrame) -> pl.DataFrame:
    """department, target_at → staffed beds, null where unknown; of the hospital unless all departments state them."""
    places = Places.of(versions.filter(c("hospital_id") == hospital))
    known = places.version_at(targets["target_at"]).join(places.names, on="place")
    known = known.select("department", "target_at", c("staffed_beds").cast(pl.Int64))
    whole = known.group_by("target_at").agg(
        staffed_beds=pl.when(c("staffed_beds").null_count() == 0).then(c("staffed_beds").sum())
    )
    return pl.concat([known, whole.with_columns(department=pl.lit(WHOLE)).select(known.columns)])
