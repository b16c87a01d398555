"""The text of alerts: one message per tick and channel, the worst first, each alert with its page of the runbook."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from patient_flow.monitoring.alert_state import ESCALATED, RESOLVED, Alert, Notification
from patient_flow.monitoring.catalogue import BY_NAME
from patient_flow.monitoring.finding import Severity
from patient_flow.monitoring.rule import RUNBOOK

MAX_NAMED = 8
"""Open alerts that a tick names: more would hide the worst."""

MAX_NOTIFICATIONS, MAX_CHARACTERS, MAX_BYTES = 20, 400, 20_000
"""Notifications that a message writes out, characters of each, and bytes of all as JSON: Teams refuses a card above
28 KB, and would do so on every retry."""


@dataclass(frozen=True)
class Message:
    """Subject and body of a message to a channel."""

    subject: str
    body: str


@dataclass(frozen=True)
class Links:
    """Addresses of the runbook and of the Dagster UI."""

    runbook: str = RUNBOOK
    ui: str = ""

    def page(self, alert: Alert) -> str:
        """Address of the alert's page: of the failed check itself where the alert is about one."""
        check = alert.subject.rpartition("/")[2]
        name = check if check in BY_NAME else alert.rule
        return f"{self.runbook.rstrip('/')}/{name}.md"


def compose(notifications: Sequence[Notification], links: Links) -> Message:
    """All ``notifications`` (at least one) in one message, the worst first; of many, the rest is only counted.

    Among equals the newest come first: after a channel was down for long, they are the likeliest to be open still.
    """
    ordered = sorted(
        notifications, key=lambda note: (note.event == RESOLVED, note.alert.severity != Severity.CRITICAL, -note.at)
    )
    first = ordered[0]
    more = f" (and {len(ordered) - 1} more)" if len(ordered) > 1 else ""
    parts: list[str] = []
    for notification in ordered[:MAX_NOTIFICATIONS]:
        part = _paragraph(notification, links)
        if parts and sum(len(json.dumps(written)) for written in [*parts, part]) > MAX_BYTES:
            break
        parts.append(part)
    if remaining := len(ordered) - len(parts):
        parts.append(f"And {remaining} more: the newest tick of the sensor `alerts` lists the open alerts.")
    if links.ui:
        parts.append(f"Dagster: {links.ui}")
    return Message(f"[patient_flow] {_state(first)}: {_title(first.alert)}{more}", "\n\n".join(parts))


def summarize(alerts: Mapping[str, Alert]) -> str:
    """One line for the tick, which the UI shows: how many alerts are open, and the worst of them."""
    if not alerts:
        return "no open alerts"
    worst = _worst(alerts.values())
    named = [f"{_title(alert)} since {_utc(alert.opened_at)}: {alert.message}" for alert in worst[:MAX_NAMED]]
    if len(worst) > MAX_NAMED:
        named.append(f"and {len(worst) - MAX_NAMED} more")
    return f"{len(alerts)} open: {'; '.join(named)}"


def _worst(alerts: Iterable[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: (alert.severity != Severity.CRITICAL, alert.opened_at))


def _paragraph(notification: Notification, links: Links) -> str:
    alert = notification.alert
    if notification.event == RESOLVED:
        minutes = max(0, round((notification.at - alert.opened_at) / 60))
        lines = [
            f"RESOLVED: {_title(alert)}",
            f"It was: {_shorten(alert.message)}",
            f"Open from {_utc(alert.opened_at)} to {_utc(notification.at)} ({minutes} min).",
        ]
    else:
        lines = [
            f"{_state(notification).upper()}: {_title(alert)}",
            _shorten(alert.message),
            f"Since {_utc(alert.opened_at)}.",
        ]
    return "\n".join([*lines, f"Runbook: {links.page(alert)}"])


def _shorten(message: str) -> str:
    return message if len(message) <= MAX_CHARACTERS else f"{message[: MAX_CHARACTERS - 1]}…"


def _state(notification: Notification) -> str:
    if notification.event == RESOLVED:
        return "resolved"
    severity = notification.alert.severity.value
    return f"now {severity}" if notification.event == ESCALATED else severity


def _title(alert: Alert) -> str:
    name = alert.rule.replace("_", " ")
    return f"{name}: {alert.subject}" if alert.subject else name


def _utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
