"""Open bed alerts: one line each, the worst first, as the alert sensor sends them to bed management."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from patient_flow.contracts.fullness import AMPLE, CRITICAL, HIGH
from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import svg
from patient_flow.dashboard.bed_alerts import open_alerts
from patient_flow.dashboard.headings import DEPARTMENT, HOSPITAL, SINCE
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Column, Panel, Table
from patient_flow.monitoring.bed_alerts import BedAlert
from patient_flow.monitoring.finding import Severity

TITLE = Text("Bed alerts", "Alertes lits")
NOTE = Text(
    "Open alerts, the worst first; bed management receives the same by message.",
    "Alertes ouvertes, les plus graves d’abord ; la gestion des lits reçoit les mêmes par message.",
)
_NONE = Text("No alert is open.", "Aucune alerte ouverte.")
_MORE = Text("{count} more", "{count} {count:autre|autres}")
_SINCE, _BEFORE = Text("since {moment}", "depuis {moment}"), Text("since before {moment}", "depuis avant {moment}")
_CRITICAL, _WARNING = Text("critical", "critique"), Text("warning", "attention")
_HEADINGS = {
    "hospital": HOSPITAL,
    "department": DEPARTMENT,
    "severity": Text("Severity", "Gravité"),
    "alert": Text("Alert", "Alerte"),
    "since": SINCE,
    "action": Text("What to do", "Que faire"),
}
MAX_OPEN = 5
"""Alerts that stand open; the others are behind a fold."""


def build(page: PanelContext) -> Panel | None:
    """The panel; None where no department on the page has known beds."""
    if not page.figures.listed_places:
        return None
    alerts = open_alerts(page.board.rows, page.board.limits, page.thresholds)
    language = page.words.language
    rows = [
        (
            alert.hospital,
            page.name(alert.department) if alert.department else "",
            page.say(_severity(alert)),
            alert.what[language],
            alert.since,
            alert.action[language],
        )
        for alert in alerts
    ]
    units = {"since": "moment"}
    return Panel(
        "alerts",
        page.say(TITLE),
        page.say(NOTE),
        Table([Column(name, page.say(text), units.get(name, "text")) for name, text in _HEADINGS.items()], rows),
        _lists(page, alerts),
        width="full",
        period="now",
    )


def _lists(page: PanelContext, alerts: Sequence[BedAlert]) -> Markup:
    if not alerts:
        return svg.tag("p", page.say(_NONE))
    first, others = alerts[:MAX_OPEN], alerts[MAX_OPEN:]
    more = page.say(_MORE, count=page.locale.counted(len(others)))
    fold = svg.tag("details", svg.tag("summary", more), _list(page, others), id="alerts-more") if others else Markup()
    return svg.tag("div", _list(page, first), fold, css="alerts")


def _list(page: PanelContext, alerts: Sequence[BedAlert]) -> Markup:
    return svg.tag("ul", *(svg.tag("li", *_line(page, alert)) for alert in alerts))


def _line(page: PanelContext, alert: BedAlert) -> list[str]:
    level = page.board.limits.level(alert.occupancy_pct) or AMPLE
    if level is AMPLE:  # not of a department, or about to be over
        level = CRITICAL if alert.severity is Severity.ERROR else HIGH
    place = ", ".join(filter(None, (alert.department and page.name(alert.department), alert.hospital)))
    since = ""
    if alert.since is not None:
        since = page.say(_BEFORE if alert.is_before else _SINCE, moment=page.locale.moment(alert.since))
    return [
        svg.tag("span", page.say(_severity(alert)), css=f"severity level-{level.name}"),
        svg.tag("a", place, href=_address(page, alert)),
        svg.tag("span", alert.what[page.words.language], css="what"),
        svg.tag("span", since, css="since"),
        svg.tag("span", alert.action[page.words.language], css="action"),
    ]


def _severity(alert: BedAlert) -> Text:
    return _CRITICAL if alert.severity is Severity.ERROR else _WARNING


def _address(page: PanelContext, alert: BedAlert) -> str:
    """The page of the alert's place."""
    ids = [number for number, name in page.figures.hospitals.items() if name == alert.hospital]
    hospital = {"hospital": ids[0]} if len(ids) == 1 else {}
    return page.link(**hospital, department=alert.department)
