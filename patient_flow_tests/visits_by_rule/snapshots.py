"""Where snapshots place the patient, and which stated discharges are plans (F7, F9, F11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from patient_flow_tests.visits_by_rule.events import TYPES, Event


@dataclass
class Action:
    """Something that happens at an instant of the visit."""

    at: datetime
    event: Event
    place: tuple[str | None, str | None] | None = None
    """Department and bed, where it places the patient."""
    is_exit: bool = False
    """The patient leaves at the end of an entry of ``stays``."""
    is_end: bool = False
    """The visit ends as a snapshot states that lies earlier in the order (F11)."""
    order_at: datetime | None = None
    """Its place among the others where ``at`` contradicts what follows."""
    number: int = 0
    is_estimated: bool = False
    """F7: the time at which a snapshot showed the patient elsewhere."""

    @property
    def order(self) -> tuple[Any, ...]:
        return self.order_at or self.at, TYPES.index(self.event.event_type), *self._among_equals, self.number

    @property
    def _among_equals(self) -> tuple[Any, ...]:
        """Placements of snapshots at one instant follow the order of the snapshots themselves (F1)."""
        return self.event.order if self.event.is_snapshot else self.event.order[2:]


def is_plan(event: Event, unvoided: Sequence[Event]) -> bool:
    """F11: later than the event, or stated as a plan before."""
    stated = event.discharge_time
    if stated is None or event.event_type == "discharge":
        return False
    known_at = event.enqueued_at if event.is_snapshot and not event.states_event_time else event.event_time
    if stated > known_at:
        return True
    return any(
        earlier.discharge_time == stated and is_plan(earlier, unvoided)
        for earlier in unvoided
        if earlier.order < event.order
    )


def cancelled(unvoided: Sequence[Event]) -> list[Event]:
    """F11: every cancelled discharge, also one that undid nothing."""
    return [event for event in unvoided if event.event_type == "cancel_discharge"]


class Snapshots:
    """The snapshots of one visit: ``standing`` are its events after cancels, ``unvoided`` those before."""

    def __init__(self, standing: Sequence[Event], unvoided: Sequence[Event]) -> None:
        self.standing, self.unvoided = standing, unvoided
        self.restating: list[Event] = []
        """F7: snapshots that leave the placements before them; their bed is that of the stay at their event time."""

    def placements(self) -> list[Action]:
        """Where snapshots place the patient."""
        by_sender = [event for event in self.standing if event.is_by_sender]
        if any(event.event_type == "admission" for event in by_sender):
            return []
        transfers = [event.event_time for event in by_sender if event.event_type == "transfer"]
        limit = min(transfers, default=None)
        actions: list[Action] = []
        was: tuple[str, str] | None = None
        for event in (event for event in self.standing if event.is_snapshot):
            placing = [action for action in actions if action.place]
            first = not placing
            if placing and event.has_own_time and event.admission_time is not None:
                placing[0].at = event.admission_time  # F6, F7
                placing[0].order_at = min(action.at for action in actions)
            if event.stays:
                actions = self._entries(event)
            elif event.has_own_time and was and event.department and (event.hospital_id, event.department) != was:
                actions.append(Action(event.event_time, event, (event.department, event.bed_id), is_estimated=True))
            elif first and event.department:
                actions.append(
                    Action(event.admission_time or event.event_time, event, (event.department, event.bed_id))
                )
            else:
                self.restating.append(event)
            was = (event.hospital_id, event.department) if event.department else was
        if limit is not None:
            self.restating = [event for event in self.restating if event.event_time < limit]
        actions = [action for action in actions if limit is None or action.at < limit]
        for action in actions:
            if action.is_estimated:
                others = [other.at for other in actions if other.place and other is not action]
                others += [cancel.event_time for cancel in cancelled(self.unvoided)]
                others += [e.event_time for e in self.standing if e.event_type in ("admission", "transfer")]
                action.at = self._moves_at(action.event, others)
        return actions

    def _moves_at(self, event: Event, others: list[datetime]) -> datetime:
        """F7: at its event time, but no later than a discharge that it states and nothing contradicts (F11)."""
        stated = event.discharge_time
        if stated is None or is_plan(event, self.unvoided) or any(at > stated for at in others):
            return event.event_time
        return min(stated, event.event_time)

    def _entries(self, event: Event) -> list[Action]:
        """F9: entries of ``stays``; of two that overlap the earlier ends."""
        actions = []
        for number, entry in enumerate(event.known_stays):
            after = event.known_stays[number + 1 : number + 2]
            until = entry.ends_at
            actions.append(Action(entry.starts_at, event, (entry.department, entry.bed_id), number=2 * number))
            if until is not None and not (after and until >= after[0].starts_at):
                actions.append(Action(until, event, is_exit=True, number=2 * number + 1))
        return actions
