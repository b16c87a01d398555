"""What measures would change: the forecast as it is beside the same model with the measures taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from patient_flow.forecasting.forecast import ALL, BedForecast, Change
from patient_flow.forecasting.places import Places

c = pl.col

HOURS = (24, 48, 72)
WHOLE = ""
"""``department`` of a whole hospital."""
_PLACE = ("hospital_id", "department")
_TARGET = (*_PLACE, "target_at")
_FIGURES = {"expected": "expected_beds", "low": "p10", "high": "p90", "full": "probability_full"}


@dataclass(frozen=True)
class WhatIf:
    """A forecast of the changed hospitals without and with changes, 24, 48 and 72 hours ahead and at each midnight.

    ``rows``: hospital_id, department (empty = the whole hospital), target_at, staffed_beds (null where unknown) and, of
    occupied beds, expected, low and high (the 80 % interval) and full (the probability to reach the staffed beds by
    then); then the same with the changes, named ``changed_…``.
    """

    made_at: datetime
    rows: pl.DataFrame


def changes_of(
    versions: pl.DataFrame, hospital_id: str, department: str, beds: int, postponed: float, earlier_hours: int
) -> list[Change]:
    """The changes of one department; without one, patients of all departments of the hospital leave earlier.

    Without a hospital (empty) that holds for all hospitals. Raises ``ValueError`` for an unknown hospital, and for
    beds or admissions without a department or a department without a hospital.
    """
    if department:
        if not hospital_id:
            raise ValueError("a department belongs to a hospital: name it")
        return [Change(hospital_id, department, beds, postponed, earlier_hours)]
    if beds or postponed:
        raise ValueError("beds and postponed admissions belong to a department: name it")
    names = Places.of(versions).names
    chosen = names.filter(c("hospital_id") == hospital_id) if hospital_id else names
    if chosen.is_empty():
        raise ValueError(f"there is no hospital {hospital_id}")
    pairs = chosen.select("hospital_id", "department").iter_rows()
    return [Change(hospital, name, earlier_hours=earlier_hours) for hospital, name in pairs]


def compare(fitted: BedForecast, zone: str, changes: Sequence[Change], plain: pl.DataFrame | None = None) -> WhatIf:
    """What ``changes`` do to the forecast of ``fitted``; ``plain`` is ``fitted.rows()``, where it is known already.

    Raises ``ValueError`` for a change that cannot be made.
    """
    hospitals = sorted({change.hospital_id for change in changes})
    names = {f"changed_{name}": c(name) for name in _FIGURES}
    before = _chosen(fitted.rows() if plain is None else plain, fitted.places, hospitals, zone)
    after = _chosen(fitted.rows(changes), fitted.places, hospitals, zone).select(*_TARGET, **names)
    staffed = _staffed(fitted.places, hospitals, before.select("target_at").unique())
    both = (
        before.join(after, on=_TARGET).join(staffed, on=_TARGET, how="left").join(_more(changes), on=_PLACE, how="left")
    )
    both = both.with_columns(changed_staffed_beds=(c("staffed_beds") + c("more_beds").fill_null(0)).clip(lower_bound=0))
    return WhatIf(fitted.made_at, both.drop("more_beds").sort(_TARGET))


def _more(changes: Sequence[Change]) -> pl.DataFrame:
    """hospital_id, department → more_beds, of departments and of whole hospitals."""
    schema = {"hospital_id": pl.String, "department": pl.String, "more_beds": pl.Int64}
    rows = [(change.hospital_id, place, change.beds) for change in changes for place in (change.department, WHOLE)]
    return pl.DataFrame(rows, schema, orient="row").group_by(_PLACE).agg(c("more_beds").sum())


def _chosen(rows: pl.DataFrame, places: Places, hospitals: Sequence[str], zone: str) -> pl.DataFrame:
    local = c("target_at").dt.convert_time_zone(zone)
    is_midnight = local.dt.date() != (local - pl.duration(hours=1)).dt.date()
    names = places.frame.select("department_key", "department")
    is_wanted = (c("gender") == ALL) & c("hospital_id").is_in(hospitals)
    return (
        rows.filter(is_wanted, is_midnight | c("horizon_hours").is_in(HOURS))
        .join(names, on="department_key", how="left")
        .with_columns(c("department").fill_null(WHOLE))
        .select(*_TARGET, **{name: c(column) for name, column in _FIGURES.items()})
    )


def _staffed(places: Places, hospitals: Sequence[str], targets: pl.DataFrame) -> pl.DataFrame:
    """hospital_id, department, target_at → staffed beds; of a hospital null unless all departments state them."""
    known = places.version_at(targets["target_at"]).join(places.names, on="place")
    known = known.filter(c("hospital_id").is_in(hospitals)).select(*_TARGET, c("staffed_beds").cast(pl.Int64))
    whole = known.group_by("hospital_id", "target_at").agg(
        staffed_beds=pl.when(c("staffed_beds").null_count() == 0).then(c("staffed_beds").sum())
    )
    return pl.concat([known, whole.with_columns(department=pl.lit(WHOLE)).select(known.columns)])
