"""The asset of open alerts: its page shows them as a table, with those that ended before.

The alert sensor reports a materialization whenever the tables change; the page's history is that of the alerts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import dagster as dg

from patient_flow.monitoring.alert_state import Alert, AlertState
from patient_flow.monitoring.messages import Links, open_table, resolved_table
from patient_flow.monitoring.rule import Audience
from patient_flow.orchestration.reports import OWNERS

KEY = dg.AssetKey(["audit", "open_alerts"])
OPEN_ALERTS = dg.AssetSpec(
    KEY,
    group_name="audit",
    kinds={"alert"},
    owners=OWNERS,
    description="Alerts that are open now, and the last ones that ended. The sensor `alerts` evaluates them once a "
    "minute and reports here whenever one opens, changes or ends; older reports are below *Events*. Faults of the "
    "pipeline are for operators; full departments and delayed discharges are for bed management.",
)


@dataclass(frozen=True)
class Report:
    """What the page of the asset shows."""

    operators: str
    bed_management: str
    resolved: str
    counts: tuple[int, int, int]

    @classmethod
    def of(cls, state: AlertState, links: Links) -> Report:
        """The tables of a state."""
        faults = [alert for alert in state.open.values() if alert.audience is Audience.OPERATOR]
        beds = [alert for alert in state.open.values() if alert.audience is Audience.BED_MANAGEMENT]
        critical = sum(_is_critical(alert) for alert in faults)
        return cls(
            open_table(faults, links),
            open_table(beds, links),
            resolved_table(state.resolved, links),
            (len(faults), critical, len(beds)),
        )

    @property
    def fingerprint(self) -> str:
        """Changes with any text of the page."""
        return hashlib.sha256("\0".join((self.operators, self.bed_management, self.resolved)).encode()).hexdigest()[:16]

    def materialization(self) -> dg.AssetMaterialization:
        """The event that the page shows."""
        faults, critical, beds = self.counts
        return dg.AssetMaterialization(
            KEY,
            description=f"{faults} open for operators ({critical} critical), {beds} for bed management",
            metadata={
                "for operators": dg.MetadataValue.md(self.operators),
                "for bed management": dg.MetadataValue.md(self.bed_management),
                "ended": dg.MetadataValue.md(self.resolved),
                "open_for_operators": faults,
                "open_for_bed_management": beds,
            },
        )


def _is_critical(alert: Alert) -> bool:
    return alert.severity == "critical"
