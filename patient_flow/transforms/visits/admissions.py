"""F16: what a visit with a ward stay counts for: its start and end, its wait, its length, whether it is a day case."""

from __future__ import annotations

from dataclasses import dataclass

from patient_flow.contracts.events import CLASSES_WITHOUT_BED, MAX_WAIT_MINUTES
from patient_flow.transforms.visits.attendances import ADMITTED
from patient_flow.transforms.visits.departments import DepartmentList
from patient_flow.transforms.visits.model import BY_CLASS, EMERGENCY, FACT, GAP, PLAN, SIDE, SNAPSHOT, WARD, Stay, Visit

WAIT_TOO_LONG = "wait_is_out_of_range"
"""Flag of a stay that began so long after the arrival that nobody waited for it; as where the sender reports one."""
DAY_CASE, OBSERVATION = "day_case", "observation"
_MINUTE_US = 60_000_000


@dataclass(slots=True)
class Admission:
    """The ward stays of one visit."""

    first: Stay
    last: Stay
    is_start: bool
    """False for a visit known only from a transfer."""
    end: int | None
    """When the stays that adjoin the last ward stay end by a discharge."""
    status: str | None
    waited: int | None
    """From the arrival to the first ward stay, in microseconds, where it is a wait."""
    reported_wait: float | None
    is_day_case: bool
    is_observation: bool


def admission(visit: Visit, departments: DepartmentList) -> Admission | None:
    """The admission of ``visit``; None where it has no ward stay."""
    wards = [stay for stay in visit.stays if stay.kind == WARD]
    if not wards:
        return None
    first, last = wards[0], wards[-1]
    end = _discharged_at(visit, last)
    return Admission(
        first=first,
        last=last,
        is_start=_starts(visit, first),
        end=end,
        status=None if end is None else visit.segments[last.segment].status,
        waited=_waited(visit, first),
        reported_wait=visit.stated.wait if visit.stated.wait_placement >= first.first else None,
        is_day_case=is_day_case(visit, departments),
        is_observation=first.visit_class == OBSERVATION
        and all(
            name == OBSERVATION or name in CLASSES_WITHOUT_BED
            for number, name in visit.classes
            if number >= first.first
        ),
    )


def is_day_case(visit: Visit, departments: DepartmentList) -> bool:
    """Its class at the first ward stay is day_case, or all its ward stays lie in departments of that class."""
    wards = [stay for stay in visit.stays if stay.kind == WARD]
    return bool(wards) and (
        wards[0].visit_class == DAY_CASE
        or all(departments.at(stay.hospital, stay.department, stay.start)[0] == DAY_CASE for stay in wards)
    )


def is_transfer(visit: Visit, number: int) -> bool:
    """True where the stay follows a ward stay in another department, maybe by way of side stays."""
    stay = visit.stays[number]
    if stay.kind != WARD:
        return False
    origin = stay.origin
    while origin is not None and origin.kind == SIDE:
        origin = origin.origin
    place = stay.hospital, stay.department
    return origin is not None and origin.kind == WARD and (origin.hospital, origin.department) != place


def _starts(visit: Visit, first: Stay) -> bool:
    if first.is_opened or visit.attendance is not None or visit.taken_arrival is not None:
        return True
    return any(stay.kind == EMERGENCY for stay in visit.stays[: visit.stays.index(first)])


def _discharged_at(visit: Visit, last: Stay) -> int | None:
    """The discharge that ended ``last``, or the stays that followed it without a discharge between them."""
    final = last
    for stay in visit.stays[visit.stays.index(last) + 1 :]:
        if stay.origin is not final and final.ended_by != GAP:
            break
        final = stay
    return final.end if final.ended_by in (FACT, PLAN, BY_CLASS) else None


def _waited(visit: Visit, first: Stay) -> int | None:
    """F14: of an attendance only where its outcome is ``admitted``; F6: none where a snapshot repeats the arrival."""
    arrival = visit.arrival
    if visit.attendance is not None:
        arrival = visit.attendance.arrival if visit.attendance.outcome == ADMITTED else None
    if arrival is None:
        return None
    waited = first.start - arrival
    is_repeated = first.type == SNAPSHOT and waited <= 0
    return None if waited < 0 or is_repeated else waited


def is_too_long(waited: int | None) -> bool:
    """True for a wait beyond what a sender may report."""
    return waited is not None and waited > MAX_WAIT_MINUTES * _MINUTE_US
