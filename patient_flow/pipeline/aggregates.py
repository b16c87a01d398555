"""Facts, silver, quarantine → what is counted of them: the census of beds, the measures of days, data quality."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    ERASED,
    FACT_BED_CENSUS,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    IGNORED,
    KPI_DEPARTMENT_DAY,
    QUARANTINE,
)
from patient_flow.pipeline import incremental
from patient_flow.pipeline.checkpoints import (
    CENSUS_UNTIL,
    LAST_HOUR,
    MEASURED_WITH,
    TIME_ZONE,
    consumed,
    identity_of,
    is_replaced,
    version_of,
)
from patient_flow.pipeline.incremental import (
    changes_of,
    replace,
    versions_changed,
    zone_changed,
)
from patient_flow.pipeline.received import newest_event
from patient_flow.pipeline.steps import StepContext, StepResult, is_up_to_date, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import calendar, census, kpis, quality, staffing

c = pl.col

STAFFING_RULES = 1
"""Version of the rules of staffed hours: measures that were made by another one are made again."""


@retry_on_conflict
def fact_bed_census(context: StepContext) -> StepResult:
    """FactBedCensus counts the hours that changed stays occupy, and the hours since, for those still in bed."""
    lake, run_id = context.lake, context.run_id
    target, flow = lake.open(FACT_BED_CENSUS), lake.open(FACT_PATIENT_FLOW)
    departments, silver = lake.open(DIM_DEPARTMENT), open_complete_silver(lake)
    sources = (flow, departments, silver)
    if is_up_to_date(target, *sources):
        return StepResult(FACT_BED_CENSUS, target.version)
    until = newest_event(silver)
    checkpoints = CENSUS_UNTIL.of(until)
    if until is None:  # no event is left, or there was none yet
        return replace(target, target.scan().collect(), target.table.empty(), sources, checkpoints, run_id=run_id)
    versions = departments.scan().collect()
    changes = changes_of(target, flow, census.STAY_COLUMNS)
    counted = CENSUS_UNTIL.read(target.checkpoint)
    if (
        counted is None
        or until < counted  # newer rows of files, or an erased event, count no more
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
    """KpiDepartmentDay is computed again for the local dates that changed stays, attendances and hours touch."""
    lake, zone, run_id = context.lake, context.timezone, context.run_id
    target, flow = lake.open(KPI_DEPARTMENT_DAY), lake.open(FACT_PATIENT_FLOW)
    attended = lake.open(FACT_ED_ATTENDANCE)
    hourly, departments = lake.open(FACT_BED_CENSUS), lake.open(DIM_DEPARTMENT)
    sources = (flow, attended, hourly, departments)
    rules = f"{STAFFING_RULES} {zone}"
    of_these_rules = MEASURED_WITH.matches(target.checkpoint, rules)
    if is_up_to_date(target, *sources) and of_these_rules:
        return StepResult(KPI_DEPARTMENT_DAY, target.version)
    until, versions = CENSUS_UNTIL.read(hourly.checkpoint), departments.scan().collect()
    first_hours = _first_hours(hourly)
    wanted = _touched_days(target, sources, first_hours, zone) if of_these_rules else None
    stays, arrivals, hours, before = flow.scan(), attended.scan(), hourly.scan(), target.scan()
    if wanted is None:
        wanted = _all_days(flow, attended, hourly, versions, zone)
    else:
        spans = list(_instants(set(wanted["date"].unique()), ZoneInfo(zone)))
        hour_marks = _hour_marks(wanted, zone).implode()
        then = {
            name: _within_hours(name, spans) & _hour_mark(name).is_in(hour_marks)
            for name in ("admission_time_key", "discharge_time_key", "arrival_time_key")
        }
        stays = stays.filter(then["admission_time_key"] | then["discharge_time_key"])
        arrivals = arrivals.filter(then["arrival_time_key"])
        # Of all departments of a hospital: whether it has patients on a day decides about the staffed hours of each.
        hours = hours.filter(_within_hours("time_key", spans))
        before = before.filter(c("date").is_in(wanted["date"].unique().implode())).join(
            wanted.lazy(), on=kpis.DAY, how="semi"
        )
    checkpoints = {**LAST_HOUR.of(until), **MEASURED_WITH.of(rules)}
    counted = hours.collect()
    staffed = staffing.Staffing(
        staffing.beginnings(first_hours, versions), staffing.patient_days(counted, versions, zone)
    )
    after = kpis.kpi_department_day(
        stays.select(kpis.FACT_COLUMNS).collect(),
        arrivals.select(kpis.ATTENDANCE_COLUMNS).collect(),
        counted,
        versions,
        wanted=wanted,
        staffed=staffed,
        until=until,
        zone=zone,
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
        for source in (BRONZE_EVENTS, *((ERASED,) if consumed(rejected, lake.open(ERASED)) is not None else ()))
        for key in (version_of(source), identity_of(source))
        for name, number in key.of(key.read(rejected.checkpoint) if belong_together else None).items()
    }
    of_another_zone = zone_changed(target, zone)
    if is_up_to_date(target, *counted) and not of_another_zone:
        return StepResult(DATA_QUALITY_DAY, target.version)
    checkpoints = {**received, **TIME_ZONE.of(zone)}
    columns = (quality.SILVER_COLUMNS, quality.IGNORED_COLUMNS, quality.QUARANTINE_COLUMNS)
    changes = [changes_of(target, source, names) for source, names in zip(counted, columns, strict=True)]
    if of_another_zone or any(change.is_whole_table for change in changes):
        after = _all_quality(*counted, zone)
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


def _all_quality(silver: LakeTable, ignored: LakeTable, rejected: LakeTable, zone: str) -> pl.DataFrame:
    """DataQualityDay of all rows of the three tables, which may be larger than memory."""
    limit = incremental.EVENTS_AT_ONCE
    return quality.total(
        DATA_QUALITY_DAY.empty(),
        *(quality.count_accepted(rows, zone) for rows in silver.batches(quality.SILVER_COLUMNS, limit)),
        *(quality.count_ignored(rows, zone) for rows in ignored.batches(quality.IGNORED_COLUMNS, limit)),
        *(quality.count_rejected(rows, zone) for rows in rejected.batches(quality.QUARANTINE_COLUMNS, limit)),
    )


def _first_hours(hourly: LakeTable) -> pl.DataFrame:
    """The first patient hour (first_hour) of each department version (department_key) that has one."""
    first = hourly.scan().group_by("department_key").agg(c("time_key").min())
    return first.select("department_key", first_hour=calendar.hour_start(c("time_key"))).collect(engine="streaming")


def _touched_days(
    target: LakeTable,
    sources: tuple[LakeTable, LakeTable, LakeTable, LakeTable],
    first_hours: pl.DataFrame,
    zone: str,
) -> pl.DataFrame | None:
    """Days of departments whose measures to compute again; None for all.

    ``sources`` are stays, attendances, census and departments. Staffed hours of a department depend on its hospital's
    patient hours of the day (F19), on the first patient hours of both, and on the newest event: where one of these
    moved, the days in between change.
    """
    flow, attended, hourly, departments = sources
    stays = changes_of(target, flow, ("department_key", "admission_at", "discharge_at"))
    arrivals = changes_of(target, attended, ("department_key", "arrival_at"))
    hours = changes_of(target, hourly, ("department_key", "time_key"))
    former, until = LAST_HOUR.read(target.checkpoint), CENSUS_UNTIL.read(hourly.checkpoint)
    is_whole_table = stays.is_whole_table or arrivals.is_whole_table or hours.is_whole_table
    if is_whole_table or former is None or until is None or versions_changed(target, departments):
        return None
    versions = departments.scan().collect()
    moved = _dates_between(min(former, until), max(former, until), zone) if former != until else []
    changed = hours.both.with_columns(hour_at=calendar.hour_start(c("time_key")))
    return pl.concat(
        [
            kpis.days(stays.both, "admission_at", zone),
            kpis.days(stays.both, "discharge_at", zone),
            kpis.days(arrivals.both, "arrival_at", zone),
            kpis.days(_departures_between(attended, former, until), "arrival_at", zone),
            kpis.of_hospitals(kpis.days(changed, "hour_at", zone), versions),
            _days_since_moved_beginnings(changed, first_hours, versions, until, zone),
            kpis.every_department(moved, versions),
        ]
    ).unique()


def _departures_between(attended: LakeTable, former: datetime, until: datetime) -> pl.DataFrame:
    """Attendances whose departure lies between two newest events: it was a plan, and counts now, or the reverse."""
    rows = attended.scan().select("department_key", "arrival_at", "departure_at")
    return rows.filter(c("departure_at").is_between(min(former, until), max(former, until))).collect()


def _days_since_moved_beginnings(
    changed: pl.DataFrame, first_hours: pl.DataFrame, versions: pl.DataFrame, until: datetime, zone: str
) -> pl.DataFrame:
    """Days from a changed hour on, of hospitals where it is no later than a department's first patient hour.

    It may be the first hour, or have been it before: staffed hours begin elsewhere then.
    """
    places = versions.select("department_key", "hospital_id", "department")
    now = first_hours.join(places, on="department_key").group_by("hospital_id", "department").agg(c("first_hour").min())
    earliest = (
        changed.join(places, on="department_key")
        .group_by("hospital_id", "department")
        .agg(c("hour_at").min())
        .join(now, on=["hospital_id", "department"], how="left")
        .filter(c("first_hour").is_null() | (c("hour_at") <= c("first_hour")))
        .group_by("hospital_id")
        .agg(since=c("hour_at").min())
    )
    days = [
        pl.DataFrame({"date": _dates_between(since, until, zone)}, schema={"date": pl.Date}).join(
            places.filter(hospital_id=hospital).select("department_key"), how="cross"
        )
        for hospital, since in earliest.iter_rows()
    ]
    return pl.concat([kpis.no_days(), *days])


def _dates_between(first: datetime | None, last: datetime | None, zone: str) -> list[date]:
    """Local dates from that of ``first`` to that of ``last``; none where one of the two is unknown."""
    if first is None or last is None:
        return []
    start, end = first.astimezone(ZoneInfo(zone)).date(), last.astimezone(ZoneInfo(zone)).date()
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


def _all_days(
    flow: LakeTable, attended: LakeTable, hourly: LakeTable, versions: pl.DataFrame, zone: str
) -> pl.DataFrame:
    arrivals = attended.scan().select("department_key", "arrival_at").collect()
    stays = flow.scan().select("department_key", "admission_at", "discharge_at").collect()
    counted = hourly.scan().select("department_key", "time_key").unique().collect(engine="streaming")
    hours = counted.with_columns(hour_at=calendar.hour_start(c("time_key")))
    return pl.concat(
        [
            kpis.days(arrivals, "arrival_at", zone),
            kpis.days(stays, "admission_at", zone),
            kpis.days(stays, "discharge_at", zone),
            kpis.of_hospitals(kpis.days(hours, "hour_at", zone), versions),
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


def _hour_mark(time_key: str) -> pl.Expr:
    """A number for the department and the hour of a row. Two pairs may share one: it only narrows down what is read."""
    return c("department_key") ^ c(time_key)


def _hour_marks(wanted: pl.DataFrame, zone: str) -> pl.Series:
    """:func:`_hour_mark` of every hour of the ``wanted`` days (date, department_key)."""
    place, one_day = ZoneInfo(zone), timedelta(days=1)
    days = [
        (day, calendar.first_hour(day, place), calendar.first_hour(day + one_day, place))
        for day in wanted["date"].unique()
    ]
    hours = pl.DataFrame(days, schema={"date": pl.Date, "first": INSTANT, "next": INSTANT}, orient="row").select(
        "date", hour=pl.datetime_ranges("first", "next", "1h", closed="left")
    )
    of_days = wanted.join(hours.explode("hour"), on="date").with_columns(time_key=calendar.time_key(c("hour")))
    return of_days.select(_hour_mark("time_key"))["department_key"].unique()


def _within_hours(time_key: str, spans: list[tuple[datetime, datetime]]) -> pl.Expr:
    return pl.any_horizontal(
        pl.lit(False),
        *(
            c(time_key).is_between(calendar.hour_key(start), calendar.hour_key(end), closed="left")
            for start, end in spans
        ),
    )
