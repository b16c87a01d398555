"""A rule of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from patient_flow.contracts.tables import Table
from patient_flow.monitoring.finding import COULD_NOT_RUN, Finding, Severity
from patient_flow.monitoring.inputs import CheckInputs
from patient_flow.monitoring.thresholds import Threshold

RUNBOOK = "infra/docs/runbook"
SETTLE_WINDOW = timedelta(seconds=90)
"""A fault that may come and go is over when two evaluations in a row, a minute apart, do not find it."""
FLAP_WINDOW = timedelta(minutes=5)
"""An alert that opens again within this time of its end has returned. One that returns again and again ends only after
this time without the fault: it is one alert."""
EVENT_TTL = timedelta(hours=1)
"""How long an alert about a single event stays open."""


class Cadence(StrEnum):
    """When a rule is evaluated: with each micro-batch or extract, hourly, nightly, every minute by the alert sensor."""

    BATCH = "each batch"
    HOURLY = "hourly"
    NIGHTLY = "nightly"
    EXTRACT = "each extract"
    WATCH = "watch"


class Audience(StrEnum):
    """The people who act on a finding."""

    OPERATOR = "operator"
    BED_MANAGEMENT = "bed management"


@dataclass(frozen=True)
class Rule:
    """``compares`` and ``action`` are sentences: what is compared, and what to do about a finding.

    ``severity`` is the worst that the rule reports. ``tables`` are those that it checks, in the lake unless
    ``on_warehouse``. ``evaluate`` makes the finding for one table; None where another place hands the rule its figures.
    A ``blocking`` rule stops the micro-batch at its table when it finds an error.
    """

    name: str
    compares: str
    action: str
    severity: Severity
    cadences: tuple[Cadence, ...]
    threshold: Threshold | None = None
    tables: tuple[Table, ...] = ()
    on_warehouse: bool = False
    evaluate: Callable[[CheckInputs], Finding] | None = None
    blocking: bool = False
    audience: Audience = Audience.OPERATOR
    resolve_after: timedelta = timedelta()

    @property
    def page(self) -> str:
        """Its page of the runbook."""
        return f"{RUNBOOK}/{self.name}.md"

    @property
    def is_judged_by_batches(self) -> bool:
        """True for an hourly rule that micro-batches evaluate too, so that one cause opens one alert."""
        return Cadence.BATCH in self.cadences and Cadence.HOURLY in self.cadences

    def describe(self, finding: Finding) -> str:
        """The finding and, unless it is ok, what to do and where to read on."""
        if finding.message.startswith(COULD_NOT_RUN):
            return f"{finding.message} The next evaluation tries again."
        return finding.message if finding.is_ok else f"{finding.message} {self.action} See {self.page}."
