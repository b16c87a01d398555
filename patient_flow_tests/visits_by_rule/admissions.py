"""What the ward stays of a visit count for: start, end, wait, lengths, nights, day cases (F14, F16)."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from patient_flow_tests.visits_by_rule.attendances import Attendance, status_of
from patient_flow_tests.visits_by_rule.departments import Departments
from patient_flow_tests.visits_by_rule.model import NO_BED, Stay, Visit, last

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
LONGEST_WAIT = 10_080


def is_day_case(visit: Visit, departments: Departments) -> bool:
    """F16: by its class at the first ward stay, or by the departments of all of them."""
    wards = visit.wards
    if not wards:
        return False
    if wards[0].visit_class == "day_case":
        return True
    classes = {departments.class_of(stay.hospital, stay.department, stay.starts_at) for stay in wards}
    return classes == {"day_case"}


def is_observation(visit: Visit) -> bool:
    """F16: a visit that stays observation."""
    wards = visit.wards
    if not wards or wards[0].visit_class != "observation":
        return False
    placing = wards[0].event
    later = [
        event.visit_class
        for event in visit.all_standing
        # Of snapshots at one instant those before the placing one state nothing of this stay.
        if event.order >= wards[0].order
        and not (placing.is_snapshot and event.is_snapshot and event.order < placing.order)
    ]
    return {visit_class for visit_class in later if visit_class not in NO_BED} <= {None, "observation"}


def nights(visit: Visit, zone: str) -> int:
    """F16: local midnights m with start < m <= end of a ward stay."""
    midnights: set[datetime] = set()
    for stay in visit.wards:
        assert stay.ends_at is not None
        day = stay.starts_at.astimezone(ZoneInfo(zone)).date()
        while day <= stay.ends_at.astimezone(ZoneInfo(zone)).date():
            midnight = datetime.combine(day, time(), ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
            if stay.starts_at < midnight <= stay.ends_at:
                midnights.add(midnight)
            day += timedelta(days=1)
    return len(midnights)


def starts(visit: Visit, attendance: Attendance | None, answers: Attendance | None) -> bool:
    """F16: whether the first ward stay starts the visit; one known only from a transfer starts nowhere."""
    ward = visit.wards[0]
    if ward.event.event_type != "transfer":
        return True
    before = visit.stays[: visit.stays.index(ward)]
    if any(stay.kind == "emergency" or stay.event.is_snapshot for stay in before):
        return True
    if any(order < ward.order for order in visit.placed_by_snapshot):
        return True
    if any(e.event_type in ("admission", "visit_snapshot") and e.order < ward.order for e in visit.standing):
        return True
    return (attendance is not None and attendance.arrival_at <= ward.starts_at) or answers is not None


def wait(visit: Visit, attendance: Attendance | None, answers: Attendance | None) -> tuple[float | None, str | None]:
    """F14, F16: reported by the event that makes the first ward stay or a later one, else from the arrival."""
    ward = visit.wards[0]
    reported = last(e.wait_minutes for e in visit.standing if e.order >= ward.order)
    if reported is not None:
        return reported, "reported"
    if attendance is not None and attendance.outcome != "admitted":
        return None, None
    arrival = attendance.arrival_at if attendance is not None else visit.arrival
    if arrival is None or ward.starts_at < arrival:
        return None, None
    if ward.event.is_snapshot and ward.starts_at == arrival:  # F6
        return None, None
    minutes = (ward.starts_at - arrival) / MINUTE
    if minutes > LONGEST_WAIT:
        ward.flags.add("wait_is_out_of_range")
        return None, None
    return minutes, "derived"


def _is_transfer(visit: Visit, number: int) -> bool:
    """F16: from a ward to another; a side stay between counts for nothing (F13)."""
    stay = visit.stays[number - 1]
    if stay.kind != "ward":
        return False
    for later, before in zip(visit.stays[number - 1 :: -1], visit.stays[number - 2 :: -1], strict=False):
        if number < 2 or later.came_from is None:
            return False
        if before.kind != "side":
            return before.kind == "ward" and (before.hospital, before.department) != (stay.hospital, stay.department)
    return False


def rows(
    visit: Visit, attendance: Attendance | None, answers: Attendance | None, departments: Departments, zone: str
) -> list[dict[str, Any]]:
    """The stays with the names of the fact."""
    arrival = attendance.arrival_at if attendance is not None else visit.arrival
    day_case, observation = is_day_case(visit, departments), is_observation(visit)
    result = [
        {
            "stay_number": number,
            "patient_id": stay.event.patient_id,
            "hospital_id": stay.hospital,
            "department": stay.department,
            "from_hospital_id": stay.came_from[0] if stay.came_from else None,
            "from_department": before.department if stay.came_from and before else None,
            "stay_kind": stay.kind,
            "visit_class": stay.visit_class,
            "admission_type": last(event.admission_type for event in visit.standing),
            "arrival_at": arrival,
            "admission_at": stay.starts_at,
            "discharge_at": stay.ends_at,
            "length_of_stay_hours": None if stay.ends_at is None else (stay.ends_at - stay.starts_at) / HOUR,
            "planned_discharge_at": visit.planned_at if stay is visit.stays[-1] else None,
            "ready_at": visit.ready_at if stay is visit.stays[-1] else None,
            "is_visit_start": False,
            "is_visit_end": False,
            "is_transfer": _is_transfer(visit, number),
            "is_day_case": day_case,
            "is_observation": observation,
            "bed_id": stay.bed,
            "discharge_status": None,
            "wait_minutes": None,
            "wait_source": None,
            "visit_length_of_stay_hours": None,
            "in_bed_hours": None,
            "nights": None,
        }
        for number, (before, stay) in enumerate(zip([None, *visit.stays], visit.stays, strict=False), start=1)
    ]
    if visit.wards:
        _wards(visit, attendance, answers, result, zone)
    return result


def _wards(
    visit: Visit, attendance: Attendance | None, answers: Attendance | None, result: list[dict[str, Any]], zone: str
) -> None:
    """F16: what stands on the first and on the last ward stay."""
    wards: list[Stay] = visit.wards
    first, final = result[visit.stays.index(wards[0])], result[visit.stays.index(wards[-1])]
    is_start = starts(visit, attendance, answers)
    first["is_visit_start"] = is_start
    if is_start:
        first["wait_minutes"], first["wait_source"] = wait(visit, attendance, answers)
    ending = visit.ward_end
    if ending is None or ending.ends_at is None:
        return
    final["is_visit_end"] = True
    final["discharge_status"] = status_of(visit.stated_with(wards[-1].order))
    if is_start:
        final["visit_length_of_stay_hours"] = (ending.ends_at - first["admission_at"]) / HOUR
        final["in_bed_hours"] = sum(
            (row["discharge_at"] - row["admission_at"]) / HOUR for row in result if row["stay_kind"] == "ward"
        )
        final["nights"] = nights(visit, zone)
