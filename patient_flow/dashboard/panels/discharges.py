"""Who is to leave today, who is late, and who has been there for long."""

from __future__ import annotations

from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.contracts.measures import LONG_STAY_NIGHTS
from patient_flow.dashboard import charts
from patient_flow.dashboard.headings import BED, DEPARTMENT, HOSPITAL, IN_BEDS
from patient_flow.dashboard.leaving import Leaving
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Legend, Panel, Table

TITLE = Text("Discharges", "Sorties")
NOTE = Text(
    "{expected} expected today, {delayed} delayed by {hours} in all. Nights in ward beds so far: {long}.",
    "{expected} {expected:prévue|prévues} aujourd’hui, {delayed} {delayed:retardée|retardées}, de {hours} au total. "
    "Nuits en unité à ce jour : {long}.",
)
_LONG = Text("{count} with {nights}+", "{count} avec {nights} ou plus")
_DELAYED, _NOT_YET_DUE = Text("Delayed", "Retardées"), Text("Expected later today", "Prévues plus tard aujourd’hui")
_DUE = Text("Due since", "Prévue le")
_DELAY, _NIGHTS = Text("Late by", "Retard"), Text("Nights", "Nuits")
_MAX_DELAYED = 6
MEASURES = (
    "expected_discharges",
    "delayed_discharges",
    "delay_hours_sum",
    *(f"long_stays_{nights}" for nights in LONG_STAY_NIGHTS),
)


def build(page: PanelContext) -> Panel:
    """The panel."""
    leaving, locale, title = Leaving(page.figures), page.locale, page.say(TITLE)
    frame = leaving.by_place
    total = frame.sum().row(0, named=True)
    long = [
        page.say(_LONG, count=locale.number(total[f"long_stays_{nights}"] or 0), nights=str(nights))
        for nights in LONG_STAY_NIGHTS
    ]
    drawn = [
        charts.Bar(
            page.name(row["place"]),
            [(row["delayed_discharges"], "strong"), (row["not_yet_due"], "faint")],
            f"{locale.number(row['delayed_discharges'])} + {locale.number(row['not_yet_due'])}",
            page.drill(row["place"]),
        )
        for row in page.listed(frame)
        .sort("delayed_discharges", "place", descending=[True, False])
        .iter_rows(named=True)
    ]
    columns = [page.place_column, page.column("in_beds_now", IN_BEDS, "count"), *page.measured(*MEASURES)]
    return Panel(
        "discharges",
        title,
        page.say(
            NOTE,
            expected=locale.counted(total["expected_discharges"] or 0),
            delayed=locale.counted(total["delayed_discharges"] or 0),
            hours=locale.quantity(total["delay_hours_sum"] or 0, "hours"),
            long=", ".join(long),
        ),
        Table(columns, page.named_rows(frame.select("place", "in_beds", *MEASURES))),
        charts.bars(drawn, title) if drawn else Markup(),
        [Legend("strong", page.say(_DELAYED)), Legend("faint", page.say(_NOT_YET_DUE))],
        more=_delayed(page, leaving),
        period="now",
    )


def _delayed(page: PanelContext, leaving: Leaving) -> Table | None:
    """The longest delays; None where there are none."""
    columns = [
        page.column("hospital", HOSPITAL),
        page.column("department", DEPARTMENT),
        page.column("bed_id", BED),
        page.column("due_at", _DUE, "moment"),
        page.column("delay_hours", _DELAY, "hours"),
        page.column("nights_so_far", _NIGHTS, "count"),
    ]
    rows = [
        (hospital, page.name(department), *values)
        for hospital, department, *values in leaving.delayed.head(_MAX_DELAYED).iter_rows()
    ]
    return Table(columns, rows) if rows else None
