"""The escalation level of each hospital now, the rule and the measure that decide, and its history as a strip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from markupsafe import Markup

from patient_flow.contracts.escalation import LEVELS, PRESSURES, Pressure
from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import svg
from patient_flow.dashboard.escalation import HISTORY_DAYS
from patient_flow.dashboard.headings import HOSPITAL, SINCE
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Column, Legend, Panel, Table

TITLE = Text("Escalation level", "Niveau de tension")
NOTE = Text(
    "From 1 (usual) to 4 (highest), of whole hospitals: the highest level that any of four measures reaches. {rules}.",
    "De 1 (habituel) à 4 (maximal), par hôpital : le plus haut niveau qu’atteint l’un de quatre indicateurs. {rules}.",
)
_RULE = Text("{measure} {limits}", "{measure} {limits}")
HISTORY = Text("Escalation level, last {days} days", "Niveau de tension, {days} derniers jours")
HISTORY_NOTE = Text(
    "Hour by hour, higher and darker = higher level; judged with what is known now.",
    "Heure par heure, plus haut et plus foncé = niveau plus élevé ; selon les données connues à présent.",
)
_LEVEL = Text("Level {level}", "Niveau {level}")
_REASON = Text("{measure} {value} ≥ {limit}", "{measure} {value} ≥ {limit}")
_USUAL = Text("no measure reaches level 2", "aucun indicateur n’atteint le niveau 2")
_LEVEL_COLUMN = Text("Level", "Niveau")
_DECIDING, _UNTIL = Text("Decided by", "Indicateur décisif"), Text("Until", "Jusqu’à")
_STRIP_HEIGHT = 22


def build(page: PanelContext) -> Panel | None:
    """The levels now; None for a viewer of some departments, or where no hospital has known beds."""
    escalation = page.escalation
    if not escalation.is_visible or escalation.now.is_empty():
        return None
    rows = escalation.now.to_dicts()
    columns = [
        page.column("hospital", HOSPITAL),
        page.column("level", _LEVEL_COLUMN, "count"),
        page.column("deciding", _DECIDING),
        *(
            Column(pressure.value, page.say(PRESSURES[pressure].label), PRESSURES[pressure].unit)
            for pressure in Pressure
        ),
    ]
    table = [
        (
            row["hospital_name"],
            row["level"],
            _measures(page, row["deciding"]),
            *(row[pressure] for pressure in Pressure),
        )
        for row in rows
    ]
    rules = "; ".join(
        page.say(
            _RULE,
            measure=page.say(PRESSURES[pressure].label),
            limits=" / ".join(page.locale.number(limit, _digits(limit)) for limit in page.thresholds.of(pressure))
            + (" %" if PRESSURES[pressure].unit == "percent" else " h"),
        )
        for pressure in Pressure
    )
    lines = [part for row in rows for part in _line(page, row)]
    return Panel(
        "escalation",
        page.say(TITLE),
        page.say(NOTE, rules=rules),
        Table(columns, table),
        svg.tag("div", *lines, css="escalation", role="group", aria_label=page.say(TITLE)),
        period="now",
    )


def history(page: PanelContext) -> Panel | None:
    """The levels of the last days; None where :func:`build` shows none."""
    escalation = page.escalation
    if not escalation.is_visible or escalation.now.is_empty():
        return None
    rows = escalation.history.to_dicts()
    title = page.say(HISTORY, days=str(HISTORY_DAYS))
    columns = [
        page.column("hospital", HOSPITAL),
        page.column("level", _LEVEL_COLUMN, "count"),
        page.column("since", SINCE, "moment"),
        page.column("until", _UNTIL, "moment"),
        page.column("deciding", _DECIDING),
    ]
    table = [
        (row["hospital_name"], row["level"], row["since"], row["until"], _measures(page, row["deciding"]))
        for row in rows
    ]
    by_hospital: dict[str, list[Mapping[str, object]]] = {}
    for row in rows:
        by_hospital.setdefault(row["hospital_name"], []).append(row)
    lines = [svg.tag("span"), _days(page, escalation.since)]
    for hospital, runs in by_hospital.items():
        lines += [svg.named(hospital, ""), _strip(page, runs, escalation.since)]
    return Panel(
        "escalation_history",
        title,
        page.say(HISTORY_NOTE),
        Table(columns, table),
        svg.tag("div", *lines, css="heat", role="group", aria_label=title),
        [Legend(f"e{level}", page.say(_LEVEL, level=str(level))) for level in LEVELS],
        period="",
    )


def reason(page: PanelContext, row: Mapping[str, object]) -> str:
    """Why a hospital (a row of ``Escalation.now``) has its level: measure, value and threshold."""
    level, deciding = row["level"], row["deciding"]
    if not isinstance(level, int) or not isinstance(deciding, list) or level == LEVELS[0]:
        return page.say(_USUAL)
    return ", ".join(
        page.say(
            _REASON,
            measure=page.say(PRESSURES[pressure].label),
            value=page.text(row[pressure], PRESSURES[pressure].unit),  # type: ignore[arg-type]
            limit=page.locale.quantity(page.thresholds.of(pressure)[level - 2], PRESSURES[pressure].unit),
        )
        for pressure in map(Pressure, deciding)
    )


def _line(page: PanelContext, row: Mapping[str, object]) -> list[Markup]:
    level = page.say(_LEVEL, level=str(row["level"]))
    href = page.link(hospital=str(row["hospital_id"]), department="")
    return [
        svg.named(str(row["hospital_name"]), href),
        svg.tag("strong", level, css=f"level e{row['level']}"),
        svg.tag("span", reason(page, row)),
    ]


def _strip(page: PanelContext, runs: Sequence[Mapping[str, object]], since: datetime) -> Markup:
    """Runs as blocks whose height rises with the level."""
    length = (page.figures.now - since).total_seconds() or 1.0
    drawn = []
    for run in runs:
        begin, end = run["since"], run["until"] or page.figures.now
        if not isinstance(begin, datetime) or not isinstance(end, datetime):
            continue
        height = _STRIP_HEIGHT * int(str(run["level"])) / LEVELS[-1]
        span = f"{page.locale.moment(begin)}–{page.locale.moment(end)}"
        measures = _measures(page, run["deciding"])
        hint = f"{page.say(_LEVEL, level=str(run['level']))}: {span}" + (f", {measures}" if measures else "")
        drawn.append(
            svg.tag(
                "rect",
                svg.title(hint),
                css=f"e{run['level']}",
                x=svg.percent(100 * (begin - since).total_seconds() / length),
                width=svg.percent(100 * (end - begin).total_seconds() / length),
                y=f"{_STRIP_HEIGHT - height:.1f}",
                height=f"{height:.1f}",
            )
        )
    return svg.tag("svg", *drawn, height=_STRIP_HEIGHT, width="100%", aria_hidden="true")


def _days(page: PanelContext, since: datetime) -> Markup:
    """The axis: a label at each local midnight."""
    length = (page.figures.now - since).total_seconds() or 1.0
    labels = []
    for number in range(HISTORY_DAYS):
        day = page.figures.today.fromordinal(page.figures.today.toordinal() - number)
        midnight = datetime(day.year, day.month, day.day, tzinfo=page.locale.zone)
        at = 100 * (midnight - since).total_seconds() / length
        if 0 <= at <= 94:
            labels.append(svg.tag("text", page.locale.short_day(day), css="axis", x=svg.percent(at), y=12))
    return svg.tag("svg", *labels, height=16, width="100%", aria_hidden="true")


def _measures(page: PanelContext, deciding: object) -> str:
    names = deciding if isinstance(deciding, list) else []
    return ", ".join(page.say(PRESSURES[Pressure(name)].label) for name in names)


def _digits(limit: float) -> int:
    return 0 if limit == int(limit) else 1
