"""The rules of flow.md again, in plain Python: slow, obvious, and without a line of the package.

Written from flow.md, rule by rule. Instants are datetimes; a visit is a list of events; nothing is incremental.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

TYPES = (
    "arrival",
    "triage",
    "admission",
    "transfer",
    "discharge",
    "update",
    "cancel_admission",
    "cancel_transfer",
    "cancel_discharge",
    "void_visit",
    "visit_snapshot",
    "merge_patient",
)
SNAPSHOT = "visit_snapshot"
BEDLESS = ("outpatient", "virtual", "home", "preadmission")
TOLERANCE = timedelta(minutes=5)
SIX_HOURS = timedelta(hours=6)
DAY = timedelta(days=1)
LONGEST_WAIT = 10_080
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """What the rules need of an accepted event; null where it states nothing usable."""

    visit: Any
    patient: Any
    hospital: str
    type: str
    time: datetime
    enqueued_at: datetime
    hub: tuple[Any, ...]
    """Its place among the events that the hub took at the same time."""
    event_id: str
    is_derived: bool = False
    number: Any = None
    gives_up: Any = None
    department: str | None = None
    bed: str | None = None
    visit_class: str | None = None
    admission_type: str | None = None
    arrival: datetime | None = None
    triage: datetime | None = None
    seen: datetime | None = None
    decision: datetime | None = None
    admission: datetime | None = None
    discharge: datetime | None = None
    planned: datetime | None = None
    ready: datetime | None = None
    wait: float | None = None
    status: str | None = None
    stays: str | None = None
    source: str | None = None
    states_time: bool = True
    is_imported: bool = False
    flags: tuple[str, ...] = ()


ClassAt = Callable[[str, str | None, datetime], tuple[str | None, int | None]]
"""Hospital, department, instant → class and unconfirmed days that the list states."""


@dataclass
class Stay:
    """One stay."""

    visit: Any
    patient: Any
    hospital: str
    department: str
    own_time: datetime
    begins: datetime
    bed: str | None
    visit_class: str | None
    made_by: str
    is_opened: bool
    place_number: int
    segment: int
    came_from: Stay | None
    stated_end: tuple[datetime, str] | None
    flags: set[str] = field(default_factory=set)
    number: int = 0
    ends: datetime | None = None
    how: str | None = None
    kind: str = ""
    spans: list[tuple[datetime, datetime]] | None = None
    confirmed_until: datetime | None = None
    # what stands on the row
    arrival: datetime | None = None
    planned: datetime | None = None
    ready: datetime | None = None
    admission_type: str | None = None
    wait: float | None = None
    wait_source: str | None = None
    is_visit_start: bool = False
    is_visit_end: bool = False
    is_transfer: bool = False
    is_day_case: bool = False
    is_observation: bool = False
    visit_length: timedelta | None = None
    in_bed: timedelta | None = None
    nights: int | None = None
    status: str | None = None
    all_flags: tuple[str, ...] = ()
    last_confirmed: datetime = EPOCH
    last_enqueued: datetime = EPOCH


@dataclass
class Attendance:
    """One attendance."""

    visit: Any
    patient: Any
    hospital: str
    department: str | None
    arrival: datetime
    departure: datetime | None = None
    outcome: str | None = None
    how: str | None = None
    status: str | None = None
    triage: datetime | None = None
    seen: datetime | None = None
    decision: datetime | None = None
    flags: set[str] = field(default_factory=set)
    spans: list[tuple[datetime, datetime]] | None = None
    confirmed_until: datetime | None = None
    all_flags: tuple[str, ...] = ()
    last_confirmed: datetime = EPOCH
    last_enqueued: datetime = EPOCH


@dataclass
class Visit:
    """One visit while it is worked out."""

    name: Any
    events: list[Event]
    stays: list[Stay] = field(default_factory=list)
    attendance: Attendance | None = None
    flags: set[str] = field(default_factory=set)
    stated_arrival: datetime | None = None
    arrival: datetime | None = None
    is_arrival_corrected: bool = False
    answers: Attendance | None = None
    state: _State | None = None


@dataclass
class Facts:
    """Everything that gold's two facts hold."""

    stays: list[Stay]
    attendances: list[Attendance]
    waiting: set[Any]
    survivors: dict[Any, Any]


def order(event: Event) -> tuple[Any, ...]:
    """F1."""
    return event.time, TYPES.index(event.type), event.enqueued_at, event.hub, event.event_id


def taken(event: Event) -> tuple[Any, ...]:
    """When the hub took it."""
    return event.enqueued_at, event.hub


# -- F3


def survivors(events: Iterable[Event]) -> tuple[dict[Any, Any], set[Any]]:
    """Number given up → the number that has its events; numbers in merges that would close a circle."""
    heir: dict[Any, Any] = {}
    circles = set()
    for event in sorted((e for e in events if e.type == "merge_patient"), key=order):
        ancestor = event.patient
        while ancestor in heir and ancestor != event.gives_up:
            ancestor = heir[ancestor]
        if ancestor == event.gives_up:
            circles |= {event.patient, event.gives_up}
        else:
            heir[event.gives_up] = event.patient

    def final(number: Any) -> Any:
        while number in heir:
            number = heir[number]
        return number

    return {number: final(number) for number in heir}, {final(number) for number in circles}


