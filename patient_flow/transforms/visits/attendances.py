"""F14, F15: the attendance of a visit, its departure and outcome, and the ward under another number that ends it."""

from __future__ import annotations

from collections.abc import Iterable

from patient_flow.transforms.visits.departments import DepartmentList
from patient_flow.transforms.visits.model import (
    EMERGENCY,
    HOUR_US,
    MOVE,
    TRIAGE,
    WARD,
    Attendance,
    End,
    Event,
    Stay,
    Visit,
)
from patient_flow.transforms.visits.stays import first_of

ASSUMED = "emergency_is_assumed"
"""Flag of an attendance whose arrival nobody states to be an emergency (F14)."""
TRIAGE_FOR_ARRIVAL = "triage_stands_for_arrival"
ADMITTED, DISCHARGED = "admitted", "discharged"
KEPT = frozenset(("transferred", "deceased", "left_against_advice", "left_without_being_seen"))
"""Statuses that are outcomes; every other one, or none, is ``discharged``."""
UNSTATED = (None, "other")
BOARDING = 6 * HOUR_US
"""Within this time after a discharge without a status, a ward stay continues it."""


def attend(visit: Visit, departments: DepartmentList) -> None:
    """Gives ``visit`` its attendance where it has one (F14), with departure and outcome (F15)."""
    first = first_of(visit)
    is_emergency = first is not None and first.kind == EMERGENCY
    arrivals = _arrivals_in_time(visit, first)
    arrival = _emergency_arrival(visit, first, departments, arrivals)
    if not is_emergency and arrival is None:
        return
    first_emergency = next((stay for stay in visit.stays if stay.kind == EMERGENCY), None)
    place: Stay | Event | None = first_emergency
    if arrival is not None and place is None:
        place = arrival[0]
    if place is None:
        return
    at, flags = _arrived_at(visit, first, arrivals)
    if arrival is not None and arrival[1] and not is_emergency:
        flags.add(ASSUMED)
    if at is None:
        at = first_emergency.start if first_emergency is not None else place.time
    visit.attendance = Attendance(
        visit.visit_id, place.patient, place.hospital, place.department, at, first_emergency, flags=flags
    )
    _depart(visit, visit.attendance)


_Arrivals = list[tuple[int, Event, int]]
"""Place in the visit's arrivals (-1: the triage that stands for one), event, and when it is dated."""


def _arrivals_in_time(visit: Visit, first: Stay | None) -> _Arrivals:
    """The arrivals, else the first triage, that are dated no later than the first stay; an update corrects the date."""
    arrivals = list(enumerate(visit.stated.arrivals))
    if not arrivals:
        if visit.stated.first_triage is None:
            return []
        arrivals = [(-1, visit.stated.first_triage)]
    earliest = min((_dated(event) for _, event in arrivals), default=None)
    found: _Arrivals = []
    for number, event in arrivals:
        at = _dated(event)
        if at == earliest and visit.stated.arrival_correction is not None:
            at = visit.stated.arrival_correction
        if first is None or at <= first.start:
            found.append((number, event, at))
    return found


def _emergency_arrival(
    visit: Visit, first: Stay | None, departments: DepartmentList, arrivals: _Arrivals
) -> tuple[Event, bool] | None:
    """The earliest of ``arrivals`` that is an emergency; and whether that is assumed."""
    found: list[tuple[int, Event, bool]] = []
    for number, event, at in arrivals:
        listed = departments.at(event.hospital, event.department, at)[0]
        stated = visit.stated.arrival_classes.get(number)
        is_assumed = listed is None and stated is None
        if is_assumed:
            place = event.hospital, event.department
            is_emergency = first is None or place != (first.hospital, first.department)
        else:
            is_emergency = (listed if listed is not None else stated) == EMERGENCY
        if is_emergency:
            found.append((at, event, is_assumed))
    return min(found, key=lambda item: (item[2], item[0]))[1:] if found else None


