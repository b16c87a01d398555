"""The facts of visits in the oracle's terms, by the rules in plain Python of :mod:`.visits_by_rule`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from patient_flow_tests.visits_by_rule import events as rules
from patient_flow_tests.visits_by_rule.clusters import Hospital
from patient_flow_tests.visits_by_rule.events import SNAPSHOT, TYPES

__all__ = ["SNAPSHOT", "TYPES", "Attendance", "ClassAt", "Event", "Facts", "Stay", "fold", "order", "survivors"]


@dataclass(frozen=True)
class Event:
    """What the rules need of an accepted event; null where it states nothing usable."""

    visit: Any
    patient: Any
    hospital: str
    type: str
    time: datetime
    enqueued_at: datetime
    hub: tuple[Any, ...]
    """Its place among the events that the hub took at the same time."""
    event_id: str
    is_derived: bool = False
    number: Any = None
    gives_up: Any = None
    department: str | None = None
    bed: str | None = None
    visit_class: str | None = None
    admission_type: str | None = None
    arrival: datetime | None = None
    triage: datetime | None = None
    seen: datetime | None = None
    decision: datetime | None = None
    admission: datetime | None = None
    discharge: datetime | None = None
    planned: datetime | None = None
    ready: datetime | None = None
    wait: float | None = None
    status: str | None = None
    stays: str | None = None
    source: str | None = None
    states_time: bool = True
    is_imported: bool = False
    flags: tuple[str, ...] = ()


ClassAt = Callable[[str, str | None, datetime], tuple[str | None, int | None]]
"""Hospital, department, instant → class and unconfirmed days that the list states."""


@dataclass
class Stay:
    """One stay."""

    visit: Any
    patient: Any
    hospital: str
    department: str
    begins: datetime
    ends: datetime | None
    bed: str | None
    visit_class: str | None
    came_from: Stay | None
    number: int
    kind: str
    spans: list[tuple[datetime, datetime]] | None
    confirmed_until: datetime | None
    arrival: datetime | None
    planned: datetime | None
    ready: datetime | None
    admission_type: str | None
    wait: float | None
    wait_source: str | None
    is_visit_start: bool
    is_visit_end: bool
    is_transfer: bool
    is_day_case: bool
    is_observation: bool
    visit_length: timedelta | None
    in_bed: timedelta | None
    nights: int | None
    status: str | None
    all_flags: tuple[str, ...]
    last_confirmed: datetime
    last_enqueued: datetime


@dataclass
class Attendance:
    """One attendance."""

    visit: Any
    patient: Any
    hospital: str
    department: str | None
    arrival: datetime
    departure: datetime | None
    outcome: str | None
    triage: datetime | None
    seen: datetime | None
    decision: datetime | None
    confirmed_until: datetime | None
    all_flags: tuple[str, ...]
    last_confirmed: datetime
    last_enqueued: datetime


@dataclass
class Facts:
    """Everything that gold's two facts hold."""

    stays: list[Stay]
    attendances: list[Attendance]
    waiting: set[Any]
    survivors: dict[Any, Any]


@dataclass
class _List:
    """The department list as a function."""

    class_at: ClassAt

    def class_of(self, hospital: str, department: str | None, at: datetime) -> str | None:
        return self.class_at(hospital, department, at)[0]

    def days(self, hospital: str, department: str | None, at: datetime) -> int | None:
        return self.class_at(hospital, department, at)[1]


def order(event: Event) -> tuple[Any, ...]:
    """F1."""
    return _event(event).order


def survivors(events: Iterable[Event]) -> tuple[dict[Any, Any], set[Any]]:
    """F3: number given up → the number that has its events; numbers in merges that would close a circle."""
    return rules.survivors(map(_event, events))


def fold(
    accepted: Sequence[Event],
    class_at: ClassAt,
    *,
    days: int,
    zone: str,
    again: Iterable[tuple[Any, datetime]] = (),
) -> Facts:
    """All facts of the accepted events; ``again`` are (visit, arrival) of repeated snapshots."""
    repeats: dict[Any, list[datetime]] = defaultdict(list)
    for visit, at in again:
        repeats[visit].append(at)
    hospital = Hospital(list(map(_event, accepted)), _List(class_at), unconfirmed_days=days, zone=zone, again=repeats)
    facts = hospital.facts()
    names = _names(accepted, hospital)
    stays: list[Stay] = []
    for row in facts.stays:
        stays.append(_stay(row, names[row["visit_id"]], stays[-1] if stays else None))
    waiting = {
        names[case.visit.id]
        for case in facts.cases
        if not case.visit.stays and case.attendance is None and rules.unvoided(case.visit.events)
    }
    attendances = [_attendance(row, names[row["visit_id"]]) for row in facts.attendances]
    return Facts(stays, attendances, waiting, hospital.final)