def fold(
    accepted: Sequence[Event],
    class_at: ClassAt,
    *,
    days: int,
    zone: str,
    again: Iterable[tuple[Any, datetime]] = (),
) -> Facts:
    """All facts of the accepted events; ``again`` are (visit, arrival) of repeated snapshots."""
    heirs, circles = survivors(accepted)

    def patient_of(event: Event) -> Any:
        return heirs.get(event.patient, event.patient)

    name_of = _visit_names(accepted, heirs)
    groups: dict[Any, list[Event]] = defaultdict(list)
    for event in accepted:
        if event.type != "merge_patient":
            groups[name_of(event)].append(event)
    names_before = {event.visit: name_of(event) for event in accepted if event.type != "merge_patient"}
    repeated: dict[Any, list[datetime]] = defaultdict(list)
    for name, at in again:
        if name in names_before:
            repeated[names_before[name]].append(at)

    every_visit = [Visit(name, sorted(events, key=order)) for name, events in groups.items()]
    _flag_numbers(every_visit, patient_of)
    visits = []
    for visit in every_visit:
        left = not_void(visit.events)
        if left:
            visits.append(visit)
            _Replay(visit, left, class_at, patient_of).run()
            visit.stays = _stays_of(visit)
            _settle(visit, class_at)
            _attend(visit, class_at, patient_of)
    for visit in visits:
        if any(patient_of(event) in circles for event in visit.events):
            visit.flags.add("merge_closes_a_circle")
    _confirm_attendances(visits, class_at, days, repeated)
    _two_numbers(visits, class_at)
    _confirm_stays(visits, class_at, days, repeated)
    _elsewhere(visits, class_at)
    for visit in visits:
        _finish(visit, class_at, ZoneInfo(zone), repeated)
    return Facts(
        [stay for visit in visits for stay in visit.stays],
        [visit.attendance for visit in visits if visit.attendance],
        {visit.name for visit in visits if not visit.stays and not visit.attendance},
        heirs,
    )


def _visit_names(accepted: Iterable[Event], heirs: dict[Any, Any]) -> Callable[[Event], Any]:
    """F3: derived visits of merged numbers that agree in hospital and admission are the survivor's one visit."""
    same: dict[tuple[Any, ...], list[tuple[bool, Any]]] = defaultdict(list)
    merged = set(heirs) | set(heirs.values())

    def key(event: Event) -> tuple[Any, ...] | None:
        if not event.is_derived or event.patient not in merged:
            return None
        return heirs.get(event.patient, event.patient), event.hospital, event.admission

    for event in accepted:
        if (where := key(event)) is not None:
            same[where].append((event.patient in heirs, event.visit))

    def name(event: Event) -> Any:
        where = key(event)
        return event.visit if where is None else min(same[where])[1]

    return name


# -- F1, F12


def not_void(events: Sequence[Event]) -> list[Event]:
    """F12: a void takes every event up to it; at its own time those that the hub took before it."""
    left = list(events)
    for void in events:
        if void.type == "void_visit":
            left = [e for e in left if e.time > void.time or (e.time == void.time and taken(e) > taken(void))]
    return left


def standing(events: Sequence[Event]) -> list[Event]:
    """What no cancel undoes."""
    left: list[Event] = []
    for event in events:
        if not event.type.startswith("cancel_"):
            left.append(event)
            continue
        kind = event.type.removeprefix("cancel_")

        def candidates(kinds: tuple[str, ...], cancel: Event = event, among: list[Event] = left) -> list[Event]:
            found = [e for e in among if e.type in kinds]
            before = [e for e in found if e.time < cancel.time or taken(e) < taken(cancel)]
            return before or found

        if kind != "admission":
            targets = candidates((kind,))
            if targets:
                left.remove(targets[-1])
            continue
        targets = candidates(("admission",)) or candidates((SNAPSHOT,))
        if not targets:
            gone = candidates(("arrival", "triage"))
            left = [e for e in left if e not in gone]
            continue
        target = targets[-1]
        where = left.index(target)
        head, tail = left[:where], left[where + 1 :]
        if target.type == SNAPSHOT:
            head = [e for e in head if e.type != SNAPSHOT]
        left = head + [
            e
            for e in tail
            if e.type not in ("transfer", "discharge") or (e.time == event.time and taken(e) > taken(event))
        ]
    return left


# -- F7, F9


@dataclass
class _Place:
    """A placement, or where ``leaves`` is set the end of one, that a snapshot states."""

    at: datetime
    sorted_at: datetime
    of: Event
    department: str
    bed: str | None
    estimated: bool = False
    leaves: str | None = None


def _own_time(event: Event) -> bool:
    return event.states_time and event.admission is not None and event.time > event.admission


