"""Admissions and discharges over time."""

from __future__ import annotations

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Legend, Panel, Table

TITLE = Text("Admissions and discharges", "Admissions et sorties")
NOTE = Text(
    "Visits that began and ended, by {step}; the last one is not over.",
    "Venues commencées et terminées, par {step} ; la dernière période n’est pas finie.",
)
MEASURES = ("admissions", "discharges")


def build(page: PanelContext) -> Panel:
    """The panel."""
    frame = page.figures.by_step(*MEASURES)
    steps, admissions, discharges = (frame[name].to_list() for name in ("step", *MEASURES))
    labels = [page.label(name) for name in MEASURES]
    hints = [
        f"{page.step(step)}: {labels[0]} {page.locale.number(came)}, {labels[1]} {page.locale.number(left)}"
        for step, came, left in zip(steps, admissions, discharges, strict=True)
    ]
    return Panel(
        "movements",
        page.say(TITLE),
        page.say(NOTE, step=page.by_step),
        Table([page.step_column, *page.measured(*MEASURES)], frame.rows()),
        charts.columns(
            [page.short_step(step) for step in steps],
            [charts.Series("strong", admissions), charts.Series("weak", discharges)],
            hints,
            page.scale([*admissions, *discharges]),
        ),
        [Legend("strong", labels[0]), Legend("weak", labels[1])],
    )
