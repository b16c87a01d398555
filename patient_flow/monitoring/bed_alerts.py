"""Alerts for bed management: one line each, the same in a message and on the dashboard.

Not here: when one is open (``rules.occupancy``, ``rules.forecasts``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from patient_flow.contracts.measure_types import Text
from patient_flow.monitoring.finding import Finding, Severity

FULL, DELAYED, AHEAD = "occupancy_high", "discharges_delayed", "beds_full_ahead"
"""Rules of the catalogue."""
MAKE_ROOM = Text(
    "Bring discharges forward, open closed beds or divert admissions.",
    "Avancer des sorties, ouvrir des lits fermés ou orienter les admissions ailleurs.",
)
ASK_THE_WARDS = Text(
    "Ask the wards (dashboard: Discharges) what the patients wait for: transport, care, a letter.",
    "Demander aux services (tableau de bord : Sorties) ce que les patients attendent : transport, soins, courrier.",
)
PREPARE = Text(
    "Open beds, bring discharges forward or postpone admissions (dashboard: The days ahead).",
    "Ouvrir des lits, avancer des sorties ou reporter des admissions (tableau de bord : Les jours à venir).",
)


@dataclass(frozen=True)
class BedAlert:
    """An open alert of a department, or of a hospital (``department`` empty).

    ``what`` is what was found, without a full stop, and ``action`` what to do. ``since`` is None where it is not known;
    with ``is_before`` it began then or earlier.
    """

    rule: str
    severity: Severity
    hospital: str
    department: str
    what: Text
    action: Text
    since: datetime | None = None
    is_before: bool = False
    occupancy_pct: float | None = None

    @property
    def finding(self) -> Finding:
        """As a finding of its rule."""
        place = f"{self.department} of {self.hospital}" if self.department else self.hospital
        subject = f"{self.hospital}/{self.department}" if self.department else self.hospital
        return Finding(self.severity, f"{place}: {self.what.en}.", subject=subject, since=self.since)


def by_urgency(alerts: Iterable[BedAlert]) -> list[BedAlert]:
    """The worst first, then the oldest."""
    return sorted(
        alerts,
        key=lambda alert: (
            alert.severity is not Severity.ERROR,
            alert.since is None,
            alert.since.timestamp() if alert.since else 0.0,
            alert.hospital,
            alert.department,
        ),
    )