def _snapshot_places(
    left: Sequence[Event], flags: set[str]
) -> tuple[list[_Place], list[Event], Event | None, list[Event]]:
    """Placements that snapshots state, the snapshots that count, the newest, and those that place nobody."""
    shots = [e for e in left if e.type == SNAPSHOT]
    # Whole statements make what came before them forgotten.
    start = 0
    for number, shot in enumerate(shots):
        if shot.stays is not None or not _own_time(shot):
            start = number
    counted = shots[start:]
    if not counted:
        return [], [], None, []
    first = counted[0]
    places: list[_Place] = []
    here = first.department
    if first.stays is not None:
        places = _listed_places(first, flags)
        if here is None:
            entries = sorted(json.loads(first.stays), key=lambda e: 0)
            here = entries[-1]["department"] if entries else None
    elif first.department is not None:
        began = first.admission or first.time
        places = [_Place(began, began, first, first.department, first.bed)]
    hospital = first.hospital
    for shot in counted[1:]:
        if shot.department is not None and (shot.hospital, shot.department) != (hospital, here):
            moved = min(shot.time, shot.discharge) if shot.discharge else shot.time
            places.append(_Place(moved, moved, shot, shot.department, shot.bed, estimated=True))
        elif places:
            assert shot.admission is not None
            places[0].at = shot.admission
            following = [p.at for p in places[1:2]]
            places[0].sorted_at = min([shot.admission, *following])
            places[-1].bed = shot.bed or places[-1].bed
        here, hospital = shot.department, shot.hospital
    sent = [e for e in left if e.type in ("admission", "transfer") and e.source != "reconciliation"]
    silent: list[Event] = []
    if sent and places:
        until = None if any(e.type == "admission" for e in sent) else sent[0].time
        places = [p for p in places if until is not None and p.at < until]
        silent = [shot for shot in counted if all(p.of is not shot for p in places)]
    return places, counted, counted[-1], silent


def _listed_places(shot: Event, flags: set[str]) -> list[_Place]:
    """F9."""
    entries = sorted(json.loads(shot.stays or "[]"), key=lambda entry: entry["from"])

    def instant(stated: int | None) -> datetime | None:
        return None if stated is None else EPOCH + timedelta(microseconds=stated)

    ahead = shot.enqueued_at + TOLERANCE
    known = []
    for entry in entries:
        first, last = instant(entry["from"]), instant(entry["to"])
        assert first is not None
        if first > ahead:
            flags.add("stays_are_in_the_future")
            continue
        if last is not None and last > ahead:
            flags.add("stays_are_in_the_future")
            last = None
        known.append((first, last, entry["department"], entry.get("bed_id")))
    places: list[_Place] = []
    for number, (first, last, department, bed) in enumerate(known):
        places.append(_Place(first, first, shot, department, bed))
        if number + 1 < len(known):
            following = known[number + 1][0]
            if last is None or last > following:
                flags.add("stays_overlap")
            elif last < following:
                places.append(_Place(last, last, shot, department, bed, leaves="gap"))
        elif last is not None:
            places.append(_Place(last, last, shot, department, bed, leaves="fact"))
    return places


# -- F4, F5, F8, F10, F11


@dataclass
class _Placement:
    at: datetime
    hospital: str
    department: str
    patient: Any
    bed: str | None
    visit_class: str | None
    made_by: str
    is_opened: bool
    new_segment: bool
    flags: set[str]
    end: tuple[datetime, str] | None = None


@dataclass
class _Part:
    """A visit from one discharge to the next."""

    end: tuple[datetime, str] | None = None
    status: str | None = None
    plan: datetime | None = None
    planned: datetime | None = None
    ready: datetime | None = None


@dataclass
class _State:
    """What is known of a visit after its last event."""

    placements: list[_Placement] = field(default_factory=list)
    parts: list[_Part] = field(default_factory=lambda: [_Part()])
    klass: str | None = None
    by_class: bool = False
    opened: bool = False
    arrivals: list[tuple[Event, str | None]] = field(default_factory=list)
    triage: tuple[Event, str | None] | None = None
    classes: list[tuple[int, str]] = field(default_factory=list)
    admission_times: list[tuple[datetime, bool]] = field(default_factory=list)
    wait: float | None = None
    wait_at: int = 0
    seen: datetime | None = None
    decision: datetime | None = None
    admission_type: str | None = None
    newest: Event | None = None
    lifecycle: bool = False
    triages: list[datetime] = field(default_factory=list)
    triage_corrected: datetime | None = None


def _takes_bed(klass: str | None, listed: str | None) -> bool:
    return klass not in BEDLESS or (klass == "outpatient" and listed == "emergency")


def _known_at(event: Event) -> datetime:
    """Up to when a discharge that the event states may have happened."""
    return event.enqueued_at if event.type == SNAPSHOT and not event.states_time else event.time


