"""F2: visit numbers that come from two hospitals, for two patients or under two scopes within thirty days."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from patient_flow.transforms.visits.places import VISIT

c = pl.col

TWO_PATIENTS = "visit_number_has_two_patients"
TWO_HOSPITALS = "visit_number_has_two_hospitals"
TWO_SCOPES = "visit_number_has_two_scopes"
REUSED_WITHIN = timedelta(days=30)


def ambiguous(events: pl.DataFrame) -> dict[str, set[str]]:
    """Flags of visits (visit_id) whose number is ambiguous.

    ``events`` name the surviving patients; they are ordered by visit_id and numbered.
    """
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
    several = _with_two_visits(events, number) if differs == "visit_id" else _with_two(events, number, differs)
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


def _with_two(events: pl.DataFrame, number: str, differs: str) -> pl.DataFrame:
    """Each ``number``, by which ``events`` are ordered, that comes with two values."""
    is_other = (c(number) == c(number).shift()) & c(differs).ne_missing(c(differs).shift())
    return events.lazy().filter(is_other).select(number).unique().collect()


def _with_two_visits(events: pl.DataFrame, number: str) -> pl.DataFrame:
    """Each ``number`` that two visits have."""
    is_new = c(VISIT).ne_missing(c(VISIT).shift()) | c(number).ne_missing(c(number).shift())
    pairs = events.lazy().filter(is_new, c(number).is_not_null()).select(number, VISIT).unique()
    return pairs.filter(c(number).is_duplicated()).select(number).unique().collect()
