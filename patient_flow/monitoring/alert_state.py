"""Open alerts, their changes in this tick (opened, escalated, resolved), and each channel's undelivered notifications.

The state is a value: :func:`update` makes the next one, and the alert sensor keeps it as JSON in its cursor after the
messages were sent. When a tick dies in between, the next one starts from the old state and sends again: twice rather
than never.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from patient_flow.monitoring.catalogue import BY_NAME
from patient_flow.monitoring.finding import Finding, Severity
from patient_flow.monitoring.rule import FLAP_WINDOW, Audience, Rule
from patient_flow.monitoring.rules.freshness import Staleness

OPENED, ESCALATED, RESOLVED = "opened", "escalated", "resolved"
MAX_OUTBOX = 500
"""Notifications kept for a channel that is down; beyond that the oldest go."""
MAX_QUICK_RETURNS = 1
"""Times that an alert may return within FLAP_WINDOW of its end and still end as soon as the first time."""
MAX_RESOLVED = 30
"""Resolved alerts that the state remembers."""


class Firing(NamedTuple):
    """A rule and what it found; rule name and subject identify the alert."""

    rule: Rule
    finding: Finding

    @property
    def key(self) -> str:
        """Identity of the alert."""
        return alert_key(self.rule.name, self.finding.subject)


class Alert(msgspec.Struct, frozen=True):
    """An open alert. Instants are epoch seconds; it stays open ``resolve_after`` seconds after it was last seen.

    ``ends_at`` is when it ends unless it is seen again; 0 while it is seen, or cannot be judged. ``returns`` is how
    often it opened again within FLAP_WINDOW of its end.
    """

    rule: str
    subject: str
    severity: Severity
    message: str
    opened_at: float
    seen_at: float
    resolve_after: float = 0.0
    ends_at: float = 0.0
    returns: int = 0

    @property
    def key(self) -> str:
        """Identity of the alert."""
        return alert_key(self.rule, self.subject)

    @property
    def is_held(self) -> bool:
        """True when it has returned so often that it ends later than other alerts."""
        return self.returns > MAX_QUICK_RETURNS

    @property
    def audience(self) -> Audience:
        """The people who act on it; operators where the rule is of another version."""
        rule = BY_NAME.get(self.rule)
        return Audience.OPERATOR if rule is None else rule.audience


class ResolvedAlert(msgspec.Struct, frozen=True):
    """An alert that is over since ``resolved_at`` (epoch seconds)."""

    alert: Alert
    resolved_at: float


class Notification(msgspec.Struct, frozen=True):
    """A message that a channel has to deliver: an alert opened, escalated or resolved at an instant (epoch seconds)."""

    event: str
    at: float
    alert: Alert


class AlertState(msgspec.Struct, frozen=True):
    """Open alerts by key, notifications by channel that are not delivered yet, and events the warehouse awaits.

    ``resolved`` are the last alerts that ended, the newest first; ``reported`` is a fingerprint of what the asset of
    open alerts shows.
    """

    open: Mapping[str, Alert] = msgspec.field(default_factory=dict)
    outbox: Mapping[str, tuple[Notification, ...]] = msgspec.field(default_factory=dict)
    staleness: Staleness = Staleness()
    resolved: tuple[ResolvedAlert, ...] = ()
    reported: str = ""

    def to_json(self) -> str:
        """For a cursor."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(text: str | None) -> AlertState:
        """Parse the output of :meth:`to_json` of this or the previous version; anything else gives an empty state."""
        try:
            stored = json.loads(text or "{}")
            return msgspec.convert(_upgrade(stored) if "untold" in stored else stored, AlertState)
        except (ValueError, TypeError, KeyError, AttributeError):
            return AlertState()


class Changes(NamedTuple):
    """Effect of the current findings on the open alerts."""

    opened: tuple[Alert, ...]
    escalated: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    unchanged: tuple[Alert, ...]


def alert_key(rule: str, subject: str) -> str:
    """Identity of an alert."""
    return f"{rule}/{subject}" if subject else rule


def changes(state: AlertState, firings: Sequence[Firing], now: datetime, unknown: Collection[str] = ()) -> Changes:
    """The last state and current findings → what opens, escalates, resolves and stays.

    ``unknown`` are names of rules, and keys of single alerts, that cannot be judged now (their system does not answer):
    these alerts stay as they are.
    """
    at = now.timestamp()
    firing = {found.key: found for found in firings}
    recent = {
        ended.alert.key: ended.alert.returns + 1
        for ended in reversed(state.resolved)
        if at - ended.resolved_at <= FLAP_WINDOW.total_seconds()
    }
    opened: list[Alert] = []
    escalated: list[Alert] = []
    resolved: list[Alert] = []
    unchanged: list[Alert] = []
    for key, found in firing.items():
        before = state.open.get(key)
        alert = _alert(found, at, before, recent.get(key, 0) if before is None else before.returns)
        if before is None:
            opened.append(alert)
        elif alert.severity == Severity.CRITICAL and before.severity == Severity.WARNING:
            escalated.append(alert)
        else:
            unchanged.append(alert)
    for key, alert in state.open.items():
        if key in firing:
            continue
        ends_at = alert.seen_at + alert.resolve_after
        if alert.rule in unknown or key in unknown:
            unchanged.append(msgspec.structs.replace(alert, ends_at=0.0))
        elif at < ends_at:
            unchanged.append(msgspec.structs.replace(alert, ends_at=ends_at))
        else:
            resolved.append(alert)
    return Changes(tuple(opened), tuple(escalated), tuple(resolved), tuple(unchanged))