class _Replay:
    """One visit, event by event."""

    def __init__(
        self, visit: Visit, events: list[Event], class_at: ClassAt, patient_of: Callable[[Event], Any]
    ) -> None:
        self.visit, self.events, self.class_at, self.patient_of = visit, events, class_at, patient_of
        self.left = standing(events)
        self.state = visit.state = _State()
        self.places, self.counted, self.state.newest, self.silent = _snapshot_places(self.left, visit.flags)
        self.state.lifecycle = any(
            e.type in ("admission", "transfer", "discharge") and e.source != "reconciliation" for e in events
        )
        self.undone = [e.time for e in events if e.type == "cancel_discharge"]
        self.placed_at = [e.time for e in self.left if e.type in ("admission", "transfer")]
        self.placed_at += [p.at for p in self.places if p.leaves is None]

    def run(self) -> None:
        """Everything that stands, in order; at one instant ends that a snapshot states, its placements, its facts."""
        steps: list[tuple[tuple[Any, ...], Any]] = []
        for number, event in enumerate(self.left):
            if event.type != SNAPSHOT or event in self.counted:
                steps.append(((event.time, TYPES.index(event.type), 2, number), event))
        for number, item in enumerate(self.places):
            steps.append(((item.sorted_at, TYPES.index(SNAPSHOT), 0 if item.leaves else 1, number), item))
        for _, step in sorted(steps, key=lambda pair: pair[0]):
            if isinstance(step, _Place):
                self.snapshot_place(step)
            elif step.type == SNAPSHOT:
                self.snapshot(step)
            else:
                self.lifecycle(step)
        self.state_arrival()

    def snapshot_place(self, item: _Place) -> None:
        if item.leaves is None:
            self.state.opened = True
            self.state_class(item.of, item.at, item.department, item.bed)
            self.place(item.of, item.at, item.department, item.bed, estimated=item.estimated)
        elif self.state.placements and self.state.placements[-1].department == item.department:
            self.end(item.at, item.leaves)

    def snapshot(self, event: Event) -> None:
        self.state_class(event, event.time, event.department, event.bed)
        if event is self.state.newest:
            self.state.opened = True
            if event.discharge is not None:
                self.other_discharge(event)
            self.state_status(event)
            self.note(event)

    def lifecycle(self, event: Event) -> None:
        state = self.state
        state.opened = state.opened or event.type == "admission"
        if event.type == "discharge":
            self.discharge(event)
        self.state_class(event, event.time, event.department, event.bed)
        if event.type in ("admission", "transfer"):
            self.place(event, event.time, event.department, event.bed, estimated=False)
            if event.type == "admission" and event.admission is not None:
                state.admission_times.append((event.admission, event.admission == event.time))
        elif event.type == "update":
            self.update(event)
        elif event.type == "arrival":
            state.arrivals.append((event, state.klass))
        elif event.type == "triage" and state.triage is None:
            state.triage = (event, state.klass)
        self.note(event)

    def is_plan(self, event: Event) -> bool:
        assert event.discharge is not None
        return event.discharge > _known_at(event) or any(
            e.type != "discharge"
            and e.discharge == event.discharge
            and order(e) < order(event)
            and e.discharge > _known_at(e)
            for e in self.events
        )

    def end(self, at: datetime, how: str) -> None:
        if self.state.placements:
            self.state.placements[-1].end = (at, how)
        if how != "gap":
            self.state.parts[-1].end = (at, how)

    def other_discharge(self, event: Event) -> None:
        """F11: the discharge that an event states which is none itself."""
        assert event.discharge is not None
        if self.is_plan(event):
            self.state.parts[-1].plan = self.state.parts[-1].planned = event.discharge
        elif not self.state.by_class and all(at <= event.discharge for at in (*self.placed_at, *self.undone)):
            self.end(event.discharge, "fact")

    def discharge(self, event: Event) -> None:
        self.state_status(event)
        if self.state.by_class:
            return
        at = event.discharge or event.time
        before = [p.at for p in self.state.placements] + [t for t in self.undone if t < event.time]
        self.end(event.time if any(t > at for t in before) else at, "fact")

    def state_status(self, event: Event) -> None:
        self.state.parts[-1].status = event.status or self.state.parts[-1].status

    def state_class(self, event: Event, at: datetime, department: str | None, bed: str | None) -> None:
        """F5."""
        if event.visit_class is None:
            return
        state = self.state
        before, state.klass = state.klass, event.visit_class
        state.classes.append((len(state.placements), event.visit_class))
        if not state.placements:
            return
        current = state.placements[-1]
        had_bed = _takes_bed(before, self.class_at(current.hospital, current.department, current.at)[0])
        listed = self.class_at(event.hospital, department or current.department, at)[0]
        has_bed = _takes_bed(event.visit_class, listed)
        if had_bed and not has_bed and bed is None and current.end is None:
            self.end(at, "class")
            state.by_class = True
        elif has_bed and state.by_class and event.type == "update":
            current.end = state.parts[-1].end = None
            state.by_class = False

    def place(self, event: Event, at: datetime, department: str | None, bed: str | None, *, estimated: bool) -> None:
        """F4, F5."""
        state = self.state
        if department is None:
            return
        listed = self.class_at(event.hospital, department, at)[0]
        if bed is None and not _takes_bed(state.klass, listed):
            return
        again = state.parts[-1].end is not None
        if again:
            state.parts.append(_Part())
        state.by_class = False
        state.placements.append(
            _Placement(
                at,
                event.hospital,
                department,
                self.patient_of(event),
                bed,
                "emergency" if state.klass == "outpatient" and listed == "emergency" else state.klass,
                event.type,
                state.opened,
                again,
                {"time_is_estimated"} if estimated else set(),
            )
        )

    def update(self, event: Event) -> None:
        """F10."""
        state = self.state
        if event.admission is not None:
            state.admission_times.append((event.admission, False))
        if event.discharge is not None:
            self.other_discharge(event)
        self.state_status(event)
        if not state.placements or state.placements[-1].end is not None:
            return
        current = state.placements[-1]
        named = (event.hospital, event.department)
        if event.department is not None and named != (current.hospital, current.department):
            if named == self.before_current():
                current.flags.add("update_names_an_earlier_department")
                return
            current.hospital, current.department = event.hospital, event.department
        current.bed = event.bed or current.bed

    def before_current(self) -> tuple[str, str | None] | None:
        state = self.state
        current = state.placements[-1]
        for other in state.placements[-2::-1]:
            if other.end is not None or (other.hospital, other.department) != (current.hospital, current.department):
                return other.hospital, other.department
        if state.arrivals:
            return state.arrivals[-1][0].hospital, state.arrivals[-1][0].department
        return None

    def note(self, event: Event) -> None:
        """What is stated of the visit as a whole: the last statement counts."""
        state, part = self.state, self.state.parts[-1]
        if event.type == "update" and event.triage:
            state.triage_corrected = event.triage
        elif event.type == "triage" or event.triage:
            state.triages.append(event.triage or event.time)
        state.seen, state.decision = event.seen or state.seen, event.decision or state.decision
        part.planned, part.ready = event.planned or part.planned, event.ready or part.ready
        state.admission_type = event.admission_type or state.admission_type
        if event.wait is not None:
            state.wait, state.wait_at = event.wait, len(state.placements)
        if event.discharge is not None and event.type in ("arrival", "triage", "admission", "transfer"):
            self.other_discharge(event)

    def state_arrival(self) -> None:
        """F14: the earliest arrival, corrected by updates. F7: flagged is a snapshot that fits nowhere."""
        state, visit = self.state, self.visit
        known = {(p.hospital, p.department) for p in state.placements}
        known |= {(e.hospital, e.department) for e, _ in state.arrivals if e.department}
        if any(e.department is not None and (e.hospital, e.department) not in known for e in self.silent):
            visit.flags.add("snapshot_names_another_department")
        stated = [e for e in self.left if e.arrival is not None and (e.type != SNAPSHOT or e is state.newest)]
        corrections = [e.arrival for e in stated if e.type == "update"]
        others = [e.arrival for e in stated if e.type not in ("arrival", "update") and e.arrival is not None]
        dates = [e.arrival or e.time for e, _ in state.arrivals]
        visit.stated_arrival = corrections[-1] if corrections else min([*dates, *others], default=None)
        visit.is_arrival_corrected = bool(corrections)
        visit.arrival = visit.stated_arrival


