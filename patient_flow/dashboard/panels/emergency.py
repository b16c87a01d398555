"""The emergency department: who is there now, and what became of the attendances of the period."""

from __future__ import annotations

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Legend, Panel, Table

TITLE = Text("Emergency", "Urgences")
NOTE = Text(
    "Time in department by {step} of arrival, in minutes.",
    "Durée de passage par {step} d’arrivée, en minutes.",
)
_MEDIAN, _NINETY_FIVE = Text("Median", "Médiane"), Text("95th percentile", "95ᵉ centile")
MEASURES = (
    "attendances",
    "four_hour_pct",
    "ed_over_480",
    "left_without_being_seen_pct",
    "conversion_pct",
    *(
        f"{time}_p{share}"
        for time in ("minutes_to_triage", "minutes_to_seen", "minutes_in_department")
        for share in (50, 90, 95)
    ),
    "ed_boarding_over_240",
)


def build(page: PanelContext) -> Panel:
    """The panel."""
    frame, locale = page.figures.by_step(*MEASURES), page.locale
    columns = ("step", "minutes_in_department_p50", "minutes_in_department_p95")
    steps, medians, high = (frame[name].to_list() for name in columns)
    hints = [
        f"{page.step(row['step'])}: {page.label('attendances')} {locale.number(row['attendances'])}, "
        f"{page.label('four_hour_pct')} {locale.quantity(row['four_hour_pct'], 'percent')}, "
        f"{page.say(_MEDIAN)} {locale.quantity(row['minutes_in_department_p50'], 'minutes')}"
        for row in frame.iter_rows(named=True)
    ]
    return Panel(
        "emergency",
        page.say(TITLE),
        page.say(NOTE, step=page.by_step),
        Table([page.step_column, *page.measured(*MEASURES)], frame.select("step", *MEASURES).rows()),
        charts.lines(
            [page.short_step(step) for step in steps],
            [charts.Series("strong", medians), charts.Series("weak", high)],
            hints,
            page.scale([*medians, *high]),
            band=True,
        ),
        [Legend("strong", page.say(_MEDIAN)), Legend("weak", page.say(_NINETY_FIVE))],
    )
