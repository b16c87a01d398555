"""The stays of one visit from its standing events: class, placements, snapshots, updates and ends (F4-F11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any

from patient_flow_tests.visits_by_rule.departments import Departments
from patient_flow_tests.visits_by_rule.events import Event, in_order, standing, unvoided
from patient_flow_tests.visits_by_rule.model import NO_BED, End, Stay, Visit, arrived_at, last
from patient_flow_tests.visits_by_rule.snapshots import Action, Snapshots, cancelled, is_plan


def _place(stay: Stay) -> tuple[str, str]:
    return stay.hospital, stay.department


AFTER_ENTRIES = 1_000_000
"""A snapshot's placements come before what else it states."""


class Fold:
    """One visit, step by step."""

    def __init__(self, events: Sequence[Event], departments: Departments, taken_over: datetime | None) -> None:
        """``taken_over`` is the arrival of the attendance that this visit answers (F15)."""
        self.departments = departments
        self.visit = Visit(events[0].visit_id, in_order(events))
        self.unvoided = unvoided(self.visit.events)
        self.all_standing = standing(self.unvoided)
        self.snapshots = [event for event in self.all_standing if event.is_snapshot]
        newest = self.snapshots[-1:]
        self.visit.all_standing = self.all_standing
        # F7: facts are those of the newest snapshot; earlier ones only leave placements and classes.
        self.visit.standing = [event for event in self.all_standing if not event.is_snapshot or event in newest]
        self.placing_snapshots = Snapshots(self.all_standing, self.unvoided)
        self.cancelled_discharges = cancelled(self.unvoided)
        self.taken_over = taken_over
        self.visit_class: str | None = None
        self.ends_before = 0
        """Ends of the visit before the newest spell."""
        self.dating: list[Event] = []
        """F10: updates that do not come after the discharge; their admission time counts."""
        self.known_ends: dict[Any, End | None] = {}
        """The end that stood when an event applied, by its order."""
        self.deferred: list[Callable[[], None]] = []
        """Ends after an end by class; they end the stay if that one is undone."""

    def run(self) -> Visit:
        visit = self.visit
        visit.arrival_event, visit.arrival = self._arrival()
        self.actions = sorted(self._actions(), key=lambda action: action.order)
        for action in self.actions:
            if action.place is not None:
                self._place(action)
                if not action.event.is_snapshot:
                    self._end_by_fact(action.event)
            elif action.is_exit:
                self._exit(action)
            elif action.is_end:
                self._end_late(action)
            else:
                self._state(action.event)
        self.placed = [stay.placed_at for stay in visit.stays]
        self._join()
        self._date_first_stay()
        self._plan()
        self._close()
        for stay in visit.stays:
            stay.kind = self._kind(stay)
        self._flag_other_departments()
        self._flag_overlaps()
        return visit

    # F7: snapshots

    def _flag_overlaps(self) -> None:
        """F9: also where the snapshot places nobody."""
        for event in self.snapshots:
            if event.known_stays != event.stays:
                self.visit.flags.add("stays_are_in_the_future")
            for entry, after in pairwise(event.known_stays):
                if entry.ends_at is None or entry.ends_at > after.starts_at:
                    self.visit.flags.add("stays_overlap")

    def _exit(self, action: Action) -> None:
        """F9: a gap is time out of bed; the end of the last entry ends the visit."""
        stay = self.visit.stays[-1] if self.visit.stays else None
        if stay is None or stay.event is not action.event or stay.entry != action.number - 1:
            return
        if stay.ended_by == "class":
            self.deferred.append(partial(self._exit, action))  # F5: ended until a placement follows
            return
        is_last = action.number == 2 * len(action.event.known_stays) - 1
        stay.ends_at, stay.ended_by = action.at, "entry" if is_last else "gap"
        if is_last:
            self.visit.ends.append(End(action.at, "entry", action.event, (action.at, *action.event.order[1:])))

    def _actions(self) -> list[Action]:
        actions = self.placing_snapshots.placements()
        for event in self.all_standing:
            placing = event.event_type in ("admission", "transfer")
            place = (event.department, event.bed_id) if placing else None
            actions.append(Action(event.event_time, event, place, number=AFTER_ENTRIES))
        self.actions = actions
        for event in [event for event in self.visit.standing if event.is_snapshot]:
            stated = self._fact(event)
            if stated is not None and stated > event.event_time:  # F11: it ends where the patient is by then
                actions.append(Action(stated, event, number=AFTER_ENTRIES + 1, is_end=True))
        return actions

    def _end_late(self, action: Action) -> None:
        """F1: a discharge event between the snapshot and the end that it states goes before it."""
        end = self._newest_end()
        stay = self.visit.stays[-1] if self.visit.stays else None
        if stay is not None and stay.ended_by == "class":
            if not self.deferred:
                self.deferred.append(partial(self._end_late, action))
        elif end is None or end is self.known_ends.get(action.event.order):
            self.visit.ends.append(End(action.at, "fact", action.event, (action.at, *action.event.order[1:])))
            if stay is not None:
                stay.ends_at, stay.ended_by = action.at, "fact"

    def _newest_end(self) -> End | None:
        """The end that stands of the newest spell."""
        ends = self.visit.ends[self.ends_before :]
        return ends[-1] if ends else None

    # F5: class in force

    def _is_listed_emergency(self, hospital: str, department: str | None, at: datetime) -> bool:
        return self.departments.class_of(hospital, department, at) == "emergency"

    def _effective(self, stated: str | None, hospital: str, department: str | None, at: datetime) -> str | None:
        if stated == "outpatient" and self._is_listed_emergency(hospital, department, at):
            return "emergency"
        return stated

    def _place(self, action: Action) -> None:
        event = action.event
        assert action.place is not None
        department, bed = action.place
        before, stated = self.visit_class, event.visit_class or self.visit_class
        self.visit_class = stated
        if event.is_snapshot:
            self.visit.placed_by_snapshot.append((action.order_at or action.at, *event.order[1:]))
        effective = self._effective(stated, event.hospital_id, department, action.at)
        current = self._current()
        if department is None or (effective in NO_BED and bed is None):
            if current is not None and bed is None:
                self._change_class(event, before, current, action.at, department)
            return
        if current is not None:
            current.ends_at, current.ended_by = action.at, "move"
        self.deferred = []
        # The newest snapshot states the facts, and follows the placements of those before it at one instant.
        among_equals = event.order[1:2] if event.is_snapshot else event.order[1:]
        previous = self.visit.stays[-1] if current is not None else None
        self.visit.stays.append(
            Stay(
                event,
                event.hospital_id,
                department,
                action.at,
                action.at,
                effective,
                bed,
                previous is not None,
                (previous.hospital, previous.department) if previous else None,
                order=(action.order_at or action.at, *among_equals),
                entry=action.number,
                flags={"time_is_estimated"} if action.is_estimated else set(),
            )
        )
        if current is None and len(self.visit.ends) > self.ends_before:  # a gap (F9) ends nothing
            self.ends_before = len(self.visit.ends)
            self.visit.spells.append((action.order_at or action.at, *among_equals))

    def _current(self) -> Stay | None:
        """The stay in which the patient is."""
        stays = self.visit.stays
        return stays[-1] if stays and (stays[-1].ends_at is None) else None

    def _change_class(
        self, event: Event, before: str | None, current: Stay, at: datetime, department: str | None
    ) -> None:
        """F5: a change to a class without a bed, by an event that names none, ends the stay."""
        if event.visit_class is None:
            return
        old = self._effective(before, current.hospital, current.department, at)
        named = (event.hospital_id, department or current.department)
        new = self._effective(event.visit_class, *named, at)
        if new in NO_BED and old not in NO_BED:
            current.ends_at, current.ended_by = at, "class"
            self.visit.ends.append(End(at, "class", event, event.order))

    def _undo_class(self, event: Event) -> None:
        """F5: a later update to a class that takes a bed undoes that end."""
        stays = self.visit.stays
        if event.event_type != "update" or event.visit_class is None or not stays or stays[-1].ended_by != "class":
            return
        stay = stays[-1]
        named = (event.hospital_id, event.department or stay.department)  # as for the end itself
        if self._effective(event.visit_class, *named, event.event_time) in NO_BED:
            return
        stay.ends_at = stay.ended_by = None
        self.visit.ends.pop()
        for end in self.deferred:
            end()
        self.deferred = []

    # F10, F11: what other events state

    def _state(self, event: Event) -> None:
        if event.event_type == "discharge":
            self._correct_bed(event, self._in_stay(event.event_time))
            self._discharge(event, self._discharge_time(event))
        before = self.visit_class
        self.visit_class = event.visit_class or self.visit_class
        if event.event_type in ("arrival", "triage"):
            self.visit.class_at_arrival[event.order] = self.visit_class
        self._undo_class(event)
        running = self._current()
        if running is not None and event.bed_id is None:
            self._change_class(event, before, running, event.event_time, event.department)
        if event.event_type != "update":
            self._correct_bed(event, self._in_stay(event.event_time))
        self._end_by_fact(event)
        current = self._in_stay(event.event_time)
        if event.event_type == "update" and (current is not None or not self.visit.stays):
            self.dating.append(event)
        if event.event_type == "update" and current is not None:
            self._correct(event, current)
            self._correct_bed(event, current)

    def _correct_bed(self, event: Event, current: Stay | None) -> None:
        """Whatever names a bed, of no other department, names that of the stay in which the patient is (F7, F10)."""
        if current is None or event.bed_id is None:
            return
        if event.is_snapshot:
            applies = any(event is other for other in self.placing_snapshots.restating)
        else:
            applies = (event.hospital_id, event.department or current.department) == _place(current)
            applies |= event.event_type == "update" and event.department is None
        if applies:
            current.bed = event.bed_id

    def _end_by_fact(self, event: Event) -> None:
        """F11: a stated fact restates or ends."""
        stated = self._fact(event)
        stay = self.visit.stays[-1] if self.visit.stays else None
        self.known_ends[event.order] = self._newest_end()
        if stated is not None and event.is_snapshot and stated > event.event_time:
            return
        if stated is not None and stay is not None and stay.ended_by == "class":
            self.deferred.append(partial(self._end_by_fact, event))
        elif stated is not None:
            self.visit.ends.append(End(stated, "fact", event, event.order))
            if stay is not None:
                stay.ends_at, stay.ended_by = stated, "fact"

    def _in_stay(self, at: datetime) -> Stay | None:
        """F10: the stay in which the patient was at an event's time."""
        stays = self.visit.stays
        if not stays or (stays[-1].ends_at is not None and stays[-1].ends_at <= at):
            return None
        return stays[-1]

    def _correct(self, event: Event, current: Stay) -> None:
        """F10: the department, unless it is where the patient was before."""
        if event.department is None:
            return
        named = (event.hospital_id, event.department)
        before = [
            stay
            for stay in self.visit.stays[:-1]
            if stay.ended_by != "move" or _place(stay) != _place(current)  # else a bed change within the stay
        ]
        earlier: tuple[str, str | None] | None = _place(before[-1]) if before else None
        if not before:
            arrivals = [e for e in self.visit.standing if e.event_type == "arrival" and e.order < event.order]
            earlier = (arrivals[-1].hospital_id, arrivals[-1].department) if arrivals else None
        if named == (current.hospital, current.department):
            return
        if named == earlier:
            current.flags.add("update_names_an_earlier_department")
        else:
            current.hospital, current.department = event.hospital_id, event.department

    def _discharge(self, event: Event, at: datetime) -> None:
        stay = self.visit.stays[-1] if self.visit.stays else None
        if stay is not None and stay.ended_by == "class":
            self.deferred.append(partial(self._discharge, event, at))  # F11: it moves no end
            return
        self.visit.ends.append(End(at, "discharge", event, event.order))
        if stay is not None:
            stay.ends_at, stay.ended_by = at, "discharge"

    def _discharge_time(self, event: Event) -> datetime:
        """F11: the stated time, unless a placement or cancelled discharge before the event is later than it."""
        stated = event.discharge_time
        if stated is None:
            return event.event_time
        before = [stay.placed_at for stay in self.visit.stays]
        before += [cancel.event_time for cancel in self.cancelled_discharges if cancel.order < event.order]
        return event.event_time if any(at > stated for at in before) else stated

    def _fact(self, event: Event) -> datetime | None:
        """F11: a stated discharge that no later placement or cancelled discharge contradicts."""
        stated = event.discharge_time
        if stated is None or event.event_type == "discharge" or is_plan(event, self.unvoided):
            return None
        if event.is_snapshot and event not in self.visit.standing:
            return None
        later = [action.at for action in self.actions if action.place]
        later += [cancel.event_time for cancel in self.cancelled_discharges]
        return None if any(at > stated for at in later) else stated

    def _plan(self) -> None:
        """F11: what is planned, and the plan that ends a stay where the sender reports no flow."""
        visit = self.visit
        current = [event for event in visit.standing if event.order >= visit.spells[-1]]
        planned = [event for event in current if is_plan(event, self.unvoided)]
        visit.planned_at = last(
            event.planned_discharge_time or (event.discharge_time if event in planned else None) for event in current
        )
        visit.ready_at = last(event.ready_time for event in current)
        flow = ("admission", "transfer", "discharge")
        if any(event.is_by_sender and event.event_type in flow for event in self.unvoided):
            return
        stay = visit.stays[-1] if visit.stays else None
        if not planned or stay is None or stay.ends_at is not None:
            return
        ends_at = planned[-1].discharge_time
        assert ends_at is not None
        if ends_at >= stay.starts_at:
            stay.ends_at, stay.ended_by = ends_at, "plan"
            visit.ends.append(End(ends_at, "plan", planned[-1], planned[-1].order))

    # F6: the first placement's time

    def _date_first_stay(self) -> None:
        visit = self.visit
        if not visit.stays:
            return
        first = visit.stays[0]
        known = visit.arrival if visit.arrival is not None else self.taken_over
        for event in self.all_standing:
            stated = event.admission_time
            if stated is None:
                continue
            if event.event_type == "admission" or any(event is other for other in self.dating):
                if known is not None and stated <= known:
                    first.flags.add("admission_time_is_arrival")
                elif any(stated >= bound for bound in self._bounds(first)):
                    if event.event_type == "admission" and stated == event.event_time:
                        continue  # a later admission that states its own time contradicts nothing
                    first.flags.add("admission_time_contradicts")
                else:
                    first.starts_at = stated

    def _bounds(self, first: Stay) -> list[datetime]:
        """The next placement, and the discharge."""
        bounds = self.placed[1:2]
        if first.ends_at is not None and first.ended_by != "plan":
            bounds.append(first.ends_at)
        return bounds

    def _join(self) -> None:
        """A placement where the patient already is changes the bed; the stay goes on."""
        joined: list[Stay] = []
        for stay in self.visit.stays:
            before = joined[-1] if joined else None
            if before is not None and before.ended_by == "move" and _place(before) == _place(stay):
                before.ends_at, before.ended_by = stay.ends_at, stay.ended_by
                before.bed = stay.bed or before.bed
                before.flags |= stay.flags
            else:
                joined.append(stay)
        for before, stay in pairwise(joined):
            if stay.came_from is not None:
                stay.came_from = _place(before)
        self.visit.stays = joined

    def _close(self) -> None:
        """No stay ends before it begins, or after the next one begins."""
        stays = self.visit.stays
        for stay, after in zip(stays, [*stays[1:], None], strict=False):
            if after is not None and (stay.ends_at is None or stay.ends_at > after.starts_at):
                stay.ends_at = after.starts_at
            if stay.ends_at is not None and stay.ends_at < stay.starts_at:
                stay.ends_at = stay.starts_at
                stay.flags.add("stay_times_conflict")

    # F13: kinds

    def _kind(self, stay: Stay) -> str:
        listed = self.departments.class_of(stay.hospital, stay.department, stay.starts_at)
        if listed is None:
            return "emergency" if stay.visit_class == "emergency" else "ward"
        return {"emergency": "emergency", "other": "side"}.get(listed, "ward")

    # F14: the arrival that events state

    def _arrival(self) -> tuple[Event | None, datetime | None]:
        """The earliest that is stated, unless an update corrects it; and the event that is the earliest arrival."""
        events = self.visit.standing
        arrivals = [event for event in events if event.event_type == "arrival"]
        earliest = min(arrivals, key=lambda event: (arrived_at(event), event.order), default=None)
        corrected = last(event.arrival_time for event in events if event.event_type == "update")
        stated = [event.arrival_time for event in events if event.arrival_time is not None]
        stated += [arrived_at(event) for event in arrivals]
        return earliest, corrected if corrected is not None else min(stated, default=None)

    def _flag_other_departments(self) -> None:
        """F7: a snapshot that places nobody and names a department that is none of the visit's."""
        speaking = [*(action.event for action in self.actions if action.place), *self.placing_snapshots.restating]
        names: set[tuple[str, str | None]] = {_place(stay) for stay in self.visit.stays}
        names |= {(e.hospital_id, e.department) for e in self.visit.standing if e.event_type == "arrival"}
        for event in self.snapshots:
            place = event.hospital_id, event.department
            if event not in speaking and event.department is not None and place not in names:
                self.visit.flags.add("snapshot_names_another_department")
