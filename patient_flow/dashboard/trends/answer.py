"""A request for a range of dates, the figures found for it, and these as CSV with full numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import urlencode

import polars as pl

from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.parts import Value
from patient_flow.dashboard.selection import Selection
from patient_flow.dashboard.spreadsheet import to_csv
from patient_flow.dashboard.trends.figures import Chart, Compared
from patient_flow.dashboard.trends.months import MEASURES as MONTHLY
from patient_flow.dashboard.trends.months import Month
from patient_flow.dashboard.trends.period import Period

CHARTS, TOTALS, PLACES, MONTHS = "charts", "totals", "places", "months"
CSVS = (CHARTS, TOTALS, PLACES, MONTHS)
"""Tables that the page gives as CSV."""
_CHART_COLUMNS = (
    *("measure", "step", "from", "value", "mean", "lower_limit", "upper_limit", "special_cause", "variation"),
    *("phase", "is_provisional", "target", "assurance", "note"),
)


@dataclass(frozen=True)
class Asked:
    """The request: filters and range, by whom and in which language."""

    selection: Selection
    period: Period
    viewer: Viewer
    language: str
    is_explicit_language: bool

    def address(self, page: str = "", **more: str) -> str:
        """Address of the same range and filters, with ``more``."""
        filters = {name: value for name, value in self.selection.parameters.items() if name not in ("days", "age")}
        language = {"lang": self.language} if self.is_explicit_language else {}
        return f"{page}?" + urlencode({**filters, **self.period.parameters, **language, **more})


@dataclass(frozen=True)
class Found:
    """The figures of the range; empty where there is no data."""

    compared: Sequence[Compared] = ()
    charts: Sequence[Chart] = ()
    places: pl.DataFrame | None = None
    place_column: str = "hospital_id"
    months: dict[Month, dict[str, float | None] | None] = field(default_factory=dict)
    known_since: date | None = None
    has_partial_days: bool = False
    """True where the range has days before ``known_since``, with the patients who were in bed then alone."""
    is_reading: bool = False
    """True while a part of the figures is still being read."""


def csv_of(asked: Asked, found: Found, name: str) -> str:
    """One of :data:`CSVS`."""
    made = {CHARTS: _charts, TOTALS: _totals, PLACES: _places, MONTHS: _months}
    return to_csv(made[name](asked, found))


def _charts(asked: Asked, found: Found) -> list[Sequence[Value]]:
    rows: list[Sequence[Value]] = [_CHART_COLUMNS]
    for chart in found.charts:
        phase = None
        for row in chart.points.iter_rows(named=True):
            begins = row["phase"] != phase and phase is not None
            notes = [note.text[asked.language] for note in chart.notes[: row["phase"]]] if begins else []
            phase = row["phase"]
            values = [row[name] for name in _CHART_COLUMNS[3:9]]
            flags = (phase, int(row["is_provisional"]), chart.target, chart.assurance, "; ".join(notes[-1:]))
            rows.append((chart.measure.name, asked.period.step, row["step"], *values, *flags))
    return rows


def _totals(asked: Asked, found: Found) -> list[Sequence[Value]]:
    periods = {
        "range": asked.period,
        "range_before": asked.period.before,
        "364_days_earlier": asked.period.year_before,
    }
    rows: list[Sequence[Value]] = [("measure", "compared", "from", "to", "value")]
    for one in found.compared:
        values = (one.value, one.before, one.year_before)
        for (name, period), value in zip(periods.items(), values, strict=True):
            rows.append((one.measure.name, name, period.first, period.last, value))
    return rows


def _places(_: Asked, found: Found) -> list[Sequence[Value]]:
    return [] if found.places is None else [tuple(found.places.columns), *found.places.rows()]


def _months(_: Asked, found: Found) -> list[Sequence[Value]]:
    rows: list[Sequence[Value]] = [("from", "to", *MONTHLY)]
    for month, figures in found.months.items():
        rows.append((month.first, month.last, *(figures[name] if figures else None for name in MONTHLY)))
    return rows
