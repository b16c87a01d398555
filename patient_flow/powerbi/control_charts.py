"""Measures of control charts (XmR) over days, as the dashboard draws them: mean, and limits beside it.

The limits are 2.66 mean moving ranges away, after ranges of 3.267 times their mean or more were left out once. Whole
days of the chosen period count, from the first with a figure, and from the day of the last change of rules of figures.
The special causes within the limits (runs, trends) are on the dashboard only.
"""

from __future__ import annotations

from collections.abc import Sequence

from patient_flow.powerbi.declarations import Measure

LIMIT_FACTOR, SCREENED_FACTOR = 2.66, 3.267


def _points(name: str) -> str:
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
            NOT ISBLANK(First) && DimDate[date] >= First && DimDate[date] < Today
        ),
        "Value", [{name}] + 0
    )
VAR IsCharted = MAX(DimDate[date]) >= First && MIN(DimDate[date]) < Today"""


_RANGES = """
VAR Ranges =
    ADDCOLUMNS(
        FILTER(Points, DimDate[date] > First),
        "Range",
            VAR Before = DimDate[date] - 1
            RETURN ABS([Value] - MAXX(FILTER(Points, DimDate[date] = Before), [Value]))
    )
VAR Screened = AVERAGEX(Ranges, [Range]) * {factor}
VAR Usual = AVERAGEX(FILTER(Ranges, [Range] < Screened), [Range])
VAR Mean = AVERAGEX(Points, [Value])
RETURN
    IF(IsCharted && NOT ISBLANK(Usual), Mean {sign} {limit} * Usual)"""


def _chart(name: str, table: str) -> Sequence[Measure]:
    def made(what: str, description: str, dax: str) -> Measure:
        return Measure(f"{name}, {what}", table, "Over time", "#,0.0", description, (_points(name) + dax).strip())

    limits = {sign: _RANGES.format(factor=SCREENED_FACTOR, limit=LIMIT_FACTOR, sign=sign) for sign in "-+"}
    return (
        made("mean of days", "Mean of the chart.", "\nRETURN\n    IF(IsCharted, AVERAGEX(Points, [Value]))"),
        made("lower limit", "A day below it has a cause of its own.", limits["-"]),
        made("upper limit", "A day above it has a cause of its own.", limits["+"]),
    )


CHARTS: tuple[Measure, ...] = (
    *_chart("Admissions", "FactPatientFlow"),
    *_chart("Attendances", "FactEdAttendance"),
)
