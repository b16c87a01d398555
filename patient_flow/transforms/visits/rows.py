"""Folded visits → frames of stays and attendances, with lengths and nights (F16)."""

from __future__ import annotations

from typing import Any

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.transforms.calendar import local_date
from patient_flow.transforms.visits.admissions import (
    WAIT_TOO_LONG,
    Admission,
    admission,
    is_too_long,
    is_transfer,
)
from patient_flow.transforms.visits.attendances import ADMITTED
from patient_flow.transforms.visits.departments import DepartmentList
from patient_flow.transforms.visits.model import WARD, Attendance, Stay, Visit
from patient_flow.transforms.visits.places import VISIT, row_of_each, rows_at

c = pl.col

STAYS = pl.Schema(
    {
        "visit_id": pl.String(),
        "stay_number": pl.Int32(),
        "patient_id": pl.String(),
        "hospital_id": pl.String(),
        "department": pl.String(),
        "from_hospital_id": pl.String(),
        "from_department": pl.String(),
        "stay_kind": pl.String(),
        "visit_class": pl.String(),
        "admission_type": pl.String(),
        "arrival_at": INSTANT,
        "admission_at": INSTANT,
        "discharge_at": INSTANT,
        "planned_discharge_at": INSTANT,
        "ready_at": INSTANT,
        "reported_wait": pl.Float64(),
        "waited": pl.Int64(),
        "visit_length": pl.Int64(),
        "is_visit_start": pl.Boolean(),
        "is_visit_end": pl.Boolean(),
        "is_transfer": pl.Boolean(),
        "is_day_case": pl.Boolean(),
        "is_observation": pl.Boolean(),
        "has_visit_lengths": pl.Boolean(),
        "bed_id": pl.String(),
        "discharge_status": pl.String(),
        "own_flags": pl.String(),
        "confirmed_until": INSTANT,
        "confirmed_spans": pl.List(INSTANT),
    }
)
SEPARATOR = ","
"""Between the names in ``own_flags``."""
_DERIVED = ("own_flags", "reported_wait", "waited", "visit_length", "has_visit_lengths")

ATTENDANCES = pl.Schema(
    {
        "visit_id": pl.String(),
        "patient_id": pl.String(),
        "hospital_id": pl.String(),
        "department": pl.String(),
        "arrival_at": INSTANT,
        "triage_at": INSTANT,
        "seen_at": INSTANT,
        "decision_at": INSTANT,
        "departure_at": INSTANT,
        "outcome": pl.String(),
        "own_flags": pl.String(),
        "confirmed_until": INSTANT,
    }
)


def frames(visits: list[Visit], departments: DepartmentList) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Stays (:data:`STAYS`) and attendances (:data:`ATTENDANCES`) of ``visits``."""
    stays = [row for visit in visits for row in _stay_rows(visit, departments)]
    attended = [_attendance_row(visit, visit.attendance) for visit in visits if visit.attendance is not None]
    return _frame(stays, STAYS), _frame(attended, ATTENDANCES)


def measured(
    stays: pl.DataFrame, attended: pl.DataFrame, statements: pl.DataFrame, zone: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same with lengths, waits and ``statements``: the columns that all facts of a visit share, by its number."""
    return (
        _with_flags(stays, statements).pipe(_measured, zone).drop(VISIT, *_DERIVED),
        _with_flags(attended, statements).pipe(_timed).drop(VISIT, "own_flags"),
    )


def _frame(rows: list[tuple[Any, ...]], schema: pl.Schema) -> pl.DataFrame:
    """A frame of ``rows``, whose instants are microseconds."""
    if not rows:
        return pl.DataFrame(schema=schema)
    numbers = {INSTANT: pl.Int64(), pl.List(INSTANT): pl.List(pl.Int64())}
    columns = zip(*rows, strict=True)
    plain = [
        pl.Series(name, values, dtype=numbers.get(dtype, dtype), strict=True)
        for (name, dtype), values in zip(schema.items(), columns, strict=True)
    ]
    return pl.DataFrame(plain).cast(schema)


def _stay_rows(visit: Visit, departments: DepartmentList) -> list[tuple[Any, ...]]:
    admitted = admission(visit, departments)
    return [_stay_row(visit, number, stay, admitted) for number, stay in enumerate(visit.stays)]


