"""Hospital units with their beds, the visits that use them, and the simulated events that visits cause.

Not here: when anything happens (``care``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import msgspec

from .departments import Department
from .population import Patient


class SimEvent(msgspec.Struct, frozen=True):
    """One event of one visit, with the facts known at that moment; instants in microseconds since 1970 (UTC).

    ``kind`` is an event type of the contract; ``planned_discharge`` is the planned end of the current stay, None before
    the stay.
    """

    kind: str
    at: int
    visit_id: str
    patient_id: str
    gender: str
    age: int
    hospital_id: int | str
    department: str
    bed_id: int | None
    discharge_status: str | None
    arrived_at: int
    planned_discharge: int | None


class Unit:
    """The beds of one department of one hospital and the visits that wait for one; its capacity can change."""

    def __init__(self, department: Department, first_bed: int) -> None:
        self.department = department
        self.capacity = 0
        self.boarders: deque[Visit] = deque()
        self.queue: deque[Visit] = deque()
        self._first_bed = first_bed
        self._free: deque[int] = deque()
        self._in_use: set[int] = set()
        self.resize(department)

    @property
    def name(self) -> str:
        """Name of the department."""
        return self.department.name

    @property
    def occupied(self) -> int:
        """Number of occupied or reserved beds."""
        return len(self._in_use)

    @property
    def has_free_bed(self) -> bool:
        """True when a bed can be assigned; after a reduction only once the occupancy is below the new capacity."""
        return bool(self._free) and self.occupied < self.capacity

    @property
    def has_waiting(self) -> bool:
        """True when a visit waits for a bed, in the queue or in a bed of another unit."""
        return bool(self.boarders or self.queue)

    def assign(self) -> int:
        """Assign the bed that has been free for longest."""
        bed = self._free.popleft()
        self._in_use.add(bed)
        return bed

    def release(self, bed: int) -> None:
        """Free a bed; one above the current capacity is not assigned again."""
        self._in_use.remove(bed)
        if bed < self._first_bed + self.capacity:
            self._free.append(bed)

    def resize(self, department: Department) -> None:
        """Apply a new version of the department."""
        self.department, self.capacity = department, department.staffed_beds
        beds = range(self._first_bed, self._first_bed + self.capacity)
        kept = [bed for bed in self._free if bed in beds]
        known = self._in_use.union(kept)
        self._free = deque(kept + [bed for bed in beds if bed not in known])


@dataclass(slots=True, eq=False)
class Visit:
    """One visit of a patient to one hospital; ``bed`` is None while no bed is assigned."""

    visit_id: str
    patient: Patient
    unit: Unit
    destination: str | None
    arrived_at: int
    bed: int | None = None
    next_unit: Unit | None = None
    status: str = "home"
    planned_end: int | None = None
    stays: int = 0
    is_over: bool = False
