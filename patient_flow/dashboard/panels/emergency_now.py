"""Emergency departments now: who is there, and who waits for a bed."""

from __future__ import annotations

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import patients
from patient_flow.dashboard.headings import DEPARTMENT, HOSPITAL
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Cell, Column, Grid, Group, Panel, Table

TITLE = Text("Emergency departments", "Services d’urgences")
NOTE = Text(
    "{present} in the departments, {waiting} waiting for a bed{longest}; {boarding} of them for over four hours.",
    "{present} {present:présent|présents}, {waiting} en attente d’un lit{longest} ; {boarding} d’entre eux depuis plus "
    "de quatre heures.",
)
_LONGEST = Text(", the longest wait {wait}", ", la plus longue attente {wait}")
_HEADINGS = {
    "hospital": HOSPITAL,
    "department": DEPARTMENT,
    "in_department": Text("In the department", "Présents"),
    "waiting": Text("Waiting for a bed", "En attente d’un lit"),
    "longest_wait_minutes": Text("Longest wait", "Plus longue attente"),
    "boarding": Text("Boarding over 4 h", "Attente de plus de 4 h"),
}
MAX_ROWS = 100


def build(page: PanelContext) -> Panel | None:
    """The panel; None where the filters leave no emergency department."""
    frame, locale = page.board.emergency, page.locale
    if frame.is_empty():
        return None
    total = frame.sum().row(0, named=True)
    longest = frame["longest_wait_minutes"].max()
    wait = page.say(_LONGEST, wait=_wait(longest)) if isinstance(longest, float) else ""
    names = frame.select("hospital_name", "department", *list(_HEADINGS)[2:])
    rows = []
    for row in frame.head(MAX_ROWS).iter_rows(named=True):
        place = {"hospital": row["hospital_id"], "department": row["department"]}
        rows.append(
            [
                Cell(row["hospital_name"], page.link(**place)),
                Cell(page.name(row["department"])),
                page.patients_cell(row["in_department"], patients.IN_DEPARTMENT, **place),
                page.patients_cell(row["waiting"], patients.WAITING, **place),
                Cell(_wait(row["longest_wait_minutes"])),
                page.patients_cell(row["boarding"], patients.BOARDERS, **place),
            ]
        )
    columns = [
        Column(key, page.say(heading), "text" if key in ("hospital", "department") else "count")
        for key, heading in _HEADINGS.items()
    ]
    return Panel(
        "emergency_now",
        page.say(TITLE),
        page.say(
            NOTE,
            present=locale.counted(total["in_department"]),
            waiting=locale.number(total["waiting"]),
            longest=wait,
            boarding=locale.number(total["boarding"]),
        ),
        Table(columns, names.rows()),
        period="now",
        grid=Grid(columns, [Group("", [], rows)]),
    )


def _wait(minutes: float | None) -> str:
    if minutes is None:
        return "–"
    return f"{int(minutes) // 60}\N{NO-BREAK SPACE}h\N{NO-BREAK SPACE}{int(minutes) % 60:02}"
