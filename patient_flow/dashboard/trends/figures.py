"""Rows of the daily table → the numbers of the page: pure functions of rows, range, notes and today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from patient_flow.contracts.chart_notes import ChartNote, ChartNotes
from patient_flow.contracts.measure_types import Measure
from patient_flow.contracts.measures import BY_NAME
from patient_flow.dashboard.trends.daily import HEADLINE, MEASURES, OCCUPANCY, measured
from patient_flow.dashboard.trends.period import DAY, STEPS, Period
from patient_flow.forecasting.feeds import began
from patient_flow.stores.warehouse.daily import FINGERPRINT
from patient_flow.transforms.control_charts import Assurance, assurance, control_chart
from patient_flow.transforms.feeds import DEPARTURES

c = pl.col


@dataclass(frozen=True)
class Chart:
    """The control chart of one measure: ``points`` are those of ``transforms.control_charts``."""

    measure: Measure
    points: pl.DataFrame
    notes: Sequence[ChartNote] = ()
    target: float | None = None
    assurance: Assurance | None = None


@dataclass(frozen=True)
class Compared:
    """A measure over the range and over two earlier ones; None where it is not known."""

    measure: Measure
    value: float | None
    before: float | None
    year_before: float | None


def earlier(period: Period) -> tuple[date, date]:
    """The dates before the range that the page compares it with."""
    return min(period.before.first, period.year_before.first), period.first - DAY


def first_date(rows: pl.DataFrame, asked: date) -> date | None:
    """The first whole day of the feed in ``rows``, which were asked for from ``asked`` on.

    Where data begins later, that is the day after the one on which the feed begins (``forecasting.feeds``); without any
    departure, data begins on its first date.
    """
    first: date | None = rows.select(c("date").min()).item()
    if first is None or first <= asked:
        return first
    fed: date | None = rows.select("date", departures=DEPARTURES).select(began()).item()
    return first if fed is None or fed == first else fed + DAY


def compared(rows: pl.DataFrame, period: Period, known_since: date | None) -> list[Compared]:
    """Every measure over the range, the one directly before, and the same weekdays a year before."""
    periods = (period, period.before, period.year_before)
    values = []
    for one in periods:
        is_known = known_since is not None and (known_since <= one.first or one is period)
        within = rows.filter(c("date").is_between(one.first, one.last))
        values.append(measured(within, None).row(0, named=True) if is_known and within.height else {})
    return [
        Compared(BY_NAME[name], *(found.get(name) for found in values))
        for name in MEASURES
        if any(found.get(name) is not None for found in values)
    ]


def charts(
    rows: pl.DataFrame, period: Period, today: date, notes: ChartNotes, hospital: str, known_since: date | None
) -> list[Chart]:
    """A control chart per measure that has values, over the whole closed steps of the range."""
    values = by_step(rows, period, today, known_since)
    made = []
    for name in _different(values):
        measure, target = BY_NAME[name], notes.targets.get(name)
        own = [note for note in notes.of(name, hospital) if period.first < note.date <= period.last]
        points = control_chart(values.select("step", value=name), measure.better, [note.date for note in own])
        if points.filter(c("value") != 0).height:
            made.append(Chart(measure, points, own, target, assurance(points, measure.better, target)))
    return made


def by_step(rows: pl.DataFrame, period: Period, today: date, known_since: date | None) -> pl.DataFrame:
    """step (its first date) and the measures of each whole step that has ended, from ``known_since`` on."""
    first, last = max(period.first, known_since or period.first), min(period.last, today - DAY)
    dates = pl.DataFrame({"date": pl.date_range(first, last, eager=True) if first <= last else []}, {"date": pl.Date})
    every = STEPS[period.step]
    numbers = [name for name in rows.columns if name not in ("date", FINGERPRINT)]
    days = dates.join(rows, on="date", how="left").with_columns(
        c(numbers).fill_null(0.0),
        step=c("date").dt.truncate(every),
        end=c("date").dt.truncate(every).dt.offset_by(every),
    )
    return measured(days.filter(c("step") >= first, c("end") <= last + DAY), "step")


def places(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """``column`` (hospital_id or department) and the measures of the range."""
    return measured(rows, column)


def _different(values: pl.DataFrame) -> list[str]:
    """The measures, without the occupancy of all classes where it is that of the headline."""
    is_same = values[HEADLINE].equals(values[OCCUPANCY], null_equal=True)
    return [name for name in MEASURES if not (name == OCCUPANCY and is_same)]
