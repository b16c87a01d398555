"""The discrete-event simulation: patients arrive, wait, get a bed, move on and leave; beds are finite.

A bed never holds two patients; who finds none waits, and when too many wait the next ones are diverted. A bed that
a patient left by mistake (a transfer or discharge that gets cancelled) is kept until the patient is back. Arrivals
follow the beds as they are at ``start``; a later version of a department changes its beds only. Everything follows from
``(seed, start, departments, zone, transfers)``; times are microseconds since 1970 (UTC) on the hospital's own clock.

Not here: how happenings look on the wire (``events``) and when they are sent (``feed``, ``sending``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random

import msgspec

from .demand import (
    DAY,
    EMERGENCY,
    HOUR,
    MINUTE,
    Rhythm,
    Stream,
    lognormal,
    onward,
    stay,
    stay_in_progress,
    streams,
)
from .departments import Department
from .population import YEAR, Patient, Population, Profile

# Medians of the waits before a bed is asked for; the wait for the bed itself follows from the beds.
TO_TRIAGE = 8 * MINUTE
TO_DOCTOR = 50 * MINUTE
TO_REGISTRATION = 35 * MINUTE
WAIT_SIGMA = 0.6
PATIENCE = 6 * HOUR
CLEANING = 30 * MINUTE

# Probabilities of the exceptions, orders of magnitude of what hospitals report.
LEAVES_WITHOUT_BEING_SEEN = 0.03
ANOTHER_HOSPITAL = 0.03
ADMISSION_IS_CANCELLED = 0.004
TRANSFER_IS_CANCELLED = 0.01
DISCHARGE_IS_CANCELLED = 0.005
BED_CHANGES = 0.03
AGE_IS_CORRECTED = 0.004
CHILD_IN_EMERGENCY = 0.2

# An Emergency with more people waiting than this share of its beds sends the next ones elsewhere.
DIVERSION = 0.4

WARM_OCCUPANCY = (0.72, 0.88)
LONGEST_STAY_AT_START = 45 * DAY

STATUSES = ("home", "transferred", "left_against_advice", "other")
STATUS_SHARES = (0.90, 0.06, 0.015, 0.025)
MORTALITY = {EMERGENCY: 0.002, "ICU": 0.10, "Oncology": 0.04, "Cardiology": 0.02, "Maternity": 0.0001}
DEFAULT_MORTALITY = 0.005

PROFILES = {"Pediatrics": Profile.CHILD, "Maternity": Profile.MOTHER}


class Happening(msgspec.Struct, frozen=True):
    """One thing that happened to one patient, with the facts as they are known at that moment.

    ``kind`` is an event type of the contract; ``planned_discharge`` is when the current stay is to end, None before it.
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


class Ward:
    """The beds of one department of one hospital and those who wait for them; capacity may change."""

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
        """Beds that somebody holds."""
        return len(self._in_use)

    @property
    def has_free_bed(self) -> bool:
        """True when a bed can be given away; beds above a lowered capacity are used up first."""
        return bool(self._free) and self.occupied < self.capacity

    @property
    def has_waiting(self) -> bool:
        """True when somebody waits for a bed, here or in a bed elsewhere."""
        return bool(self.boarders or self.queue)

    def take(self) -> int:
        """Give away the bed that has been free for longest."""
        bed = self._free.popleft()
        self._in_use.add(bed)
        return bed

    def release(self, bed: int) -> None:
        """Get a bed back; one that the department no longer staffs is not given away again."""
        self._in_use.remove(bed)
        if bed < self._first_bed + self.capacity:
            self._free.append(bed)

    def resize(self, department: Department) -> None:
        """Follow a new version of the department."""
        self.department, self.capacity = department, department.staffed_beds
        beds = range(self._first_bed, self._first_bed + self.capacity)
        kept = [bed for bed in self._free if bed in beds]
        known = self._in_use.union(kept)
        self._free = deque(kept + [bed for bed in beds if bed not in known])


@dataclass(slots=True, eq=False)
class Visit:
    """One patient's way through one hospital; ``bed`` is None while there is none."""

    visit_id: str
    patient: Patient
    ward: Ward
    destination: str | None
    arrived_at: int
    bed: int | None = None
    next_ward: Ward | None = None
    status: str = "home"
    planned_leave: int | None = None
    stays: int = 0
    is_over: bool = False


