"""Length of stay by place."""

from __future__ import annotations

from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Panel, Table

TITLE = Text("Length of stay by {place}", "Durée de séjour par {place}")
NOTE = Text(
    "Median of the visits that ended; the tick marks the mean.",
    "Médiane des venues terminées ; le repère marque la moyenne.",
)
MEDIAN, MEAN = "length_of_stay_hours_median", "length_of_stay_hours_mean"


def build(page: PanelContext) -> Panel:
    """The panel."""
    frame, locale = page.figures.stays.sort(MEDIAN, descending=True), page.locale
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
    names = ("ended_visits", MEDIAN, MEAN)
    return Panel(
        "stays",
        title,
        page.say(NOTE),
        Table([page.place_column, *page.measured(*names)], page.named_rows(frame.select("place", *names))),
        charts.bars(drawn, title) if drawn else Markup(),
        width="narrow",
    )
