"""Facts, silver, quarantine → what is counted of them: the census of beds, the measures of days, data quality."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    FACT_BED_CENSUS,
    FACT_PATIENT_FLOW,
    IGNORED,
    KPI_DEPARTMENT_DAY,
    QUARANTINE,
)
from patient_flow.pipeline.checkpoints import (
    CENSUS_UNTIL,
    FIRST_HOUR,
    LAST_HOUR,
    TIME_ZONE,
    consumed,
    identity_of,
    is_replaced,
    version_of,
)
from patient_flow.pipeline.incremental import (
    changes_of,
    nothing_to_do,
    replace,
    versions_changed,
    zone_changed,
)
from patient_flow.pipeline.steps import StepContext, StepResult, is_up_to_date, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import calendar, census, kpis, quality

c = pl.col


@retry_on_conflict
def fact_bed_census(context: StepContext) -> StepResult:
    """FactBedCensus counts the hours that changed stays occupy, and the hours since, for those still in bed."""
    lake, run_id = context.lake, context.run_id
    target, flow = lake.open(FACT_BED_CENSUS), lake.open(FACT_PATIENT_FLOW)
    departments, silver = lake.open(DIM_DEPARTMENT), open_complete_silver(lake)
    sources = (flow, departments, silver)
    if is_up_to_date(target, *sources):
        return StepResult(FACT_BED_CENSUS, target.version)
    until = silver.newest("enqueued_at")
    if until is None:
        return nothing_to_do(target, *sources, run_id=run_id)
    checkpoints = CENSUS_UNTIL.of(until)
    versions = departments.scan().collect()
    changes = changes_of(target, flow, census.STAY_COLUMNS)
    counted = CENSUS_UNTIL.read(target.checkpoint)
    if (
        counted is None
        or changes.is_whole_table
        or is_replaced(target, silver)
        or versions_changed(target, departments)
    ):
        everything = census.bed_hours(census.spans(flow.scan(), until=until), versions)
        return replace(target, target.scan().collect(), everything, sources, checkpoints, run_id=run_id)
    still_in_bed = flow.scan().filter(
        c("discharge_at").is_null() | (c("discharge_at") > counted),
        c("confirmed_until").is_null() | (c("confirmed_until") > counted),
        ~c("stay_key").is_in(changes.both["stay_key"].implode()),
    )
    change = census.bed_hours(
        pl.concat(
            [
                census.spans(changes.before, until=counted, weight=-1),
                census.spans(changes.after, until=until),
                census.spans(still_in_bed, until=until, after=counted),
            ]
        ),
        versions,
    )
    before = (
        target.scan()
        .filter(
            c("census_month").is_in(change["census_month"].unique().implode()),
            c("time_key").is_in(change["time_key"].unique().implode()),
        )
        .collect()
        .join(change, on=list(FACT_BED_CENSUS.key), how="semi")
    )
    return replace(target, before, census.add(before, change), sources, checkpoints, run_id=run_id)


@retry_on_conflict
def kpi_department_day(context: StepContext) -> StepResult:
    """KpiDepartmentDay is computed again for the local dates that changed stays and census hours touch."""
    lake, zone, run_id = context.lake, context.timezone, context.run_id
    target, flow = lake.open(KPI_DEPARTMENT_DAY), lake.open(FACT_PATIENT_FLOW)
    hourly, departments = lake.open(FACT_BED_CENSUS), lake.open(DIM_DEPARTMENT)
    sources = (flow, hourly, departments)
    of_another_zone = zone_changed(target, zone)
    if is_up_to_date(target, *sources) and not of_another_zone:
        return StepResult(KPI_DEPARTMENT_DAY, target.version)
    first, until = _census_bounds(hourly)
    versions = departments.scan().collect()
    wanted = None if of_another_zone else _touched_days(target, flow, hourly, departments, first, until, zone)
    stays, hours, before = flow.scan().select(kpis.FACT_COLUMNS), hourly.scan(), target.scan()
    if wanted is None:
        wanted = _all_days(flow, versions, first, until, zone)
    else:
        spans = list(_instants(set(wanted["date"].unique()), ZoneInfo(zone)))
        is_there = c("department_key").is_in(wanted["department_key"].unique().implode())
        stays = stays.filter(is_there, _within("admission_at", spans) | _within("discharge_at", spans))
        hours = hours.filter(
            is_there,
            pl.any_horizontal(
                pl.lit(False),
                *(
                    c("time_key").is_between(calendar.hour_key(start), calendar.hour_key(end), closed="left")
                    for start, end in spans
                ),
            ),
        )
        before = before.filter(c("date").is_in(wanted["date"].unique().implode())).join(
            wanted.lazy(), on=kpis.DAY, how="semi"
        )
    checkpoints = {**FIRST_HOUR.of(first), **LAST_HOUR.of(until), **TIME_ZONE.of(zone)}
    after = kpis.kpi_department_day(
        stays.collect(), hours.collect(), versions, wanted=wanted, first_hour=first, until=until, zone=zone
    )
    return replace(target, before.collect(), after, sources, checkpoints, run_id=run_id)


@retry_on_conflict
def data_quality_day(context: StepContext) -> StepResult:
    """DataQualityDay adds what changed in silver, ignored and quarantine to its counts."""
    lake, zone, run_id = context.lake, context.timezone, context.run_id
    target, silver, rejected = lake.open(DATA_QUALITY_DAY), open_complete_silver(lake), lake.open(QUARANTINE)
    counted = (silver, lake.open(IGNORED), rejected)
    # How far the counts rest on bronze, if the versions belong together: the check on received events goes on there.
    belong_together = all(consumed(rejected, source) == source.version for source in counted[:-1])
    received = {
        name: number
        for key in (version_of(BRONZE_EVENTS), identity_of(BRONZE_EVENTS))
        for name, number in key.of(key.read(rejected.checkpoint) if belong_together else None).items()
    }
    of_another_zone = zone_changed(target, zone)
    if is_up_to_date(target, *counted) and not of_another_zone:
        return StepResult(DATA_QUALITY_DAY, target.version)
    checkpoints = {**received, **TIME_ZONE.of(zone)}
    columns = (quality.SILVER_COLUMNS, quality.IGNORED_COLUMNS, quality.QUARANTINE_COLUMNS)
    changes = [changes_of(target, source, names) for source, names in zip(counted, columns, strict=True)]
    if of_another_zone or any(change.is_whole_table for change in changes):
        whole = [source.scan().select(names).collect() for source, names in zip(counted, columns, strict=True)]
        after = quality.data_quality_day(whole[0], whole[1], whole[2], zone)
        return replace(target, target.scan().collect(), after, counted, checkpoints, run_id=run_id)
    in_silver, in_ignored, in_quarantine = changes
    change = quality.total(
        quality.data_quality_day(in_silver.after, in_ignored.after, in_quarantine.after, zone),
        quality.negative(quality.data_quality_day(in_silver.before, in_ignored.before, in_quarantine.before, zone)),
    )
    before = (
        target.scan()
        .filter(c("date").is_in(change["date"].unique().implode()))
        .collect()
        .join(change, on=list(DATA_QUALITY_DAY.key), how="semi")
    )
    return replace(target, before, quality.total(before, change), counted, checkpoints, run_id=run_id)


def _census_bounds(hourly: LakeTable) -> tuple[datetime | None, datetime | None]:
    """First hour with somebody in bed, and the newest event, up to which the census counts."""
    first = (
        hourly.scan().select(calendar.hour_start(c("time_key").min())).collect().item() if hourly.row_count() else None
    )
    return first, CENSUS_UNTIL.read(hourly.checkpoint)


def _touched_days(
    target: LakeTable,
    flow: LakeTable,
    hourly: LakeTable,
    departments: LakeTable,
    first: datetime | None,
    until: datetime | None,
    zone: str,
) -> pl.DataFrame | None:
    """Days of departments whose measures to compute again; None for all. The census counts from ``first`` to ``until``.

    Staffed beds count between these two: where one of them moved, the days in between change for every department.
    """
    stays = changes_of(target, flow, ("department_key", "admission_at", "discharge_at"))
    hours = changes_of(target, hourly, ("department_key", "time_key"))
    if stays.is_whole_table or hours.is_whole_table or versions_changed(target, departments):
        return None
    former_first, former_until = FIRST_HOUR.read(target.checkpoint), LAST_HOUR.read(target.checkpoint)
    if former_first is None or former_until is None:  # nothing was counted before
        moved = _dates_between(first, until, zone)
    elif first is None or until is None:  # nothing is counted any more
        moved = _dates_between(former_first, former_until, zone)
    else:
        moved = []
        for former, bound in ((former_first, first), (former_until, until)):
            if former != bound:
                moved += _dates_between(min(former, bound), max(former, bound), zone)
    return pl.concat(
        [
            kpis.days(stays.both, "admission_at", zone),
            kpis.days(stays.both, "discharge_at", zone),
            kpis.days(hours.both.with_columns(hour_at=calendar.hour_start(c("time_key"))), "hour_at", zone),
            kpis.every_department(set(moved), departments.scan().collect()),
        ]
    ).unique()


def _dates_between(first: datetime | None, last: datetime | None, zone: str) -> list[date]:
    """Local dates from that of ``first`` to that of ``last``; none where one of the two is unknown."""
    if first is None or last is None:
        return []
    start, end = first.astimezone(ZoneInfo(zone)).date(), last.astimezone(ZoneInfo(zone)).date()
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


def _all_days(
    flow: LakeTable, versions: pl.DataFrame, first: datetime | None, until: datetime | None, zone: str
) -> pl.DataFrame:
    stays = flow.scan().select("department_key", "admission_at", "discharge_at").collect()
    return pl.concat(
        [
            kpis.days(stays, "admission_at", zone),
            kpis.days(stays, "discharge_at", zone),
            kpis.every_department(_dates_between(first, until, zone), versions),
        ]
    ).unique()


def _instants(dates: set[date], zone: ZoneInfo) -> Iterable[tuple[datetime, datetime]]:
    """Half-open UTC spans that cover ``dates``, runs of days joined."""
    ordered = sorted(dates)
    start = 0
    for index in range(1, len(ordered) + 1):
        if index == len(ordered) or ordered[index] - ordered[index - 1] > timedelta(days=1):
            yield (
                calendar.first_hour(ordered[start], zone),
                calendar.first_hour(ordered[index - 1] + timedelta(days=1), zone),
            )
            start = index


def _within(column: str, spans: list[tuple[datetime, datetime]]) -> pl.Expr:
    return pl.any_horizontal(
        pl.lit(False), *((c(column) >= pl.lit(start)) & (c(column) < pl.lit(end)) for start, end in spans)
    )
