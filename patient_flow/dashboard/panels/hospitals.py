"""Hospitals side by side, now and at the same time a week ago."""

from __future__ import annotations

from typing import Any

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import patients
from patient_flow.dashboard.headings import HOSPITAL, IN_BEDS
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Cell, Column, Grid, Group, Panel, Table

TITLE = Text("Hospitals side by side, now and a week ago", "Hôpitaux côte à côte, maintenant et il y a une semaine")
NOTE = Text(
    "In brackets: {moment}. Occupancy of inpatient, critical care and maternity departments; patients in beds of all.",
    "Entre parenthèses : {moment}. Occupation de l’hospitalisation, des soins critiques et de la maternité ; patients "
    "présents dans tous les services.",
)
_NO_WEEK = Text("No figures of a week ago yet.", "Pas encore de chiffres d’il y a une semaine.")
_HEADINGS = {
    "occupancy_pct": Text("Occupancy now", "Occupation maintenant"),
    "occupied_beds": IN_BEDS,
    "in_department": Text("In emergency now", "Aux urgences maintenant"),
    "admissions": Text("Admissions since midnight", "Admissions depuis minuit"),
    "attendances": Text("Emergency arrivals since midnight", "Arrivées aux urgences depuis minuit"),
}
_LEVEL = Text("Escalation level now", "Niveau de tension maintenant")
MAX_ROWS = 100


def build(page: PanelContext) -> Panel:
    """The panel."""
    frame = page.board.compared
    knows = frame["occupied_beds_before"].is_not_null().any()
    moment = page.locale.moment(page.figures.week_ago)
    levels = dict(page.escalation.now.select("hospital_id", "level").iter_rows()) if page.escalation.is_visible else {}
    columns = [
        page.column("hospital", HOSPITAL),
        *([page.column("level", _LEVEL, "count")] if levels else []),
        *(page.column(key, heading, "count") for key, heading in _HEADINGS.items()),
    ]
    names = [name for key in _HEADINGS for name in (key, f"{key}_before")]
    rows = []
    for row in frame.head(MAX_ROWS).iter_rows(named=True):
        name, *figures = _cells(page, row, knows=knows)
        level = [page.number_cell(levels.get(row["hospital_id"]))] if levels else []
        rows.append([name, *level, *figures])
    return Panel(
        "hospitals",
        page.say(TITLE),
        page.say(NOTE, moment=moment) if knows else page.say(_NO_WEEK),
        Table(
            [Column("hospital_id", ""), Column("hospital", ""), *(Column(name, "") for name in names)],
            frame.select("hospital_id", "hospital_name", *names).rows(),
        ),
        width="full",
        period="",
        grid=Grid(columns, [Group("", [], rows)]),
    )


def _cells(page: PanelContext, row: dict[str, Any], *, knows: bool) -> list[Cell]:
    """Each figure, and that of a week ago in brackets: a dash where only other hospitals have one."""
    place = {"hospital": row["hospital_id"]}
    lists = {"occupied_beds": patients.IN_BEDS, "in_department": patients.IN_DEPARTMENT}
    cells = [Cell(row["hospital_name"], page.link(**place))]
    for name in _HEADINGS:
        unit, is_share = ("percent", True) if name == "occupancy_pct" else ("count", False)
        before = f" ({page.text(row[f'{name}_before'], unit)})" if knows else ""
        href = page.lists(lists[name], **place) if name in lists and row[name] else ""
        css = page.level_cell(row[name]).css if is_share else ""
        cells.append(Cell(page.text(row[name], unit) + before, href, css))
    return cells
