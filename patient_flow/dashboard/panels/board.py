"""The board: beds of every department now, by hospital, the fullest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import patients
from patient_flow.dashboard.board import FORECAST, MEAN, MIXED, PLANS
from patient_flow.dashboard.headings import DEPARTMENT
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Cell, Column, Grid, Group, Legend, Panel, Table

TITLE = Text("Beds", "Lits")
NOTE = Text(
    "{departments} {departments:department|departments}, {over} of them at {limit} % or more. Fullest first. Bold "
    "lines add up inpatient, critical care and maternity departments. Expected until midnight: {sources}. Numbers of "
    "patients lead to lists.",
    "{departments} {departments:service|services}, dont {over} à {limit} % ou plus. Les plus pleins d’abord. Les "
    "lignes en gras additionnent hospitalisation, soins critiques et maternité. Prévu d’ici minuit : {sources}. Les "
    "nombres de patients mènent à leur liste.",
)
_FROM_FORECAST = Text(
    "by the forecast where marked ◆, transfers included", "selon la prévision là où figure ◆, mutations comprises"
)
_READING = Text(
    "the mean of this weekday is being read, and appears by itself",
    "la moyenne de ce jour de semaine est en cours de lecture et s’affichera d’elle-même",
)
_NOTHING = Text("not known yet", "pas encore connu")
_EMERGENCY = Text(
    "Lines of emergency departments count patients in their beds; all who are there stand below.",
    "Les lignes des urgences comptent les patients installés dans un lit ; tous les présents figurent plus bas.",
)
_FROM_BASELINE = Text(
    "beds marked ◇ are as many as now or as a week before, whichever has been nearer: the forecast has done badly in "
    "the last week",
    "les lits marqués ◇ sont autant que maintenant ou qu’une semaine plus tôt, au plus proche ces derniers temps : la "
    "prévision a été mauvaise la semaine passée",
)
_FROM_MEAN = Text(
    "admissions are the mean of this weekday over {weeks} {weeks:week|weeks}",
    "les admissions sont la moyenne de ce jour de semaine sur {weeks} {weeks:semaine|semaines}",
)
_FROM_PLANS = Text(
    "beds at midnight are those occupied less planned discharges plus these admissions",
    "les lits à minuit sont les lits occupés, moins les sorties prévues, plus ces admissions",
)
_ALL_PATIENTS = Text(
    "Filters by gender and age do not apply here.", "Les filtres par sexe et âge ne s’appliquent pas ici."
)
_SEARCHED = Text("Only names with “{search}”.", "Seulement les noms contenant « {search} ».")
_OVERFLOW = Text(
    "More departments than one sheet holds: the table continues on the next sheet.",
    "Plus de services qu’une feuille n’en contient : le tableau continue sur la feuille suivante.",
)
_LEFT_OUT = Text(
    "{count} further {count:department is|departments are} left out here: choose a hospital, search, or export the "
    "CSV.",
    "{count} {count:autre service ne figure|autres services ne figurent} pas ici : choisir un hôpital, chercher, ou "
    "exporter en CSV.",
)
_MORE = Text("{count} further {count:department|departments}", "{count} {count:autre service|autres services}")
_BEFORE = Text("before {moment}", "avant {moment}")
_THIS_HOUR = Text("less than 1 h ago", "moins d’une heure")
_HEADINGS = {
    "department": DEPARTMENT,
    "occupancy_pct": Text("Occupancy", "Occupation"),
    "occupied_beds": Text("Occupied", "Occupés"),
    "staffed_beds": Text("Staffed", "Ouverts"),
    "free_beds": Text("Free", "Libres"),
    "women": Text("Women", "Femmes"),
    "men": Text("Men", "Hommes"),
    "free_women_beds": Text("Free for women", "Libres femmes"),
    "free_men_beds": Text("Free for men", "Libres hommes"),
    "closed_beds": Text("Closed", "Fermés"),
    "expected_discharges": Text("Discharges expected today", "Sorties prévues aujourd’hui"),
    "expected_admissions": Text("Admissions until midnight", "Admissions d’ici minuit"),
    "expected_tonight": Text("Expected at midnight", "Prévu à minuit"),
    "delayed": Text("Delayed", "Retardés"),
    "delay_hours": Text("Hours of delay", "Heures de retard"),
    "over_since": Text("At {limit} % since", "À {limit} % depuis"),
}
_OPTIONAL = ("free_women_beds", "free_men_beds", "closed_beds")
"""Columns that appear where the department list states the beds."""
MAX_ROWS = 150
"""Departments on the page; the fullest of each hospital where there are more."""
MIN_WHOLE_HOURS = 10
"""Fewer hours of delay are shown with a decimal."""
ROWS_ON_SHEET = 60
"""Lines of hospitals and departments on one sheet of paper."""

c = pl.col


def build(page: PanelContext) -> Panel:
    """The panel."""
    departments, hospitals = _searched(page)
    columns = [name for name in _HEADINGS if name not in _OPTIONAL or departments[name].is_not_null().any()]
    shown = departments.filter(pl.int_range(pl.len()).over("hospital_id") < MAX_ROWS // max(hospitals.height, 1))
    limit = page.board.limits.names["high"]
    over = departments.filter(c("occupancy_pct") >= page.board.limits.high).height
    note = page.say(
        NOTE,
        departments=page.locale.counted(departments.height),
        over=page.locale.number(over),
        limit=limit,
        sources=_sources(page, departments),
    )
    return Panel(
        "board",
        page.say(TITLE),
        " ".join([note, *_remarks(page, departments.height - shown.height)]),
        _csv(departments),
        legend=[
            Legend(f"level-{level.name}", page.say(level.label, **page.board.limits.names))
            for level in page.board.limits.levels
        ],
        width="full",
        period="now",
        grid=Grid(
            [
                Column(name, page.say(_HEADINGS[name], limit=limit), "text" if name == "department" else "count")
                for name in columns
            ],
            [
                *_total(page, hospitals, columns),
                *(_group(page, hospital, shown, columns) for hospital in hospitals.iter_rows(named=True)),
            ],
        )
        if hospitals.height
        else None,
        sheet_note=page.say(_OVERFLOW) if shown.height + hospitals.height > ROWS_ON_SHEET else "",
    )


def _searched(page: PanelContext) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Departments and hospitals with the searched text in either's name, in the reader's language or the data's."""
    departments, hospitals = page.board.departments, page.board.hospitals
    wanted = page.figures.selection.search.casefold()
    if not wanted:
        return departments, hospitals
    named = [
        any(
            wanted in name.casefold()
            for name in (row["hospital_name"], row["department"], page.name(row["department"]))
        )
        for row in departments.select("hospital_name", "department").iter_rows(named=True)
    ]
    departments = departments.filter(pl.Series(named, dtype=pl.Boolean()))
    return departments, hospitals.filter(c("hospital_id").is_in(departments["hospital_id"].unique().to_list()))


