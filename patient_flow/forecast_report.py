"""The backtest of forecasts: forecasts as of past mornings, and how far they were off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import polars as pl

from patient_flow.contracts.tables import DATA_QUALITY_DAY, DIM_DEPARTMENT, FACT_BED_CENSUS, FORECAST_BEDS
from patient_flow.errors import OperatorError
from patient_flow.forecasting import baselines, scores
from patient_flow.pipeline import forecast
from patient_flow.pipeline.steps import StepContext

c = pl.col


def backtest(context: StepContext, first: date, last: date) -> Iterator[tuple[date, pl.DataFrame]]:
    """Yields each day and the scores (columns of ForecastScore) of the forecast made at its 06:00 from what was known.

    Nothing is written. Raises :class:`OperatorError` when the census does not cover the days.
    """
    lake = context.lake
    if not lake.exists(FACT_BED_CENSUS) or lake.open(FACT_BED_CENSUS).row_count() == 0:
        raise OperatorError("there is no census to compare with: run a micro-batch or import the history first")
    census = lake.open(FACT_BED_CENSUS).scan()
    departments = lake.open(DIM_DEPARTMENT).scan().collect()
    days = (
        lake.open(DATA_QUALITY_DAY).scan().filter(c("rule") == "all").select("date", "hospital_id").unique().collect()
    )
    newest_key = census.select(c("time_key").max()).collect().item()
    newest = datetime.strptime(f"{newest_key}+0000", "%Y%m%d%H%z")
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        made_at = forecast.morning_of(day, context.timezone).astimezone(UTC)
        if made_at > newest:
            return
        rows = forecast.make(context, FORECAST_BEDS, made_at)
        months = [(made_at + timedelta(days=ahead)).strftime("%Y-%m") for ahead in range(-baselines.HISTORY.days, 9)]
        around = census.filter(c("census_month").is_in(sorted(set(months)))).collect()
        yield day, scores.score(rows, around, departments, days, newest, context.timezone)


def summary(scored: pl.DataFrame) -> pl.DataFrame:
    """Mean errors and coverage by horizon, for departments and for hospitals.

    Columns: of (departments or hospitals), horizon, forecasts, absolute_error, persistence, week_ago, gain_pct,
    covered_80_pct, covered_95_pct.
    """
    order = [*(f"{hours}h" for hours in scores.HOURS), *(f"midnight {night}" for night in range(1, 8))]
    return (
        scored.with_columns(
            of=pl.when(c("department_key") == 0).then(pl.lit("hospitals")).otherwise(pl.lit("departments"))
        )
        .group_by("of", "horizon")
        .agg(
            forecasts=pl.len(),
            absolute_error=c("absolute_error").mean(),
            persistence=c("persistence_absolute_error").mean(),
            week_ago=c("week_ago_absolute_error").mean(),
            covered_80_pct=100 * c("covered_80").mean(),
            covered_95_pct=100 * c("covered_95").mean(),
        )
        .with_columns(best=pl.min_horizontal("persistence", "week_ago"))
        .with_columns(gain_pct=pl.when(c("best") > 0).then(100 * (1 - c("absolute_error") / c("best"))))
        .sort("of", c("horizon").replace_strict({name: at for at, name in enumerate(order)}, default=99))
        .select(
            *("of", "horizon", "forecasts", "absolute_error", "persistence", "week_ago"),
            *("gain_pct", "covered_80_pct", "covered_95_pct"),
        )
    )
