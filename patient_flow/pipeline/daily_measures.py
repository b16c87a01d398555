"""Facts and census → measures by local date, department and gender."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.tables import (
    DIM_DEPARTMENT,
    FACT_BED_CENSUS,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    KPI_DEPARTMENT_DAY,
)
from patient_flow.pipeline import incremental
from patient_flow.pipeline.checkpoints import (
    CENSUS_UNTIL,
    LAST_HOUR,
    MEASURED_WITH,
    PART,
    consumption,
    no_consumption,
)
from patient_flow.pipeline.incremental import changes_of, replace, versions_changed, versions_of
from patient_flow.pipeline.steps import StepContext, StepResult, is_up_to_date, retry_on_conflict
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.log import Checkpoints
from patient_flow.stores.lake.snapshot import partitions_in_steps
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import calendar, kpis, staffing

c = pl.col

STAFFING_RULES = 1
"""Version of the rules of staffed hours: measures that were made by another one are made again."""


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
    measured = _Measured(sources, versions, _first_hours(hourly), until, zone)
    wanted = _touched_days(target, sources, measured.first_hours, zone) if of_these_rules else None
    checkpoints = {**LAST_HOUR.of(until), **MEASURED_WITH.of(rules)}
    if wanted is None:
        return _whole_measures(target, measured, checkpoints, run_id=run_id)
    is_then = c("date").is_in(wanted["date"].unique().implode())
    before = target.scan().filter(is_then).join(wanted.lazy(), on=kpis.DAY, how="semi").collect()
    spans = list(_instants(set(wanted["date"].unique()), ZoneInfo(zone)))
    hour_marks = _hour_marks(wanted, zone).implode()
    after = measured.rows(wanted, spans, lambda name: _hour_mark(name).is_in(hour_marks))
    return replace(target, before, after, sources, checkpoints, run_id=run_id)


@dataclass(frozen=True)
class _Measured:
    """What measures are made from: stays, attendances, census and departments, and what is known of these."""

    sources: tuple[LakeTable, LakeTable, LakeTable, LakeTable]
    versions: pl.DataFrame
    first_hours: pl.DataFrame
    until: datetime | None
    zone: str

    def rows(
        self,
        wanted: pl.DataFrame,
        spans: list[tuple[datetime, datetime]],
        is_likely: Callable[[str], pl.Expr] = lambda _: pl.lit(value=True),
    ) -> pl.DataFrame:
        """Measures of the ``wanted`` days, which lie in ``spans``; a time key of other days may not be likely."""
        flow, attended, hourly, _ = self.sources
        then = {
            name: _within_hours(name, spans) & is_likely(name)
            for name in ("admission_time_key", "discharge_time_key", "arrival_time_key")
        }
        stays = flow.scan().filter(then["admission_time_key"] | then["discharge_time_key"])
        arrivals = attended.scan().filter(then["arrival_time_key"])
        # Of all departments of a hospital: whether it has patients on a day decides about the staffed hours of each.
        hours = hourly.scan().filter(_within_hours("time_key", spans)).collect()
        staffed = staffing.Staffing(
            staffing.beginnings(self.first_hours, self.versions), staffing.patient_days(hours, self.versions, self.zone)
        )
        return kpis.kpi_department_day(
            stays.select(kpis.FACT_COLUMNS).collect(),
            arrivals.select(kpis.ATTENDANCE_COLUMNS).collect(),
            hours,
            self.versions,
            wanted=wanted,
            staffed=staffed,
            until=self.until,
            zone=self.zone,
        )


def _whole_measures(target: LakeTable, measured: _Measured, checkpoints: Checkpoints, *, run_id: str) -> StepResult:
    """The measures of all days, in parts of months."""
    parts, written, since = _in_months(_all_days(measured), measured.sources[:2]), RowsWritten(), date.min
    for number, wanted in enumerate(parts, start=1):
        days, is_here = sorted(wanted["date"].unique()), c("date") >= since
        recorded = {**consumption(*measured.sources), **checkpoints}
        if number < len(parts):
            # After a death everything is made again: the changes of one day may be taken back until then.
            since = min(parts[number]["date"])
            recorded = {**no_consumption(*measured.sources), **PART.of(number), **LAST_HOUR.of(None)}
            is_here &= c("date") < since
        spans = list(_instants(set(days[:1] + days[-1:]), ZoneInfo(measured.zone)))
        spans = [(spans[0][0], spans[-1][1])] if spans else []
        before = target.scan().filter(is_here).collect()
        written += target.replace(before, measured.rows(wanted, spans), recorded, run_id=run_id)
    return StepResult(KPI_DEPARTMENT_DAY, target.version, written, consumed=versions_of(measured.sources))


def _in_months(days: pl.DataFrame, facts: tuple[LakeTable, ...]) -> list[pl.DataFrame]:
    """``days`` (date, department_key) in parts of months, by how many rows the larger of ``facts`` has in these."""
    runs = partitions_in_steps(max(facts, key=LakeTable.row_count), incremental.STAYS_AT_ONCE)
    begins = [date.min, *(date.fromisoformat(f"{months[0]}-01") for months in runs[1:]), date.max]
    parts = [days.filter(c("date") >= begin, c("date") < end) for begin, end in pairwise(begins)]
    return [part for part in parts if part.height] or [days]


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
    if stays is None or arrivals is None or hours is None or former is None or until is None:
        return None
    if versions_changed(target, departments):
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


def _all_days(measured: _Measured) -> pl.DataFrame:
    (flow, attended, hourly, _), zone = measured.sources, measured.zone
    hours = _days_of(hourly, zone, hour_at=calendar.hour_start(c("time_key")))
    return pl.concat(
        [
            *_days_of(attended, zone, arrival_at=c("arrival_at")),
            *_days_of(flow, zone, admission_at=c("admission_at"), discharge_at=c("discharge_at")),
            *(kpis.of_hospitals(days, measured.versions) for days in hours),
        ]
    ).unique()


def _days_of(table: LakeTable, zone: str, **instants: pl.Expr) -> Iterator[pl.DataFrame]:
    """Days of departments on which ``instants`` of the table's rows fall, of some months at once."""
    yield kpis.no_days()
    for months in partitions_in_steps(table, incremental.STAYS_AT_ONCE):
        rows = table.scan().filter(c(table.table.partition_by[0]).is_in(months)).select("department_key", **instants)
        yield from (kpis.days(collected, name, zone) for collected in [rows.collect()] for name in instants)


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
