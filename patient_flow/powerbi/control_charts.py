"""Measures of control charts (XmR) over days, as the dashboard draws them: mean, and limits beside it.

The limits are 2.66 mean moving ranges away, after ranges of 3.267 times their mean or more were left out once. Whole
days of the chosen period count, from the first with a figure, and from the day of the last change of rules of figures.
A day without events counts as 0; a ratio has no point on a day without anything to divide by. The special causes
within the limits (runs, trends) are on the dashboard only.
"""

from __future__ import annotations

from collections.abc import Iterator

from patient_flow.contracts import measures
from patient_flow.contracts.measure_types import Measure as DeclaredMeasure
from patient_flow.contracts.measure_types import Part
from patient_flow.powerbi import dax
from patient_flow.powerbi.declarations import Measure

LIMIT_FACTOR, SCREENED_FACTOR = 2.66, 3.267
MEAN, LOWER, UPPER = "mean of days", "lower limit", "upper limit"
FOLDER = "Over time"


def _points(measure: DeclaredMeasure) -> str:
    name, is_sum = dax.name_of(measure), isinstance(measure.value, Part)
    is_point = "" if is_sum else f" && NOT ISBLANK([{name}])"
    return f"""
VAR Instant = UTCNOW()
VAR ThisHour =
    YEAR(Instant) * 1000000 + MONTH(Instant) * 10000 + DAY(Instant) * 100 + HOUR(Instant)
VAR Today = CALCULATE(MAX(DimTime[date]), REMOVEFILTERS(), DimTime[time_key] = ThisHour)
VAR Counted =
    FILTER(
        ALLSELECTED(DimDate[date]),
        DimDate[date] < Today && DimDate[date] > [Figures changed at] - 1 && NOT ISBLANK([{name}])
    )
VAR First = MINX(Counted, DimDate[date])
VAR Points =
    ADDCOLUMNS(
        FILTER(
            ALLSELECTED(DimDate[date]),
            NOT ISBLANK(First) && DimDate[date] >= First && DimDate[date] < Today{is_point}
        ),
        "Value", [{name}]{" + 0" if is_sum else ""}
    )
VAR IsCharted = MAX(DimDate[date]) >= First && MIN(DimDate[date]) < Today"""


def _limit(measure: DeclaredMeasure, sign: str) -> str:
    before = (
        "VAR Before = DimDate[date] - 1"
        if isinstance(measure.value, Part)
        else """VAR Day = DimDate[date]
            VAR Before = MAXX(FILTER(Points, DimDate[date] < Day), DimDate[date])"""
    )
    return f"""
VAR Ranges =
    ADDCOLUMNS(
        FILTER(Points, DimDate[date] > First),
        "Range",
            {before}
            RETURN ABS([Value] - MAXX(FILTER(Points, DimDate[date] = Before), [Value]))
    )
VAR Screened = AVERAGEX(Ranges, [Range]) * {SCREENED_FACTOR}
VAR Usual = AVERAGEX(FILTER(Ranges, [Range] < Screened), [Range])
VAR Mean = AVERAGEX(Points, [Value])
RETURN
    IF(IsCharted && NOT ISBLANK(Usual), Mean {sign} {LIMIT_FACTOR} * Usual)"""


def _chart(measure: DeclaredMeasure) -> Iterator[Measure]:
    shape = dax.format_of(measure) if measure.unit == "percent" else "#,0.0"
    for what, description, expression in (
        (MEAN, "Mean of the chart.", "\nRETURN\n    IF(IsCharted, AVERAGEX(Points, [Value]))"),
        (LOWER, "A point below it is a special cause.", _limit(measure, "-")),
        (UPPER, "A point above it is a special cause.", _limit(measure, "+")),
    ):
        name, text = f"{dax.name_of(measure)}, {what}", (_points(measure) + expression).strip()
        yield Measure(name, dax.home_of(measure), FOLDER, shape, description, text)


CHARTS: tuple[Measure, ...] = tuple(made for measure in measures.CHARTED for made in _chart(measure))
