"""Occupancy by place (or date) and hour of the day."""

from __future__ import annotations

from datetime import date

from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Column, Legend, Panel, Table

TITLE = Text("Occupancy by hour of day", "Occupation selon l’heure")
NOTE = Text(
    "Mean occupancy at the start of each hour, by {place}.",
    "Occupation moyenne au début de chaque heure, par {place}.",
)
_NOTE_OF_ONE = Text("Occupancy at the start of each hour, by date.", "Occupation au début de chaque heure, par jour.")
_DATE = Text("Date", "Date")
_HOURS = range(24)


def build(page: PanelContext) -> Panel:
    """The panel."""
    frame, locale = page.figures.heat, page.locale
    one = page.figures.is_one_place
    drawn, rows = [], []
    for (row,), part in frame.group_by("row", maintain_order=True):
        found = dict(part.select("hour", "occupancy_pct").iter_rows())
        name = locale.day(row) if isinstance(row, date) else page.name(row)
        shares = [found.get(hour) for hour in _HOURS]
        cells = [
            charts.Cell(share, f"{name}, {locale.hour(hour)}: {locale.quantity(share, 'percent')}")
            for hour, share in zip(_HOURS, shares, strict=True)
        ]
        drawn.append((name, "" if one else page.drill(str(row)), cells))
        rows.append((row if isinstance(row, date) else name, *shares))
    columns = [
        page.column("date", _DATE, "date") if one else page.place_column,
        *(Column(f"occupancy_pct_{hour:02}", locale.hour(hour), "whole_percent") for hour in _HOURS),
    ]
    bounds = [f"<{charts.HEAT_LEVELS[0]}", *(f"{bound}+" for bound in charts.HEAT_LEVELS)]
    title = page.say(TITLE)
    return Panel(
        "heat",
        title,
        page.say(_NOTE_OF_ONE) if one else page.say(NOTE, place=page.by_place),
        Table(columns, rows),
        charts.heat(drawn, [f"{hour:02}" for hour in _HOURS], title) if drawn else Markup(),
        [Legend(f"h{level}", text) for level, text in enumerate(bounds)],
        width="wide",
        period="period" if one else "mean",
    )
