"""How alerts are said: one message per look and channel, the worst first, each with its page of the runbook."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from patient_flow.alerts.ledger import CLOSED, CRITICAL, WORSE, Alert, Note

MOST_NAMED = 8
"""Open alerts that a tick names: more than somebody reads at once would hide the worst."""

MOST_TOLD, MOST_CHARACTERS, MOST_BYTES = 20, 400, 20_000
"""Notes that a message writes out, what it says of each, and of all of them as JSON: Teams refuses a card above 28 KB,
and would for ever."""

DEFAULT_RUNBOOK = "infra/docs/runbook"


@dataclass(frozen=True)
class Message:
    """What a channel sends."""

    subject: str
    body: str


@dataclass(frozen=True)
class Links:
    """Where the runbook and the Dagster UI are; ``pages`` are checks with a page of their own."""

    runbook: str = DEFAULT_RUNBOOK
    ui: str = ""
    pages: frozenset[str] = frozenset()

    def page(self, alert: Alert) -> str:
        """Address of the alert's page: of the check itself where it has one."""
        check = alert.subject.rpartition("/")[2]
        name = check if check in self.pages else alert.page
        return f"{self.runbook.rstrip('/')}/{name}.md"


def message(notes: Sequence[Note], links: Links) -> Message:
    """All ``notes`` (at least one) in one message, the worst first; of many, the rest is only counted.

    Among equals the newest come first: after a channel was down for long, they are the likeliest to be open still.
    """
    ordered = sorted(notes, key=lambda note: (note.event == CLOSED, note.alert.severity != CRITICAL, -note.at))
    first = ordered[0]
    more = f" (and {len(ordered) - 1} more)" if len(ordered) > 1 else ""
    parts: list[str] = []
    for note in ordered[:MOST_TOLD]:
        part = _paragraph(note, links)
        if parts and sum(len(json.dumps(told)) for told in [*parts, part]) > MOST_BYTES:
            break
        parts.append(part)
    if left := len(ordered) - len(parts):
        parts.append(f"And {left} more: what is open now, the newest tick of `alerts` says.")
    if links.ui:
        parts.append(f"Dagster: {links.ui}")
    return Message(f"[patient_flow] {_state(first)}: {_title(first.alert)}{more}", "\n\n".join(parts))


def open_alerts(alerts: Mapping[str, Alert]) -> str:
    """One line for the tick, which the UI shows: how many, and the worst of them."""
    if not alerts:
        return "no alert is open"
    worst = _worst(alerts.values())
    said = [f"{_title(alert)} since {_clock(alert.opened_at)}: {alert.sentence}" for alert in worst[:MOST_NAMED]]
    if len(worst) > MOST_NAMED:
        said.append(f"and {len(worst) - MOST_NAMED} more")
    return f"{len(alerts)} open: {'; '.join(said)}"


def _worst(alerts: Iterable[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: (alert.severity != CRITICAL, alert.opened_at))


def _paragraph(note: Note, links: Links) -> str:
    alert = note.alert
    if note.event == CLOSED:
        minutes = max(0, round((note.at - alert.opened_at) / 60))
        lines = [
            f"OVER: {_title(alert)}",
            f"It was: {_short(alert.sentence)}",
            f"Open from {_clock(alert.opened_at)} to {_clock(note.at)} ({minutes} min).",
        ]
    else:
        lines = [
            f"{_state(note).upper()}: {_title(alert)}",
            _short(alert.sentence),
            f"Since {_clock(alert.opened_at)}.",
        ]
    return "\n".join([*lines, f"What to do: {links.page(alert)}"])


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= MOST_CHARACTERS else f"{sentence[: MOST_CHARACTERS - 1]}…"


def _state(note: Note) -> str:
    if note.event == CLOSED:
        return "over"
    return f"now {note.alert.severity}" if note.event == WORSE else note.alert.severity


def _title(alert: Alert) -> str:
    name = alert.page.replace("-", " ")
    return f"{name}: {alert.subject}" if alert.subject else name


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