def _sources(page: PanelContext, departments: pl.DataFrame) -> str:
    tonight = set(departments["tonight_source"].drop_nulls())
    parts = [page.say(_FROM_FORECAST)] if FORECAST in tonight else []
    if tonight - {FORECAST, PLANS}:
        parts.append(page.say(_FROM_BASELINE))
    if page.board.usual is None:
        parts.append(page.say(_READING))
    elif departments["usual_admissions"].is_not_null().any() and (
        set(departments["admissions_source"].drop_nulls()) != {FORECAST}
    ):
        parts.append(page.say(_FROM_MEAN, weeks=page.locale.counted(page.board.usual_weeks)))
    if PLANS in tonight:
        parts.append(page.say(_FROM_PLANS))
    return "; ".join(parts or [page.say(_NOTHING)])


def _remarks(page: PanelContext, left_out: int) -> Iterator[str]:
    selection = page.figures.selection
    if not page.board.emergency.is_empty():
        yield page.say(_EMERGENCY)
    if selection.search:
        yield page.say(_SEARCHED, search=selection.search)
    if selection.gender or selection.age:
        yield page.say(_ALL_PATIENTS)
    if left_out:
        yield page.say(_LEFT_OUT, count=page.locale.counted(left_out))


def _total(page: PanelContext, hospitals: pl.DataFrame, columns: Sequence[str]) -> Iterator[Group]:
    """All hospitals together, where there are several."""
    total = page.board.total
    if total is not None and hospitals.height == page.board.hospitals.height:
        everywhere = Cell(page.words("all_hospitals"), page.link(hospital=""))
        yield Group("", _cells(page, total, columns, everywhere, {"classes": patients.HEADLINE}), [])


