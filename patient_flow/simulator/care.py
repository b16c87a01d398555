"""The steps of a visit from triage to discharge: waiting, beds, transfers, discharges and the corrections of each.

A bed never holds two patients; a visit that finds none waits. A bed that a patient left by mistake (a transfer or
discharge that gets cancelled) stays reserved until the patient is back.

Not here: who arrives and when (``hospital``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from random import Random

from .agenda import Agenda
from .demand import EMERGENCY, HOUR, MINUTE, WeeklyPattern, lognormal, onward, stay
from .population import YEAR, Patient, Profile
from .units import SimEvent, Unit, Visit

# Medians of the delays before a bed is requested; the wait for the bed itself follows from the beds.
TO_TRIAGE = 8 * MINUTE
TO_DOCTOR = 50 * MINUTE
TO_REGISTRATION = 35 * MINUTE
DELAY_SIGMA = 0.6
TO_ABANDONMENT = 6 * HOUR
CLEANING = 30 * MINUTE

# Probabilities of the exceptions, in orders of magnitude that hospitals report.
LEAVES_WITHOUT_BEING_SEEN = 0.03
ADMISSION_IS_CANCELLED = 0.004
TRANSFER_IS_CANCELLED = 0.01
DISCHARGE_IS_CANCELLED = 0.005
BED_CHANGES = 0.03
AGE_IS_CORRECTED = 0.004

STATUSES = ("home", "transferred", "left_against_advice", "other")
STATUS_SHARES = (0.90, 0.06, 0.015, 0.025)
MORTALITY = {EMERGENCY: 0.002, "ICU": 0.10, "Oncology": 0.04, "Cardiology": 0.02, "Maternity": 0.0001}
DEFAULT_MORTALITY = 0.005

PROFILES = {"Pediatrics": Profile.CHILD, "Maternity": Profile.MOTHER}


class Care:
    """Runs the steps of all visits; ``events`` collects the simulated events until the caller takes them."""

    def __init__(
        self,
        agenda: Agenda,
        rng: Random,
        week: WeeklyPattern,
        units: Mapping[tuple[int | str, str], Unit],
        *,
        run_id: str,
        transfers: bool,
    ) -> None:
        """``transfers=False``: every visit is a single stay that ends as planned, without any correction."""
        self.events: list[SimEvent] = []
        self._agenda = agenda
        self._rng = rng
        self._week = week
        self._units = units
        self._run_id = run_id
        self._transfers = transfers
        self._visits = 0

    # -- before a bed -------------------------------------------------------------------------------------------

    def start_visit(self, patient: Patient, unit: Unit, destination: str | None, arrived_at: int) -> Visit:
        """A new visit; ``destination`` is the department to go to after ``unit``, if it is known already."""
        patient.is_in_care = True
        self._visits += 1
        return Visit(f"V{self._run_id}-{self._visits:07d}", patient, unit, destination, arrived_at)

    def arrive(self, visit: Visit, *, is_urgent: bool) -> None:
        """Register an arrival; triage follows for urgent patients, a bed request for planned ones."""
        self._record("arrival", visit)
        if is_urgent:
            self._agenda.after(lognormal(self._rng, TO_TRIAGE, DELAY_SIGMA), partial(self._triage, visit))
        else:
            self._agenda.after(lognormal(self._rng, TO_REGISTRATION, DELAY_SIGMA), partial(self._request_bed, visit))

    def _triage(self, visit: Visit) -> None:
        self._record("triage", visit)
        if self._rng.random() < LEAVES_WITHOUT_BEING_SEEN:
            self._agenda.after(lognormal(self._rng, 2 * TO_DOCTOR, DELAY_SIGMA), partial(self._abandon, visit))
        else:
            self._agenda.after(lognormal(self._rng, TO_DOCTOR, DELAY_SIGMA), partial(self._request_bed, visit))

    def _request_bed(self, visit: Visit) -> None:
        if visit.unit.has_free_bed and not visit.unit.has_waiting:
            self.admit(visit)
        else:
            visit.unit.queue.append(visit)
            self._agenda.after(lognormal(self._rng, TO_ABANDONMENT, DELAY_SIGMA), partial(self._abandon, visit))

    def _abandon(self, visit: Visit) -> None:
        """The patient leaves before a bed was assigned, unless one has been assigned since."""
        if visit.bed is not None or visit.is_over:
            return
        if visit in visit.unit.queue:
            visit.unit.queue.remove(visit)
        visit.status = "left_without_being_seen"
        self._record("discharge", visit)
        self._end_visit(visit)

    # -- in a bed -----------------------------------------------------------------------------------------------

    def admit(self, visit: Visit, ends: int | None = None) -> None:
        """Assign a free bed of the visit's unit; the stay lasts until ``ends``, or a random length of stay."""
        visit.bed = visit.unit.assign()
        if self._is_exception(ADMISSION_IS_CANCELLED):
            visit.planned_end = self._agenda.now + stay(self._rng, visit.unit.department)
            self._agenda.after(self._minutes(4, 30), partial(self._cancel_admission, visit))
        else:
            self._plan_stay(visit, ends)
        self._record("admission", visit)

    def _cancel_admission(self, visit: Visit) -> None:
        """The admission was an error at registration: the patient returns to the head of the queue."""
        self._record("cancel_admission", visit)
        self._release_bed(visit.unit, visit.bed)
        visit.bed = visit.planned_end = None
        visit.unit.queue.appendleft(visit)
        self._agenda.after(self._minutes(10, 40), partial(self.assign_beds, visit.unit))

    def _plan_stay(self, visit: Visit, ends: int | None = None) -> None:
        """Decide at the start of a stay how long it lasts and what follows it."""
        unit, rng, now = visit.unit, self._rng, self._agenda.now
        visit.stays += 1
        visit.next_unit = self._next_unit(visit)
        if ends is None:
            ends = now + stay(rng, unit.department)
        if visit.next_unit is None:
            visit.status = self._discharge_status(unit.name)
            if unit.name != EMERGENCY:
                daytime = self._week.in_daytime(rng, ends)
                ends = daytime if daytime > now + 2 * HOUR else ends
        visit.planned_end = ends
        self._agenda.at(ends, partial(self._end_stay, visit))
        for chance, step in ((BED_CHANGES, self._change_bed), (AGE_IS_CORRECTED, self._correct_age)):
            if self._is_exception(chance):
                self._agenda.after(1 + int((ends - now) * rng.random()), partial(step, visit, visit.stays))

    def _next_unit(self, visit: Visit) -> Unit | None:
        if not self._transfers:
            return None
        hospital = visit.unit.department.hospital_id
        destination, visit.destination = visit.destination, None
        if destination is not None:
            return self._units[hospital, destination]
        draw = self._rng.random()
        present = {name for owner, name in self._units if owner == hospital}
        for name, share in onward(visit.unit.name, present).items():
            draw -= share
            if draw < 0:
                return self._units[hospital, name]
        return None

    def _end_stay(self, visit: Visit) -> None:
        target = visit.next_unit
        if target is None:
            self._discharge(visit)
        elif target.has_free_bed and not target.boarders:
            self._transfer(visit, target)
        else:
            target.boarders.append(visit)

    def _transfer(self, visit: Visit, target: Unit) -> None:
        old_unit, old_bed = visit.unit, visit.bed
        visit.unit, visit.bed = target, target.assign()
        if self._is_exception(TRANSFER_IS_CANCELLED):
            visit.stays += 1
            self._record("transfer", visit)
            self._agenda.after(self._minutes(5, 40), partial(self._cancel_transfer, visit, old_unit, old_bed))
        else:
            self._plan_stay(visit)
            self._record("transfer", visit)
            self._release_bed(old_unit, old_bed)

    def _cancel_transfer(self, visit: Visit, old_unit: Unit, old_bed: int | None) -> None:
        """The patient returns to the reserved bed, and goes home from there some hours later."""
        self._release_bed(visit.unit, visit.bed)
        visit.unit, visit.bed, visit.next_unit = old_unit, old_bed, None
        visit.status = self._discharge_status(old_unit.name)
        self._record("cancel_transfer", visit)
        self._agenda.after(self._minutes(120, 600), partial(self._end_stay, visit))

    def _discharge(self, visit: Visit) -> None:
        visit.stays += 1
        self._record("discharge", visit)
        if visit.status == "home" and self._is_exception(DISCHARGE_IS_CANCELLED):
            self._agenda.after(self._minutes(10, 60), partial(self._cancel_discharge, visit))
            return
        unit, bed, visit.bed = visit.unit, visit.bed, None
        self._end_visit(visit)
        self._release_bed(unit, bed)

    def _cancel_discharge(self, visit: Visit) -> None:
        """The discharge was an error: the patient is still in the bed and goes home some hours later."""
        self._record("cancel_discharge", visit)
        self._agenda.after(self._minutes(240, 1440), partial(self._discharge, visit))

    def _change_bed(self, visit: Visit, stays: int) -> None:
        if visit.stays == stays and visit.unit.has_free_bed:
            old = visit.bed
            visit.bed = visit.unit.assign()
            self._record("update", visit)
            self._release_bed(visit.unit, old)

    def _correct_age(self, visit: Visit, stays: int) -> None:
        if visit.stays == stays:
            years = self._rng.choice((-10, -2, -1, 1, 2, 10))
            age = visit.patient.age(self._agenda.now)
            if visit.unit.name not in PROFILES and 18 <= age + years < 100:
                visit.patient.born -= years * YEAR
                self._record("update", visit)

    # -- shared by the steps ------------------------------------------------------------------------------------

    def assign_beds(self, unit: Unit) -> None:
        """Assign free beds to waiting visits; those in a bed of another unit come first."""
        while unit.has_free_bed and unit.has_waiting:
            if unit.boarders:
                self._transfer(unit.boarders.popleft(), unit)
            else:
                self.admit(unit.queue.popleft())

    def _release_bed(self, unit: Unit, bed: int | None) -> None:
        if bed is not None:
            unit.release(bed)
            if unit.has_waiting:
                self._agenda.after(CLEANING, partial(self.assign_beds, unit))

    def _end_visit(self, visit: Visit) -> None:
        visit.is_over = True
        visit.patient.is_in_care = False
        visit.patient.is_alive = visit.status != "deceased"

    def _discharge_status(self, department: str) -> str:
        if self._rng.random() < MORTALITY.get(department, DEFAULT_MORTALITY):
            return "deceased"
        return self._rng.choices(STATUSES, STATUS_SHARES)[0]

    def _is_exception(self, chance: float) -> bool:
        return self._transfers and self._rng.random() < chance

    def _minutes(self, shortest: int, longest: int) -> int:
        return int(self._rng.uniform(shortest, longest) * MINUTE)

    def _record(self, kind: str, visit: Visit) -> None:
        patient, unit = visit.patient, visit.unit
        self.events.append(
            SimEvent(
                kind,
                self._agenda.now,
                visit.visit_id,
                patient.patient_id,
                patient.gender,
                patient.age(self._agenda.now),
                unit.department.hospital_id,
                unit.name,
                visit.bed,
                visit.status if kind == "discharge" or not self._transfers else None,
                visit.arrived_at,
                visit.planned_end,
            )
        )
