"""Stays in beds: admission, boarding, transfer, and the corrections of each.

A bed never holds two patients; a visit that finds none waits. A bed that a patient left by mistake (a transfer or
discharge that gets cancelled) stays reserved until the patient is back.

Not here: who arrives and when (``hospital``), the emergency department before the decision to admit (``emergency``),
updates during a stay (``updates``) and its end (``discharges``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from random import Random

from .agenda import Agenda
from .demand import EMERGENCY, HOUR, MINUTE, ONWARD, WeeklyPattern, lognormal, stay
from .discharges import Discharges
from .register import Register
from .units import Unit, Visit
from .updates import Updates

TO_REGISTRATION = 35 * MINUTE
TO_ABANDONMENT = 6 * HOUR
OBSERVATION = 14 * HOUR
DISCHARGE_DELAY = 20 * HOUR
SIGMA = 0.6
CLEANING = 30 * MINUTE

# Probabilities of the exceptions, in orders of magnitude that hospitals report.
ADMISSION_IS_CANCELLED = 0.004
TRANSFER_IS_CANCELLED = 0.01
DISCHARGE_IS_DELAYED = 0.10
READINESS_IS_STATED = 0.4
CONTINUES_AT_HOME = 0.006


class Inpatient:
    """Runs the stays of visits, from the request of a bed to the discharge."""

    def __init__(
        self,
        agenda: Agenda,
        rng: Random,
        week: WeeklyPattern,
        register: Register,
        units: Mapping[tuple[int | str, str], Unit],
    ) -> None:
        """``units`` may still be filled after the call."""
        self._agenda = agenda
        self._rng = rng
        self._week = week
        self._register = register
        self._units = units
        self._updates = Updates(agenda, rng, register, self._release_bed)
        self._discharges = Discharges(agenda, rng, register, units, self._release_bed, self._clean, self.arrive)

    # -- before a bed -------------------------------------------------------------------------------------------

    def arrive(self, visit: Visit) -> None:
        """Register an arrival at the unit itself; a bed is requested after the registration."""
        self._register.record("arrival", visit)
        self._agenda.after(lognormal(self._rng, TO_REGISTRATION, SIGMA), partial(self._request_bed, visit))

    def board(self, visit: Visit, visit_class: str) -> None:
        """Request a bed of the destination for a visit in an emergency department, of this class from then on."""
        visit.visit_class = visit_class
        self._move_on(visit, self._units[visit.unit.hospital_id, visit.destination or visit.unit.name])

    def _request_bed(self, visit: Visit) -> None:
        if visit.unit.has_free_bed and not visit.unit.has_waiting:
            self.admit(visit)
        else:
            visit.unit.queue.append(visit)
            self._agenda.after(lognormal(self._rng, TO_ABANDONMENT, SIGMA), partial(self._abandon, visit))

    def _abandon(self, visit: Visit) -> None:
        """The patient leaves before a bed was assigned, unless one has been assigned since."""
        if visit.bed is not None or visit.is_over:
            return
        if visit in visit.unit.queue:
            visit.unit.queue.remove(visit)
        visit.status = "left_without_being_seen"
        self._register.record("discharge", visit)
        self._register.close(visit)

    # -- in a bed -----------------------------------------------------------------------------------------------

    def admit(self, visit: Visit, ends: int | None = None) -> None:
        """Assign a free bed of the visit's unit; the stay lasts until ``ends``, or a random length of stay."""
        visit.bed = visit.unit.assign()
        if self._register.is_exception(ADMISSION_IS_CANCELLED):
            self._register.record("admission", visit)
            self._agenda.after(self._register.minutes(4, 30), partial(self._cancel_admission, visit))
        else:
            self._start_stay("admission", visit, ends)

    def _cancel_admission(self, visit: Visit) -> None:
        """The admission was an error at registration: the patient returns to the head of the queue."""
        self._register.record("cancel_admission", visit)
        self._release_bed(visit.unit, visit.bed)
        visit.bed = None
        visit.unit.queue.appendleft(visit)
        self._agenda.after(self._register.minutes(10, 40), partial(self.assign_beds, visit.unit))

    def _start_stay(self, kind: str, visit: Visit, ends: int | None = None) -> None:
        """Record a placement, and decide how long the stay lasts and what follows it."""
        unit, now = visit.unit, self._agenda.now
        visit.stays += 1
        visit.next_unit = self._next_unit(visit)
        ends = now + self._length(visit) if ends is None else ends
        if visit.next_unit is None:
            visit.status = self._register.discharge_status(unit.name)
            if unit.name != EMERGENCY and visit.visit_class == "inpatient":
                daytime = self._week.discharge_at(self._rng, ends)
                ends = daytime if daytime > now + 2 * HOUR else ends
        self._register.record(kind, visit, planned_discharge=self._updates.expected_discharge(ends))
        stays = visit.stays
        if self._register.corrections:
            self._updates.schedule(visit, ends)
        if self._is_final_ward_stay(visit) and self._register.is_exception(CONTINUES_AT_HOME):
            self._agenda.at(now + (ends - now) // 2, partial(self._discharges.continue_at_home, visit, stays))
        self._agenda.at(self._leave_at(visit, ends), partial(self._end_stay, visit, stays))

    def _length(self, visit: Visit) -> int:
        if visit.visit_class == "day_case":
            return self._week.day_case_end(self._rng, self._agenda.now) - self._agenda.now
        if visit.visit_class == "observation":
            return lognormal(self._rng, OBSERVATION, SIGMA)
        return stay(self._rng, visit.unit.department)

    def _leave_at(self, visit: Visit, ends: int) -> int:
        """Departure time of a patient who is ready at ``ends``; schedules the update that states ``ready_time``."""
        if not self._is_final_ward_stay(visit):
            return ends
        if self._register.is_exception(DISCHARGE_IS_DELAYED):
            self._updates.state_readiness(visit, ends)
            delayed = ends + lognormal(self._rng, DISCHARGE_DELAY, SIGMA)
            return max(ends + HOUR, self._week.discharge_at(self._rng, delayed))
        if self._register.is_exception(READINESS_IS_STATED):
            self._updates.state_readiness(visit, ends - self._register.minutes(60, 300))
        return ends

    def _is_final_ward_stay(self, visit: Visit) -> bool:
        return visit.next_unit is None and visit.visit_class == "inpatient"

    def _next_unit(self, visit: Visit) -> Unit | None:
        if not self._register.corrections or visit.visit_class != "inpatient":
            return None
        draw = self._rng.random()
        for name, share in ONWARD.get(visit.unit.name, ()):
            draw -= share
            if draw < 0:
                return self._units.get((visit.unit.hospital_id, name))
        return None

    def _end_stay(self, visit: Visit, stays: int) -> None:
        """The stay is over, unless another one has begun since it was scheduled."""
        if visit.stays == stays:
            if visit.next_unit is None:
                self._discharges.discharge(visit, visit.stays)
            else:
                self._move_on(visit, visit.next_unit)

    # -- from bed to bed ----------------------------------------------------------------------------------------

    def _move_on(self, visit: Visit, target: Unit) -> None:
        if target.has_free_bed and not target.boarders:
            self._move(visit, target)
        else:
            target.boarders.append(visit)

    def _move(self, visit: Visit, target: Unit) -> None:
        """Place a visit into a free bed of another unit: a transfer, or an admission where it had no bed before."""
        old_unit, old_bed = visit.unit, visit.bed
        visit.unit, visit.bed = target, target.assign()
        kind = "admission" if old_bed is None else "transfer"
        if old_bed is not None and self._register.is_exception(TRANSFER_IS_CANCELLED):
            visit.stays += 1
            self._register.record(kind, visit)
            self._agenda.after(
                self._register.minutes(5, 40), partial(self._cancel_transfer, visit, old_unit, old_bed, visit.stays)
            )
            return
        if old_unit.name == EMERGENCY:
            old_unit.present -= 1
        self._start_stay(kind, visit)
        self._release_bed(old_unit, old_bed)

    def _cancel_transfer(self, visit: Visit, old_unit: Unit, old_bed: int, stays: int) -> None:
        """The patient returns to the reserved bed, and goes home from there some hours later."""
        if visit.stays != stays:
            return
        self._release_bed(visit.unit, visit.bed)
        visit.unit, visit.bed, visit.next_unit = old_unit, old_bed, None
        if old_unit.name == EMERGENCY:
            visit.visit_class = "emergency"
        visit.status = self._register.discharge_status(old_unit.name)
        self._register.record("cancel_transfer", visit)
        self._agenda.after(self._register.minutes(120, 600), partial(self._end_stay, visit, stays))

    def assign_beds(self, unit: Unit) -> None:
        """Assign free beds to waiting visits; those from another unit come first."""
        while unit.has_free_bed and unit.has_waiting:
            if unit.boarders:
                self._move(unit.boarders.popleft(), unit)
            else:
                self.admit(unit.queue.popleft())

    def _release_bed(self, unit: Unit, bed: int | None) -> None:
        if bed is not None:
            unit.release(bed)
            self._clean(unit)

    def _clean(self, unit: Unit) -> None:
        if unit.has_waiting:
            self._agenda.after(CLEANING, partial(self.assign_beds, unit))
