"""Stays and attendances: does anything still confirm those that are open, and are their visit numbers unambiguous?"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from patient_flow.monitoring.finding import Finding, ok, warning
from patient_flow.wording import plural

c = pl.col

RECENT_DAYS = 30
"""Visits that had an event within this many days are checked for ambiguous numbers."""
MAX_PLACES = 20
_AMBIGUOUS = ("visit_number_has_two_patients", "visit_number_has_two_hospitals", "visit_number_has_two_scopes")


def stays_confirmed(
    stays: pl.LazyFrame, attendances: pl.LazyFrame, departments: pl.LazyFrame, *, now: datetime
) -> Finding:
    """Open stays (FactPatientFlow) and attendances (FactEdAttendance) whose confirmation ended before ``now`` (F18)."""
    unconfirmed = c("confirmed_until") < now
    found = {
        "stays": stays.filter(unconfirmed, c("discharge_at").is_null() | (c("discharge_at") > now)),
        "attendances": attendances.filter(unconfirmed, c("departure_at").is_null() | (c("departure_at") > now)),
    }
    rows = _by_place(found, departments)
    figures: dict[str, int | float] = {name: int(rows[name].sum()) for name in found}
    if rows.is_empty():
        return ok("Events confirm every open stay and attendance.", figures)
    open_stays, open_attendances = plural(figures["stays"], "open stay"), plural(figures["attendances"], "attendance")
    message = f"No event confirms {open_stays} and {open_attendances} any more."
    return warning(message, figures, rows.head(MAX_PLACES).to_dicts())


def visit_numbers_unambiguous(
    stays: pl.LazyFrame, attendances: pl.LazyFrame, departments: pl.LazyFrame, *, now: datetime
) -> Finding:
    """Stays and attendances with a recent event whose visit number stands for two visits (F2)."""
    is_recent = c("last_enqueued_at") >= now - timedelta(days=RECENT_DAYS)
    is_ambiguous = c("quality_flags").list.set_intersection(list(_AMBIGUOUS)).list.len() > 0
    facts = {"stays": stays, "attendances": attendances}
    found = {name: frame.filter(is_recent, is_ambiguous) for name, frame in facts.items()}
    rows = _by_place(found, departments)
    figures: dict[str, int | float] = {name: int(rows[name].sum()) for name in found}
    if rows.is_empty():
        return ok("Every visit number stands for one visit.", figures)
    message = (
        f"{plural(figures['stays'], 'stay')} and {plural(figures['attendances'], 'attendance')} have a visit number "
        "that comes from two hospitals, for two patients or under two scopes within 30 days."
    )
    return warning(message, figures, rows.head(MAX_PLACES).to_dicts())


def visits_recomputed(waiting: int) -> Finding:
    """``waiting`` visits are still folded by a former department list, setting or version of the rules (F20)."""
    figures: dict[str, int | float] = {"visits": waiting}
    if not waiting:
        return ok("Every visit follows the present department list and settings.", figures)
    return warning(
        f"{plural(waiting, 'visit still follows', 'visits still follow')} a former department list, setting or version "
        "of the rules.",
        figures,
    )


def _by_place(found: dict[str, pl.LazyFrame], departments: pl.LazyFrame) -> pl.DataFrame:
    """hospital_id, department and the number of rows of each of ``found``, most stays first."""
    counted = [
        frame.select("department_key", **{other: pl.lit(int(other == name)) for other in found})
        for name, frame in found.items()
    ]
    return (
        pl.concat(counted)
        .join(departments.select("department_key", "hospital_id", "department"), on="department_key", how="left")
        .group_by("hospital_id", "department")
        .agg(c(list(found)).sum())
        .sort(*found, "hospital_id", "department", descending=[*(True for _ in found), False, False])
        .collect()
    )