def _stays_of(visit: Visit) -> list[Stay]:
    """A placement where the patient already lies continues the stay."""
    state = visit.state
    assert state is not None
    stays: list[Stay] = []
    segment = 0
    for number, place in enumerate(state.placements, start=1):
        segment += place.new_segment
        last = stays[-1] if stays else None
        if last and last.stated_end is None and (last.hospital, last.department) == (place.hospital, place.department):
            last.bed = place.bed or last.bed
            last.stated_end = place.end
            last.flags |= place.flags
            continue
        stays.append(
            Stay(
                visit.name,
                place.patient,
                place.hospital,
                place.department,
                place.at,
                place.at,
                place.bed,
                place.visit_class,
                place.made_by,
                place.is_opened,
                number,
                segment,
                last if last and last.stated_end is None else None,
                place.end,
                set(place.flags),
                number=len(stays) + 1,
            )
        )
    return stays


# -- F6, F13


def _settle(visit: Visit, class_at: ClassAt) -> None:
    """Beginnings, ends and kinds."""
    state = visit.state
    assert state is not None
    if not visit.stays:
        return
    _date_first(visit, state)
    if state.parts[-1].end and state.parts[-1].end[1] == "plan":
        state.parts[-1].end = None
    for stay, following in zip(visit.stays, [*visit.stays[1:], None], strict=True):
        listed = class_at(stay.hospital, stay.department, stay.begins)[0]
        if listed == "emergency" or (listed is None and stay.visit_class == "emergency"):
            stay.kind = "emergency"
        else:
            stay.kind = "side" if listed == "other" else "ward"
        stay.ends, stay.how = _end_of(stay, following, state)
        if stay.ends is not None and stay.ends < stay.begins:
            stay.flags.add("stay_times_conflict")
            stay.ends = stay.begins
    last = visit.stays[-1]
    if last.how == "plan" and last.ends:
        state.parts[-1].end = (last.ends, "plan")