def _group(page: PanelContext, hospital: dict[str, Any], shown: pl.DataFrame, columns: Sequence[str]) -> Group:
    identifier = hospital["hospital_id"]
    rows = shown.filter(c("hospital_id") == identifier)
    left_out = page.board.departments.filter(c("hospital_id") == identifier).height - rows.height
    is_searched = bool(page.figures.selection.search)
    more = page.say(_MORE, count=page.locale.counted(left_out))
    head = Cell(hospital["hospital_name"], page.link(hospital=identifier))
    return Group(
        f"board-{identifier}",
        _cells(page, hospital, columns, head, {"hospital": identifier, "classes": patients.HEADLINE}),
        [
            _cells(
                page,
                row,
                columns,
                Cell(page.name(row["department"]), page.link(hospital=identifier, department=row["department"])),
                {"hospital": identifier, "department": row["department"]},
            )
            for row in rows.iter_rows(named=True)
        ],
        Cell(more, page.link(hospital=identifier)) if left_out and not is_searched else None,
    )


def _cells(
    page: PanelContext, row: dict[str, Any], columns: Sequence[str], name: Cell, place: dict[str, str]
) -> list[Cell]:
    lists: dict[str, tuple[str, dict[str, str]]] = {
        "occupied_beds": (patients.IN_BEDS, {}),
        "women": (patients.IN_BEDS, {"gender": "Female"}),
        "men": (patients.IN_BEDS, {"gender": "Male"}),
        "expected_discharges": (patients.EXPECTED, {}),
        "delayed": (patients.DELAYED, {}),
    }
    others: dict[str, Callable[[], Cell]] = {
        "department": lambda: name,
        "occupancy_pct": lambda: page.level_cell(row["occupancy_pct"]),
        "expected_admissions": lambda: _marked(page, row["expected_admissions"], row["admissions_source"], 1),
        "expected_tonight": lambda: _marked(page, row["expected_tonight"], row.get("tonight_source"), 0),
        "delay_hours": lambda: page.number_cell(row["delay_hours"] or None, _digits(row["delay_hours"])),
        "over_since": lambda: _since(page, row),
    }
    made = []
    for column in columns:
        if column in lists:
            of, filters = lists[column]
            made.append(page.patients_cell(row[column], of, **place, **filters))
        else:
            made.append(others[column]() if column in others else page.number_cell(row[column]))
    return made


def _marked(page: PanelContext, value: float | None, source: str | None, digits: int) -> Cell:
    mark = {None: "", PLANS: "", MEAN: "", MIXED: "", FORECAST: " ◆"}.get(source, " ◇")
    return Cell(page.locale.number(value, digits) + (mark if value is not None else ""))


def _digits(hours: float | None) -> int:
    """Some minutes of delay are not none."""
    return 1 if (hours or 0) < MIN_WHOLE_HOURS else 0


def _since(page: PanelContext, row: dict[str, Any]) -> Cell:
    since: datetime | None = row.get("over_since")
    if since is None:
        is_over = "over_since" in row and (row["occupancy_pct"] or 0) >= page.board.limits.high
        return Cell(page.say(_THIS_HOUR) if is_over else "")
    moment = page.locale.moment(since)
    return Cell(moment if page.board.is_known_since(since) else page.say(_BEFORE, moment=moment))


def _csv(departments: pl.DataFrame) -> Table:
    figures = [name for name in _HEADINGS if name != "department"]
    names = ["hospital_id", "hospital", "department", "class", "beds", *figures, "admissions_source", "tonight_source"]
    rows = departments.rename({"hospital_name": "hospital"}).select(names)
    return Table([Column(name, "") for name in names], rows.rows())
