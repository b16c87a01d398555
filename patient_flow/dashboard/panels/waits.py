"""Waiting percentiles over time."""

from __future__ import annotations

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Legend, Panel, Table

TITLE = Text("Waiting time", "Temps d’attente")
NOTE = Text(
    "Arrival to admission: median and 90th percentile, by {step} of admission, in minutes.",
    "De l’arrivée à l’admission : médiane et 90ᵉ centile, par {step} d’admission, en minutes.",
)
_MEDIAN, _NINETY = Text("Median", "Médiane"), Text("90th percentile", "90ᵉ centile")
MEASURES = ("waits", "wait_minutes_p50", "wait_minutes_p90", "within_240_pct")


def build(page: PanelContext) -> Panel:
    """The panel."""
    frame, locale = page.figures.by_step(*MEASURES), page.locale
    steps, medians, nineties = (frame[name].to_list() for name in ("step", "wait_minutes_p50", "wait_minutes_p90"))
    hints = [
        f"{page.step(row['step'])}: {page.say(_MEDIAN)} {locale.quantity(row['wait_minutes_p50'], 'minutes')}, "
        f"{page.say(_NINETY)} {locale.quantity(row['wait_minutes_p90'], 'minutes')}, {page.label('within_240_pct')} "
        f"{locale.quantity(row['within_240_pct'], 'percent')}"
        for row in frame.iter_rows(named=True)
    ]
    return Panel(
        "waits",
        page.say(TITLE),
        page.say(NOTE, step=page.by_step),
        Table([page.step_column, *page.measured(*MEASURES)], frame.rows()),
        charts.lines(
            [page.short_step(step) for step in steps],
            [charts.Series("strong", medians), charts.Series("weak", nineties)],
            hints,
            page.scale([*medians, *nineties]),
            band=True,
        ),
        [Legend("strong", page.say(_MEDIAN)), Legend("weak", page.say(_NINETY))],
    )