def _date_first(visit: Visit, state: _State) -> None:
    """F6."""
    first = visit.stays[0]
    first.begins = first.own_time
    first.flags -= {"admission_time_is_arrival", "admission_time_contradicts"}
    bounds = [p.at for p in state.placements[1:2]]
    if state.placements[0].end:
        bounds.append(state.placements[0].end[0])
    for stated, is_own in state.admission_times:
        if visit.arrival is not None and stated <= visit.arrival:
            first.flags.add("admission_time_is_arrival")
        elif all(stated < bound for bound in bounds):
            first.begins = stated
        elif not is_own:
            first.flags.add("admission_time_contradicts")


def _end_of(stay: Stay, following: Stay | None, state: _State) -> tuple[datetime | None, str | None]:
    """F11: a stated end, the next stay, or a plan in a visit whose sender states none of these."""
    if stay.stated_end and (following is None or stay.stated_end[0] <= following.begins):
        return stay.stated_end
    if following is not None:
        return following.begins, "move"
    plan = state.parts[-1].plan
    if plan is not None and not state.lifecycle and plan >= stay.begins:
        return plan, "plan"
    return None, None


# -- F14, F15


def _own_arrival(event: Event) -> datetime:
    if event.arrival is not None:
        return event.arrival
    return event.triage or event.time


def _attend(visit: Visit, class_at: ClassAt, patient_of: Callable[[Event], Any]) -> None:
    """F14."""
    state = visit.state
    assert state is not None
    first = next((stay for stay in visit.stays if stay.kind != "side"), None)
    begins_as_emergency = first is not None and first.kind == "emergency"
    emergencies = _emergency_arrivals(visit, state, first, class_at)
    if not begins_as_emergency and not emergencies:
        return
    emergency_stay = next((stay for stay in visit.stays if stay.kind == "emergency"), None)
    arrival, flags = _attendance_arrival(visit, state, first)
    if emergency_stay is not None:
        place = emergency_stay.patient, emergency_stay.hospital, emergency_stay.department
        arrival = emergency_stay.begins if arrival is None else arrival
    else:
        event = emergencies[0][1]
        place = patient_of(event), event.hospital, event.department or ""
        arrival = event.time if arrival is None else arrival
    if emergencies and emergencies[0][2] and not begins_as_emergency:
        flags.add("emergency_is_assumed")
    who, hospital, department = place
    attendance = Attendance(visit.name, who, hospital, department or None, arrival, flags=flags)
    attendance.triage = state.triage_corrected or min(state.triages, default=None)
    attendance.seen, attendance.decision = state.seen, state.decision
    visit.attendance = attendance
    _depart(visit, attendance)


def _emergency_arrivals(
    visit: Visit, state: _State, first: Stay | None, class_at: ClassAt
) -> list[tuple[datetime, Event, bool]]:
    """Arrivals (without one the triage) no later than the first stay that are emergencies; True where assumed."""
    arrivals = state.arrivals or ([state.triage] if state.triage else [])
    earliest = min((_own_arrival(event) for event, _ in arrivals), default=None)
    found = []
    for event, klass in arrivals:
        at = _own_arrival(event)
        if visit.is_arrival_corrected and at == earliest and visit.stated_arrival is not None:
            at = visit.stated_arrival
        if first is not None and at > first.begins:
            continue
        listed = class_at(event.hospital, event.department, at)[0]
        if listed is not None or klass is not None:
            if (listed or klass) == "emergency":
                found.append((at, event, False))
        elif first is None or (first.hospital, first.department) != (event.hospital, event.department):
            found.append((at, event, True))
    return sorted(found, key=lambda item: item[0])


def _attendance_arrival(visit: Visit, state: _State, first: Stay | None) -> tuple[datetime | None, set[str]]:
    """The arrival, without one the triage, flagged; None where both are later than the first stay."""
    arrival, flags = visit.stated_arrival, set()
    if arrival is None and state.triage:
        arrival, flags = _own_arrival(state.triage[0]), {"triage_stands_for_arrival"}
    if arrival is not None and first is not None and arrival > first.begins:
        return None, set()
    return arrival, flags


def _depart(visit: Visit, attendance: Attendance) -> None:
    assert visit.state is not None
    ward = next((stay for stay in visit.stays if stay.kind == "ward"), None)
    ended = [
        part
        for part in visit.state.parts
        if part.end and part.end[0] >= attendance.arrival and (ward is None or part.end[0] < ward.begins)
    ]
    attendance.status = (ended or visit.state.parts)[-1].status
    if ended:
        attendance.departure, attendance.how = ended[-1].end or (None, None)
        kept = ("transferred", "deceased", "left_against_advice", "left_without_being_seen")
        attendance.outcome = attendance.status if attendance.status in kept else "discharged"
        assert attendance.departure is not None
        follows = ward is not None and ward.begins - attendance.departure <= SIX_HOURS
        if follows and attendance.status in (None, "other"):
            attendance.outcome = "admitted"
    elif ward is not None:
        attendance.departure, attendance.outcome, attendance.how = ward.begins, "admitted", "move"


