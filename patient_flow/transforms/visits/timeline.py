"""F4-F6, F10, F11: the events of one visit, applied in order: placements, ends, and what is stated of the visit."""

from __future__ import annotations

from patient_flow.contracts.events import CLASSES_WITHOUT_BED
from patient_flow.transforms.visits import cancels, snapshots
from patient_flow.transforms.visits.departments import DepartmentList
from patient_flow.transforms.visits.model import (
    ADMISSION,
    BY_CLASS,
    CANCEL_DISCHARGE,
    DAY_US,
    DISCHARGE,
    FACT,
    SNAPSHOT,
    TRANSFER,
    UPDATE,
    End,
    Event,
    Placement,
    Segment,
    Visit,
)
from patient_flow.transforms.visits.snapshots import Placed, Snapshots
from patient_flow.transforms.visits.statements import Statements
from patient_flow.transforms.visits.stays import joined

EARLIER_DEPARTMENT = "update_names_an_earlier_department"
"""Flag of a stay whose update names the department directly before it (F10)."""
LONGEST_PLAN_COVERED = 365 * DAY_US

_PLACING = (ADMISSION, TRANSFER)
_EVERY_END = (ADMISSION, TRANSFER, DISCHARGE)
_NO_SNAPSHOTS = Snapshots()


def fold(ordered: list[Event], departments: DepartmentList) -> Visit | None:
    """The visit of these events, which are all of it, in order; None where all are void (F12)."""
    types = {event.type for event in ordered}
    events, left = ordered, ordered
    if not types.isdisjoint(cancels.CANCELS):
        events = cancels.not_void(ordered)
        if not events:
            return None
        left = cancels.standing(events)
    timeline = _Timeline(events, left, departments)
    if SNAPSHOT in types:
        timeline.read_snapshots()
    timeline.run()
    return timeline.visit(ordered)


