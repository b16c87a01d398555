"""The result of a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

Row = Mapping[str, int | float | str | None]
Figures = Mapping[str, int | float]


class Severity(StrEnum):
    """``ok``, ``warning`` (somebody should look) or ``error`` (going on spreads it); of alerts also ``critical``."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def of_alert(self) -> Severity:
        """Severity of the alert that a finding opens: an error wakes somebody."""
        return Severity.CRITICAL if self is Severity.ERROR else self


@dataclass(frozen=True)
class Finding:
    """``message`` says what was found. ``figures`` are for plots, ``rows`` for reading.

    ``subject`` says where, if a rule has several findings (a department, a job, a store). ``resolve_after`` replaces
    the rule's. ``since`` is when it began, where that is known; else an alert begins when it is first seen. No field
    may contain a patient, a visit or the body of an event.
    """

    severity: Severity
    message: str
    figures: Figures = field(default_factory=dict)
    rows: Sequence[Row] = ()
    subject: str = ""
    resolve_after: timedelta | None = None
    since: datetime | None = None

    @property
    def is_ok(self) -> bool:
        """True when nothing is to be done."""
        return self.severity is Severity.OK

    @property
    def is_error(self) -> bool:
        """True when the pipeline must not go on."""
        return self.severity is Severity.ERROR


COULD_NOT_RUN = "The check could not run: "
"""Begins the message of a check without a result: what its rule says about a finding is not what is to be done."""


def ok(message: str, figures: Figures | None = None, rows: Sequence[Row] = ()) -> Finding:
    """Nothing to do."""
    return Finding(Severity.OK, message, dict(figures or {}), rows)


def warning(message: str, figures: Figures | None = None, rows: Sequence[Row] = ()) -> Finding:
    """Somebody should look; the pipeline goes on."""
    return Finding(Severity.WARNING, message, dict(figures or {}), rows)


def error(message: str, figures: Figures | None = None, rows: Sequence[Row] = ()) -> Finding:
    """Going on would spread the problem."""
    return Finding(Severity.ERROR, message, dict(figures or {}), rows)


def combine(findings: Mapping[str, Finding]) -> Finding:
    """One finding from a rule's findings by table (at least one): names the failures, keeps all figures as rows."""
    failed = {name: finding for name, finding in findings.items() if not finding.is_ok}
    rows: list[Row] = [
        {"table": name, "severity": finding.severity.value, **finding.figures} for name, finding in findings.items()
    ]
    if not failed:
        return ok(next(iter(findings.values())).message, {"tables": len(findings)}, rows)
    message = " ".join(f"{name}: {finding.message}" for name, finding in failed.items())
    worst = error if any(finding.is_error for finding in failed.values()) else warning
    return worst(message, {"tables": len(findings), "failed_tables": len(failed)}, rows)
