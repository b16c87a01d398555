"""Hospital units with their beds, the visits that use them, and the simulated events that visits cause.

Not here: when anything happens (``emergency``, ``inpatient``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import count, islice

import msgspec

from .departments import Department
from .population import Patient


class SimEvent(msgspec.Struct, frozen=True):
    """One event of one visit, with the facts known at that moment; instants in microseconds since 1970 (UTC).

    ``kind`` is an event type of the contract. ``is_seen``, ``is_decision`` and ``is_ready``: the event's instant is
    that of the first treatment, of the decision to admit, or of the medical readiness to leave. ``planned_discharge``
    is stated where it is new, ``discharged_at`` where a discharge is recorded later than it happened.
    """

    kind: str
    at: int
    visit_id: str
    patient_id: str
    gender: str
    age: int
    hospital_id: int | str
    department: str | None
    bed_id: int | None
    arrived_at: int
    visit_class: str
    admission_type: str | None = None
    discharge_status: str | None = None
    planned_discharge: int | None = None
    discharged_at: int | None = None
    merged_patient_id: str | None = None
    is_seen: bool = False
    is_decision: bool = False
    is_ready: bool = False


class Unit:
    """The beds of one department of one hospital and the visits that wait for one; its capacity can change."""

    def __init__(self, department: Department, first_bed: int) -> None:
        self.department = department
        self.capacity = department.staffed_beds
        self.present = 0
        """Patients of an emergency department who are there, with or without a bed."""
        self.boarders: deque[Visit] = deque()
        self.queue: deque[Visit] = deque()
        self.expected: list[Visit] = []
        """Visits that came for one of its beds, as long as they are not in it."""
        self._labels = count(first_bed)
        self._free = deque(islice(self._labels, self.capacity))
        self._in_use: set[int] = set()

    @property
    def name(self) -> str:
        """Name of the department."""
        return self.department.name

    @property
    def hospital_id(self) -> int | str:
        """Hospital of the department."""
        return self.department.hospital_id

    @property
    def occupied(self) -> int:
        """Number of occupied or reserved beds."""
        return len(self._in_use)

    def demanded(self) -> int:
        """Number of beds that are occupied, reserved, or wanted by visits that have come for one."""
        self.expected = [
            visit for visit in self.expected if not visit.is_over and (visit.unit is not self or visit.bed is None)
        ]
        return self.occupied + len({*self.expected, *self.boarders, *self.queue})

    @property
    def has_free_bed(self) -> bool:
        """True when a bed can be assigned; after a reduction only once the occupancy is below the new capacity."""
        return self.occupied < self.capacity

    @property
    def has_waiting(self) -> bool:
        """True when a visit waits for a bed, in the queue or in another unit."""
        return bool(self.boarders or self.queue)

    def assign(self) -> int:
        """Assign the bed that has been free for longest, else one with a new number."""
        bed = self._free.popleft() if self._free else next(self._labels)
        self._in_use.add(bed)
        return bed

    def release(self, bed: int) -> None:
        """Free a bed."""
        self._in_use.remove(bed)
        self._free.append(bed)

    def renumber(self, bed: int) -> None:
        """Free a bed and give it a new number: the hospital's system shows the old one as occupied."""
        self._in_use.remove(bed)

    def resize(self, department: Department) -> None:
        """Apply a new version of the department."""
        self.department, self.capacity = department, department.staffed_beds


@dataclass(slots=True, eq=False)
class Visit:
    """One visit of a patient to one hospital; ``bed`` is None while no bed is assigned.

    ``stays`` counts placements and their ends: a scheduled step of an earlier placement is void. ``alias`` is the
    provisional patient number under which the visit runs until it is merged into the patient's own.
    """

    visit_id: str
    patient: Patient
    unit: Unit
    destination: str | None
    arrived_at: int
    visit_class: str
    admission_type: str
    bed: int | None = None
    next_unit: Unit | None = None
    status: str = "home"
    planned_end: int | None = None
    stays: int = 0
    alias: str | None = None
    is_over: bool = False
