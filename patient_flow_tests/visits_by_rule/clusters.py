"""All visits together: merges, numbers under two scopes, two numbers of one patient, patients who are elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from patient_flow_tests.visits_by_rule import admissions, counting
from patient_flow_tests.visits_by_rule.attendances import SOON, Attendance, attendance_of, status_of
from patient_flow_tests.visits_by_rule.departments import Departments
from patient_flow_tests.visits_by_rule.events import Event, merged, survivors, without_void_corrections
from patient_flow_tests.visits_by_rule.model import Visit
from patient_flow_tests.visits_by_rule.timeline import Fold

NEAR = timedelta(days=30)
EMERGENCY_DAYS = 2
MINUTE = timedelta(minutes=1)


@dataclass
class _Case:
    """One visit with what follows from it."""

    visit: Visit
    attendance: Attendance | None
    again: list[datetime]
    answers: Attendance | None = None
    """The attendance of another number that this visit answers (F15)."""
    spans: dict[int, list[counting.Span]] = field(default_factory=dict)
    """Confirmed spans of open stays, by their place."""
    attendance_spans: list[counting.Span] | None = None

    @property
    def last_confirmed_at(self) -> datetime:
        return max(counting.instants(self.visit.events, self.again))


@dataclass
class Facts:
    """What silver's events say: rows with the names of the facts, and beds in use."""

    stays: list[dict[str, Any]]
    attendances: list[dict[str, Any]]
    names: dict[str, Any]
    """Visit of each visit number of silver, after merges (F3)."""
    cases: list[_Case]