class _Timeline:
    """The state of one visit while its events are applied."""

    def __init__(self, events: list[Event], standing: list[Event], departments: DepartmentList) -> None:
        self._events, self._standing, self._departments = events, standing, departments
        self._snapshots = _NO_SNAPSHOTS
        self._latest: int | None = None
        self._planned_by: dict[int, tuple[int, int, int, str, int, int]] | None = None
        self.placements: list[Placement] = []
        self.segments = [Segment()]
        self._class: str | None = None
        self._is_ended_by_class = False
        self._planner: Event | None = None  # of the newest plan
        self._deferred: End | None = None  # an end after an end by class, for when that one is undone
        self._entry: Placed | None = None  # what a snapshot states of the newest placement
        self._end_known: End | None = None  # the end before a snapshot that states a later one
        self._is_opened = False
        self._statements = Statements()
        self._admission_times: list[tuple[int, bool]] = []
        self._classes: list[tuple[int, str]] = []

    def read_snapshots(self) -> None:
        """Finds where the snapshots place the patient (F7, F9)."""
        self._snapshots = snapshots.read(self._standing)
        snapshots.date_moves(self._snapshots, self._contradicting(), self._is_plan)

    def _contradicting(self) -> list[int]:
        """Times of cancelled discharges and of the sender's placements (F11)."""
        return _cancelled_at(self._events) + [event.time for event in self._standing if event.type in _PLACING]

    def run(self) -> None:
        """Applies every uncancelled event in order."""
        if self._snapshots.facts is None:
            for event in self._standing:
                self._apply(event)
            return
        counted = self._snapshots.counted
        items: list[tuple[int, int, int, int, Event | Placed | End]] = [
            (event.time, event.type, number, len(self._snapshots.placed), event)
            for number, event in enumerate(self._standing)
            if event.type != SNAPSHOT or event in counted
        ]
        items += [
            (item.order_time, SNAPSHOT, self._standing.index(item.event), number, item)
            for number, item in enumerate(self._snapshots.placed)
        ]
        late = self._late_fact(self._snapshots.facts)
        if late is not None:
            items.append((late.time, SNAPSHOT, self._standing.index(self._snapshots.facts), len(items), late))
        for *_, item in sorted(items, key=lambda keyed: keyed[:4]):
            if isinstance(item, Placed):
                self._apply_placed(item)
            elif isinstance(item, End):
                self._apply_late_fact(item)
            elif item.type == SNAPSHOT:
                self._apply_snapshot(item)
            else:
                self._apply(item)

    # -- one method per kind of event

    def _apply(self, event: Event) -> None:
        kind = event.type
        if kind in _PLACING:
            self._is_opened = self._is_opened or kind == ADMISSION
            self._state_class(event)
            self._place(event)
            if kind == ADMISSION and event.admission is not None:
                self._admission_times.append((event.admission, event.admission == event.time))
        elif kind == DISCHARGE:
            self._correct_bed(event)
            self._discharge(event)
            self._correct_bed(event)  # it may itself say that the patient is in the stay beyond an earlier end
            self._state_class(event)
        else:
            self._state_class(event)
            if kind == UPDATE:
                self._update(event)
            else:
                self._correct_bed(event)
            self._statements.register(event, self._class)
        if event.has_statements:
            self._note(event)

    def _apply_placed(self, item: Placed) -> None:
        if item.ended_by is not None:
            if self._entry is not None and self._entry is item.begins:
                self._end_unless_by_class(End(item.time, item.ended_by))
            return
        event = item.event
        self._is_opened = True
        self._state_class(event, at=item)
        named = event._replace(time=item.time, department=item.department, bed=item.bed)
        if self._place(named, is_estimated=item.is_estimated):
            self._entry = item

    def _apply_snapshot(self, event: Event) -> None:
        """F7: of several snapshots the newest states the facts; each that counts states its class, and its bed."""
        self._state_class(event)
        if event in self._snapshots.restating:
            self._correct_bed(event)
        if event is not self._snapshots.facts:
            return
        self._is_opened = True
        self._end_known = self.segments[-1].end
        if event.discharge is not None and self._late_fact(event) is None:
            self._state_discharge(event, event.discharge)
        if event.status is not None:
            self.segments[-1].status = event.status
        self._note(event)

    def _late_fact(self, event: Event) -> End | None:
        """F11: the end that a snapshot states for later than its place in the order, where its admission stands."""
        stated = event.discharge
        if stated is None or stated <= event.time or not self._is_fact(event, stated):
            return None
        return End(stated, FACT)

    def _apply_late_fact(self, end: End) -> None:
        """It ends the stay in which the patient is by then; a discharge between the two goes before it (F1)."""
        if self._is_ended_by_class:
            self._deferred = self._deferred or end
        elif self.segments[-1].end is None or self.segments[-1].end is self._end_known:
            self._end(end)

    def _place(self, event: Event, *, is_estimated: bool = False) -> bool:
        """F4, F5: a stay begins, unless the class takes no bed and the event names none; false then."""
        if event.department is None or not (
            event.bed is not None
            or self._departments.takes_bed(self._class, event.hospital, event.department, event.time)
        ):
            return False
        is_new_segment = self.segments[-1].end is not None
        if is_new_segment:
            self.segments.append(Segment())
        self._is_ended_by_class = False
        self._deferred = self._entry = None
        self.placements.append(
            Placement(
                event.time,
                event.hospital,
                event.department,
                event.patient,
                event.bed,
                self._effective_class(event.hospital, event.department, event.time),
                event.type,
                self._is_opened,
                is_estimated=is_estimated,
                is_in_new_segment=is_new_segment,
                flags={snapshots.ESTIMATED} if is_estimated else set(),
            )
        )
        return True

    def _update(self, event: Event) -> None:
        """F10: it corrects the stay in which the patient is; after the discharge the visit's facts only."""
        if event.discharge is not None:
            self._state_discharge(event, event.discharge)
        is_in_stay = self._is_in_stay(event)
        if event.admission is not None and (is_in_stay or not self.placements):
            self._admission_times.append((event.admission, False))
        if event.status is not None:
            self.segments[-1].status = event.status
        if not is_in_stay:
            return
        current = self.placements[-1]
        place = event.hospital, event.department
        if event.department is not None and place != (current.hospital, current.department):
            if place == self._department_before():
                current.flags.add(EARLIER_DEPARTMENT)
                return  # its bed is one of that department too
            current.hospital, current.department = event.hospital, event.department
        current.bed = event.bed or current.bed

    def _is_in_stay(self, event: Event) -> bool:
        """F10: whether the patient is in the newest stay at the time of ``event``."""
        end = self.placements[-1].end if self.placements else None
        return bool(self.placements) and (end is None or end.time > event.time)

    def _correct_bed(self, event: Event) -> None:
        """The bed of the stay in which the patient is, unless it is one of another department (F7, F10)."""
        if event.bed is None or not self._is_in_stay(event):
            return
        current = self.placements[-1]
        place = event.hospital, event.department or current.department
        if event.type == SNAPSHOT or place == (current.hospital, current.department):
            current.bed = event.bed

    def _department_before(self) -> tuple[str, str | None] | None:
        """Department of the stay, or arrival, directly before the current stay."""
        current = self.placements[-1]
        for placement in reversed(self.placements[:-1]):
            if (placement.hospital, placement.department) != (current.hospital, current.department) or placement.end:
                return placement.hospital, placement.department
        return (
            (self._statements.arrivals[-1].hospital, self._statements.arrivals[-1].department)
            if self._statements.arrivals
            else None
        )

    # -- ends

    def _discharge(self, event: Event) -> None:
        """F11: it ends at its ``discharge_time`` unless a placement or cancel before it is later, else at its time."""
        if event.status is not None:
            self.segments[-1].status = event.status
        time = event.time
        if event.discharge is not None:
            before = [at for at in _cancelled_at(self._events) if at < event.time]
            before += [placement.time for placement in self.placements]
            if max(before, default=event.discharge) <= event.discharge:
                time = event.discharge
        self._end_unless_by_class(End(time, FACT))

    def _state_discharge(self, event: Event, stated: int) -> None:
        """F11: the ``discharge_time`` of an event that is no discharge: a plan, or a stated fact."""
        if self._is_plan(event, stated):
            self.segments[-1].plan = self.segments[-1].planned = stated
            self._planner = event
        elif self._is_fact(event, stated):
            self._end_unless_by_class(End(stated, FACT))

    def _is_fact(self, event: Event, stated: int) -> bool:
        """Whether it is no plan, and neither a placement nor a cancelled discharge is later."""
        if self._latest is None:
            placed = [item.time for item in self._snapshots.placed if item.ended_by is None]
            self._latest = max([*self._contradicting(), *placed], default=-(2**63))
        return self._latest <= stated and not self._is_plan(event, stated)

    def _is_plan(self, event: Event, stated: int) -> bool:
        if stated > event.known_at:
            return True
        if self._planned_by is None:
            self._planned_by = _plans(self._events)
        first = self._planned_by.get(stated)
        return first is not None and first < event.order

    def _end_unless_by_class(self, end: End) -> None:
        """F11: after an end by class nothing but a placement moves the end; ``end`` waits for when that is undone."""
        if self._is_ended_by_class:
            self._deferred = end
        else:
            self._end(end)

    def _end(self, end: End) -> None:
        if self.placements:
            self.placements[-1].end = end
        if end.kind in (FACT, BY_CLASS):
            self.segments[-1].end = end

    # -- class

    def _is_taking_bed(self) -> bool:
        """Whether the class in force takes a bed where the patient is."""
        if not self.placements or self._class not in CLASSES_WITHOUT_BED:
            return True
        current = self.placements[-1]
        return self._departments.takes_bed(self._class, current.hospital, current.department, current.time)

    def _effective_class(self, hospital: str, department: str, time: int) -> str | None:
        if self._class == "outpatient" and self._departments.takes_bed(self._class, hospital, department, time):
            return "emergency"
        return self._class

    def _state_class(self, event: Event, at: Placed | None = None) -> None:
        """F5: the class that ``event`` states; a change to one without a bed ends the stay unless a bed is named."""
        if event.visit_class is None:
            return
        was_taking_bed = self._is_taking_bed()
        self._class = event.visit_class
        self._classes.append((len(self.placements), event.visit_class))
        if event.visit_class not in CLASSES_WITHOUT_BED and not self._is_ended_by_class:
            return
        if not self.placements:
            return
        current = self.placements[-1]
        time, bed = (event.time, event.bed) if at is None else (at.time, at.bed)
        department = (event.department if at is None else at.department) or current.department
        takes_bed = self._departments.takes_bed(event.visit_class, event.hospital, department, time)
        if not takes_bed and was_taking_bed and bed is None and current.end is None:
            self._is_ended_by_class = True
            self._end(End(time, BY_CLASS))
        elif takes_bed and self._is_ended_by_class and event.type == UPDATE:
            self._is_ended_by_class = False
            current.end = self.segments[-1].end = None
            if self._deferred is not None:
                self._end(self._deferred)
                self._deferred = None

    # -- facts of the visit

    def _note(self, event: Event) -> None:
        """Statements on the visit as a whole, and on its end: the last one counts."""
        self._statements.note(event, len(self.placements))
        if event.discharge is not None and event.type not in (DISCHARGE, UPDATE, SNAPSHOT):
            self._state_discharge(event, event.discharge)
        if event.planned is not None:
            self.segments[-1].planned = event.planned
        if event.ready is not None:
            self.segments[-1].ready = event.ready

    def visit(self, ordered: list[Event]) -> Visit:
        """The folded visit, its stays not yet dated."""
        first = self.placements[0] if self.placements else None
        following = [self.placements[1].time] if len(self.placements) > 1 else []
        if first is not None and first.end is not None:
            following.append(first.end.time)
        planner, silent = self._planner, self._snapshots.silent
        return Visit(
            ordered[0].visit_id,
            ordered,
            joined(self.placements),
            self.segments,
            self._statements,
            self._statements.arrival,
            self._admission_times,
            min(following, default=None),
            self._classes,
            has_lifecycle=any(e.type in _EVERY_END and not e.is_correction for e in self._events),
            plan_from=0 if planner is None else planner.known_at,
            plan_limit=0 if planner is None else planner.enqueued + LONGEST_PLAN_COVERED,
            flags=self._snapshots.flags | _departments_flag(self.placements, self._statements.arrivals, silent),
        )


def _departments_flag(placements: list[Placement], arrivals: list[Event], silent: list[Event]) -> set[str]:
    """F7: a snapshot that places nobody and names a department that is none of the visit's."""
    if not silent:
        return set()
    known = {(placement.hospital, placement.department) for placement in placements}
    known |= {(event.hospital, event.department) for event in arrivals if event.department}
    is_other = any(e.department is not None and (e.hospital, e.department) not in known for e in silent)
    return {snapshots.ANOTHER_DEPARTMENT} if is_other else set()


def _cancelled_at(events: list[Event]) -> list[int]:
    return [event.time for event in events if event.type == CANCEL_DISCHARGE]


def _plans(events: list[Event]) -> dict[int, tuple[int, int, int, str, int, int]]:
    """Discharge times that events state as plans, with the place in the order of the first that states each."""
    plans: dict[int, tuple[int, int, int, str, int, int]] = {}
    for event in events:
        stated = event.discharge
        if stated is not None and event.type != DISCHARGE and stated > event.known_at:
            plans.setdefault(stated, event.order)
    return plans
