"""Updates of a stay in progress: other bed, corrected age, new plan, readiness, admission of an observed patient.

Not here: placements, transfers and discharges (``inpatient``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from .agenda import Agenda
from .demand import HOUR
from .population import YEAR, Profile
from .register import Register
from .units import Unit, Visit

BED_CHANGES = 0.03
AGE_IS_CORRECTED = 0.004
PLAN_CHANGES = 0.12
OBSERVED_IS_ADMITTED = 0.4

# Mean and standard deviation of the error of an expected length of stay, as shares of the true one: teams plan with a
# reserve, so that one discharge in seven comes later than planned.
FORECAST_RESERVE, FORECAST_ERROR = 0.08, 0.12

PROFILES = {"Pediatrics": Profile.CHILD, "Maternity": Profile.MOTHER}


class Updates:
    """Schedules the updates of a stay; a step is void once the visit has moved on."""

    def __init__(
        self,
        agenda: Agenda,
        rng: Random,
        register: Register,
        release_bed: Callable[[Unit, int | None], None],
    ) -> None:
        """``release_bed`` frees a bed that a patient has left for another one of the unit."""
        self._agenda = agenda
        self._rng = rng
        self._register = register
        self._release_bed = release_bed

    def schedule(self, visit: Visit, ends: int) -> None:
        """Schedule the random updates of a stay that lasts until ``ends``."""
        observed = OBSERVED_IS_ADMITTED if visit.visit_class == "observation" else 0.0
        steps = (
            (BED_CHANGES, self._change_bed),
            (AGE_IS_CORRECTED, self._correct_age),
            (PLAN_CHANGES, partial(self._change_plan, ends)),
            (observed, self._admit_observed),
        )
        for chance, step in steps:
            if self._rng.random() < chance:
                self._at(self._agenda.now + int((ends - self._agenda.now) * self._rng.random()), step, visit)

    def state_readiness(self, visit: Visit, at: int) -> None:
        """The patient is medically ready to leave at the instant ``at``."""
        self._at(at, self._record_readiness, visit)

    def expected_discharge(self, ends: int) -> int:
        """The discharge that the team expects for a stay until ``ends``: a full hour, some hours or days off.

        Exact without corrections.
        """
        if not self._register.corrections:
            return ends
        now = self._agenda.now
        estimate = ends + int(self._rng.gauss(FORECAST_RESERVE, FORECAST_ERROR) * (ends - now))
        return max(estimate, now + HOUR) // HOUR * HOUR + HOUR

    def _at(self, at: int, step: Callable[[Visit], None], visit: Visit) -> None:
        self._agenda.at(max(at, self._agenda.now + 1), partial(self._run, step, visit, visit.stays))

    def _run(self, step: Callable[[Visit], None], visit: Visit, stays: int) -> None:
        if visit.stays == stays:
            step(visit)

    def _record_readiness(self, visit: Visit) -> None:
        self._register.record("update", visit, is_ready=True)

    def _change_bed(self, visit: Visit) -> None:
        if visit.unit.has_free_bed:
            old, visit.bed = visit.bed, visit.unit.assign()
            self._register.record("update", visit)
            self._release_bed(visit.unit, old)

    def _correct_age(self, visit: Visit) -> None:
        years = self._rng.choice((-10, -2, -1, 1, 2, 10))
        age = visit.patient.age(self._agenda.now)
        if visit.unit.name not in PROFILES and 18 <= age + years < 100:
            visit.patient.born -= years * YEAR
            self._register.record("update", visit)

    def _change_plan(self, ends: int, visit: Visit) -> None:
        self._register.record("update", visit, planned_discharge=self.expected_discharge(ends))

    def _admit_observed(self, visit: Visit) -> None:
        visit.visit_class = "inpatient"
        self._register.record("update", visit)
