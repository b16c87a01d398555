"""F7, F9: where the snapshots of a visit place the patient, and which of them states the visit's facts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from patient_flow.contracts.events import CLOCK_TOLERANCE
from patient_flow.transforms.visits.model import ADMISSION, FACT, GAP, SNAPSHOT, TRANSFER, Event

ESTIMATED = "time_is_estimated"
"""Flag of a stay whose beginning is the time at which a snapshot was made."""
ANOTHER_DEPARTMENT = "snapshot_names_another_department"
"""Flag of a visit with a snapshot that places nobody and names a department that is none of the visit's."""
OVERLAP = "stays_overlap"
AHEAD = "stays_are_in_the_future"

_TOLERANCE = int(CLOCK_TOLERANCE.total_seconds()) * 1_000_000


@dataclass(slots=True)
class Placed:
    """A placement, or with ``ended_by`` an end, that a snapshot states."""

    time: int
    event: Event
    department: str
    bed: str | None
    is_estimated: bool = False
    ended_by: str | None = None
    begins: Placed | None = None
    """Of an end: the placement that it ends."""
    order_time: int = 0
    """Its place among the events of the visit: also a beginning that contradicts what follows stays before it."""

    def __post_init__(self) -> None:
        self.order_time = self.time


@dataclass(slots=True)
class Snapshots:
    """The statements of a visit's uncancelled snapshots."""

    placed: list[Placed] = field(default_factory=list)
    facts: Event | None = None
    counted: list[Event] = field(default_factory=list)
    """Snapshots that no later one replaces whole: each states a class from its time on."""
    restating: list[Event] = field(default_factory=list)
    """Snapshots that leave the placements before them; their bed is that of the stay at their time."""
    silent: list[Event] = field(default_factory=list)
    """Snapshots that place nobody."""
    flags: set[str] = field(default_factory=set)


def read(standing: list[Event]) -> Snapshots:
    """The placements and facts of the snapshots in ``standing`` (F7)."""
    state = Snapshots()
    for event in standing:
        if event.type == SNAPSHOT:
            _add(state, event)
    _silence(state, standing)
    return state


def date_moves(state: Snapshots, known: list[int], is_plan: Callable[[Event, int], bool]) -> None:
    """F7: who has left by the time of a snapshot has moved before it, unless something is later than that end.

    ``known`` are the times of other placements and of cancelled discharges (F11).
    """
    placed = [item for item in state.placed if item.ended_by is None]
    for item in placed:
        stated = item.event.discharge
        if not item.is_estimated or stated is None or is_plan(item.event, stated):
            continue
        if max([*known, *(other.time for other in placed if other is not item)], default=stated) <= stated:
            item.time = item.order_time = min(stated, item.time)


def _add(state: Snapshots, event: Event) -> None:
    before, state.facts = state.facts, event
    admission = event.time if event.admission is None else event.admission
    if event.stays is not None:
        state.placed, state.counted, state.flags = _stays(event)
        state.restating = []
    elif before is None or not (event.states_time and event.time > admission):
        state.placed, state.counted, state.flags, state.restating = [], [event], set(), []
        if event.department is not None:
            state.placed = [Placed(admission, event, event.department, event.bed)]
    else:
        state.counted.append(event)
        _move_or_restate(state, event, before, admission)


def _move_or_restate(state: Snapshots, event: Event, before: Event, admission: int) -> None:
    if state.placed:  # F6: its admission time counts, whether it moves or restates
        first = state.placed[0]
        first.time = admission
        first.order_time = min(item.time for item in state.placed)
    place, was = (event.hospital, event.department), (before.hospital, _department(before))
    if event.department is not None and place != was:
        state.placed.append(Placed(event.time, event, event.department, event.bed, is_estimated=True))
    else:
        state.restating.append(event)


def _department(event: Event) -> str | None:
    """The department of a snapshot: where its ``stays`` end, else as stated."""
    if event.department is None and event.stays is not None:
        entries = json.loads(event.stays)
        return entries[-1]["department"] if entries else None
    return event.department


def _stays(event: Event) -> tuple[list[Placed], list[Event], set[str]]:
    """F9: gaps are time out of bed; of two entries that overlap the earlier ends; nothing lies ahead of the hub."""
    latest, flags = event.enqueued + _TOLERANCE, set()
    entries = sorted(json.loads(event.stays or "[]"), key=lambda entry: entry["from"])
    known = [entry for entry in entries if entry["from"] <= latest]
    if len(known) < len(entries):
        flags.add(AHEAD)
    placed: list[Placed] = []
    for number, entry in enumerate(known):
        place = entry["department"], entry.get("bed_id")
        begins = Placed(entry["from"], event, *place)
        placed.append(begins)
        end = entry.get("to")
        following = known[number + 1]["from"] if number + 1 < len(known) else None
        if end is not None and end > latest:
            flags.add(AHEAD)
            end = None
        if following is not None and (end is None or end > following):
            flags.add(OVERLAP)
        elif end is not None and end != following:
            placed.append(Placed(end, event, *place, ended_by=FACT if following is None else GAP, begins=begins))
    return placed, [event], flags


def _silence(state: Snapshots, standing: list[Event]) -> None:
    """Snapshots make no placement after the sender's first transfer, nor in a visit with the sender's admission."""
    senders = [event for event in standing if event.type in (ADMISSION, TRANSFER) and not event.is_correction]
    if not senders or not state.placed:
        return
    first = None if any(event.type == ADMISSION for event in senders) else senders[0]
    kept = [] if first is None else [item for item in state.placed if item.time < first.time]
    placing = [item.event for item in kept]
    state.placed = kept
    state.restating = [event for event in state.restating if first is not None and event.time < first.time]
    speaking = [*placing, *state.restating]
    state.silent = [event for event in state.counted if event not in speaking]