def update(
    state: AlertState,
    changed: Changes,
    channels: Mapping[str, Audience],
    now: datetime,
    staleness: Staleness | None = None,
) -> AlertState:
    """The next state: what is open now, and for every channel the notifications to deliver, old ones first.

    A channel receives the alerts of its audience. One that is no longer configured is dropped; a new one receives what
    opens from now on.
    """
    at = now.timestamp()
    notifications = (
        *(Notification(OPENED, at, alert) for alert in changed.opened),
        *(Notification(ESCALATED, at, alert) for alert in changed.escalated),
        *(Notification(RESOLVED, at, alert) for alert in changed.resolved),
    )
    outbox = {
        channel: (
            *state.outbox.get(channel, ()),
            *(notification for notification in notifications if notification.alert.audience is audience),
        )[-MAX_OUTBOX:]
        for channel, audience in channels.items()
    }
    return AlertState(
        {alert.key: alert for alert in (*changed.unchanged, *changed.escalated, *changed.opened)},
        outbox,
        state.staleness if staleness is None else staleness,
        (*(ResolvedAlert(alert, at) for alert in changed.resolved), *state.resolved)[:MAX_RESOLVED],
        state.reported,
    )


def mark_delivered(state: AlertState, channel: str) -> AlertState:
    """The state after ``channel`` has delivered everything."""
    return msgspec.structs.replace(state, outbox={**state.outbox, channel: ()})


def _alert(found: Firing, at: float, before: Alert | None, returns: int) -> Alert:
    rule, finding = found
    resolve_after = rule.resolve_after if finding.resolve_after is None else finding.resolve_after
    if returns > MAX_QUICK_RETURNS:
        resolve_after = max(resolve_after, FLAP_WINDOW)
    began = at if finding.since is None else finding.since.timestamp()
    return Alert(
        rule.name,
        finding.subject,
        finding.severity.of_alert,
        finding.message,
        began if before is None else before.opened_at,
        at,
        resolve_after.total_seconds(),
        returns=returns,
    )


FORMER_RULES = {
    "run-failed": "run_failed",
    "data-is-stale": "data_stale",
    "no-events": "no_events",
    "quarantine-spike": "quarantine_spike",
    "occupancy": "occupancy_high",
    "hub-down": "hub_down",
    "hub-slow": "hub_slow",
    "hub-refused": "hub_refused",
    "hub-recreated": "hub_recreated",
    "new-partition": "partition_added",
    "retention-overtook-us": "events_expired",
    "store-down": "store_down",
    "settings-refused": "settings_invalid",
    "check-failed": "check_failed",
}
FORMER_CHECKS = {
    "identities_are_accepted_once": "event_identities_unique",
    "received_is_accepted_plus_quarantined": "counts_reconcile",
    "keys_are_unique": "keys_unique",
    "keys_are_in_their_dimension": "foreign_keys_exist",
    "versions_have_no_gap_or_overlap": "scd2_intervals_valid",
    "every_event_is_counted": "quality_counts_reconcile",
    "rows_equal_gold": "row_counts_match",
    "occupancy_is_plausible": "occupancy_plausible",
    "few_events_are_quarantined": "quarantine_rate_acceptable",
    "department_list_is_current": "department_list_current",
    "newest_event_is_recent": "data_fresh",
    "volume_is_usual": "event_volume_normal",
    "senders_send_known_fields": "no_new_fields",
    "schemas_are_as_declared": "schemas_match",
    "warehouse_equals_gold": "warehouse_matches_gold",
}
FORMER_EVENTS = {"opened": OPENED, "worse": ESCALATED, "closed": RESOLVED}
"""Names of the version before: its cursor is read once, so that its alerts stay open under the new names."""


def _upgrade(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The cursor of the version before in today's form."""
    alerts = [_upgrade_alert(alert) for alert in stored["open"].values()]
    watch = stored["watch"]
    return {
        "open": {alert_key(alert["rule"], alert["subject"]): alert for alert in alerts},
        "outbox": {
            channel: [
                {"event": FORMER_EVENTS[note["event"]], "at": note["at"], "alert": _upgrade_alert(note["alert"])}
                for note in notes
            ]
            for channel, notes in stored["untold"].items()
        },
        "staleness": {"awaited": watch.get("ends", {}), "since": watch.get("since", 0.0)},
    }


def _upgrade_alert(alert: Mapping[str, Any]) -> dict[str, Any]:
    asset, slash, check = alert["subject"].rpartition("/")
    return {
        "rule": FORMER_RULES[alert["page"]],
        "subject": f"{asset}{slash}{FORMER_CHECKS.get(check, check)}",
        "severity": alert["severity"],
        "message": alert["sentence"],
        "opened_at": alert["opened_at"],
        "seen_at": alert["seen_at"],
        "resolve_after": alert["hold_seconds"],
    }
