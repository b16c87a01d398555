"""F6, F13: placements → stays with their beginning, end and kind."""

from __future__ import annotations

from patient_flow.transforms.visits.departments import DepartmentList
from patient_flow.transforms.visits.model import MOVE, PLAN, SIDE, End, Placement, Stay, Visit

TIMES_CONFLICT = "stay_times_conflict"
"""Flag of a stay whose end is stated earlier than its beginning."""
IS_ARRIVAL = "admission_time_is_arrival"
"""Flag of a stay whose ``admission_time`` repeats the arrival and dates nothing (F6)."""
CONTRADICTS = "admission_time_contradicts"
"""Flag of a stay whose ``admission_time`` is not before the next placement or discharge, and dates nothing (F6)."""


def joined(placements: list[Placement]) -> list[Stay]:
    """A placement where the patient already lies continues the stay (a change of bed)."""
    stays: list[Stay] = []
    segment = 0
    for number, item in enumerate(placements, start=1):
        segment += item.is_in_new_segment
        last = stays[-1] if stays else None
        place = item.hospital, item.department
        if last is not None and last.last_end is None and place == (last.hospital, last.department):
            last.bed = item.bed or last.bed
            last.last_end = item.end
            last.flags |= item.flags
            continue
        stays.append(
            Stay(
                time=item.time,
                start=item.time,
                hospital=item.hospital,
                department=item.department,
                patient=item.patient,
                bed=item.bed,
                visit_class=item.visit_class,
                type=item.type,
                is_opened=item.is_opened,
                first=number,
                segment=segment,
                last_end=item.end,
                flags=item.flags,
                origin=last if last is not None and last.last_end is None else None,
            )
        )
    return stays


def date(visit: Visit, departments: DepartmentList) -> None:
    """Beginnings (F6), ends and kinds (F13) of the stays of ``visit``, given its ``arrival``."""
    if not visit.stays:
        return
    _date_first(visit)
    stays = visit.stays
    for number, stay in enumerate(stays):
        stay.kind = departments.kind(stay.visit_class, stay.hospital, stay.department, stay.start)
        following = stays[number + 1] if number + 1 < len(stays) else None
        stated, stay.ended_by = _stated_end(visit, stay, following)
        if stated is not None and stated < stay.start:
            stay.flags.add(TIMES_CONFLICT)
            stated = stay.start
        stay.end = stated
    if stays[-1].ended_by == PLAN and stays[-1].end is not None:
        visit.segments[-1].end = End(stays[-1].end, PLAN)


def _date_first(visit: Visit) -> None:
    """F6: ``admission_time`` dates the first placement, where it is later than the arrival and before what follows."""
    first = visit.stays[0]
    first.start = first.time
    first.flags -= {IS_ARRIVAL, CONTRADICTS}
    for stated, is_own_time in visit.admission_times:
        if visit.arrival is not None and stated <= visit.arrival:
            first.flags.add(IS_ARRIVAL)
        elif visit.next_time is None or stated < visit.next_time:
            first.start = stated
        elif not is_own_time:
            first.flags.add(CONTRADICTS)


def _stated_end(visit: Visit, stay: Stay, following: Stay | None) -> tuple[int | None, str | None]:
    end = stay.last_end
    if following is not None:
        if end is not None and end.time <= following.start:
            return end.time, end.kind
        return following.start, MOVE
    if end is not None:
        return end.time, end.kind
    plan = visit.segments[-1].plan
    if plan is not None and not visit.has_lifecycle and plan >= stay.start:
        return plan, PLAN
    return None, None


def first_of(visit: Visit) -> Stay | None:
    """The first stay that is no side stay."""
    return next((stay for stay in visit.stays if stay.kind != SIDE), None)