class Network:
    """Hospitals with their wards, as they are from ``start`` on; read :meth:`events`."""

    def __init__(
        self, seed: int, start: int, departments: list[Department], zone: tzinfo = UTC, *, transfers: bool = True
    ) -> None:
        """``transfers=False``: every visit is a single stay that ends as planned, and nothing is ever corrected.

        ``visits_per_second`` is the average over a week, ``run_id`` what the ids of this run have in common.
        """
        self.now = start
        self.run_id = blake2b(f"{seed}/{start}".encode(), digest_size=5).hexdigest()
        self._rng = Random(f"{seed}/{start}")
        self._rhythm = Rhythm(zone)
        self._transfers = transfers
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0
        self._visits = 0
        self._happened: list[Happening] = []
        self.wards: dict[tuple[int | str, str], Ward] = {}
        self._populations: dict[int | str, Population] = {}
        self._names: dict[int | str, set[str]] = {}
        self.visits_per_second = 0.0
        self._open(start, departments)

    def events(self) -> Iterator[Happening]:
        """All happenings in order of time, without end.

        The first ones lie before ``start``: the admissions of those who are in a bed when the simulation begins.
        """
        while self._agenda:
            self.now, _, step = heappop(self._agenda)
            step()
            yield from self._happened
            self._happened.clear()

    # -- opening ------------------------------------------------------------------------------------------------

    def _open(self, start: int, departments: list[Department]) -> None:
        versions: dict[tuple[int | str, str], list[Department]] = {}
        for department in sorted(departments, key=lambda d: d.valid_from):
            versions.setdefault((department.hospital_id, department.name), []).append(department)
        hospitals: dict[int | str, list[Department]] = {}
        for (hospital, name), known in versions.items():
            current = ([d for d in known if d.valid_from <= start] or known[:1])[-1]
            number = len(hospitals.setdefault(hospital, [])) + 1
            hospitals[hospital].append(current)
            ward = self.wards[hospital, name] = Ward(current, number * 1000 + 1)
            for later in known:
                if later.valid_from > start:
                    self._at(later.valid_from, partial(self._resize, ward, later))
        for hospital, current_departments in hospitals.items():
            beds = sum(department.staffed_beds for department in current_departments)
            self._populations[hospital] = Population(self._rng, beds)
            self._names[hospital] = {department.name for department in current_departments}
            for stream in streams(current_departments, transfers=self._transfers):
                self.visits_per_second += stream.per_hour / 3600
                self._expect(stream, start)
        for ward in self.wards.values():
            self._warm(ward, start)

    def _warm(self, ward: Ward, start: int) -> None:
        """Put patients into a ward who were admitted before ``start`` and leave after it."""
        for _ in range(int(ward.capacity * self._rng.uniform(*WARM_OCCUPANCY))):
            whole = min(stay_in_progress(self._rng, ward.department), LONGEST_STAY_AT_START)
            elapsed = int(whole * self._rng.random())
            self._at(start - elapsed, partial(self._enter_warm, ward, whole, start))

    def _enter_warm(self, ward: Ward, whole: int, start: int) -> None:
        hospital = ward.department.hospital_id
        patient = self._populations[hospital].draw(self._profile(ward.name), self.now)
        arrived_at = self.now - lognormal(self._rng, TO_DOCTOR, WAIT_SIGMA)
        self._admit(self._visit(patient, ward, None, arrived_at), ends=max(self.now + whole, start + 1))

    def _resize(self, ward: Ward, department: Department) -> None:
        ward.resize(department)
        self._serve(ward)

    # -- before a bed -------------------------------------------------------------------------------------------

    def _expect(self, stream: Stream, after: int) -> None:
        self._at(self._rhythm.next_arrival(self._rng, stream, after), partial(self._arrive, stream))

    def _arrive(self, stream: Stream) -> None:
        self._expect(stream, self.now)
        ward = self.wards[stream.hospital_id, stream.department]
        if stream.is_urgent and len(ward.queue) > DIVERSION * ward.capacity:
            return  # diverted before they reach this hospital
        if not stream.is_urgent and (not ward.has_free_bed or ward.has_waiting):
            return  # the planned admission is called off
        visit = self._visit(self._patient(stream), ward, stream.destination, self.now)
        self._happen("arrival", visit)
        if stream.is_urgent:
            self._in(lognormal(self._rng, TO_TRIAGE, WAIT_SIGMA), partial(self._triage, visit))
        else:
            self._in(lognormal(self._rng, TO_REGISTRATION, WAIT_SIGMA), partial(self._seek_bed, visit))

    def _triage(self, visit: Visit) -> None:
        self._happen("triage", visit)
        if self._rng.random() < LEAVES_WITHOUT_BEING_SEEN:
            self._in(lognormal(self._rng, 2 * TO_DOCTOR, WAIT_SIGMA), partial(self._give_up, visit))
        else:
            self._in(lognormal(self._rng, TO_DOCTOR, WAIT_SIGMA), partial(self._seek_bed, visit))

    def _seek_bed(self, visit: Visit) -> None:
        if visit.ward.has_free_bed and not visit.ward.has_waiting:
            self._admit(visit)
        else:
            visit.ward.queue.append(visit)
            self._in(lognormal(self._rng, PATIENCE, WAIT_SIGMA), partial(self._give_up, visit))

    def _give_up(self, visit: Visit) -> None:
        if visit.bed is not None or visit.is_over:
            return
        if visit in visit.ward.queue:
            visit.ward.queue.remove(visit)
        visit.status = "left_without_being_seen"
        self._happen("discharge", visit)
        self._end(visit)

    # -- in a bed -----------------------------------------------------------------------------------------------

    def _admit(self, visit: Visit, ends: int | None = None) -> None:
        visit.bed = visit.ward.take()
        if self._is_exception(ADMISSION_IS_CANCELLED):
            visit.planned_leave = self.now + stay(self._rng, visit.ward.department)
            self._in(self._minutes(4, 30), partial(self._cancel_admission, visit))
        else:
            self._plan(visit, ends)
        self._happen("admission", visit)

    def _cancel_admission(self, visit: Visit) -> None:
        """The admission was a mistake at the desk: the patient waits on, as the first in the queue."""
        self._happen("cancel_admission", visit)
        self._free(visit.ward, visit.bed)
        visit.bed = visit.planned_leave = None
        visit.ward.queue.appendleft(visit)
        self._in(self._minutes(10, 40), partial(self._serve, visit.ward))

    def _plan(self, visit: Visit, ends: int | None = None) -> None:
        """Decide at the begin of a stay how long it lasts and what comes after it."""
        ward, rng = visit.ward, self._rng
        visit.stays += 1
        visit.next_ward = self._next_ward(visit)
        if ends is None:
            ends = self.now + stay(rng, ward.department)
        if visit.next_ward is None:
            visit.status = self._discharge_status(ward.name)
            if ward.name != EMERGENCY:
                daytime = self._rhythm.in_daytime(rng, ends)
                ends = daytime if daytime > self.now + 2 * HOUR else ends
        visit.planned_leave = ends
        self._at(ends, partial(self._leave, visit))
        for chance, step in ((BED_CHANGES, self._change_bed), (AGE_IS_CORRECTED, self._correct_age)):
            if self._is_exception(chance):
                self._in(1 + int((ends - self.now) * rng.random()), partial(step, visit, visit.stays))

    def _next_ward(self, visit: Visit) -> Ward | None:
        if not self._transfers:
            return None
        hospital = visit.ward.department.hospital_id
        destination, visit.destination = visit.destination, None
        if destination is not None:
            return self.wards[hospital, destination]
        draw = self._rng.random()
        for name, share in onward(visit.ward.name, self._names[hospital]).items():
            draw -= share
            if draw < 0:
                return self.wards[hospital, name]
        return None

    def _leave(self, visit: Visit) -> None:
        target = visit.next_ward
        if target is None:
            self._discharge(visit)
        elif target.has_free_bed and not target.boarders:
            self._move(visit, target)
        else:
            target.boarders.append(visit)

    def _move(self, visit: Visit, target: Ward) -> None:
        old_ward, old_bed = visit.ward, visit.bed
        visit.ward, visit.bed = target, target.take()
        if self._is_exception(TRANSFER_IS_CANCELLED):
            visit.stays += 1
            self._happen("transfer", visit)
            self._in(self._minutes(5, 40), partial(self._cancel_transfer, visit, old_ward, old_bed))
        else:
            self._plan(visit)
            self._happen("transfer", visit)
            self._free(old_ward, old_bed)

    def _cancel_transfer(self, visit: Visit, old_ward: Ward, old_bed: int | None) -> None:
        """The patient goes back to the bed that was kept, and is sent home from there some hours later."""
        self._free(visit.ward, visit.bed)
        visit.ward, visit.bed, visit.next_ward = old_ward, old_bed, None
        visit.status = self._discharge_status(old_ward.name)
        self._happen("cancel_transfer", visit)
        self._in(self._minutes(120, 600), partial(self._leave, visit))

    def _discharge(self, visit: Visit) -> None:
        visit.stays += 1
        self._happen("discharge", visit)
        if visit.status == "home" and self._is_exception(DISCHARGE_IS_CANCELLED):
            self._in(self._minutes(10, 60), partial(self._cancel_discharge, visit))
            return
        ward, bed, visit.bed = visit.ward, visit.bed, None
        self._end(visit)
        self._free(ward, bed)

    def _cancel_discharge(self, visit: Visit) -> None:
        """The patient was discharged by mistake, still lies in the bed and goes home some hours later."""
        self._happen("cancel_discharge", visit)
        self._in(self._minutes(240, 1440), partial(self._discharge, visit))

    def _change_bed(self, visit: Visit, stays: int) -> None:
        if visit.stays == stays and visit.ward.has_free_bed:
            old = visit.bed
            visit.bed = visit.ward.take()
            self._happen("update", visit)
            self._free(visit.ward, old)

    def _correct_age(self, visit: Visit, stays: int) -> None:
        if visit.stays == stays:
            years = self._rng.choice((-10, -2, -1, 1, 2, 10))
            age = visit.patient.age(self.now)
            if visit.ward.name not in PROFILES and 18 <= age + years < 100:
                visit.patient.born -= years * YEAR
                self._happen("update", visit)

    # -- the parts that steps share -----------------------------------------------------------------------------

    def _serve(self, ward: Ward) -> None:
        while ward.has_free_bed and ward.has_waiting:
            if ward.boarders:
                self._move(ward.boarders.popleft(), ward)
            else:
                self._admit(ward.queue.popleft())

    def _free(self, ward: Ward, bed: int | None) -> None:
        if bed is not None:
            ward.release(bed)
            if ward.has_waiting:
                self._in(CLEANING, partial(self._serve, ward))

    def _visit(self, patient: Patient, ward: Ward, destination: str | None, arrived_at: int) -> Visit:
        patient.is_in_care = True
        self._visits += 1
        return Visit(f"V{self.run_id}-{self._visits:07d}", patient, ward, destination, arrived_at)

    def _end(self, visit: Visit) -> None:
        visit.is_over = True
        visit.patient.is_in_care = False
        visit.patient.is_alive = visit.status != "deceased"

    def _patient(self, stream: Stream) -> Patient:
        hospital = stream.hospital_id
        if self._rng.random() < ANOTHER_HOSPITAL:
            hospital = self._rng.choice(list(self._populations))
        return self._populations[hospital].draw(self._profile(stream.destination or stream.department), self.now)

    def _profile(self, department: str) -> Profile:
        if department == EMERGENCY and self._rng.random() < CHILD_IN_EMERGENCY:
            return Profile.CHILD
        return PROFILES.get(department, Profile.ADULT)

    def _discharge_status(self, department: str) -> str:
        if self._rng.random() < MORTALITY.get(department, DEFAULT_MORTALITY):
            return "deceased"
        return self._rng.choices(STATUSES, STATUS_SHARES)[0]

    def _is_exception(self, chance: float) -> bool:
        return self._transfers and self._rng.random() < chance

    def _minutes(self, shortest: int, longest: int) -> int:
        return int(self._rng.uniform(shortest, longest) * MINUTE)

    def _in(self, delay: int, step: Callable[[], None]) -> None:
        self._at(self.now + delay, step)

    def _at(self, at: int, step: Callable[[], None]) -> None:
        self._planned += 1
        heappush(self._agenda, (at, self._planned, step))

    def _happen(self, kind: str, visit: Visit) -> None:
        patient, ward = visit.patient, visit.ward
        self._happened.append(
            Happening(
                kind,
                self.now,
                visit.visit_id,
                patient.patient_id,
                patient.gender,
                patient.age(self.now),
                ward.department.hospital_id,
                ward.name,
                visit.bed,
                visit.status if kind == "discharge" or not self._transfers else None,
                visit.arrived_at,
                visit.planned_leave,
            )
        )
