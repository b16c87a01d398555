"""Patients who came back."""

from __future__ import annotations

from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Column, Panel, Table

NOTE = Text(
    "Of patients discharged alive from {first} to {last}: the newest whose 30 days have passed.",
    "Patients sortis vivants du {first} au {last} : les derniers dont les 30 jours sont écoulés.",
)
_PENDING = Text("Being counted…", "Calcul en cours…")
_UNAVAILABLE = Text("Not available at the moment.", "Indisponible pour le moment.")


def build(page: PanelContext) -> Panel:
    """The panel; pending while the readmissions are read, or where they cannot be."""
    locale, title = page.locale, page.label("readmissions")
    first, last = page.figures.returns_between
    title = f"{title} · {locale.short_day(first)} – {locale.short_day(last)}"
    note = page.say(NOTE, first=locale.short_day(first), last=locale.short_day(last))
    columns = [
        page.place_column,
        Column("discharges", page.label("followed_discharges"), "count"),
        *page.measured("readmissions", "readmission_pct"),
    ]
    if page.returns.rows is None:
        missing = page.say(_PENDING if page.returns.is_pending else _UNAVAILABLE)
        said = f"{note} {missing}"
        return Panel("readmissions", title, said, Table(columns, []), width="third", period="", pending=True)
    frame = page.figures.readmissions(page.returns.rows)
    drawn = [
        charts.Bar(
            page.name(row["place"]),
            [(row["readmission_pct"], "strong")],
            locale.quantity(row["readmission_pct"], "percent"),
            page.drill(row["place"]),
            page.of_total(row["readmissions"], row["discharges"]),
        )
        for row in page.listed(frame).sort("readmission_pct", descending=True).iter_rows(named=True)
    ]
    rows = page.named_rows(frame.select("place", "discharges", "readmissions", "readmission_pct"))
    chart = charts.bars(drawn, title, least=5.0) if drawn else Markup()
    return Panel("readmissions", title, note, Table(columns, rows), chart, width="third", period="")
