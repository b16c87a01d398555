"""Where patients come from and go to."""

from __future__ import annotations

from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard.figures import ADMISSION
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Panel, Table
from patient_flow.dashboard.sankey import Link, sankey

TITLE = Text("Flows between departments", "Flux entre services")
NOTE = Text("Admissions and moves, from left to right.", "Admissions et mutations, de gauche à droite.")
_FROM, _TO, _PATIENTS = Text("From", "De"), Text("To", "Vers"), Text("Patients", "Patients")
_OTHERS = Text("Others", "Autres")


def build(page: PanelContext) -> Panel:
    """The panel."""
    links, rows = [], []
    for origin, target, patients in page.figures.flows.select("origin", "department", "patients").iter_rows():
        names = page.name(origin), page.name(target)
        rows.append((*names, patients))
        hint = f"{names[0]} → {names[1]}: {page.locale.number(patients)}"
        links.append(Link(*names, patients, hint, "arriving" if origin == ADMISSION else ""))
    rows.sort(key=lambda row: -int(row[2]))
    columns = [
        page.column("origin", _FROM),
        page.column("department", _TO),
        page.column("patients", _PATIENTS, "count"),
    ]
    return Panel(
        "flows",
        page.say(TITLE),
        page.say(NOTE),
        Table(columns, rows),
        sankey(links, page.say(_OTHERS)) if links else Markup(),
        width="wide",
    )
