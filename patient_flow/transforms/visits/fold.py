"""Whole clusters of visits → their stays and attendances."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.columns import TEXTS
from patient_flow.transforms.corrections import without_void
from patient_flow.transforms.order import ORDER_COLUMNS, RANK, in_order
from patient_flow.transforms.visits import attendances, merges, numbers, rows, timeline
from patient_flow.transforms.visits.admissions import is_day_case
from patient_flow.transforms.visits.confirmations import ELSEWHERE, Spans, covered, cut, days_of, instants
from patient_flow.transforms.visits.departments import DepartmentList, with_department_names
from patient_flow.transforms.visits.model import EMERGENCY, PLAN, WARD, Attendance, Event, Stay, Visit
from patient_flow.transforms.visits.places import VISIT, numbered, row_of_each, rows_at
from patient_flow.transforms.visits.plain import fold_plain
from patient_flow.transforms.visits.stays import date

c = pl.col

VISIT_COLUMNS = (
    *ORDER_COLUMNS,
    "visit_id",
    "visit_hash",
    "visit_number_hash",
    "patient_id",
    "patient_hash",
    "merged_patient_id",
    "hospital_id",
    "department",
    "arrival_time",
    "triage_time",
    "seen_time",
    "decision_time",
    "admission_time",
    "discharge_time",
    "planned_discharge_time",
    "ready_time",
    "states_event_time",
    "wait_minutes",
    "bed_id",
    "visit_class",
    "admission_type",
    "discharge_status",
    "stays",
    "source",
    "quality_flags",
)
"""Columns of silver events that the fold needs."""

RECEIVED_AGAIN = pl.Schema({"visit_hash": pl.Int64(), "enqueued_at": pl.Datetime("us", "UTC")})
"""Events that are ignored as ``already_received``: each confirms its visit from its arrival on (F8)."""

STATED = (
    *("arrival_time", "triage_time", "seen_time", "decision_time", "discharge_time", "planned_discharge_time"),
    *("ready_time", "wait_minutes", "admission_type"),
)
"""Columns that state something about a visit as a whole, or its end."""
IMPORTED = events.IMPORTED


@dataclass(frozen=True)
class Folded:
    """Stays (columns of :data:`rows.STAYS`) and attendances (:data:`rows.ATTENDANCES`) of visits."""

    stays: pl.DataFrame
    attendances: pl.DataFrame
    visits: int
    waiting: int
    """Visits with neither."""


def fold(
    silver: pl.DataFrame,
    departments: pl.DataFrame,
    *,
    unconfirmed_days: int,
    zone: str,
    received_again: pl.DataFrame | None = None,
) -> Folded:
    """The stays and attendances of the visits in ``silver``.

    ``silver`` has all events of whole clusters (:data:`VISIT_COLUMNS`) and the merges of their patients;
    ``departments`` is DimDepartment; ``received_again`` (:data:`RECEIVED_AGAIN`) the repeated snapshots of the visits.
    """
    silver = with_department_names(silver, departments)
    final, circles = merges.survivors(silver)
    stated = silver.filter(c("visit_id").is_not_null()).with_columns(stated_hash="visit_hash")
    of_visits = without_void(merges.merged(stated, final))
    ordered = numbered(in_order(of_visits.select(*VISIT_COLUMNS, "stated_hash"), "visit_id"))
    del stated, of_visits  # each is as large as ``ordered``
    listed = DepartmentList(departments)
    again = _arrivals_again(ordered, received_again)
    flags = numbers.ambiguous(ordered)
    plain = fold_plain(ordered, departments, again, unconfirmed_days, flagged=flags, circles=circles)
    with _without_garbage_collection():
        visits = [
            visit
            for _, group in groupby(_events(plain.others), key=itemgetter(0))
            if (visit := timeline.fold(list(group), listed)) is not None
        ]
        for visit in visits:
            visit.arrival = visit.stated_arrival
            date(visit, listed)
            attendances.attend(visit, listed)
        _Cluster(visits, listed, _by_visit(again, plain.others), unconfirmed_days).apply()
        _flag(visits, flags, circles)
        stays, attended = rows.frames(visits, listed)
    waiting = sum(not visit.stays and visit.attendance is None for visit in visits)
    stays, attended = rows.measured(
        _together(plain.stays, stays, plain.others, "stay_number"),
        _together(plain.attendances, attended, plain.others),
        _statements(ordered, again),
        zone,
    )
    return Folded(stays, attended, plain.visits + len(visits), plain.waiting + waiting)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Visits form no cycles: the collector would only walk through all of them, which takes as long as the fold."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _events(ordered: pl.DataFrame) -> Iterator[Event]:
    """The rows of ``ordered`` as :class:`Event`; column by column, which is faster than row by row."""
    columns = [column.to_list() for column in _event_columns(ordered)]
    return map(Event._make, zip(*columns, strict=True))


def _event_columns(ordered: pl.DataFrame) -> pl.DataFrame:
    """The fields of :class:`Event`, instants as microseconds."""

    def epoch(name: str) -> pl.Expr:
        return c(name).dt.epoch("us")

    return ordered.select(
        "visit_id",
        "patient_id",
        "hospital_id",
        c("event_type").replace_strict(RANK, return_dtype=pl.Int8),
        epoch("event_time"),
        epoch("enqueued_at"),
        "partition_id",
        "sequence_number",
        c("part").fill_null(0),
        "department",
        "bed_id",
        "visit_class",
        "admission_type",
        epoch("arrival_time"),
        epoch("triage_time"),
        epoch("seen_time"),
        epoch("decision_time"),
        epoch("admission_time"),
        epoch("discharge_time"),
        epoch("planned_discharge_time"),
        epoch("ready_time"),
        "wait_minutes",
        "discharge_status",
        "stays",
        is_correction=(c("source") == events.RECONCILIATION).fill_null(value=False),
        states_time=pl.coalesce("states_event_time", c("event_time").ne_missing(c("admission_time")))
        | (c("event_type") != events.SNAPSHOT),
        is_imported=c("partition_id").str.starts_with(IMPORTED),
        has_statements=pl.any_horizontal(c("event_type") == "triage", *(c(name).is_not_null() for name in STATED)),
    )


def _arrivals_again(ordered: pl.DataFrame, received_again: pl.DataFrame | None) -> pl.DataFrame:
    """Number, visit_id and enqueued_at of repeated snapshots, which name the visit as stated before merges (F3)."""
    nothing = ordered.select(VISIT, "visit_id", "enqueued_at").clear()
    if received_again is None or received_again.is_empty():
        return nothing
    is_again = c("stated_hash").is_in(received_again["visit_hash"].unique().implode())
    known = ordered.select(VISIT, "visit_id", "stated_hash").filter(is_again).unique()
    found = received_again.join(known, left_on="visit_hash", right_on="stated_hash")
    return found.select(c(name).cast(dtype) for name, dtype in nothing.schema.items())


def _by_visit(again: pl.DataFrame, others: pl.DataFrame) -> dict[str, list[int]]:
    """Arrivals of repeated snapshots of the visits that ``others`` are events of."""
    found: dict[str, list[int]] = {}
    of_others = again.filter(c(VISIT).is_in(others[VISIT].unique().implode()))
    for visit_id, at in of_others.select("visit_id", c("enqueued_at").dt.epoch("us")).iter_rows():
        found.setdefault(visit_id, []).append(at)
    return found


def _together(plain: pl.DataFrame, own: pl.DataFrame, others: pl.DataFrame, *within: str) -> pl.DataFrame:
    """Rows of ``plain`` visits and those of ``others``, in the order of visits."""
    numbers = others.select("visit_id", VISIT).unique(VISIT)
    rows = own.join(numbers, on="visit_id", how="left").select(plain.columns)
    return plain if own.is_empty() else pl.concat([plain, rows]).sort(VISIT, *within)


def _statements(ordered: pl.DataFrame, again: pl.DataFrame) -> pl.DataFrame:
    """Columns that all facts of a visit share: visit_hash, quality_flags, last_enqueued_at, last_confirmed_at (F18).

    A row for each visit, in their order.
    """
    confirms_on_arrival = (c("event_type") == events.SNAPSHOT) | c("partition_id").str.starts_with(IMPORTED)
    stated = ordered.group_by(VISIT, maintain_order=True).agg(
        c("visit_hash").first(),
        last_enqueued_at=c("enqueued_at").max(),
        last_time=c("event_time").last(),
        last_arrival=pl.when(confirms_on_arrival).then("enqueued_at").max(),
    )
    last = again.group_by(VISIT).agg(last_again=c("enqueued_at").max())
    flags = (
        ordered.select(VISIT, "quality_flags")
        .filter(c("quality_flags").list.len() > 0)
        .group_by(VISIT)
        .agg(quality_flags=c("quality_flags").explode().drop_nulls().unique().sort())
    )
    flagged = rows_at(flags.select("quality_flags"), row_of_each(flags[VISIT], stated.height))
    return (
        stated.join(last, on=VISIT, how="left", maintain_order="left")
        .hstack(flagged)
        .select(
            "visit_hash",
            c("quality_flags").fill_null(pl.lit([], TEXTS)),
            "last_enqueued_at",
            last_confirmed_at=pl.max_horizontal("last_time", "last_arrival", "last_again"),
        )
    )


def _flag(visits: list[Visit], ambiguous: dict[str, set[str]], circles: set[str]) -> None:
    if not ambiguous and not circles:
        return
    for visit in visits:
        visit.flags |= ambiguous.get(visit.visit_id, set())
        if circles and any(event.patient in circles for event in visit.events):
            visit.flags.add(merges.CIRCLE)


class _Cluster:
    """Rules between the visits of one patient: F15 (two numbers) and F17 (elsewhere)."""

    def __init__(
        self, visits: list[Visit], departments: DepartmentList, again: dict[str, list[int]], unconfirmed_days: int
    ) -> None:
        self._visits, self._departments, self._again, self._days = visits, departments, again, unconfirmed_days

    def apply(self) -> None:
        """Links attendances with wards under other numbers; confirms what is open."""
        for visit in self._visits:
            if visit.attendance is not None:
                self._confirm_attendance(visit, visit.attendance)
        self._link()
        for visit in self._visits:
            if visit.stays:
                self._confirm_stay(visit, visit.stays[-1])
        self._find_elsewhere()

    def _confirm_attendance(self, visit: Visit, attendance: Attendance) -> None:
        if attendance.departure is not None and attendance.ended_by != PLAN:
            return
        listed = self._departments.at(attendance.hospital, attendance.department, attendance.arrival)[1]
        days = days_of(listed, EMERGENCY, self._days)
        attendance.spans = self._covered(visit, attendance.arrival, attendance.departure, attendance.ended_by, days)

    def _confirm_stay(self, visit: Visit, stay: Stay) -> None:
        if stay.end is not None and stay.ended_by != PLAN:
            return
        days = days_of(self._departments.at(stay.hospital, stay.department, stay.start)[1], stay.kind, self._days)
        stay.spans = self._covered(visit, stay.start, stay.end, stay.ended_by, days)

    def _covered(self, visit: Visit, start: int, end: int | None, ended_by: str | None, days: int) -> Spans:
        confirmed = instants(visit.events, self._again.get(visit.visit_id, ()))
        return covered(visit, start, end, ended_by, days, confirmed)

    def _link(self) -> None:
        by_place: dict[tuple[str, str], list[Visit]] = {}
        for visit in self._visits:
            place = _patient_and_hospital(visit)
            if place is not None:
                by_place.setdefault(place, []).append(visit)
        for together in by_place.values():
            if len(together) == 1 or all(visit.attendance is None for visit in together):
                continue
            for attendance, visit in attendances.link(together):
                visit.taken_arrival = attendance.arrival
                if visit.stated_arrival is None:
                    visit.arrival = attendance.arrival
                    date(visit, self._departments)
                attendances.admit(attendance, visit)
                if attendance.ended_by != PLAN:
                    attendance.spans = None

    def _find_elsewhere(self) -> None:
        """F17: an open stay's confirmation ends when its patient is placed in a ward of another visit afterwards."""
        placed: dict[str, list[tuple[int, str]]] = {}
        is_open: list[tuple[Visit, Stay | Attendance]] = []
        for visit in self._visits:
            is_open += [
                (visit, item) for item in (*visit.stays[-1:], visit.attendance) if item and item.spans is not None
            ]
            wards = [stay for stay in visit.stays if stay.kind == WARD]
            if wards and not is_day_case(visit, self._departments):
                for stay in wards:
                    placed.setdefault(stay.patient, []).append((stay.start, visit.visit_id))
        for visit, item in is_open:
            spans = item.spans or []
            wards_elsewhere = placed.get(item.patient, ())
            last = max(event.time for event in visit.events)
            after = [at for at, visit_id in wards_elsewhere if visit_id != visit.visit_id and at > last]
            if after and spans and spans[-1][1] > min(after):
                spans = item.spans = cut(spans, min(after))
                item.flags.add(ELSEWHERE)
            item.confirmed_until = spans[-1][1] if spans else None


def _patient_and_hospital(visit: Visit) -> tuple[str, str] | None:
    if visit.attendance is not None:
        return visit.attendance.patient, visit.attendance.hospital
    ward = next((stay for stay in visit.stays if stay.kind == WARD), None)
    return None if ward is None else (ward.patient, ward.hospital)
