"""The emergency department: triage, treatment, release, the decision to admit, and boarding.

Most patients are treated and released without a bed. Who needs a bay gets one when it is free; who is to be admitted
waits (boards) until the destination has a free bed.

Not here: arrivals (``hospital``) and everything from the first ward bed on (``inpatient``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from .agenda import Agenda
from .demand import MINUTE, lognormal
from .inpatient import Inpatient
from .register import Register
from .units import Visit

# Medians; the wait for a bed itself follows from the beds.
TO_TRIAGE = 8 * MINUTE
TO_TREATMENT = 45 * MINUTE
TO_DECISION = 130 * MINUTE
TO_RELEASE = 100 * MINUTE
TO_LEAVING_UNSEEN = 100 * MINUTE
PORTERING = 35 * MINUTE
SIGMA = 0.6

LEAVES_WITHOUT_BEING_SEEN = 0.035
REGISTERED_BY_MISTAKE = 0.004
NEEDS_BAY = {True: 0.85, False: 0.5}
"""Probability of a bay, for patients to be admitted and to be released."""
OBSERVED = 0.06


class Emergency:
    """Runs the emergency part of visits; all methods take a visit whose unit is the emergency department."""

    def __init__(self, agenda: Agenda, rng: Random, register: Register, inpatient: Inpatient) -> None:
        """``inpatient`` takes over the visits that are admitted."""
        self._agenda = agenda
        self._rng = rng
        self._register = register
        self._inpatient = inpatient

    def arrive(self, visit: Visit) -> None:
        """Register an arrival; triage follows."""
        visit.unit.present += 1
        self._register.record("arrival", visit)
        if self._register.is_exception(REGISTERED_BY_MISTAKE):
            self._agenda.after(self._register.minutes(1, 15), partial(self._void, visit))
        else:
            self._after(TO_TRIAGE, self._triage, visit)

    def _void(self, visit: Visit) -> None:
        """The arrival was registered by mistake; systems undo it as a whole visit or as an admission (HL7 A11)."""
        self._register.record(self._rng.choice(("void_visit", "cancel_admission")), visit)
        visit.unit.present -= 1
        self._register.close(visit)

    def _triage(self, visit: Visit) -> None:
        self._register.record("triage", visit)
        if self._rng.random() < LEAVES_WITHOUT_BEING_SEEN:
            visit.status = "left_without_being_seen"
            self._after(TO_LEAVING_UNSEEN, self._release, visit)
        else:
            self._after(TO_TREATMENT, self._treat, visit)

    def _treat(self, visit: Visit) -> None:
        """Treatment begins, in a bay where the patient needs one and one is free."""
        is_admitted = visit.destination is not None
        if visit.unit.has_free_bed and self._rng.random() < NEEDS_BAY[is_admitted]:
            visit.bed = visit.unit.assign()
            self._register.record("admission", visit, is_seen=True)
        else:
            self._register.record("update", visit, is_seen=True)
        if is_admitted:
            self._after(TO_DECISION, self._decide, visit)
        else:
            visit.status = self._register.discharge_status(visit.unit.name)
            self._after(TO_RELEASE if visit.bed is None else 2 * TO_RELEASE, self._release, visit)

    def _release(self, visit: Visit) -> None:
        self._register.record("discharge", visit)
        bed, visit.bed = visit.bed, None
        visit.unit.present -= 1
        self._register.close(visit)
        if bed is not None:
            visit.unit.release(bed)

    def _decide(self, visit: Visit) -> None:
        """The decision to admit; the patient boards until porters find a free bed at the destination."""
        self._register.record("update", visit, is_decision=True)
        is_observed = self._register.is_exception(OBSERVED)
        delay = lognormal(self._rng, PORTERING, SIGMA)
        self._agenda.after(delay, partial(self._inpatient.board, visit, "observation" if is_observed else "inpatient"))

    def _after(self, median: int, step: Callable[[Visit], None], visit: Visit) -> None:
        self._agenda.after(lognormal(self._rng, median, SIGMA), partial(step, visit))
