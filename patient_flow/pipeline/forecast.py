"""Gold → ForecastBeds, ForecastArrivals and ForecastScore: hourly, outside micro-batches.

A forecast made at T uses what the hub had accepted by T. The forecasts of 06:00 local are kept and scored; one that is
missing is made afterwards as of its time, a few per run, so that a new site has a judged history after some hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.tables import (
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    FACT_BED_CENSUS,
    FORECAST_ARRIVALS,
    FORECAST_BEDS,
    FORECAST_SCORE,
    Table,
)
from patient_flow.forecasting import beds, forecast, scores
from patient_flow.pipeline.checkpoints import MADE_UNTIL
from patient_flow.pipeline.known import Known, known_at
from patient_flow.pipeline.read_progress import recorded_progress
from patient_flow.pipeline.steps import StepContext, StepResult, retry_on_conflict
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.keys import surrogate_key

c = pl.col

_NATURAL_KEY = ("made_at", "target_at", "hospital_id", "department_key", "gender")

MORNING = time(6)
KEPT = timedelta(days=400)
JUDGED_DAYS = 28
"""Days that a backtest covers before a forecast is shown."""
BACKCAST_LIMIT = 4
"""Missing morning forecasts that one run makes."""
SCORED_DAYS = 60
"""Days whose scores follow later changes of the census."""


@retry_on_conflict
def forecast_beds(context: StepContext) -> StepResult:
    """ForecastBeds: the forecast of the last whole hour, and missing ones of 06:00."""
    return _run(context, FORECAST_BEDS)


@retry_on_conflict
def forecast_arrivals(context: StepContext) -> StepResult:
    """ForecastArrivals: the same forecasts for emergency departments."""
    return _run(context, FORECAST_ARRIVALS)


def _run(context: StepContext, table: Table) -> StepResult:
    target = context.lake.open(table)
    due = _due(context, target)
    written = RowsWritten()
    made = 0
    for made_at, is_morning, is_backcast in due:
        rows = make(context, table, made_at)
        rows = rows.with_columns(is_morning=pl.lit(is_morning), is_backcast=pl.lit(is_backcast))
        after = rows.select(c(name).cast(dtype) for name, dtype in table.schema.items())
        superseded = target.scan().filter(
            (c("made_at") == made_at)
            | (~c("is_morning") & (c("made_at") < context.now))
            | (c("made_at") < context.now - KEPT)
        )
        before = superseded.collect() if not is_backcast else table.empty()
        written += target.replace(before, after, MADE_UNTIL.of(made_at), run_id=context.run_id)
        made += 1
    return StepResult(table, target.version, written, figures={"forecasts": made})


def make(context: StepContext, table: Table, made_at: datetime) -> pl.DataFrame:
    """The rows of ``table`` for a forecast made at ``made_at``, a whole hour; without rows where nothing is known."""
    known = known_at(context, made_at, made_at - timedelta(days=beds.WINDOW_DAYS))
    return of_known(known, table, made_at, context.timezone)


def of_known(known: Known, table: Table, made_at: datetime, zone: str) -> pl.DataFrame:
    """The same from what was known."""
    if table is FORECAST_BEDS:
        rows = forecast.forecast_beds(known.stays, known.departments, made_at, zone)
    else:
        rows = forecast.forecast_arrivals(known.attendances, known.departments, made_at, zone)
    if rows.is_empty():
        return table.empty().drop("is_morning", "is_backcast")
    named = [name for name in _NATURAL_KEY if name in rows.columns]
    return rows.with_columns(forecast_key=surrogate_key([c(name).cast(pl.String) for name in named]))


def _due(context: StepContext, target: LakeTable) -> list[tuple[datetime, bool, bool]]:
    """The forecasts to make (instant, is it of 06:00, is it made afterwards): missing past ones, then the newest.

    Nothing is due before bronze has read everything that the hub accepted by then, and silver has taken it.
    """
    reached = recorded_progress(context.lake).read_until
    census = context.lake.open(FACT_BED_CENSUS)
    if reached is None or census.row_count() == 0:
        return []
    newest = min(reached, context.now).replace(minute=0, second=0, microsecond=0)
    made = target.scan().select("made_at", "is_morning").unique().collect()
    have = set(made.filter("is_morning")["made_at"])
    first = _first_hour(census)
    mornings = [each for each in _mornings(newest, context.timezone) if each >= first + timedelta(days=7)]
    missing = [each for each in mornings if each not in have and each != newest]
    found = [(each, True, True) for each in sorted(missing, reverse=True)[:BACKCAST_LIMIT]]
    if newest not in set(made["made_at"]):
        found.append((newest, newest in mornings, False))
    return found


def _first_hour(census: LakeTable) -> datetime:
    first = census.scan().select(c("time_key").min()).collect().item()
    return datetime.strptime(f"{first}+0000", "%Y%m%d%H%z")


def _mornings(newest: datetime, zone: str) -> Iterator[datetime]:
    """06:00 local of the last days, up to ``newest``, as whole hours."""
    today = newest.astimezone(ZoneInfo(zone)).date()
    for back in range(JUDGED_DAYS + 14):
        at = morning_of(today - timedelta(days=back), zone)
        if at <= newest:
            yield at


def morning_of(day: date, zone: str) -> datetime:
    """06:00 local of ``day``, or the whole UTC hour before it."""
    return datetime.combine(day, MORNING, ZoneInfo(zone)).astimezone(ZoneInfo("UTC")).replace(minute=0)


@retry_on_conflict
def forecast_score(context: StepContext) -> StepResult:
    """ForecastScore: the morning forecasts whose targets have passed, against the census."""
    lake = context.lake
    target, census = lake.open(FORECAST_SCORE), lake.open(FACT_BED_CENSUS)
    since = context.now - timedelta(days=SCORED_DAYS)
    forecasts = lake.open(FORECAST_BEDS).scan().filter("is_morning", c("made_at") > since).collect()
    departments = lake.open(DIM_DEPARTMENT).scan().collect()
    events = (
        lake.open(DATA_QUALITY_DAY).scan().filter(c("rule") == "all").select("date", "hospital_id").unique().collect()
    )
    newest = _newest_hour(census)
    after = scores.score(forecasts, _recent(census, since), departments, events, newest, context.timezone)
    after = after.select(c(name).cast(dtype) for name, dtype in FORECAST_SCORE.schema.items())
    before = target.scan().filter(c("date") > since.astimezone(ZoneInfo(context.timezone)).date()).collect()
    days = after["date"].unique()
    before, key = before.filter(c("date").is_in(days.implode())), list(FORECAST_SCORE.key)
    if before.sort(key).equals(after.sort(key)):
        return StepResult(FORECAST_SCORE, target.version)
    written = target.replace(before, after, MADE_UNTIL.of(context.now), run_id=context.run_id)
    return StepResult(FORECAST_SCORE, target.version, written, figures={"days": len(days)})


def _newest_hour(census: LakeTable) -> datetime | None:
    newest = census.scan().select(c("time_key").max()).collect().item()
    return None if newest is None else datetime.strptime(f"{newest}+0000", "%Y%m%d%H%z")


def _recent(census: LakeTable, since: datetime) -> pl.DataFrame:
    months = c("census_month") >= (since - timedelta(days=14)).strftime("%Y-%m")
    return census.scan().filter(months).select("time_key", "department_key", "gender", "occupied_beds").collect()
