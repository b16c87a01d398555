"""A visit as the rules find it: its stays, ends and facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from patient_flow_tests.visits_by_rule.events import Event

NO_BED = ("outpatient", "virtual", "home", "preadmission")


@dataclass
class Stay:
    """Time in one department, as it is found."""

    event: Event
    hospital: str
    department: str
    starts_at: datetime
    placed_at: datetime
    """Event time of the placement; of a snapshot the time at which it places (F6, F11)."""
    visit_class: str | None
    bed: str | None
    is_transfer: bool
    came_from: tuple[str, str] | None
    ends_at: datetime | None = None
    ended_by: str | None = None
    """discharge, fact, class, entry (the end of the last entry of ``stays``), gap (between two), move or plan."""
    kind: str = "ward"
    order: tuple[Any, ...] = ()
    """Its place among the visit's events: that of a placement at ``placed_at``."""
    entry: int = 0
    """Its place among the entries of ``stays``."""
    flags: set[str] = field(default_factory=set)

    @property
    def is_open(self) -> bool:
        """F17: nothing but a plan ends it."""
        return self.ended_by in (None, "plan")


@dataclass
class End:
    """An end of the visit: by discharge, fact, class, the last entry of ``stays``, or plan."""

    at: datetime
    by: str
    event: Event
    order: tuple[Any, ...]


@dataclass
class Visit:
    """One visit as its events tell it."""

    id: Any
    events: list[Event]
    """All accepted events in order, also voided, cancelled and superseded ones."""
    standing: list[Event] = field(default_factory=list)
    """Without voids, cancels, what they undid, and snapshots that a later one replaced."""
    all_standing: list[Event] = field(default_factory=list)
    """The same with every snapshot that left a placement (F7)."""
    stays: list[Stay] = field(default_factory=list)
    arrival: datetime | None = None
    arrival_event: Event | None = None
    """The earliest arrival that stands, or the triage that stands for it."""
    planned_at: datetime | None = None
    ready_at: datetime | None = None
    ends: list[End] = field(default_factory=list)
    """Every end of the visit that stands, in the order in which they were stated."""
    class_at_arrival: dict[tuple[Any, ...], str | None] = field(default_factory=dict)
    """F14: class in force at each arrival and triage, by its order."""
    placed_by_snapshot: list[tuple[Any, ...]] = field(default_factory=list)
    """Where snapshots place, also where that makes no stay."""
    spells: list[tuple[Any, ...]] = field(default_factory=lambda: [()])
    """Order of each placement that follows an end: what is stated before it is stated of what has ended."""
    flags: set[str] = field(default_factory=set)

    @property
    def ward_end(self) -> Stay | None:
        """F16: the stay that ends the visit, from the last ward stay along moves; none while the patient is there."""
        if not self.wards:
            return None
        for stay in self.stays[self.stays.index(self.wards[-1]) :]:
            if stay.ended_by not in ("move", "gap"):
                return stay if stay.ends_at is not None else None
        return None

    def stated_with(self, order: tuple[Any, ...]) -> list[Event]:
        """Events of the same spell as the one at ``order``."""
        begins = max(spell for spell in self.spells if spell <= order)
        ends = min((spell for spell in self.spells if spell > order), default=None)
        return [event for event in self.standing if begins <= event.order and (ends is None or event.order < ends)]

    @property
    def last_ends(self) -> list[End]:
        """The end of each spell: of several that are stated in one the last counts."""
        spell_of = {id(end): max(spell for spell in self.spells if spell <= end.order) for end in self.ends}
        return list({spell_of[id(end)]: end for end in self.ends}.values())

    @property
    def first(self) -> Stay | None:
        """The first stay; one at the side starts no visit (F13)."""
        return next((stay for stay in self.stays if stay.kind != "side"), None)

    @property
    def wards(self) -> list[Stay]:
        return [stay for stay in self.stays if stay.kind == "ward"]


def last(values: Any) -> Any:
    """The last value that is stated."""
    return next((value for value in reversed(list(values)) if value is not None), None)


def arrived_at(event: Event) -> datetime:
    """When an arrival event says that it happened."""
    return event.arrival_time or event.event_time
