"""Attendances of the emergency department (F14, F15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from patient_flow_tests.visits_by_rule.departments import Departments
from patient_flow_tests.visits_by_rule.events import Event
from patient_flow_tests.visits_by_rule.model import End, Visit, arrived_at, last

KEPT = ("transferred", "deceased", "left_without_being_seen", "left_against_advice")
SOON = timedelta(hours=6)
STATES_STATUS = ("discharge", "update", "visit_snapshot")


@dataclass
class Attendance:
    """A visit's time in an emergency department."""

    visit: Visit
    patient: str
    hospital: str
    department: str | None
    arrival_at: datetime
    triage_at: datetime | None
    seen_at: datetime | None
    decision_at: datetime | None
    end: End | None = None
    departure_at: datetime | None = None
    outcome: str | None = None
    flags: set[str] = field(default_factory=set)

    @property
    def is_open(self) -> bool:
        """F17: nothing but a plan ends it."""
        if self.departure_at is None:
            return True
        return self.end is not None and self.end.by == "plan" and self.departure_at == self.end.at


def status_of(events: Sequence[Event]) -> str | None:
    """The last status that is stated."""
    status: str | None = last(event.discharge_status for event in events if event.event_type in STATES_STATUS)
    return status


def attendance_of(visit: Visit, departments: Departments) -> Attendance | None:
    """F14: the attendance of a visit that has one, with its departure (F15) from this visit alone."""
    flags: set[str] = set()
    first = visit.first
    arrivals = _arrivals(visit, flags)
    arrivals = [(event, at) for event, at in arrivals if first is None or at <= first.starts_at]
    verdicts = [(event, _is_emergency(event, at, visit, departments)) for event, at in arrivals]
    event = next((event for event, verdict in verdicts if verdict), None)
    if first is None or first.kind != "emergency":
        if event is None:  # neither list nor class says what any of them is
            event = next((event for event, verdict in verdicts if verdict is None), None)
            flags.add("emergency_is_assumed")
        if event is None:
            return None
    emergency = next((stay for stay in visit.stays if stay.kind == "emergency"), None)
    if not arrivals:
        flags.discard("triage_stands_for_arrival")
    arrival = min((at for _, at in arrivals), default=None)
    if visit.arrival is not None and (first is None or visit.arrival <= first.starts_at):
        arrival = visit.arrival
    if arrival is None:
        assert emergency is not None
        arrival = emergency.starts_at
    place = emergency.event if emergency is not None else event
    assert place is not None
    found = Attendance(
        visit,
        place.patient_id,
        emergency.hospital if emergency is not None else place.hospital_id,
        emergency.department if emergency is not None else place.department,
        arrival,
        _first_triage(visit),
        last(event.seen_time for event in visit.standing),
        last(event.decision_time for event in visit.standing),
        flags=flags,
    )
    _depart(found)
    return found


def _arrivals(visit: Visit, flags: set[str]) -> list[tuple[Event, datetime]]:
    """F14: standing arrivals with their times, which an update's ``arrival_time`` corrects; else the first triage."""
    corrected = last(event.arrival_time for event in visit.standing if event.event_type == "update")
    arrivals = [event for event in visit.standing if event.event_type == "arrival"]
    if arrivals:
        earliest = min(map(arrived_at, arrivals))
        dated = [
            (event, corrected if corrected and arrived_at(event) == earliest else arrived_at(event))
            for event in arrivals
        ]
        return sorted(dated, key=lambda pair: (pair[1], pair[0].order))
    triages = [event for event in visit.standing if event.event_type == "triage"]
    if not triages:
        return []
    first = triages[0]
    if visit.arrival is None:
        flags.add("triage_stands_for_arrival")
    return [(first, corrected or first.arrival_time or first.triage_time or first.event_time)]


def _first_triage(visit: Visit) -> datetime | None:
    """The earliest triage, unless an update corrects it."""
    corrected = last(event.triage_time for event in visit.standing if event.event_type == "update")
    stated = [event.triage_time for event in visit.standing if event.triage_time is not None]
    stated += [event.event_time for event in visit.standing if event.event_type == "triage" and not event.triage_time]
    return corrected or min(stated, default=None)


def _is_emergency(event: Event, at: datetime, visit: Visit, departments: Departments) -> bool | None:
    """F14: by the list's class, else the class in force, else unless the first stay is there; null = assumed."""
    listed = departments.class_of(event.hospital_id, event.department, at)
    if listed is not None:
        return listed == "emergency"
    in_force = visit.class_at_arrival.get(event.order)
    if in_force is not None:
        return bool(in_force == "emergency")
    first = visit.first
    if first is not None and (first.hospital, first.department) == (event.hospital_id, event.department):
        return False
    return None


def _depart(found: Attendance) -> None:
    """F15: at the earlier of the first ward stay and the last uncancelled discharge before it."""
    visit = found.visit
    ward = visit.wards[0] if visit.wards else None
    ends = [end for end in visit.last_ends if end.at >= found.arrival_at]
    if ward is not None:
        ends = [end for end in ends if end.at < ward.starts_at and end.order < ward.order]
    found.end = ends[-1] if ends else None
    if found.end is None:
        if ward is not None:
            found.departure_at, found.outcome = ward.starts_at, "admitted"
        return
    found.departure_at = found.end.at
    status = status_of(visit.stated_with(found.end.order))
    if ward is not None and status in (None, "other") and ward.starts_at - found.end.at <= SOON:
        found.outcome = "admitted"
    else:
        found.outcome = status if status in KEPT else "discharged"
