"""The asset of open alerts: its page lists them, with those that ended before.

The alert sensor reports a materialization whenever an entry changes; the page's history is that of the alerts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from patient_flow.monitoring.alert_state import Alert, AlertState
from patient_flow.monitoring.messages import Links, entries, resolved_list
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
    "pipeline are for operators and come first; full departments and delayed discharges (`beds`) are for bed "
    "management.",
)


@dataclass(frozen=True)
class Report:
    """What the page of the asset shows: entries of Markdown by key, and numbers of open alerts."""

    entries: Mapping[str, str]
    counts: tuple[int, int, int]

    @classmethod
    def of(cls, state: AlertState, links: Links) -> Report:
        """The report of a state: the faults first, then the beds, then what ended."""
        faults = [alert for alert in state.open.values() if alert.audience is Audience.OPERATOR]
        beds = [alert for alert in state.open.values() if alert.audience is Audience.BED_MANAGEMENT]
        critical = sum(_is_critical(alert) for alert in faults)
        shown = {
            **(entries(faults, links) or {"operators": "None."}),
            **(entries(beds, links, "beds ") or {"beds": "None."}),
            "ended": resolved_list(state.resolved, links),
        }
        return cls(shown, (len(faults), critical, len(beds)))

    @property
    def fingerprint(self) -> str:
        """Changes with any text of the page."""
        texts = (text for entry in self.entries.items() for text in entry)
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]

    def materialization(self) -> dg.AssetMaterialization:
        """The event that the page shows."""
        faults, critical, beds = self.counts
        return dg.AssetMaterialization(
            KEY,
            description=f"{faults} open for operators ({critical} critical), {beds} for bed management",
            metadata={
                **{name: dg.MetadataValue.md(text) for name, text in self.entries.items()},
                "open_for_operators": faults,
                "open_for_bed_management": beds,
            },
        )


def _is_critical(alert: Alert) -> bool:
    return alert.severity == "critical"
