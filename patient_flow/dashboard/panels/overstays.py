"""Patients who stay longer than expected."""

from __future__ import annotations

from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.headings import BED, DEPARTMENT, HOSPITAL, IN_BEDS
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Column, Panel, Table

TITLE = Text("Overstays", "Séjours prolongés")
NOTE = Text(
    "Patients in a bed longer than their department expects; in the table also those that ended in the period.",
    "Patients présents plus longtemps que prévu dans leur service ; dans le tableau aussi ceux de la période.",
)
_STAY, _OVER = Text("Stay", "Séjour"), Text("Over by", "Dépassement")
_MAX_LONGEST = 6


def build(page: PanelContext) -> Panel:
    """The panel."""
    frame = page.figures.overstays
    drawn = [
        charts.Bar(
            page.name(row["place"]),
            [(row["open_overstays"], "strong"), (row["in_beds"] - row["open_overstays"], "faint")],
            page.of_total(row["open_overstays"], row["in_beds"]),
            page.drill(row["place"]),
        )
        for row in page.listed(frame).sort("open_overstays", descending=True).iter_rows(named=True)
        if row["in_beds"]
    ]
    columns = [
        page.place_column,
        page.column("in_beds_now", IN_BEDS, "count"),
        *page.measured("open_overstays"),
        Column("ended_overstays_in_period", f"{page.label('ended_overstays')}, {page.covered}", "count"),
    ]
    title = page.say(TITLE)
    return Panel(
        "overstays",
        title,
        page.say(NOTE),
        Table(columns, page.named_rows(frame.select("place", "in_beds", "open_overstays", "ended_overstays"))),
        charts.bars(drawn, title) if drawn else Markup(),
        width="narrow",
        period="now",
        more=_longest(page),
    )


def _longest(page: PanelContext) -> Table | None:
    """The longest open overstays; None where there are none."""
    columns = [
        page.column("hospital", HOSPITAL),
        page.column("department", DEPARTMENT),
        page.column("bed_id", BED),
        page.column("stay_hours", _STAY, "hours"),
        page.column("hours_over", _OVER, "hours"),
    ]
    rows = [
        (row["hospital_name"], page.name(row["department"]), row["bed_id"], row["stay_hours"], row["hours_over"])
        for row in page.figures.longest.head(_MAX_LONGEST).iter_rows(named=True)
    ]
    return Table(columns, rows) if rows else None
