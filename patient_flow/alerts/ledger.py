"""Which alerts are open, which open or close now, and what is still to be told to whom.

The ledger is all the memory that alerts have. It is a value: :func:`reconcile` makes the next one, and whoever keeps
it (the sensor, in its cursor) keeps it as JSON. It is kept after the messages went out. So when a tick dies in between,
the next one starts from the old ledger and tells again: twice rather than never.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

WARNING, CRITICAL = "warning", "critical"
OPENED, WORSE, CLOSED = "opened", "worse", "closed"
MOST_UNTOLD = 500
"""Notes kept for a channel that is down; beyond that the oldest go."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong now.

    ``page`` names its page of the runbook; ``subject`` says where (a department, a check, empty), and with the page is
    its identity. ``sentence`` says what is wrong and never holds patient data. ``hold`` is how long it stays open after
    it was last seen: what happens once (a hub recreated) is an alert for a while, and what flickers is one alert.
    """

    page: str
    subject: str
    severity: str
    sentence: str
    hold: timedelta = timedelta()

    @property
    def key(self) -> str:
        """Identity of the alert."""
        return f"{self.page}/{self.subject}" if self.subject else self.page


@dataclass(frozen=True)
class Alert:
    """An open alert. Instants are epoch seconds."""

    page: str
    subject: str
    severity: str
    sentence: str
    opened_at: float
    seen_at: float
    hold_seconds: float = 0.0

    @property
    def key(self) -> str:
        """Identity of the alert."""
        return f"{self.page}/{self.subject}" if self.subject else self.page


@dataclass(frozen=True)
class Note:
    """What is to be told of an alert: it opened, got worse or closed, at an instant (epoch seconds)."""

    event: str
    at: float
    alert: Alert


@dataclass(frozen=True)
class Ledger:
    """Open alerts by key, notes not yet told by channel, and what findings need to remember (``watch``)."""

    open: Mapping[str, Alert] = field(default_factory=dict)
    untold: Mapping[str, tuple[Note, ...]] = field(default_factory=dict)
    watch: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """For a cursor."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str | None) -> Ledger:
        """What :meth:`to_json` wrote; an empty ledger for None and for what another version wrote."""
        try:
            kept = json.loads(text or "{}")
            return Ledger(
                {key: Alert(**alert) for key, alert in kept.get("open", {}).items()},
                {
                    channel: tuple(Note(note["event"], note["at"], Alert(**note["alert"])) for note in notes)
                    for channel, notes in kept.get("untold", {}).items()
                },
                dict(kept.get("watch", {})),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return Ledger()


@dataclass(frozen=True)
class Changes:
    """What a look made of the open alerts."""

    to_open: tuple[Alert, ...]
    worse: tuple[Alert, ...]
    to_close: tuple[Alert, ...]
    still_open: tuple[Alert, ...]


def changes(
    open_alerts: Mapping[str, Alert], findings: Sequence[Finding], now: datetime, unknown: Collection[str] = ()
) -> Changes:
    """Open alerts and findings now → what opens, gets worse, closes and stays.

    ``unknown`` are pages, and keys of single alerts, that nothing can be said of now (their system did not answer):
    these alerts stay as they are.
    """
    at = now.timestamp()
    found = {finding.key: finding for finding in findings}
    to_open: list[Alert] = []
    worse: list[Alert] = []
    to_close: list[Alert] = []
    still: list[Alert] = []
    for key, finding in found.items():
        before = open_alerts.get(key)
        alert = _alert(finding, at, before)
        if before is None:
            to_open.append(alert)
        elif finding.severity == CRITICAL and before.severity == WARNING:
            worse.append(alert)
        else:
            still.append(alert)
    for key, alert in open_alerts.items():
        if key in found:
            continue
        is_known = alert.page not in unknown and key not in unknown
        is_over = is_known and at - alert.seen_at >= alert.hold_seconds
        (to_close if is_over else still).append(alert)
    return Changes(tuple(to_open), tuple(worse), tuple(to_close), tuple(still))


def reconcile(ledger: Ledger, changed: Changes, channels: Collection[str], now: datetime) -> Ledger:
    """The next ledger: what is open now, and for every channel the notes still to tell, old ones first.

    A channel that is no longer configured is forgotten. A new one is told of what opens from now on.
    """
    at = now.timestamp()
    notes = (
        *(Note(OPENED, at, alert) for alert in changed.to_open),
        *(Note(WORSE, at, alert) for alert in changed.worse),
        *(Note(CLOSED, at, alert) for alert in changed.to_close),
    )
    return replace(
        ledger,
        open={alert.key: alert for alert in (*changed.still_open, *changed.worse, *changed.to_open)},
        untold={channel: (*ledger.untold.get(channel, ()), *notes)[-MOST_UNTOLD:] for channel in channels},
    )


def told(ledger: Ledger, channel: str) -> Ledger:
    """The ledger after everything was told to ``channel``."""
    return replace(ledger, untold={**ledger.untold, channel: ()})


def _alert(finding: Finding, at: float, before: Alert | None) -> Alert:
    opened_at = at if before is None else before.opened_at
    return Alert(
        finding.page,
        finding.subject,
        finding.severity,
        finding.sentence,
        opened_at,
        at,
        finding.hold.total_seconds(),
    )
