"""The patients behind a number of the board: who is in a bed, due to leave, late, or waits for one.

Pseudonyms and times only, within the viewer's access. The page and its CSV leave a line in the access log before they
are shown; without the line nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard.board import BOARDING, IS_HEADLINE, Board, waiting_since
from patient_flow.dashboard.headings import BED, DEPARTMENT, HOSPITAL
from patient_flow.dashboard.leaving import Leaving
from patient_flow.dashboard.parts import Column, Value
from patient_flow.dashboard.rows import PageRows

c = pl.col

MAX_LISTED = 1000
"""Rows of the page; the CSV has all."""
HEADLINE = "headline"
"""Value of the address's ``classes`` for lists of the headline classes."""
IN_BEDS, EXPECTED, DELAYED = "in_beds", "expected", "delayed"
IN_DEPARTMENT, WAITING, BOARDERS = "in_department", "waiting", "boarding"

TITLES: Mapping[str, Text] = {
    IN_BEDS: Text("Patients in beds now", "Patients présents maintenant"),
    EXPECTED: Text("Patients expected to leave today", "Patients dont la sortie est prévue aujourd’hui"),
    DELAYED: Text("Patients whose discharge is delayed, now", "Patients dont la sortie est retardée, maintenant"),
    IN_DEPARTMENT: Text("Patients in the emergency department now", "Patients présents aux urgences maintenant"),
    WAITING: Text("Patients waiting for a bed now", "Patients en attente d’un lit maintenant"),
    BOARDERS: Text(
        "Patients waiting for a bed for over four hours, now",
        "Patients en attente d’un lit depuis plus de quatre heures",
    ),
}
_OF_STAYS = {
    "visit_id": (Text("Visit (pseudonym)", "Venue (pseudonyme)"), "text"),
    "hospital": (HOSPITAL, "text"),
    "department": (DEPARTMENT, "text"),
    "bed_id": (BED, "text"),
    "gender": (Text("Gender", "Sexe"), "text"),
    "age_band": (Text("Age", "Âge"), "text"),
    "admission_at": (Text("In the department since", "Dans le service depuis"), "moment"),
    "planned_discharge_at": (Text("Planned discharge", "Sortie prévue"), "moment"),
    "ready_at": (Text("Medically ready", "Sortie médicale"), "moment"),
    "delay_hours": (Text("Late by, now", "Retard actuel"), "hours"),
}
_OF_ATTENDANCES = {
    **{name: _OF_STAYS[name] for name in ("visit_id", "hospital", "department", "gender", "age_band")},
    "arrival_at": (Text("Arrival", "Arrivée"), "moment"),
    "waiting_since": (Text("Waiting for a bed since", "En attente d’un lit depuis"), "moment"),
    "wait_hours": (Text("Waiting for, now", "Attente actuelle"), "hours"),
}


@dataclass(frozen=True)
class PatientList:
    """The list ``of`` one kind (a key of :data:`TITLES`) on a page's rows."""

    rows: PageRows
    of: str
    is_headline: bool = False

    @property
    def columns(self) -> Sequence[tuple[str, Text, str]]:
        """Key, heading and unit of each column."""
        declared = _OF_STAYS if self._is_of_stays else _OF_ATTENDANCES
        return [(key, heading, unit) for key, (heading, unit) in declared.items()]

    @cached_property
    def frame(self) -> pl.DataFrame:
        """One row per patient: longest delay or wait first, else by place and bed."""
        found = self._stays() if self._is_of_stays else self._attendances()
        if self.is_headline:  # as the lines of hospitals count: all departments of one that has none of these
            has_headline = Board(self.rows).departments.filter(IS_HEADLINE)["hospital_id"].unique()
            found = found.filter(IS_HEADLINE | ~c("hospital_id").is_in(has_headline.implode()))
        return found.rename({"hospital_name": "hospital"}).select(key for key, _, _ in self.columns)

    @property
    def _is_of_stays(self) -> bool:
        return self.of in (IN_BEDS, EXPECTED, DELAYED)

    def _stays(self) -> pl.DataFrame:
        stays = Leaving(self.rows).stays
        if self.of == EXPECTED:
            return stays.filter(c("is_expected")).sort("planned_discharge_at", "visit_id")
        if self.of == DELAYED:
            return stays.filter(c("delay_hours") > 0).sort("delay_hours", "visit_id", descending=[True, False])
        return stays.sort("hospital_name", "department", "bed_id", "visit_id", nulls_last=True)

    def _attendances(self) -> pl.DataFrame:
        now: datetime = self.rows.now
        since = waiting_since(now)
        wait = now - since
        found = self.rows.attending.with_columns(waiting_since=since, wait_hours=wait.dt.total_microseconds() / 3600e6)
        if self.of == WAITING:
            found = found.filter(since.is_not_null())
        if self.of == BOARDERS:
            found = found.filter(wait > BOARDING)
        return found.sort("wait_hours", "arrival_at", "visit_id", descending=[True, False, False], nulls_last=True)


def table_rows(frame: pl.DataFrame) -> list[tuple[Value, ...]]:
    """Rows as they are; a delay of nothing is none."""
    if "delay_hours" in frame.columns:
        frame = frame.with_columns(delay_hours=pl.when(c("delay_hours") > 0).then("delay_hours"))
    return list(frame.iter_rows())


def headings(listed: PatientList, language: str) -> list[Column]:
    """The columns of a list in the reader's language."""
    return [Column(key, heading[language], unit) for key, heading, unit in listed.columns]
