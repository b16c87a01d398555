"""The page and the CSV of aggregate readers: published days and months, and nothing else.

It reads AggregateDay and AggregateMonth only. What these hide, and why that is enough: ``transforms.disclosure``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.headings import DEPARTMENT, HOSPITAL
from patient_flow.dashboard.spreadsheet import Value, to_csv
from patient_flow.dashboard.templating import TEMPLATES
from patient_flow.dashboard.texts import Words
from patient_flow.stores.warehouse.aggregates import Aggregates

c = pl.col

SHOWN_DAYS = 31
DAYS, MONTHS = "days", "months"
_COLUMNS: Mapping[str, Text] = {
    "date": Text("Date", "Date"),
    "month": Text("Month", "Mois"),
    "hospital_id": HOSPITAL,
    "department": DEPARTMENT,
    "gender": Text("Gender", "Sexe"),
    "admissions": Text("Admissions", "Admissions"),
    "discharges": Text("Discharges", "Sorties"),
    "patients_at_midnight": Text("Patients at midnight", "Présents à minuit"),
    "staffed_beds": Text("Staffed beds", "Lits armés"),
    "occupancy_pct": Text("Occupancy at midnight, %", "Occupation à minuit, %"),
    "attendances": Text("Attendances", "Passages aux urgences"),
    "within_240_pct": Text("Within four hours, %", "Moins de quatre heures, %"),
    "wait_minutes_mean": Text("Mean time to first bed, minutes", "Délai moyen jusqu’au premier lit, minutes"),
    "admissions_days": Text("Days with admissions", "Jours avec admissions"),
    "patients_at_midnight_days": Text("Days with patients at midnight", "Jours avec présents à minuit"),
    "attendances_days": Text("Days with attendances", "Jours avec passages"),
}
_OF_DAYS = (
    *("date", "hospital_id", "department", "gender", "admissions", "discharges", "patients_at_midnight"),
    *("staffed_beds", "occupancy_pct", "attendances", "within_240_pct", "wait_minutes_mean"),
)
_OF_MONTHS = (
    *("month", "hospital_id", "department", "gender", "admissions", "admissions_days", "discharges"),
    *("patients_at_midnight", "patients_at_midnight_days", "attendances", "attendances_days"),
    *("within_240_pct", "wait_minutes_mean"),
)


@dataclass(frozen=True)
class _Part:
    title: str
    export: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]


class AggregatePage:
    """One answer for one aggregate reader; their limits by hospital and department hold here too."""

    def __init__(self, aggregates: Aggregates, viewer: Viewer, language: str, today: date, threshold: int) -> None:
        self._aggregates = aggregates
        self._viewer = viewer
        self._words = Words(language)
        self._language = language
        self._today = today
        self._threshold = threshold

    def html(self) -> str:
        """The page: the published days of the last month and all months. Raises a ``WarehouseError``."""
        parts = [self._part(DAYS, self._today - timedelta(days=SHOWN_DAYS)), self._part(MONTHS, date.min)]
        return TEMPLATES.get_template("aggregates.html").render(
            words=self._words,
            language=self._language,
            viewer=self._viewer,
            threshold=str(self._threshold),
            parts=parts,
        )

    def csv(self, of: str) -> str:
        """All published ``days`` or ``months``; an empty cell is hidden."""
        names, rows = self._table(of, date.min)
        return to_csv([names, *rows])

    def _part(self, of: str, since: date) -> _Part:
        names, rows = self._table(of, since)
        columns = [self._say(_COLUMNS[name]) for name in names]
        shown = [["–" if value is None else value for value in row] for row in rows]
        return _Part(self._words(f"aggregates_{of}"), f"export.csv?of={of}&lang={self._language}", columns, shown)

    def _say(self, text: Text) -> str:
        return text[self._language]

    def _table(self, of: str, since: date) -> tuple[Sequence[str], Sequence[Sequence[Value]]]:
        found = self._aggregates.months() if of == MONTHS else self._aggregates.days(since)
        rows = self._limited(found).with_columns(
            within_240_pct=_ratio(100 * c("within_240"), c("departures"), 1),
            wait_minutes_mean=_ratio(c("wait_minutes_sum"), c("waits"), 0),
        )
        if of == DAYS:
            rows = rows.with_columns(occupancy_pct=_ratio(100 * c("patients_at_midnight"), c("staffed_beds"), 1))
        names = _OF_MONTHS if of == MONTHS else _OF_DAYS
        return names, list(rows.select(names).iter_rows())

    def _limited(self, rows: pl.DataFrame) -> pl.DataFrame:
        """A viewer of some departments does not see whole hospitals."""
        if self._viewer.hospitals is not None:
            rows = rows.filter(c("hospital_id").is_in(sorted(self._viewer.hospitals)))
        if self._viewer.departments is not None:
            rows = rows.filter(c("department").is_in(sorted(self._viewer.departments)))
        return rows


def _ratio(part: pl.Expr, whole: pl.Expr, digits: int) -> pl.Expr:
    return pl.when(whole > 0).then((part / whole).round(digits))
