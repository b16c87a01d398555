"""The end of a stay: discharge, cancelled and forgotten discharges, care at home, referral to another hospital.

Not here: when a stay ends (``inpatient``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random

from .agenda import Agenda
from .demand import DAY, EMERGENCY, HOUR, MINUTE, lognormal
from .population import Patient
from .register import Register
from .units import Unit, Visit

TO_OTHER_HOSPITAL = 90 * MINUTE
CARE_AT_HOME_DAYS = (2, 6)
SIGMA = 0.6

DISCHARGE_IS_CANCELLED = 0.005
DISCHARGE_IS_FORGOTTEN = 0.004
NEVER_RECORDED = 0.1
MOVES_TO_OTHER_HOSPITAL = 0.7


class Discharges:
    """Runs the ends of visits that have had a bed."""

    def __init__(
        self,
        agenda: Agenda,
        rng: Random,
        register: Register,
        units: Mapping[tuple[int | str, str], Unit],
        release_bed: Callable[[Unit, int | None], None],
        clean: Callable[[Unit], None],
        arrive: Callable[[Visit], None],
    ) -> None:
        """``release_bed`` frees a bed, ``clean`` assigns a freed one after cleaning, ``arrive`` registers a visit."""
        self._agenda = agenda
        self._rng = rng
        self._register = register
        self._units = units
        self._release_bed = release_bed
        self._clean = clean
        self._arrive = arrive

    def discharge(self, visit: Visit, stays: int) -> None:
        """The patient leaves, unless the visit has moved on since this was scheduled at its ``stays``."""
        if visit.stays != stays:
            return
        visit.stays += 1
        if self._register.is_exception(DISCHARGE_IS_FORGOTTEN):
            self._forget_discharge(visit)
            return
        self._register.record("discharge", visit)
        if visit.status == "home" and visit.bed is not None and self._register.is_exception(DISCHARGE_IS_CANCELLED):
            self._agenda.after(self._register.minutes(10, 60), partial(self._cancel_discharge, visit, visit.stays))
            return
        self._depart(visit)
        self._release_bed(visit.unit, visit.bed)
        if visit.status == "transferred":
            self._refer(visit)

    def _depart(self, visit: Visit, *, is_recorded: bool = True) -> None:
        if visit.unit.name == EMERGENCY and self._register.corrections:
            visit.unit.present -= 1
        self._register.close(visit, is_recorded=is_recorded)

    def _cancel_discharge(self, visit: Visit, stays: int) -> None:
        """The discharge was an error: the patient is still in the bed and goes home some hours later."""
        self._register.record("cancel_discharge", visit)
        self._agenda.after(self._register.minutes(240, 1440), partial(self.discharge, visit, stays))

    def _forget_discharge(self, visit: Visit) -> None:
        """The patient leaves, but the discharge is recorded hours or days later, or never.

        Until then the hospital's system shows the bed as occupied, so the next patient's bed gets another number.
        """
        if visit.bed is not None:
            visit.unit.renumber(visit.bed)
        self._depart(visit, is_recorded=False)
        self._clean(visit.unit)
        if self._rng.random() < NEVER_RECORDED:
            self._register.open_visits.discard(visit.visit_id)
        else:
            delay = int(self._rng.uniform(6 * HOUR, 3 * DAY))
            self._agenda.after(delay, partial(self._record_late, visit, self._agenda.now))

    def _record_late(self, visit: Visit, left_at: int) -> None:
        self._register.record("discharge", visit, discharged_at=left_at)
        self._register.open_visits.discard(visit.visit_id)

    def continue_at_home(self, visit: Visit, stays: int) -> None:
        """Hospital care continues at home: the bed is free, the visit goes on."""
        if visit.stays != stays:
            return
        bed, visit.bed, visit.visit_class = visit.bed, None, "home"
        visit.stays += 1
        self._register.record("update", visit)
        self._release_bed(visit.unit, bed)
        days = self._rng.uniform(*CARE_AT_HOME_DAYS)
        self._agenda.after(int(days * DAY), partial(self.discharge, visit, visit.stays))

    def _refer(self, visit: Visit) -> None:
        """A patient who is transferred to another hospital is mostly one of this network."""
        unit, patient = visit.unit, visit.patient
        candidates = [u for u in self._units.values() if u.name == unit.name and u is not unit and u.has_free_bed]
        if candidates and unit.name != EMERGENCY and self._register.is_exception(MOVES_TO_OTHER_HOSPITAL):
            patient.is_in_care = True
            delay = lognormal(self._rng, TO_OTHER_HOSPITAL, SIGMA)
            self._agenda.after(delay, partial(self._receive, patient, self._rng.choice(candidates)))

    def _receive(self, patient: Patient, unit: Unit) -> None:
        self._arrive(self._register.open(patient, unit, None, self._agenda.now, "inpatient", "transfer"))
