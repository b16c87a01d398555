"""Gold → ForecastBeds, ForecastArrivals, ForecastScore and ForecastShown: hourly, outside micro-batches.

A forecast made at T uses what the hub had accepted by T. The forecasts of 06:00 local are kept and scored; one that is
missing is made afterwards as of its time, as many per run as fit into :data:`BACKCAST_SECONDS`, so that a site with
imported history soon has a judged one. It is made once all rows of a file are in gold, and again after the rows of
files have changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.forecasts import JUDGED_DAYS, SCORED_DAYS
from patient_flow.contracts.tables import (
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    FACT_BED_CENSUS,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    FORECAST_ARRIVALS,
    FORECAST_BEDS,
    FORECAST_SCORE,
    FORECAST_SHOWN,
    KPI_DEPARTMENT_DAY,
    SILVER_EVENTS,
    Table,
)
from patient_flow.forecasting import baselines, beds, forecast, scores, shown
from patient_flow.forecasting.feeds import RECENT_DAYS, began
from patient_flow.monitoring.rules.forecasts import judgement_rows
from patient_flow.pipeline.checkpoints import MADE_FROM_FILES, MADE_UNTIL, MORNINGS_MISSING, consumed
from patient_flow.pipeline.imports import FilesState, files_state
from patient_flow.pipeline.incremental import is_one_of
from patient_flow.pipeline.known import Known, is_complete, known_at
from patient_flow.pipeline.read_progress import recorded_progress
from patient_flow.pipeline.received import newest_event
from patient_flow.pipeline.steps import StepContext, StepResult, retry_on_conflict
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.feeds import DEPARTURES
from patient_flow.transforms.keys import with_surrogate_key

c = pl.col

_NATURAL_KEY = ("made_at", "target_at", "hospital_id", "department_key", "gender")

MORNING = clock_time(6)
KEPT = timedelta(days=400)
FIRST_HISTORY = timedelta(days=7)
"""Days of a hospital's feed before its first forecast that is kept and judged."""
BACKCAST_SECONDS = 120.0
"""A step begins no further missing forecast of a morning after this time; the newest forecast always comes first."""
MAX_MORNINGS = JUDGED_DAYS + 14
"""Newest mornings that are made afterwards: the last ones have no outcome yet."""


@retry_on_conflict
def forecast_beds(context: StepContext) -> StepResult:
    """ForecastBeds: the forecast of the last whole hour, and missing ones of 06:00."""
    return _run(context, FORECAST_BEDS)


@retry_on_conflict
def forecast_arrivals(context: StepContext) -> StepResult:
    """ForecastArrivals: the same forecasts for emergency departments."""
    return _run(context, FORECAST_ARRIVALS)


_TABLES = (FORECAST_BEDS, FORECAST_ARRIVALS)


def _run(context: StepContext, own: Table) -> StepResult:
    """Makes what is missing in ``own``, and the same forecasts of the other table: both need what was known then.

    Whichever of the two steps runs first makes both; the result is that of ``own``.
    """
    targets = {table: context.lake.open(table) for table in _TABLES}
    files = files_state(context.lake, context.now)  # before anything is read: what comes later is another state
    newest = _newest(context.lake, context.now)
    has_all_events = newest is not None and is_complete(context.lake, newest)
    has_all_rows = newest is not None and files.is_complete and is_complete(context.lake, newest, with_files=True)
    written, due = dict.fromkeys(_TABLES, RowsWritten()), dict[Table, list[_Due]]()
    for table, target in targets.items():
        written[table] += _drop_former_departments(context, target)
        if newest is not None and has_all_rows:
            written[table] += _drop_of_former_files(context, target, newest, files)
        is_of_nobody = table is FORECAST_ARRIVALS and context.lake.open(FACT_ED_ATTENDANCE).row_count() == 0
        found = [] if newest is None or is_of_nobody else _due(context, target, newest)
        due[table] = [each for each in found if each.is_backcast or has_all_events]
    started, made = time.monotonic(), 0
    for each in sorted({each for found in due.values() for each in found}, key=lambda each: each.made_at, reverse=True):
        if each.is_backcast and (not has_all_rows or time.monotonic() - started > BACKCAST_SECONDS):
            break
        known = known_at(context, each.made_at, each.made_at - timedelta(days=beds.WINDOW_DAYS))
        for table, found in due.items():
            if each in found:
                found.remove(each)
                made += table is own
                written[table] += _write(context, targets[table], each, known, len(found))
    figures: dict[str, int | float | str] = {"forecasts": made, "mornings_missing": len(due[own])}
    return StepResult(own, targets[own].version, written[own], figures=figures)


