"""The data of the fold: events, placements, stays, visits. Instants are microseconds since 1970, UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from patient_flow.transforms.order import RANK

if TYPE_CHECKING:
    from patient_flow.transforms.visits.statements import Statements

ADMISSION, TRANSFER, DISCHARGE, UPDATE = (RANK[name] for name in ("admission", "transfer", "discharge", "update"))
ARRIVAL, TRIAGE, SNAPSHOT, VOID = (RANK[name] for name in ("arrival", "triage", "visit_snapshot", "void_visit"))
CANCEL_ADMISSION, CANCEL_TRANSFER, CANCEL_DISCHARGE = (
    RANK[name] for name in ("cancel_admission", "cancel_transfer", "cancel_discharge")
)

FACT, PLAN, BY_CLASS, GAP, MOVE = "fact", "plan", "class", "gap", "move"
"""How a stay ends: a stated discharge, a planned one (F11), a change of class (F5), time out of bed (F9), a move."""

EMERGENCY, WARD, SIDE = "emergency", "ward", "side"
"""Kinds of stay (F13)."""

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


class Event(NamedTuple):
    """One accepted event of a visit."""

    visit_id: str
    patient: str
    hospital: str
    type: int
    time: int
    enqueued: int
    partition: str
    number: int
    part: int
    department: str | None
    bed: str | None
    visit_class: str | None
    admission_type: str | None
    arrival: int | None
    triage: int | None
    seen: int | None
    decision: int | None
    admission: int | None
    discharge: int | None
    planned: int | None
    ready: int | None
    wait: float | None
    status: str | None
    stays: str | None
    is_correction: bool
    states_time: bool
    is_imported: bool
    has_statements: bool
    """It states something about the visit as a whole, or its end."""

    @property
    def hub(self) -> tuple[int, str, int, int]:
        """Its place in the order in which the hub took events."""
        return self.enqueued, self.partition, self.number, self.part

    @property
    def order(self) -> tuple[int, int, int, str, int, int]:
        """Its place in the total order (F1)."""
        return self.time, self.type, *self.hub

    @property
    def known_at(self) -> int:
        """Until when a ``discharge_time`` may be a fact (F11): its time, of a snapshot without one its arrival."""
        return self.enqueued if self.type == SNAPSHOT and not self.states_time else self.time


@dataclass(slots=True)
class End:
    """The end of a stay, or of a visit without one."""

    time: int
    kind: str


@dataclass(slots=True)
class Segment:
    """A visit up to a discharge, or from one to the next: what is stated of its end."""

    end: End | None = None
    status: str | None = None
    plan: int | None = None
    """A ``discharge_time`` that is a plan; it may end the stay (F11)."""
    planned: int | None = None
    """The newest plan of either kind."""
    ready: int | None = None


@dataclass(slots=True)
class Placement:
    """The patient is put into a department."""

    time: int
    hospital: str
    department: str
    patient: str
    bed: str | None
    visit_class: str | None
    type: int
    is_opened: bool
    """An admission or a snapshot opened or preceded it (F16)."""
    is_estimated: bool = False
    is_in_new_segment: bool = False
    end: End | None = None
    flags: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Stay:
    """Placements in one department without an end between them."""

    time: int
    """When it begins, by the placing event alone; ``start`` also considers ``admission_time`` (F6)."""
    start: int
    hospital: str
    department: str
    patient: str
    bed: str | None
    visit_class: str | None
    type: int
    is_opened: bool
    first: int
    """Number of its first placement."""
    segment: int
    last_end: End | None
    flags: set[str]
    end: int | None = None
    ended_by: str | None = None
    origin: Stay | None = None
    kind: str = WARD
    spans: list[tuple[int, int]] | None = None
    """Confirmed hours (F17); None where a fact ended the stay: all of it counts."""
    confirmed_until: int | None = None


@dataclass(slots=True)
class Attendance:
    """An attendance of an emergency department (F14, F15)."""

    visit_id: str
    patient: str
    hospital: str
    department: str | None
    arrival: int
    first_stay: Stay | None
    departure: int | None = None
    outcome: str | None = None
    ended_by: str | None = None
    end: int | None = None
    """When its visit ends by a discharge, before a ward under another number is considered."""
    status: str | None = None
    flags: set[str] = field(default_factory=set)
    spans: list[tuple[int, int]] | None = None
    confirmed_until: int | None = None


@dataclass(slots=True)
class Visit:
    """One visit, folded."""

    visit_id: str
    events: list[Event]
    stays: list[Stay]
    segments: list[Segment]
    stated: Statements
    stated_arrival: int | None
    """The arrival that its events state."""
    admission_times: list[tuple[int, bool]]
    """Statements of ``admission_time`` in order; True where an admission states its own time (F6)."""
    next_time: int | None
    """When the first placement is followed by another placement or a discharge."""
    classes: list[tuple[int, str]]
    """Classes stated, with the number of placements at that moment."""
    has_lifecycle: bool
    """A sender's admission, transfer or discharge (F11)."""
    plan_from: int
    """Whence a plan covers hours (F17)."""
    plan_limit: int
    """Until when at most (F17)."""
    flags: set[str]
    arrival: int | None = None
    attendance: Attendance | None = None
    taken_arrival: int | None = None
    """Arrival of the attendance under another number that this visit answers (F15)."""
