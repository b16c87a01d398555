"""The key figures above the panels, and the same as a table for the CSV."""

from __future__ import annotations

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import patients
from patient_flow.dashboard.figures import Card
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Column, Panel, ShownCard, Table

_BESIDE = {
    "emergency": Text("emergency {share}", "urgences {share}"),
    "newborn": Text("newborn {share}", "néonatalogie {share}"),
    "day_case": Text("day case {share}", "ambulatoire {share}"),
}
_WINDOWS = {
    "": Text("{measure}", "{measure}"),
    "today": Text("{measure} today", "{measure} du jour"),
    "last_24_hours": Text("{measure}, 24 h", "{measure}, 24 h"),
}
_VERSUS = Text("{change} vs {moment}", "{change} vs {moment}")
_SAME = Text("as on {moment}", "comme le {moment}")
_UNKNOWN_BEFORE = Text("no figure a week ago", "pas de chiffre il y a une semaine")
_POINTS = Text("{change} pts", "{change} pts")
_IN_UNKNOWN_BEDS = Text(
    "plus {count} in departments without known beds", "plus {count} dans des services dont les lits sont inconnus"
)


def cards(page: PanelContext) -> list[ShownCard]:
    """The key figures."""
    return [
        ShownCard(
            page.say(_WINDOWS[card.window], measure=page.say(card.measure.label)),
            page.locale.quantity(_rounded(card, card.value), card.measure.unit),
            _change(page, card),
            _left_out(page) if card.name == "occupancy" else "",
            page.say(card.measure.meaning),
            _list(page) if card.name == "in_beds" and card.value else "",
        )
        for card in page.figures.cards
    ]


def key_figures(page: PanelContext) -> Panel:
    """The cards as a table, for the CSV."""
    rows = [
        (card.name, card.measure.unit, card.window or "now", card.value, card.before) for card in page.figures.cards
    ]
    columns = [Column(name, "") for name in ("figure", "unit", "covers", "value", "a_week_ago")]
    return Panel("key_figures", "", "", Table(columns, rows), period="")


def _list(page: PanelContext) -> str:
    """The list of the patients in beds under the filters of the page."""
    selection = page.figures.selection
    filters = {name: getattr(selection, name) for name in ("hospital", "department", "gender", "age")}
    return page.lists(patients.IN_BEDS, **filters)


def _left_out(page: PanelContext) -> str:
    """Departments and patients that the headline occupancy leaves out, in words; empty where there are none."""
    count = page.figures.in_unknown_beds
    parts = [
        page.say(_BESIDE[name], share=page.locale.quantity(share, "percent"))
        for name, share in page.figures.occupancy_beside.items()
    ]
    parts += [page.say(_IN_UNKNOWN_BEDS, count=page.locale.number(count))] if count else []
    return "; ".join(parts)


def _change(page: PanelContext, card: Card) -> str:
    value, before = _rounded(card, card.value), _rounded(card, card.before)
    if value is None or before is None:
        return page.say(_UNKNOWN_BEFORE)
    moment = page.locale.moment(page.figures.week_ago)
    if value == before:
        return page.say(_SAME, moment=moment)
    difference = abs(value - before)
    arrow = "▲" if value > before else "▼"
    if card.measure.unit == "percent":
        size = page.say(_POINTS, change=page.locale.number(difference, 1))
    else:
        size = page.locale.quantity(difference, card.measure.unit)
    return page.say(_VERSUS, change=f"{arrow} {size}", moment=moment)


def _rounded(card: Card, value: float | None) -> float | None:
    """As many digits as the page shows: changes are those of the shown figures."""
    return None if value is None else round(value, card.measure.decimals)