def _write(context: StepContext, target: LakeTable, each: _Due, known: Known, missing: int) -> RowsWritten:
    """Makes one forecast from what was known then, and replaces the one before."""
    table = target.table
    rows = of_known(known, table, each.made_at, context.timezone)
    is_morning = c("hospital_id").is_in(sorted(each.hospitals))
    if each.is_backcast:
        rows = rows.filter(is_morning)
    rows = rows.with_columns(is_morning=is_morning, is_backcast=pl.lit(each.is_backcast))
    after = rows.select(c(name).cast(dtype) for name, dtype in table.schema.items())
    before = table.empty() if each.is_backcast else _superseded(target, each.made_at)
    recorded = {**MADE_UNTIL.of(each.made_at), **MORNINGS_MISSING.of(missing)}
    return target.replace(before, after, recorded, run_id=context.run_id)


@dataclass(frozen=True)
class Pending:
    """Forecasts to make before the next hour: ``state`` changes with the rows of files and with each one that is made.

    They can be made once gold has all rows of files (``is_ready``).
    """

    state: str
    is_ready: bool


def pending(lake: Lake, now: datetime) -> Pending | None:
    """Forecasts that have yet to follow the rows of files, and mornings for which the last run had no time left."""
    files, made = files_state(lake, now), lake.open(FORECAST_BEDS)
    missing = MORNINGS_MISSING.read(made.checkpoint)
    if files.changed_at == MADE_FROM_FILES.read(made.checkpoint) and not missing:
        return None
    newest = _newest(lake, now)
    is_in_gold = newest is not None and is_complete(lake, newest, with_files=True)
    return Pending(f"{files.changed_at}, {missing}", files.is_complete and is_in_gold)


def _drop_former_departments(context: StepContext, target: LakeTable) -> RowsWritten:
    """Deletes forecasts of department versions that are no more.

    Of mornings that can be made again, all rows go, so that they count as missing. It waits for the facts to have the
    present versions, of which these are made.
    """
    departments = context.lake.open(DIM_DEPARTMENT)
    facts = (context.lake.open(table) for table in (FACT_PATIENT_FLOW, FACT_ED_ATTENDANCE))
    if any(consumed(fact, departments) != departments.version for fact in facts):
        return RowsWritten()
    former = _of_former_departments(target, departments)
    if former.is_empty():
        return RowsWritten()
    since = context.now - timedelta(days=MAX_MORNINGS - 1)
    again = former.filter(c("made_at") >= since)["made_at"].unique()
    before = pl.concat([target.scan().filter(is_one_of("made_at", again)).collect(), former]).unique("forecast_key")
    return target.replace(before, target.table.empty(), {}, run_id=context.run_id)


def _drop_of_former_files(context: StepContext, target: LakeTable, newest: datetime, files: FilesState) -> RowsWritten:
    """Deletes forecasts that are made again where the rows of files have changed since they were made.

    These are the ones of mornings that were made afterwards, and the newest unless it is of a morning.
    """
    if files.changed_at == MADE_FROM_FILES.read(target.checkpoint):
        return RowsWritten()
    is_of_morning = c("made_at").is_in(list(_mornings(newest, context.timezone)))
    before = target.scan().filter((c("is_backcast") & is_of_morning) | ~c("is_morning")).collect()
    return target.replace(before, target.table.empty(), MADE_FROM_FILES.of(files.changed_at), run_id=context.run_id)