def _ward(visit: Visit) -> Stay | None:
    return next((stay for stay in visit.stays if stay.kind == "ward"), None)


def _two_numbers(visits: Sequence[Visit], class_at: ClassAt) -> None:
    """F15: each ward visit answers the attendance with the latest arrival, each attendance takes the earliest."""
    answers: dict[Any, list[tuple[datetime, Any, Visit]]] = defaultdict(list)
    asked: dict[Any, Attendance] = {}
    for visit in visits:
        ward = _ward(visit)
        if visit.attendance is not None or ward is None:
            continue
        fitting = []
        for other in visits:
            found = other.attendance
            if found is None or _ward(other) is not None or found.status not in (None, "other"):
                continue
            if (found.patient, found.hospital) != (ward.patient, ward.hospital) or ward.own_time < found.arrival:
                continue
            if found.departure is not None:
                fits = ward.own_time <= found.departure + SIX_HOURS
            else:
                fits = any(since <= ward.own_time < until for since, until in found.spans or [])
            if fits:
                fitting.append(found)
        if fitting:
            latest = max(found.arrival for found in fitting)
            chosen = min((found for found in fitting if found.arrival == latest), key=lambda found: found.visit)
            asked[chosen.visit] = chosen
            answers[chosen.visit].append((ward.own_time, visit.name, visit))
    for name, found_visits in answers.items():
        attendance = asked[name]
        at, _, visit = min(found_visits, key=lambda item: item[:2])
        attendance.outcome = "admitted"
        if attendance.departure is None or at < attendance.departure:
            attendance.departure, attendance.how = at, "move"
            attendance.spans = None
        visit.answers = attendance
        if visit.stated_arrival is None:
            visit.arrival = attendance.arrival
            _settle(visit, class_at)


# -- F17


