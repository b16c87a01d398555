"""The text of alerts: one line each, faults of the pipeline first, then the worst.

A line says what is wrong, since when (local time), what to do, and the page of the runbook.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from patient_flow.monitoring.alert_state import ESCALATED, RESOLVED, Alert, Notification, ResolvedAlert
from patient_flow.monitoring.catalogue import BY_NAME
from patient_flow.monitoring.finding import Severity
from patient_flow.monitoring.rule import RUNBOOK, Audience

MAX_NAMED = 3
"""Open alerts that a tick names; the table of open alerts has them all."""

MAX_NOTIFICATIONS, MAX_CHARACTERS, MAX_BYTES = 20, 400, 20_000
"""Notifications that a message writes out, characters of each, and bytes of all as JSON: Teams refuses a card above
28 KB, and would do so on every retry."""
MAX_LISTED = 100
"""Rows of a table of alerts."""


@dataclass(frozen=True)
class Message:
    """Subject and body of a message to a channel."""

    subject: str
    body: str


@dataclass(frozen=True)
class Links:
    """Addresses of the runbook and of the Dagster UI, and the zone of all times."""

    runbook: str = RUNBOOK
    ui: str = ""
    zone: tzinfo = UTC

    def page(self, alert: Alert) -> str:
        """Address of the alert's page: of the failed check itself where the alert is about one."""
        check = alert.subject.rpartition("/")[2]
        name = check if check in BY_NAME else alert.rule
        return f"{self.runbook.rstrip('/')}/{name}.md"

    def time(self, at: float) -> str:
        """An instant (epoch seconds) in local time."""
        return f"{datetime.fromtimestamp(at, self.zone):%Y-%m-%d %H:%M}"


def compose(notifications: Sequence[Notification], links: Links) -> Message:
    """All ``notifications`` (at least one) in one message, the worst first; of many, the rest is only counted.

    Among equals the newest come first: after a channel was down for long, they are the likeliest to be open still.
    """
    ordered = sorted(
        notifications, key=lambda note: (note.event == RESOLVED, note.alert.severity != Severity.CRITICAL, -note.at)
    )
    first = ordered[0]
    more = f" (and {len(ordered) - 1} more)" if len(ordered) > 1 else ""
    lines: list[str] = []
    for notification in ordered[:MAX_NOTIFICATIONS]:
        line = _line(notification, links)
        if lines and sum(len(json.dumps(written)) for written in [*lines, line]) > MAX_BYTES:
            break
        lines.append(line)
    if remaining := len(ordered) - len(lines):
        lines.append(f"And {remaining} more: the asset audit/open_alerts lists the open alerts.")
    if links.ui:
        lines.append(f"Dagster: {links.ui}")
    return Message(f"[patient_flow] {_state(first)}: {_title(first.alert)}{more}", "\n\n".join(lines))


def summarize(alerts: Mapping[str, Alert], links: Links) -> str:
    """One line for the tick, which the UI shows: the worst faults of the pipeline, and how many alerts are of beds."""
    faults = [alert for alert in by_urgency(alerts.values()) if alert.audience is Audience.OPERATOR]
    beds = len(alerts) - len(faults)
    of_beds = [f"{beds} for bed management (asset audit/open_alerts)"] if beds else []
    if not faults:
        return "; ".join(["no open alerts" if not beds else "no faults", *of_beds])
    named = [
        f"{_title(alert)} since {links.time(alert.opened_at)}: {alert.message}{_end(alert, links)}"
        for alert in faults[:MAX_NAMED]
    ]
    if len(faults) > MAX_NAMED:
        named.append(f"and {len(faults) - MAX_NAMED} more (asset audit/open_alerts)")
    return "; ".join([f"{len(faults)} open: {named[0]}", *named[1:], *of_beds])


def by_urgency(alerts: Iterable[Alert]) -> list[Alert]:
    """Faults of the pipeline first, then the worst, then the oldest."""
    return sorted(
        alerts,
        key=lambda alert: (
            alert.audience is not Audience.OPERATOR,
            alert.severity != Severity.CRITICAL,
            alert.opened_at,
        ),
    )


def open_table(alerts: Iterable[Alert], links: Links) -> str:
    """Open alerts as Markdown: severity, what, since when, what to do, page."""
    listed = by_urgency(alerts)
    rows = [
        (
            alert.severity.value,
            f"{_what(alert)}{_end(alert, links)}",
            links.time(alert.opened_at),
            action(alert),
            links.page(alert),
        )
        for alert in listed[:MAX_LISTED]
    ]
    return _table(("", "What", "Since", "What to do", "Runbook"), rows, len(listed)) if rows else "None."


def resolved_table(resolved: Sequence[ResolvedAlert], links: Links) -> str:
    """Alerts that ended as Markdown, the newest first: what, from, to."""
    rows = [
        (_what(ended.alert), links.time(ended.alert.opened_at), links.time(ended.resolved_at))
        for ended in resolved[:MAX_LISTED]
    ]
    return _table(("What", "From", "To"), rows, len(resolved)) if rows else "None yet."


def action(alert: Alert) -> str:
    """The sentence about what to do; a failed check's own message ends with it."""
    rule = BY_NAME.get(alert.rule)
    return "" if rule is None else rule.action


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |"

    lines = [line(heads), "|" + "---|" * len(heads), *map(line, rows)]
    return "\n".join([*lines, *([f"\nAnd {total - len(rows)} more."] if total > len(rows) else [])])


def _what(alert: Alert) -> str:
    return f"{_title(alert)}: {_shorten(alert.message)}"


def _end(alert: Alert, links: Links) -> str:
    """When an alert ends whose fault is not seen any more; empty for others."""
    if not alert.ends_at:
        return ""
    why = f" (it has returned {alert.returns} times)" if alert.is_held else ""
    end = math.ceil(alert.ends_at / 60) * 60
    return f" Not seen since: ends about {links.time(end)[-5:]} unless it returns{why}."


def _line(notification: Notification, links: Links) -> str:
    alert = notification.alert
    if notification.event == RESOLVED:
        minutes = max(0, round((notification.at - alert.opened_at) / 60))
        return (
            f"RESOLVED: {_title(alert)}, open from {links.time(alert.opened_at)} to {links.time(notification.at)} "
            f"({minutes} min). It was: {_shorten(alert.message)}"
        )
    return (
        f"{_state(notification).upper()}: {_what(alert)} Since {links.time(alert.opened_at)}. {action(alert)} "
        f"Runbook: {links.page(alert)}"
    )


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
