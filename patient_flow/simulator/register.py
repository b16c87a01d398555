"""The patient administration system of the simulation: it opens and closes visits and records their events.

Not here: the steps of a visit (``emergency``, ``inpatient``).
"""

from __future__ import annotations

from functools import partial
from random import Random

from .agenda import Agenda
from .demand import DAY, EMERGENCY, HOUR, MINUTE
from .population import Patient, patient_number
from .units import SimEvent, Unit, Visit

# Probabilities of a registration under a provisional number: of an unidentified emergency patient, of a duplicate.
UNIDENTIFIED = 0.008
DUPLICATE = 0.002

STATUSES = ("home", "care_facility", "transferred", "left_against_advice", "other")
STATUS_SHARES = (0.85, 0.06, 0.05, 0.015, 0.025)
EMERGENCY_STATUS_SHARES = (0.94, 0.01, 0.015, 0.02, 0.015)
MORTALITY = {EMERGENCY: 0.002, "ICU": 0.10, "Oncology": 0.04, "Cardiology": 0.02, "Maternity": 0.0001}
DEFAULT_MORTALITY = 0.005


class Register:
    """Opens and closes visits; ``events`` collects the simulated events until the caller takes them."""

    def __init__(self, agenda: Agenda, rng: Random, run_id: str, *, corrections: bool) -> None:
        """Without ``corrections`` nothing is ever recorded wrongly, and everything goes as planned."""
        self.events: list[SimEvent] = []
        self.open_visits: set[str] = set()
        self.corrections = corrections
        self._agenda = agenda
        self._rng = rng
        self._run_id = run_id
        self._visits = 0

    def open(
        self, patient: Patient, unit: Unit, destination: str | None, arrived_at: int, visit_class: str, reason: str
    ) -> Visit:
        """A new visit to ``unit``; ``reason`` is its admission type.

        ``destination`` is the department of the later admission, where it follows from the arrival.
        """
        patient.is_in_care = True
        self._visits += 1
        number = f"V{self._run_id}-{self._visits:07d}"
        visit = Visit(number, patient, unit, destination, arrived_at, visit_class, reason)
        self.open_visits.add(number)
        if self.is_exception(UNIDENTIFIED if visit_class == "emergency" else DUPLICATE):
            visit.alias = patient_number(self._rng)
            delay = self._rng.uniform(HOUR, DAY) if visit_class == "emergency" else self._rng.uniform(DAY, 10 * DAY)
            self._agenda.after(int(delay), partial(self._merge, visit))
        return visit

    def close(self, visit: Visit, *, is_recorded: bool = True) -> None:
        """The patient has left; ``is_recorded=False`` leaves the visit open in the events."""
        visit.is_over = True
        visit.stays += 1
        visit.patient.is_in_care = False
        visit.patient.is_alive = visit.status != "deceased"
        if is_recorded:
            self.open_visits.discard(visit.visit_id)

    def record(
        self,
        kind: str,
        visit: Visit,
        *,
        planned_discharge: int | None = None,
        discharged_at: int | None = None,
        is_seen: bool = False,
        is_decision: bool = False,
        is_ready: bool = False,
    ) -> None:
        """Record an event of a visit at the present instant."""
        patient, unit = visit.patient, visit.unit
        at = self._agenda.now
        has_status = kind == "discharge" or not self.corrections
        is_placed = kind not in {"arrival", "triage"} and visit.visit_class not in {"outpatient", "virtual"}
        self.events.append(
            SimEvent(
                kind,
                at,
                visit.visit_id,
                visit.alias or patient.patient_id,
                patient.gender,
                patient.age(at),
                unit.hospital_id,
                None if visit.visit_class == "virtual" else unit.name,
                visit.bed,
                visit.arrived_at,
                visit.visit_class,
                visit.admission_type if is_placed and visit.visit_class != "emergency" else None,
                visit.status if has_status else None,
                planned_discharge,
                discharged_at,
                None,
                is_seen,
                is_decision,
                is_ready,
            )
        )

    def _merge(self, visit: Visit) -> None:
        """The provisional number of a visit turns out to belong to a known patient."""
        alias, visit.alias = visit.alias, None
        patient, at = visit.patient, self._agenda.now
        self.events.append(
            SimEvent(
                "merge_patient",
                at,
                visit.visit_id,
                patient.patient_id,
                patient.gender,
                patient.age(at),
                visit.unit.hospital_id,
                None,
                None,
                visit.arrived_at,
                visit.visit_class,
                merged_patient_id=alias,
            )
        )

    def discharge_status(self, department: str) -> str:
        """A random discharge status of a patient of this department."""
        if self._rng.random() < MORTALITY.get(department, DEFAULT_MORTALITY):
            return "deceased"
        shares = EMERGENCY_STATUS_SHARES if department == EMERGENCY else STATUS_SHARES
        return self._rng.choices(STATUSES, shares)[0]

    def is_exception(self, chance: float) -> bool:
        """True with this probability; never without corrections."""
        return self.corrections and self._rng.random() < chance

    def minutes(self, shortest: int, longest: int) -> int:
        """A random duration between two numbers of minutes, in microseconds."""
        return int(self._rng.uniform(shortest, longest) * MINUTE)
