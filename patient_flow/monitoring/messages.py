"""The text of alerts: one line each, faults of the pipeline first, then the worst.

A line says what is wrong, since when (local time), what to do, and the page of the runbook.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from patient_flow.monitoring.alert_state import ESCALATED, RESOLVED, Alert, Notification, ResolvedAlert
from patient_flow.monitoring.catalogue import BY_NAME
from patient_flow.monitoring.finding import Severity
from patient_flow.monitoring.rule import RUNBOOK, Audience

MAX_NAMED = 3
"""Open alerts that a tick names; the asset of open alerts has them all."""

MAX_NOTIFICATIONS, MAX_CHARACTERS, MAX_BYTES = 20, 400, 20_000
"""Notifications that a message writes out, characters of each, and bytes of all as JSON: Teams refuses a card above
28 KB, and would do so on every retry."""
MAX_LISTED, MAX_ENTRY_CHARACTERS = 50, 600
"""Alerts of an audience on the asset's page, and characters of each message there."""
MAX_RESOLVED_LISTED, MAX_RESOLVED_CHARACTERS = 6, 110
_CODE, _MARKUP, _LONG_WORD = re.compile("(`[^`]*`)"), re.compile(r"[\\*_<|\[\]]"), re.compile(r"\S{31,}")
_MAY_BREAK = "\u200b"


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


def entries(alerts: Iterable[Alert], links: Links, prefix: str = "") -> dict[str, str]:
    """Open alerts as entries of an asset's page in Dagster, the most urgent first: key → Markdown.

    Each is three paragraphs: what and since when, the message, what to do with the page. The page shows an entry below
    1,000 characters at once, leaves 340 pixels for it, and cuts off words that are wider.
    """
    listed = by_urgency(alerts)
    shown = {
        f"{prefix}{number} {alert.severity.value}": "\n\n".join(
            (
                f"**{_escape(_title(alert))}**, since {links.time(alert.opened_at)}",
                f"{_escape(_shorten(alert.message, MAX_ENTRY_CHARACTERS))}{_end(alert, links)}",
                f"**To do:** {action(alert)} {_page_unless_named(alert, links)}",
            )
        )
        for number, alert in enumerate(listed[:MAX_LISTED], start=1)
    }
    if len(listed) > MAX_LISTED:
        shown[f"{prefix}more"] = f"And {len(listed) - MAX_LISTED} more."
    return shown


def resolved_list(resolved: Sequence[ResolvedAlert], links: Links) -> str:
    """The last alerts that ended as Markdown, the newest first, an item each: from, to, what."""
    shown = [
        f"- {_span(ended, links)}: {_escape(_shorten(_what(ended.alert), MAX_RESOLVED_CHARACTERS))}"
        for ended in resolved[:MAX_RESOLVED_LISTED]
    ]
    return "\n".join(shown) or "None yet."


def _span(ended: ResolvedAlert, links: Links) -> str:
    began, end = links.time(ended.alert.opened_at), links.time(ended.resolved_at)
    return f"{began} to {end[-5:] if end[:10] == began[:10] else end}"


def action(alert: Alert) -> str:
    """The sentence about what to do; a failed check's own message ends with it."""
    rule = BY_NAME.get(alert.rule)
    return "" if rule is None else rule.action


def _page_unless_named(alert: Alert, links: Links) -> str:
    """The page of the runbook, where the message does not name it."""
    page = links.page(alert)
    if page in alert.message:
        return ""
    return f"See [{page.rpartition('/')[2]}]({page})." if "://" in page else f"See {_escape(page)}."


def _escape(text: str) -> str:
    """Text on one line in which Markdown changes nothing but the code between backticks; long paths may be broken."""
    parts = _CODE.split(" ".join(text.split()))
    escaped = (part if part.startswith("`") else _MARKUP.sub(r"\\\g<0>", part) for part in parts)
    return _LONG_WORD.sub(lambda word: word[0].replace("/", f"/{_MAY_BREAK}"), "".join(escaped))


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


def _shorten(message: str, limit: int = MAX_CHARACTERS) -> str:
    return message if len(message) <= limit else f"{message[: limit - 1]}…"


def _state(notification: Notification) -> str:
    if notification.event == RESOLVED:
        return "resolved"
    severity = notification.alert.severity.value
    return f"now {severity}" if notification.event == ESCALATED else severity


def _title(alert: Alert) -> str:
    name = alert.rule.replace("_", " ")
    return f"{name}: {alert.subject}" if alert.subject else name