def _of_former_departments(target: LakeTable, departments: LakeTable) -> pl.DataFrame:
    known = departments.scan().select("department_key")
    return target.scan().join(known, on="department_key", how="anti").collect()


def _superseded(target: LakeTable, made_at: datetime) -> pl.DataFrame:
    """Rows that the newest forecast replaces: the one before, unless it was of a morning, and those too old."""
    is_former = ~c("is_morning") | (c("made_at") == made_at) | (c("made_at") < made_at - KEPT)
    return target.scan().filter(is_former).collect()


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
    return with_surrogate_key(rows, "forecast_key", [c(name) for name in named])


@dataclass(frozen=True)
class _Due:
    """A forecast to make, perhaps afterwards (``is_backcast``); it is that of a morning for these ``hospitals``."""

    made_at: datetime
    hospitals: frozenset[str]
    is_backcast: bool = False


def _newest(lake: Lake, now: datetime) -> datetime | None:
    """The hour of the newest forecast; where there are only imported rows, the newest of them says what the time is."""
    reached = recorded_progress(lake).read_until or newest_event(lake.open(SILVER_EVENTS))
    if reached is None or lake.open(FACT_BED_CENSUS).row_count() == 0:
        return None
    return min(reached, now).replace(minute=0, second=0, microsecond=0)


def _due(context: StepContext, target: LakeTable, newest: datetime) -> list[_Due]:
    """The forecasts to make: the newest, then missing ones of past mornings, the latest first."""
    made = target.scan().select("made_at", "is_morning").unique().collect()
    have = set(made.filter("is_morning")["made_at"])
    begins = _feeds(context, newest)
    mornings = {
        each: frozenset(hospital for hospital, first in begins.items() if each >= first + FIRST_HISTORY)
        for each in _mornings(newest, context.timezone)
    }
    found = []
    if newest not in set(made["made_at"]):
        found.append(_Due(newest, mornings.get(newest, frozenset())))
    missing = sorted((each for each in mornings if mornings[each] and each not in have | {newest}), reverse=True)
    return [*found, *(_Due(each, mornings[each], is_backcast=True) for each in missing)]


def _feeds(context: StepContext, newest: datetime) -> dict[str, datetime]:
    """hospital_id → when its feed began, as far back as missing mornings can depend on it.

    Days before it have only the patients who were in bed when it began: no forecast can be judged by them.
    """
    lake, zone = context.lake, ZoneInfo(context.timezone)
    since = newest.astimezone(zone).date() - timedelta(days=MAX_MORNINGS) - FIRST_HISTORY - timedelta(days=RECENT_DAYS)
    days = (
        lake.open(KPI_DEPARTMENT_DAY)
        .scan()
        .filter(c("date") >= since)
        .join(lake.open(DIM_DEPARTMENT).scan().select("department_key", "hospital_id"), on="department_key")
        .group_by("hospital_id", "date")
        .agg(departures=DEPARTURES.sum())
        .group_by("hospital_id")
        .agg(pl.coalesce(began(), c("date").min()).alias("began"))
        .collect()
    )
    return {hospital: datetime.combine(day, clock_time(), zone).astimezone(UTC) for hospital, day in days.iter_rows()}


