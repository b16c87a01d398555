"""Length of stay by place."""

from __future__ import annotations

import polars as pl
from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Panel, Table

TITLE = Text("Length of stay by {place}", "Durée de séjour par {place}")
NOTE = Text(
    "Median of the visits that ended; the tick marks the mean.",
    "Médiane des venues terminées ; le repère marque la moyenne.",
)
MEDIAN, MEAN = "length_of_stay_hours_median", "length_of_stay_hours_mean"
MEASURES = ("ended_visits", MEDIAN, MEAN)


def stays(figures: Figures) -> pl.DataFrame:
    """place and the measures of the visits that ended in the period."""
    return figures.by_place(*MEASURES).filter(pl.col("ended_visits") > 0)


def build(page: PanelContext) -> Panel:
    """The panel."""
    frame, locale = stays(page.figures).sort(MEDIAN, descending=True), page.locale
    drawn = [
        charts.Bar(
            page.name(row["place"]),
            [(row[MEDIAN], "strong")],
            locale.quantity(row[MEDIAN], "hours"),
            page.drill(row["place"]),
            f"{page.label(MEAN)} {locale.quantity(row[MEAN], 'hours')}",
            row[MEAN],
        )
        for row in page.listed(frame).iter_rows(named=True)
    ]
    title = page.say(TITLE, place=page.by_place)
    return Panel(
        "stays",
        title,
        page.say(NOTE),
        Table([page.place_column, *page.measured(*MEASURES)], page.named_rows(frame)),
        charts.bars(drawn, title) if drawn else Markup(),
        width="narrow",
    )