def _union(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    joined: list[tuple[datetime, datetime]] = []
    for since, until in sorted(spans):
        if since >= until:
            continue
        if joined and joined[-1][1] >= since:
            joined[-1] = joined[-1][0], max(joined[-1][1], until)
        else:
            joined.append((since, until))
    return joined


def _covered(
    visit: Visit, begins: datetime, ends: datetime | None, how: str | None, lasting: timedelta, again: list[datetime]
) -> list[tuple[datetime, datetime]]:
    spans = []
    for event in visit.events:
        spans.append((event.time, event.time + lasting))
        if event.type == SNAPSHOT or event.is_imported:
            spans.append((event.enqueued_at, event.enqueued_at + lasting))
        if event.type != SNAPSHOT:
            spans.append((begins, event.time))
    spans += [(at, at + lasting) for at in again]
    newest = visit.state.newest if visit.state else None
    if how == "plan" and ends is not None:
        since = EPOCH
        limit = EPOCH + 365 * DAY
        if newest is not None:
            since = newest.time if newest.states_time else newest.enqueued_at
            limit = newest.enqueued_at + 365 * DAY
        spans.append((since, min(ends, limit)))
    return _union((max(since, begins), until if ends is None else min(until, ends)) for since, until in spans)


def _lasting(listed: int | None, is_emergency: bool, days: int) -> timedelta:
    if listed is not None:
        return listed * DAY
    return (2 if is_emergency else days) * DAY


def _confirm_attendances(
    visits: Iterable[Visit], class_at: ClassAt, days: int, again: dict[Any, list[datetime]]
) -> None:
    for visit in visits:
        found = visit.attendance
        if found is not None and (found.departure is None or found.how == "plan"):
            listed = class_at(found.hospital, found.department, found.arrival)[1]
            lasting = _lasting(listed, True, days)
            found.spans = _covered(visit, found.arrival, found.departure, found.how, lasting, again.get(visit.name, []))


def _confirm_stays(visits: Iterable[Visit], class_at: ClassAt, days: int, again: dict[Any, list[datetime]]) -> None:
    for visit in visits:
        for stay in visit.stays[-1:]:
            if stay.ends is None or stay.how == "plan":
                listed = class_at(stay.hospital, stay.department, stay.begins)[1]
                lasting = _lasting(listed, stay.kind == "emergency", days)
                stay.spans = _covered(visit, stay.begins, stay.ends, stay.how, lasting, again.get(visit.name, []))


def _is_day_case(visit: Visit, class_at: ClassAt) -> bool:
    wards = [stay for stay in visit.stays if stay.kind == "ward"]
    if not wards:
        return False
    listed = {class_at(stay.hospital, stay.department, stay.begins)[0] for stay in wards}
    return wards[0].visit_class == "day_case" or listed == {"day_case"}


def _elsewhere(visits: Sequence[Visit], class_at: ClassAt) -> None:
    for visit in visits:
        last = max(event.time for event in visit.events)
        for item in (*visit.stays[-1:], visit.attendance):
            if item is None or item.spans is None:
                continue
            placed = [
                stay.begins
                for other in visits
                if other is not visit and not _is_day_case(other, class_at)
                for stay in other.stays
                if stay.kind == "ward" and stay.patient == item.patient and stay.begins > last
            ]
            if placed and item.spans and item.spans[-1][1] > min(placed):
                item.spans = [(since, min(until, min(placed))) for since, until in item.spans if since < min(placed)]
                item.flags.add("patient_is_elsewhere")
            item.confirmed_until = item.spans[-1][1] if item.spans else None


# -- F2


def _flag_numbers(visits: Sequence[Visit], patient_of: Callable[[Event], Any]) -> None:
    def near(one: Event, other: Event) -> bool:
        return abs(one.time - other.time) <= 30 * DAY

    for visit in visits:
        pairs = [(one, other) for one in visit.events for other in visit.events if near(one, other)]
        if any(patient_of(one) != patient_of(other) for one, other in pairs):
            visit.flags.add("visit_number_has_two_patients")
        if any(one.hospital != other.hospital for one, other in pairs):
            visit.flags.add("visit_number_has_two_hospitals")
    numbered: dict[Any, list[tuple[Visit, Event]]] = defaultdict(list)
    for visit in visits:
        for event in visit.events:
            if event.number is not None:
                numbered[event.number].append((visit, event))
    for found in numbered.values():
        is_ambiguous = any(
            one is not other and near(event, another) for one, event in found for other, another in found
        )
        for visit, _ in found if is_ambiguous else ():
            visit.flags.add("visit_number_has_two_scopes")


# -- F16, F18


def _finish(visit: Visit, class_at: ClassAt, zone: ZoneInfo, again: dict[Any, list[datetime]]) -> None:
    state = visit.state
    assert state is not None
    event_flags = {flag for event in visit.events for flag in event.flags}
    confirmed = [event.time for event in visit.events] + again.get(visit.name, [])
    confirmed += [e.enqueued_at for e in visit.events if e.type == SNAPSHOT or e.is_imported]
    wards = [stay for stay in visit.stays if stay.kind == "ward"]
    attendance = visit.attendance
    for stay in visit.stays:
        stay.arrival = attendance.arrival if attendance else visit.arrival
        stay.admission_type = state.admission_type
        stay.is_day_case = _is_day_case(visit, class_at)
    if visit.stays:
        visit.stays[-1].planned, visit.stays[-1].ready = state.parts[-1].planned, state.parts[-1].ready
    if wards:
        _admission(visit, wards, zone)
    items: list[Stay | Attendance] = [*visit.stays]
    if attendance is not None:
        items.append(attendance)
    for item in items:
        item.all_flags = tuple(sorted(event_flags | visit.flags | item.flags))
        item.last_confirmed = max(confirmed)
        item.last_enqueued = max(event.enqueued_at for event in visit.events)


def _admission(visit: Visit, wards: list[Stay], zone: ZoneInfo) -> None:
    state, attendance = visit.state, visit.attendance
    assert state is not None
    first, last = wards[0], wards[-1]
    before = visit.stays[: visit.stays.index(first)]
    first.is_visit_start = bool(
        first.is_opened or attendance or visit.answers or any(stay.kind == "emergency" for stay in before)
    )
    later = {klass for number, klass in state.classes if number >= first.place_number} - set(BEDLESS)
    for stay in visit.stays:
        stay.is_observation = first.visit_class == "observation" and later <= {"observation"}
    # From an emergency stay to a ward is an admission, no transfer; side stays on the way do not count.
    for stay in wards:
        origin = stay.came_from
        while origin is not None and origin.kind == "side":
            origin = origin.came_from
        stay.is_transfer = (
            origin is not None
            and origin.kind == "ward"
            and (origin.hospital, origin.department) != (stay.hospital, stay.department)
        )
    if first.is_visit_start:
        _wait(visit, first)
    final = last
    for stay in visit.stays[visit.stays.index(last) + 1 :]:
        if stay.came_from is not final:
            break
        final = stay
    if final.how not in ("fact", "plan", "class") or final.ends is None:
        return
    last.is_visit_end = True
    last.status = state.parts[last.segment].status
    if first.is_visit_start:
        last.visit_length = final.ends - first.begins
        last.in_bed = sum((stay.ends - stay.begins for stay in wards if stay.ends), timedelta())
        last.nights = sum(
            (stay.ends.astimezone(zone).date() - stay.begins.astimezone(zone).date()).days
            for stay in wards
            if stay.ends
        )


def _wait(visit: Visit, first: Stay) -> None:
    state, attendance = visit.state, visit.attendance
    assert state is not None
    if state.wait is not None and state.wait_at >= first.place_number:
        first.wait, first.wait_source = state.wait, "reported"
        return
    arrival = visit.arrival
    if attendance is not None:
        arrival = attendance.arrival if attendance.outcome == "admitted" else None
    if arrival is None or first.begins < arrival or (first.made_by == SNAPSHOT and first.begins == arrival):
        return
    minutes = (first.begins - arrival) / timedelta(minutes=1)
    if minutes > LONGEST_WAIT:
        first.flags.add("wait_is_out_of_range")
    else:
        first.wait, first.wait_source = minutes, "derived"