def _dated(event: Event) -> int:
    if event.arrival is not None:
        return event.arrival
    return event.triage if event.type == TRIAGE and event.triage is not None else event.time


def _arrived_at(visit: Visit, first: Stay | None, arrivals: _Arrivals) -> tuple[int | None, set[str]]:
    """F14: the earliest arrival, corrected; without one the first triage, flagged; None where all came later."""
    stated = visit.stated_arrival
    if stated is not None and (first is None or stated <= first.start):
        return stated, set()
    at = min((at for _, _, at in arrivals), default=None)
    return at, {TRIAGE_FOR_ARRIVAL} if at is not None and stated is None else set()


def _depart(visit: Visit, attendance: Attendance) -> None:
    """F15: at the earlier of the first ward stay and the last discharge before it."""
    ward = next((stay for stay in visit.stays if stay.kind == WARD), None)
    end, attendance.status = _last_discharge(visit, attendance.arrival, ward)
    if end is not None:
        attendance.departure = attendance.end = end.time
        attendance.ended_by = end.kind
        attendance.outcome = attendance.status if attendance.status in KEPT else DISCHARGED
        is_continued = ward is not None and ward.start - end.time <= BOARDING
        if is_continued and attendance.status in UNSTATED:
            attendance.outcome = ADMITTED
    elif ward is not None:
        attendance.departure, attendance.outcome, attendance.ended_by = ward.start, ADMITTED, MOVE


def _last_discharge(visit: Visit, arrival: int, ward: Stay | None) -> tuple[End | None, str | None]:
    """The last discharge from the arrival on and before the ward stay, with its status; the visit's where none is."""
    found, status = None, visit.segments[-1].status
    for segment in visit.segments:
        end = segment.end
        if end is not None and end.time >= arrival and (ward is None or end.time < ward.start):
            found, status = end, segment.status
    return found, status


def link(visits: Iterable[Visit]) -> list[tuple[Attendance, Visit]]:
    """F15, two numbers: the pairs of attendance and ward visit among the visits of one patient and hospital.

    They are sought with the ward visit's first ward placement at its event's own time.
    """
    attendances = [visit.attendance for visit in visits if _may_be_answered(visit)]
    answers: dict[str, tuple[int, str, Visit]] = {}
    for visit in visits:
        ward = next((stay for stay in visit.stays if stay.kind == WARD), None)
        if ward is None or visit.attendance is not None:
            continue
        fitting = [item for item in attendances if item is not None and _fits(item, ward.time)]
        if not fitting:
            continue
        answered = min(fitting, key=lambda item: (-item.arrival, item.visit_id))
        answer = ward.time, visit.visit_id, visit
        if answered.visit_id not in answers or answer[:2] < answers[answered.visit_id][:2]:
            answers[answered.visit_id] = answer
    by_visit = {item.visit_id: item for item in attendances if item is not None}
    return [(by_visit[visit_id], visit) for visit_id, (_, _, visit) in answers.items()]


def _may_be_answered(visit: Visit) -> bool:
    attendance = visit.attendance
    return (
        attendance is not None and attendance.status in UNSTATED and not any(stay.kind == WARD for stay in visit.stays)
    )


def _fits(attendance: Attendance, ward_at: int) -> bool:
    """The ward stay begins between the arrival and six hours after the end; without an end, while it is confirmed."""
    if ward_at < attendance.arrival:
        return False
    if attendance.end is not None:
        return ward_at <= attendance.end + BOARDING
    return any(first <= ward_at < last for first, last in attendance.spans or ())


def admit(attendance: Attendance, visit: Visit) -> None:
    """The patient left the attendance for the first ward stay of ``visit``."""
    ward_at = next(stay.start for stay in visit.stays if stay.kind == WARD)
    attendance.outcome = ADMITTED
    if attendance.departure is None or ward_at < attendance.departure:
        attendance.departure, attendance.ended_by = ward_at, MOVE