def _mornings(newest: datetime, zone: str) -> Iterator[datetime]:
    """06:00 local of the last days, up to ``newest``, as whole hours."""
    today = newest.astimezone(ZoneInfo(zone)).date()
    for back in range(MAX_MORNINGS):
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
    made = lake.open(FORECAST_BEDS).scan().select(c("made_at").max()).collect().item()
    since = min(made or context.now, context.now) - timedelta(days=SCORED_DAYS)
    mornings = lake.open(FORECAST_BEDS).scan().filter("is_morning", c("made_at") > since, c("gender") == forecast.ALL)
    departments = lake.open(DIM_DEPARTMENT).scan().collect()
    events = (
        lake.open(DATA_QUALITY_DAY).scan().filter(c("rule") == "all").select("date", "hospital_id").unique().collect()
    )
    newest = _newest_hour(census)
    forecasts = mornings.collect()
    after = scores.score(forecasts, _recent(census, since), departments, events, newest, context.timezone)
    after = after.select(c(name).cast(dtype) for name, dtype in FORECAST_SCORE.schema.items())
    before = target.scan().filter(c("date") > since.astimezone(ZoneInfo(context.timezone)).date()).collect()
    days, key = after["date"].unique(), list(FORECAST_SCORE.key)
    made_on = forecasts["made_at"].dt.convert_time_zone(context.timezone).dt.date().unique()
    is_replaced = c("date").is_in(days.implode()) | ~c("date").is_in(made_on.implode())
    former = _of_former_departments(target, lake.open(DIM_DEPARTMENT))
    before = pl.concat([before.filter(is_replaced), former]).unique(key)
    if before.sort(key).equals(after.sort(key)):
        return StepResult(FORECAST_SCORE, target.version)
    written = target.replace(before, after, MADE_UNTIL.of(context.now), run_id=context.run_id)
    return StepResult(FORECAST_SCORE, target.version, written, figures={"days": len(days)})


@retry_on_conflict
def forecast_shown(context: StepContext) -> StepResult:
    """ForecastShown: the newest forecast, or what its hospital's judgement puts in its place."""
    lake = context.lake
    target, census, made = (lake.open(table) for table in (FORECAST_SHOWN, FACT_BED_CENSUS, FORECAST_BEDS))
    made_at = made.scan().select(c("made_at").max()).collect().item()
    if made_at is None:
        return StepResult(FORECAST_SHOWN, target.version)
    since = made_at - timedelta(days=SCORED_DAYS)
    recent = c("date") > since.astimezone(ZoneInfo(context.timezone)).date()
    after = shown.shown(
        made.scan().filter(c("made_at") == made_at).collect(),
        judgement_rows(lake.open(FORECAST_SCORE).scan().filter(recent).collect()),
        _recent(census, made_at),
        lake.open(DIM_DEPARTMENT).scan().collect(),
        _newest_hour(census),
    )
    flags = (c(name).fill_null(value=False) for name in ("covers_too_little", "loses"))
    after = after.with_columns(c("judged_days").fill_null(0), *flags)
    after = after.select(c(name).cast(dtype) for name, dtype in FORECAST_SHOWN.schema.items())
    before, key = target.scan().collect(), list(FORECAST_SHOWN.key)
    if before.sort(key).equals(after.sort(key)):
        return StepResult(FORECAST_SHOWN, target.version)
    written = target.replace(before, after, MADE_UNTIL.of(context.now), run_id=context.run_id)
    sources = after.select("hospital_id", "source").unique()["source"]
    bad = int(sources.is_in(baselines.NAMES).sum())
    figures: dict[str, int | float | str] = {"hospitals_shown": sources.count(), "hospitals_with_a_baseline": bad}
    return StepResult(FORECAST_SHOWN, target.version, written, figures=figures)


def _newest_hour(census: LakeTable) -> datetime | None:
    newest = census.scan().select(c("time_key").max()).collect().item()
    return None if newest is None else datetime.strptime(f"{newest}+0000", "%Y%m%d%H%z")


def _recent(census: LakeTable, since: datetime) -> pl.DataFrame:
    months = c("census_month") >= (since - baselines.HISTORY).strftime("%Y-%m")
    return census.scan().filter(months).select("time_key", "department_key", "gender", "occupied_beds").collect()