def _names(accepted: Iterable[Event], hospital: Hospital) -> dict[Any, Any]:
    """F3: derived visits that merges make one go under the survivor's own number, else the first."""
    numbers: dict[Any, list[tuple[bool, Any]]] = defaultdict(list)
    for event in accepted:
        if event.type != "merge_patient":
            numbers[hospital.names[event.visit]].append((event.patient in hospital.final, event.visit))
    return {name: min(known)[1] for name, known in numbers.items()}


def _event(event: Event) -> rules.Event:
    return rules.Event(
        event_id=event.event_id,
        event_type=event.type,
        event_time=event.time,
        enqueued_at=event.enqueued_at,
        hub=event.hub,
        is_imported=event.is_imported,
        visit_id=event.visit,
        visit_number_hash=None if event.is_derived else (event.visit if event.number is None else event.number),
        patient_id=event.patient,
        merged_patient_id=event.gives_up,
        hospital_id=event.hospital,
        department=event.department,
        arrival_time=event.arrival,
        triage_time=event.triage,
        seen_time=event.seen,
        decision_time=event.decision,
        admission_time=event.admission,
        discharge_time=event.discharge,
        planned_discharge_time=event.planned,
        ready_time=event.ready,
        states_event_time=event.states_time,
        wait_minutes=event.wait,
        bed_id=event.bed,
        visit_class=event.visit_class,
        admission_type=event.admission_type,
        discharge_status=event.status,
        stays=rules.entries(event.stays),
        source=event.source,
        quality_flags=event.flags,
    )


def _stay(row: dict[str, Any], visit: Any, before: Stay | None) -> Stay:
    """A stay; ``before`` is the one before it, of this visit or another."""
    flat = row["confirmed_spans"]
    return Stay(
        visit=visit,
        patient=row["patient_id"],
        hospital=row["hospital_id"],
        department=row["department"],
        begins=row["admission_at"],
        ends=row["discharge_at"],
        bed=row["bed_id"],
        visit_class=row["visit_class"],
        came_from=before if row["from_hospital_id"] is not None else None,
        number=row["stay_number"],
        kind=row["stay_kind"],
        spans=None if flat is None else list(zip(flat[::2], flat[1::2], strict=True)),
        confirmed_until=row["confirmed_until"],
        arrival=row["arrival_at"],
        planned=row["planned_discharge_at"],
        ready=row["ready_at"],
        admission_type=row["admission_type"],
        wait=row["wait_minutes"],
        wait_source=row["wait_source"],
        is_visit_start=row["is_visit_start"],
        is_visit_end=row["is_visit_end"],
        is_transfer=row["is_transfer"],
        is_day_case=row["is_day_case"],
        is_observation=row["is_observation"],
        visit_length=_length(row["visit_length_of_stay_hours"]),
        in_bed=_length(row["in_bed_hours"]),
        nights=row["nights"],
        status=row["discharge_status"],
        all_flags=tuple(row["quality_flags"]),
        last_confirmed=row["last_confirmed_at"],
        last_enqueued=row["last_enqueued_at"],
    )


def _attendance(row: dict[str, Any], visit: Any) -> Attendance:
    return Attendance(
        visit=visit,
        patient=row["patient_id"],
        hospital=row["hospital_id"],
        department=row["department"],
        arrival=row["arrival_at"],
        departure=row["departure_at"],
        outcome=row["outcome"],
        triage=row["triage_at"],
        seen=row["seen_at"],
        decision=row["decision_at"],
        confirmed_until=row["confirmed_until"],
        all_flags=tuple(row["quality_flags"]),
        last_confirmed=row["last_confirmed_at"],
        last_enqueued=row["last_enqueued_at"],
    )


def _length(hours: float | None) -> timedelta | None:
    return None if hours is None else timedelta(hours=hours)