class Hospital:
    """Every rule, over all events at once."""

    def __init__(
        self,
        events: Sequence[Event],
        departments: Departments,
        *,
        unconfirmed_days: int,
        zone: str,
        again: Mapping[Any, Sequence[datetime]] | None = None,
    ) -> None:
        """``again`` has the arrivals of ignored repeats by visit number (F8)."""
        self.departments = departments
        self.default_days, self.zone = unconfirmed_days, zone
        self.final, self.circles = survivors(events)
        final = self.final
        self.circles = {final.get(number, number) for number in self.circles}
        of_visits = [event for event in events if event.event_type != "merge_patient"]
        after = merged(of_visits, final)
        self.names = {old.visit_id: new.visit_id for old, new in zip(of_visits, after, strict=True)}
        self.again: dict[Any, list[datetime]] = defaultdict(list)
        for number, arrivals in (again or {}).items():
            if number in self.names:
                self.again[self.names[number]] += arrivals
        self.by_visit: dict[Any, list[Event]] = defaultdict(list)
        together: dict[Any, list[Event]] = defaultdict(list)
        for event in after:
            together[event.visit_id].append(event)
        for visit_id, of_visit in together.items():
            if left := without_void_corrections(of_visit):
                self.by_visit[visit_id] = left

    def facts(self) -> Facts:
        self.cases = [self._case(events, None) for events in self.by_visit.values()]
        self._answer()
        for case in self.cases:
            self._confirm(case)
        for case in self.cases:
            self._elsewhere(case)
        self._flag_numbers()
        stays = [row for case in self.cases for row in self._stay_rows(case)]
        attendances = [self._attendance_row(case) for case in self.cases if case.attendance is not None]
        return Facts(stays, attendances, self.names, self.cases)

    def census(self, genders: Mapping[str, str], until: datetime) -> Counter[tuple[datetime, str, str, str]]:
        """Beds in use by hour, hospital, department and gender, up to ``until``; ``genders`` by patient."""
        beds: Counter[tuple[datetime, str, str, str]] = Counter()
        for case in self.cases:
            for place, stay in enumerate(case.visit.stays):
                whole = [(stay.starts_at, stay.ends_at)] if stay.ends_at is not None else []
                for hour in counting.hours(case.spans.get(place, whole), until):
                    beds[hour, stay.hospital, stay.department, genders[stay.event.patient_id]] += 1
        return beds

    def _case(self, events: list[Event], answers: Attendance | None) -> _Case:
        visit = Fold(events, self.departments, answers.arrival_at if answers else None).run()
        return _Case(visit, attendance_of(visit, self.departments), self.again[events[0].visit_id], answers)

    # F15: two numbers

    def _answer(self) -> None:
        """F15: each ward visit answers the attendance with the latest arrival, each attendance the earliest visit."""
        free = [case for case in self.cases if self._may_be_answered(case)]
        wards = [(self._sought_at(case), case) for case in self.cases if case.attendance is None and case.visit.wards]
        links: list[tuple[_Case, _Case]] = []
        for at, case in sorted(wards, key=lambda pair: (pair[0], str(pair[1].visit.id))):
            ward = case.visit.wards[0]
            fitting = [
                (found.arrival_at, other)
                for other in free
                if (found := other.attendance) is not None
                and (found.patient, found.hospital) == (ward.event.patient_id, ward.hospital)
                and self._is_between(other, at)
            ]
            latest = [other for arrival, other in fitting if arrival == max(arrival for arrival, _ in fitting)]
            if latest:
                links.append((min(latest, key=lambda other: str(other.visit.id)), case))
        answered: list[_Case] = []
        for chosen, case in links:  # in order of the wards: the earliest is the answer
            if not any(chosen is other for other in answered):
                answered.append(chosen)
                self._link(chosen, case)

    def _may_be_answered(self, case: _Case) -> bool:
        found, visit = case.attendance, case.visit
        if found is None or visit.wards:
            return False
        order = visit.spells[-1] if found.end is None else found.end.order
        return status_of(visit.stated_with(order)) in (None, "other")

    def _sought_at(self, case: _Case) -> datetime:
        """F15: the first ward placement at its event's own time; a snapshot's at its admission time."""
        ward = case.visit.wards[0]
        return ward.placed_at

    def _is_between(self, case: _Case, at: datetime) -> bool:
        found = case.attendance
        assert found is not None
        if at < found.arrival_at:
            return False
        if found.departure_at is not None:
            return at <= found.departure_at + SOON
        return any(first <= at < last for first, last in self._attendance_spans(case))

    def _link(self, case: _Case, ward_case: _Case) -> None:
        found = case.attendance
        assert found is not None
        ward_case.answers = found
        if ward_case.visit.arrival is None:
            # Its first stay may now begin later than its triage: what answers an attendance has none of its own.
            ward_case.visit = self._case(ward_case.visit.events, found).visit
            ward_case.visit.arrival = found.arrival_at
        found.outcome = "admitted"
        begins = ward_case.visit.wards[0].starts_at
        found.departure_at = begins if found.departure_at is None else min(begins, found.departure_at)

    # F17, F18

    def _days(self, hospital: str, department: str | None, at: datetime, default: int) -> int:
        """F20: the list's value goes before the setting and before the 2 days of emergencies."""
        stated = self.departments.days(hospital, department, at)
        return default if stated is None else stated

    def _attendance_spans(self, case: _Case) -> list[counting.Span]:
        found = case.attendance
        assert found is not None
        days = self._days(found.hospital, found.department, found.arrival_at, EMERGENCY_DAYS)
        plan = found.end if found.departure_at is not None else None
        return counting.covered(case.visit.events, case.again, found.arrival_at, plan, days)

    def _confirm(self, case: _Case) -> None:
        visit = case.visit
        for place, stay in enumerate(visit.stays):
            if place == len(visit.stays) - 1 and stay.is_open:
                default = EMERGENCY_DAYS if stay.kind == "emergency" else self.default_days
                days = self._days(stay.hospital, stay.department, stay.starts_at, default)
                plan = visit.ends[-1] if stay.ended_by == "plan" else None
                case.spans[place] = counting.covered(visit.events, case.again, stay.starts_at, plan, days)
        if case.attendance is not None and case.attendance.is_open:
            case.attendance_spans = self._attendance_spans(case)

    def _elsewhere(self, case: _Case) -> None:
        """F17: the patient of an open stay is placed in a ward of another visit after the stay's last event."""
        for place, spans in case.spans.items():
            at = self._placed_elsewhere(case, case.visit.stays[place].event.patient_id)
            if at is not None and spans and at < spans[-1][1]:
                case.spans[place] = counting.cut(spans, at)
                case.visit.stays[place].flags.add("patient_is_elsewhere")
        if case.attendance is not None and case.attendance_spans:
            at = self._placed_elsewhere(case, case.attendance.patient)
            if at is not None and at < case.attendance_spans[-1][1]:
                case.attendance_spans = counting.cut(case.attendance_spans, at)
                case.attendance.flags.add("patient_is_elsewhere")

    def _placed_elsewhere(self, case: _Case, patient: str) -> datetime | None:
        placed = [
            stay.starts_at
            for other in self.cases
            if other is not case and not admissions.is_day_case(other.visit, self.departments)
            for stay in other.visit.wards
            if stay.event.patient_id == patient and stay.starts_at > case.visit.events[-1].event_time
        ]
        return min(placed, default=None)

    # F2

    def _flag_numbers(self) -> None:
        """F2: numbers that come within 30 days for two patients, from two hospitals, or under two scopes."""
        by_number: dict[Any, list[tuple[_Case, Event]]] = defaultdict(list)
        for case in self.cases:
            events = case.visit.events
            for one in events:
                by_number[one.visit_number_hash].append((case, one))
                for other in events:
                    if abs(one.event_time - other.event_time) <= NEAR:
                        if one.hospital_id != other.hospital_id:
                            case.visit.flags.add("visit_number_has_two_hospitals")
                        if one.patient_id != other.patient_id:
                            case.visit.flags.add("visit_number_has_two_patients")
            if any(event.patient_id in self.circles for event in events):
                case.visit.flags.add("merge_closes_a_circle")
        by_number.pop(None, None)
        for pairs in by_number.values():
            is_near = any(
                case is not other_case and abs(one.event_time - other.event_time) <= NEAR
                for case, one in pairs
                for other_case, other in pairs
            )
            for case, _ in pairs if is_near else ():  # all visits of the number, also distant ones
                case.visit.flags.add("visit_number_has_two_scopes")

    # rows

    def _common(self, case: _Case) -> dict[str, Any]:
        events = case.visit.events
        own = {flag for event in events for flag in event.quality_flags}
        return {
            "visit_id": case.visit.id,
            "quality_flags": sorted(own | case.visit.flags),
            "last_enqueued_at": max(event.enqueued_at for event in events),
            "last_confirmed_at": case.last_confirmed_at,
        }

    def _stay_rows(self, case: _Case) -> list[dict[str, Any]]:
        rows = admissions.rows(case.visit, case.attendance, case.answers, self.departments, self.zone)
        common = self._common(case)
        result = []
        for place, row in enumerate(rows):
            spans = case.spans.get(place)
            until = None if spans is None else max((last for _, last in spans), default=None)
            flat = None if spans is None else [instant for span in spans for instant in span]
            result.append({**common, **row, "confirmed_spans": flat, "confirmed_until": until})
        for row, stay in zip(result, case.visit.stays, strict=True):
            row["quality_flags"] = sorted({*common["quality_flags"], *stay.flags})
        return result

    def _attendance_row(self, case: _Case) -> dict[str, Any]:
        found = case.attendance
        assert found is not None
        spans = case.attendance_spans

        def minutes(first: datetime | None, last: datetime | None) -> float | None:
            return None if first is None or last is None or last < first else (last - first) / MINUTE

        is_admitted = found.outcome == "admitted"
        common = self._common(case)
        return {
            **common,
            "quality_flags": sorted({*common["quality_flags"], *found.flags}),
            "patient_id": found.patient,
            "hospital_id": found.hospital,
            "department": found.department,
            "arrival_at": found.arrival_at,
            "triage_at": found.triage_at,
            "seen_at": found.seen_at,
            "decision_at": found.decision_at,
            "departure_at": found.departure_at,
            "outcome": found.outcome,
            "minutes_to_triage": minutes(found.arrival_at, found.triage_at),
            "minutes_to_seen": minutes(found.arrival_at, found.seen_at),
            "minutes_in_department": minutes(found.arrival_at, found.departure_at),
            "boarding_minutes": minutes(found.decision_at, found.departure_at) if is_admitted else None,
            "confirmed_until": None if spans is None else max((last for _, last in spans), default=None),
        }