def _stay_row(visit: Visit, number: int, stay: Stay, admitted: Admission | None) -> tuple[Any, ...]:
    is_start = admitted is not None and admitted.first is stay and admitted.is_start
    is_end = admitted is not None and admitted.last is stay and admitted.end is not None
    waited = admitted.waited if is_start and admitted is not None else None
    flags = visit.flags | stay.flags
    if waited is not None and is_too_long(waited):
        if admitted is not None and admitted.reported_wait is None:
            flags |= {WAIT_TOO_LONG}
        waited = None
    is_last = number == len(visit.stays) - 1
    segment = visit.segments[-1] if is_last else None
    has_lengths = is_end and admitted is not None and admitted.is_start
    return (
        visit.visit_id,
        number + 1,
        stay.patient,
        stay.hospital,
        stay.department,
        stay.origin.hospital if stay.origin else None,
        stay.origin.department if stay.origin else None,
        stay.kind,
        stay.visit_class,
        visit.stated.admission_type,
        visit.attendance.arrival if visit.attendance is not None else visit.arrival,
        stay.start,
        stay.end,
        segment.planned if segment else None,
        segment.ready if segment else None,
        admitted.reported_wait if is_start and admitted is not None else None,
        waited,
        admitted.end - admitted.first.start if has_lengths and admitted and admitted.end is not None else None,
        is_start,
        is_end,
        is_transfer(visit, number),
        admitted is not None and admitted.is_day_case,
        admitted is not None and admitted.is_observation,
        has_lengths,
        stay.bed,
        admitted.status if is_end and admitted is not None else None,
        SEPARATOR.join(sorted(flags)) or None,
        stay.confirmed_until,
        None if stay.spans is None else [instant for span in stay.spans for instant in span],
    )


def _attendance_row(visit: Visit, attendance: Attendance) -> tuple[Any, ...]:
    return (
        visit.visit_id,
        attendance.patient,
        attendance.hospital,
        attendance.department,
        attendance.arrival,
        visit.stated.triage,
        visit.stated.seen,
        visit.stated.decision,
        attendance.departure,
        attendance.outcome,
        SEPARATOR.join(sorted(visit.flags | attendance.flags)) or None,
        attendance.confirmed_until,
    )


def _with_flags(own: pl.DataFrame, statements: pl.DataFrame) -> pl.DataFrame:
    """``own`` with the columns of ``statements``; the few rows with flags of their own have these besides."""
    found = own.hstack(rows_at(statements, own[VISIT]))
    flags = found.select("quality_flags", "own_flags").with_row_index("row").filter(c("own_flags").is_not_null())
    if flags.is_empty():
        return found
    both = c("quality_flags").list.set_union(c("own_flags").str.split(SEPARATOR)).list.sort()
    added = rows_at(flags.select(_both=both), row_of_each(flags["row"], found.height))
    return found.hstack(added).with_columns(quality_flags=pl.coalesce("_both", "quality_flags")).drop("_both")


def _measured(stays: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Waits and lengths; nights and hours in bed of the visit's ward stays, on the last one."""
    reported, derived = c("reported_wait"), _minutes(c("waited"))
    length = (c("discharge_at") - c("admission_at")).dt.total_microseconds()
    nights = (local_date(c("discharge_at"), zone) - local_date(c("admission_at"), zone)).dt.total_days()
    is_ward = c("stay_kind") == WARD
    in_bed = pl.when(is_ward).then(length).sum().over(VISIT)
    slept = pl.when(is_ward).then(nights).sum().over(VISIT)
    return stays.with_columns(
        wait_minutes=pl.coalesce(reported, derived),
        wait_source=pl.when(reported.is_not_null())
        .then(pl.lit("reported"))
        .when(c("waited").is_not_null())
        .then(pl.lit("derived")),
        length_of_stay_hours=_hours(length),
        visit_length_of_stay_hours=_hours(c("visit_length")),
        in_bed_hours=pl.when("has_visit_lengths").then(_hours(in_bed)),
        nights=pl.when("has_visit_lengths").then(slept),
    )


def _timed(attended: pl.DataFrame) -> pl.DataFrame:
    """Minutes from the arrival, and from decision to departure of the admitted; none where they are negative."""

    def between(first: str, last: str) -> pl.Expr:
        waited = (c(last) - c(first)).dt.total_microseconds()
        return _minutes(pl.when(waited >= 0).then(waited))

    return attended.with_columns(
        minutes_to_triage=between("arrival_at", "triage_at"),
        minutes_to_seen=between("arrival_at", "seen_at"),
        minutes_in_department=between("arrival_at", "departure_at"),
        boarding_minutes=pl.when(c("outcome") == ADMITTED).then(between("decision_at", "departure_at")),
    )


def _minutes(microseconds: pl.Expr) -> pl.Expr:
    return _in_units(microseconds, 60_000_000)


def _hours(microseconds: pl.Expr) -> pl.Expr:
    return _in_units(microseconds, 3_600_000_000)


def _in_units(counted: pl.Expr, microseconds: int) -> pl.Expr:
    """The quotient, the same for one row as among many.

    By a number Polars (2.1.0) divides a single row, but multiplies several rows by the reciprocal, which may differ in
    the last digit; so the divisor is a column.
    """
    return counted / (counted * 0 + microseconds)
