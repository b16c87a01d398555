"""F2: visit numbers that come from two hospitals, for two patients or under two scopes within thirty days."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

c = pl.col

TWO_PATIENTS = "visit_number_has_two_patients"
TWO_HOSPITALS = "visit_number_has_two_hospitals"
TWO_SCOPES = "visit_number_has_two_scopes"
REUSED_WITHIN = timedelta(days=30)


def ambiguous(events: pl.DataFrame) -> dict[str, set[str]]:
    """Flags of visits (visit_id) whose number is ambiguous; ``events`` name the surviving patients."""
    flags: dict[str, set[str]] = {}
    for name, number, differs in (
        (TWO_PATIENTS, "visit_id", "patient_id"),
        (TWO_HOSPITALS, "visit_id", "hospital_id"),
        (TWO_SCOPES, "visit_number_hash", "visit_id"),
    ):
        for visit in _within_reach(events, number, differs):
            flags.setdefault(visit, set()).add(name)
    return flags


def _within_reach(events: pl.DataFrame, number: str, differs: str) -> list[str]:
    """Visits with a ``number`` that comes with two values of ``differs`` within thirty days.

    The nearest two events with different values are neighbours in time.
    """
    several = (
        events.filter(c(number).is_not_null())
        .select(number, differs)
        .unique()
        .group_by(number)
        .len()
        .filter(c("len") > 1)
        .select(number)
    )
    if several.is_empty():
        return []
    ordered = events.join(several, on=number, how="semi").sort(number, "event_time", differs)
    is_near = (
        (c(number) == c(number).shift())
        & (c(differs) != c(differs).shift())
        & (c("event_time") - c("event_time").shift() <= REUSED_WITHIN)
    )
    found = ordered.filter(is_near).select(number).unique()
    return ordered.join(found, on=number, how="semi")["visit_id"].unique().to_list()
