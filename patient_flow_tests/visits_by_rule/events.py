"""Events, their order, merges of patients, and what cancels and voids leave standing (F1, F3, F12)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

TYPES = (
    *("arrival", "triage", "admission", "transfer", "discharge", "update"),
    *("cancel_admission", "cancel_transfer", "cancel_discharge", "void_visit", "visit_snapshot", "merge_patient"),
)
SNAPSHOT = "visit_snapshot"
CORRECTION = "reconciliation"
TOLERANCE = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """One entry of a snapshot's ``stays``."""

    department: str
    bed_id: str | None
    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True)
class Event:
    """One accepted event, with the names of silver."""

    event_id: str
    event_type: str
    event_time: datetime
    enqueued_at: datetime
    hub: tuple[Any, ...]
    """Partition, sequence number and part."""
    is_imported: bool
    visit_id: Any
    visit_number_hash: Any
    patient_id: str
    merged_patient_id: str | None
    hospital_id: str
    department: str | None
    arrival_time: datetime | None
    triage_time: datetime | None
    seen_time: datetime | None
    decision_time: datetime | None
    admission_time: datetime | None
    discharge_time: datetime | None
    planned_discharge_time: datetime | None
    ready_time: datetime | None
    states_event_time: bool | None
    wait_minutes: float | None
    bed_id: str | None
    visit_class: str | None
    admission_type: str | None
    discharge_status: str | None
    stays: tuple[Entry, ...]
    source: str | None
    quality_flags: tuple[str, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The event of a silver row."""
        values: dict[str, Any] = {field.name: row.get(field.name) for field in fields(cls)}
        values["hub"] = (row["partition_id"], row["sequence_number"], row["part"])
        values["is_imported"] = row["partition_id"].startswith("import-")
        values["quality_flags"] = tuple(row["quality_flags"] or ())
        values["stays"] = entries(row["stays"])
        return cls(**values)

    @property
    def hub_order(self) -> tuple[Any, ...]:
        """When the hub took it."""
        return self.enqueued_at, self.hub

    @property
    def order(self) -> tuple[Any, ...]:
        """F1: the total order."""
        return self.event_time, TYPES.index(self.event_type), *self.hub_order, self.event_id

    @property
    def known_stays(self) -> tuple[Entry, ...]:
        """F9: ``stays`` without what lies ahead of the hub: such an entry is left out, such an end is open."""
        latest = self.enqueued_at + TOLERANCE
        return tuple(
            replace(entry, ends_at=None) if entry.ends_at is not None and entry.ends_at > latest else entry
            for entry in self.stays
            if entry.starts_at <= latest
        )

    @property
    def is_snapshot(self) -> bool:
        return self.event_type == SNAPSHOT

    @property
    def visit_is_derived(self) -> bool:
        """F3: a snapshot whose sender states no visit number."""
        return self.is_snapshot and self.visit_number_hash is None

    @property
    def is_by_sender(self) -> bool:
        """F7: neither a snapshot nor a correction."""
        return not self.is_snapshot and self.source != CORRECTION

    @property
    def has_own_time(self) -> bool:
        """F7: a snapshot with an event time later than its admission, and without ``stays``."""
        if not self.states_event_time or self.stays:
            return False
        return self.admission_time is None or self.event_time > self.admission_time


def entries(stays: str | None) -> tuple[Entry, ...]:
    """The entries of ``stays`` as silver keeps it."""
    return tuple(
        Entry(entry["department"], entry.get("bed_id"), _instant(entry["from"]), _instant(entry["to"]))
        for entry in sorted(json.loads(stays or "[]"), key=lambda entry: entry["from"])
    )


def _instant(microseconds: int | None) -> Any:
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)


def in_order(events: Iterable[Event]) -> list[Event]:
    """F1."""
    return sorted(events, key=lambda event: event.order)


def survivors(events: Iterable[Event]) -> tuple[dict[str, str], set[str]]:
    """F3: who each number that was given up is now, and the numbers whose merge would have closed a circle."""
    parents: dict[str, str] = {}
    circles: set[str] = set()
    for merge in in_order(event for event in events if event.event_type == "merge_patient"):
        given_up = merge.merged_patient_id
        if given_up is None:
            continue
        if given_up in _chain(merge.patient_id, parents):
            circles |= {merge.patient_id, given_up}
        else:
            parents[given_up] = merge.patient_id
    return {number: _chain(number, parents)[-1] for number in parents}, circles


def _chain(number: str, parents: Mapping[str, str]) -> list[str]:
    chain = [number]
    while chain[-1] in parents:
        chain.append(parents[chain[-1]])
    return chain


def merged(events: Iterable[Event], final: Mapping[str, str]) -> list[Event]:
    """F3: all events of a number that was given up are the survivor's; derived visits are derived with it."""
    result = []
    for event in events:
        patient = final.get(event.patient_id, event.patient_id)
        visit = event.visit_id
        if event.visit_is_derived:
            visit = ("derived", event.hospital_id, patient, event.admission_time)
        result.append(replace(event, patient_id=patient, visit_id=visit))
    return result


def without_void_corrections(of_visit: Sequence[Event]) -> list[Event]:
    """Contract 3.6: the events of one visit without the corrections that an event of the sender makes void."""
    return [event for event in of_visit if event.source != CORRECTION or not _is_void_correction(event, of_visit)]


def _is_void_correction(correction: Event, of_visit: Sequence[Event]) -> bool:
    taken = correction.enqueued_at
    for event in of_visit:
        if event.source == CORRECTION or event.is_imported:
            continue
        places = event.event_type in ("admission", "transfer", SNAPSHOT)
        cancels = event.event_type in ("cancel_admission", "cancel_transfer", "cancel_discharge", "void_visit")
        if (places or cancels or event.event_type == "discharge") and event.event_time <= taken < event.enqueued_at:
            return True
        goes_on = places or event.event_type == "cancel_discharge"
        if correction.event_type == "discharge" and goes_on and event.event_time > taken:
            return True
    return False


def unvoided(ordered: Sequence[Event]) -> list[Event]:
    """F12: a void voids all events of the visit up to it; of those at its time, what the hub took before it (F1)."""
    voids = [event for event in ordered if event.event_type == "void_visit"]

    def is_void(event: Event) -> bool:
        return any((event.event_time, event.hub_order) <= (void.event_time, void.hub_order) for void in voids)

    return [event for event in ordered if not is_void(event)]


def standing(ordered: Sequence[Event]) -> list[Event]:
    """What cancels leave. Each undoes the newest event of its kind before it (F1, F12); itself it states nothing."""
    left: list[Event] = []
    for event in ordered:
        if event.event_type == "cancel_admission":
            left = _without_admission(left, event)
        elif event.event_type.startswith("cancel_"):
            kind = event.event_type.removeprefix("cancel_")
            target = _target([candidate for candidate in left if candidate.event_type == kind], event)
            left = [candidate for candidate in left if candidate is not target]
        else:
            if event.is_snapshot and not event.has_own_time:  # F7: it replaces the one before it whole
                left = [earlier for earlier in left if not earlier.is_snapshot]
            left.append(event)
    return left


def _without_admission(left: list[Event], cancel: Event) -> list[Event]:
    """The admission goes, and the transfers and discharges after it; without one, arrival and triage (F12).

    A snapshot is what the cancel undoes only where the visit has no admission: beside one it places nobody (F7).
    """
    admissions = [event for event in left if event.event_type == "admission"]
    target = _target(admissions or [event for event in left if event.is_snapshot], cancel)
    if target is None:
        registered = [event for event in left if event.event_type in ("arrival", "triage")]
        before = [event for event in registered if not _is_taken_after(event, cancel)]
        gone = before or registered
    else:
        later = left[left.index(target) + 1 :]
        taken_along = [event for event in later if event.event_type in ("transfer", "discharge")]
        gone = [target, *(event for event in taken_along if not _is_taken_after(event, cancel))]
        if target.is_snapshot:  # its earlier states go with it
            gone += [event for event in left if event.is_snapshot and event.order < target.order]
    return [event for event in left if not any(event is other for other in gone)]


def _target(candidates: Sequence[Event], cancel: Event) -> Event | None:
    """F1: of one time, one that the hub took before the cancel; one that it took after it only for want of another."""
    before = [event for event in candidates if not _is_taken_after(event, cancel)]
    return next(reversed(before or candidates), None)


def _is_taken_after(event: Event, cancel: Event) -> bool:
    return event.event_time == cancel.event_time and event.hub_order > cancel.hub_order
