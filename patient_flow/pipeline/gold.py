"""Silver → gold: for the keys that changes touch, the same pure functions that make the whole table.

Every step reads the net changes of its sources since the versions it consumed last, finds the keys they touch, computes
these keys' rows from everything that is known of them, and commits what differs together with its progress. When the
changes are no longer kept, or nothing was consumed yet, every key counts as touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.events import UNKNOWN_KEY
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    DIM_TIME,
    FACT_BED_CENSUS,
    FACT_PATIENT_FLOW,
    KPI_DEPARTMENT_DAY,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.pipeline.steps import StepResult, is_up_to_date, starts_over
from patient_flow.stores.lake import (
    NOTHING_CONSUMED,
    Changes,
    HistoryGone,
    Lake,
    LakeTable,
    RowsWritten,
    spans_of,
    within_spans,
)
from patient_flow.transforms import calendar, census, dimensions, facts, kpis, quality, visits

c = pl.col

CENSUS_UNTIL = "until"
"""Progress of the census: the newest event (epoch microseconds), up to which it counts."""

PART = "part"
"""Progress of a table that is made as a whole, part by part: a second writer is refused, as with any other source."""

EVENTS_AT_ONCE = 1_000_000
"""Silver events that are folded at once when a whole table is made: bounds memory."""

LATE = timedelta(days=1)
"""Events that happened so much earlier than most others of their batch are looked up apart."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SILVER_TIMES = ("event_time", "arrival_time", "admission_time", "discharge_time")


def all_steps(lake: Lake, departments: pl.DataFrame, zone: str, *, run_id: str) -> Iterator[StepResult]:
    """Every gold table, in the order of the graph."""
    yield dim_time(lake, zone, run_id=run_id)
    yield dim_department(lake, departments, run_id=run_id)
    yield dim_patient(lake, run_id=run_id)
    yield fact_patient_flow(lake, run_id=run_id)
    yield fact_bed_census(lake, run_id=run_id)
    yield kpi_department_day(lake, zone, run_id=run_id)
    yield data_quality_day(lake, zone, run_id=run_id)


@starts_over
def dim_time(lake: Lake, zone: str, *, run_id: str) -> StepResult:
    """DimTime covers the calendar's years and every year that an accepted event mentions."""
    target, silver = lake.open(DIM_TIME), lake.open(SILVER_EVENTS)
    changes = _changes(target, silver, _SILVER_TIMES)
    is_first = target.progress(SILVER_EVENTS.path) is None
    touched = calendar.years_outside_calendar(changes.both, _SILVER_TIMES)
    if not touched and not is_first:
        return _nothing_to_do(target, silver, run_id=run_id)
    mentioned = calendar.years_outside_calendar(silver.scan().select(_SILVER_TIMES).collect(), _SILVER_TIMES)
    newest = silver.newest("event_time")
    years = calendar.years_to_add(mentioned, newest.year) if newest else mentioned
    return _replace(target, target.scan().collect(), calendar.dim_time(years, zone), (silver,), run_id=run_id)


@starts_over
def dim_department(lake: Lake, reference: pl.DataFrame, *, run_id: str) -> StepResult:
    """DimDepartment follows the reference list, and infers a member for each department that only events name."""
    target, silver = lake.open(DIM_DEPARTMENT), lake.open(SILVER_EVENTS)
    pair = ("hospital_id", "department")
    changes = _changes(target, silver, pair)
    before = target.scan().collect()
    if changes.before.is_empty() and not changes.is_whole_table:
        mentioned = pl.concat(
            [changes.after.select(pair), before.filter("is_inferred", c("department_key") != UNKNOWN_KEY).select(pair)]
        )
    else:  # an event that was taken back may have been the only one to name its department
        mentioned = silver.scan().select(pair).unique().collect()
    after = dimensions.department_versions(reference, mentioned)
    return _replace(target, before, after, (silver,), run_id=run_id)


@starts_over
def dim_patient(lake: Lake, *, run_id: str) -> StepResult:
    """DimPatient is rebuilt for the patients that changed events observe, from the earliest of these events on."""
    target, silver = lake.open(DIM_PATIENT), lake.open(SILVER_EVENTS)
    if is_up_to_date(target, silver):
        return StepResult(DIM_PATIENT, target.version)
    changes = _changes(target, silver, ("patient_hash", "event_time"))
    if changes.is_whole_table:
        return _all_patients(target, silver, run_id=run_id)
    touched = changes.both.group_by("patient_hash").agg(since=c("event_time").min())
    versions = target.scan().filter(_is_one_of("patient_hash", touched["patient_hash"])).collect(engine="streaming")
    # What was observed earlier did not change, and the version then valid says all that matters of it.
    dated = versions.join(touched, on="patient_hash").with_columns(earlier=c("valid_from") < c("since"))
    last_earlier = c("valid_from").filter("earlier").max().over("patient_hash")
    before = dated.filter(last_earlier.is_null() | (c("valid_from") >= last_earlier))
    observed = _observed_since(silver, touched)
    after = dimensions.patient_versions(observed, before.filter("earlier"))
    return _replace(target, before.select(versions.columns), after, (silver,), run_id=run_id)


def _observed_since(silver: LakeTable, touched: pl.DataFrame) -> pl.DataFrame:
    """Events of the ``touched`` patients (patient_hash) from the instant ``since`` on."""
    columns = ("patient_hash", *dimensions.OBSERVATION_COLUMNS)
    is_late = c("since") < c("since").median() - LATE
    found = [
        # A few late ones must not make the search for all others go as far back.
        silver.find("patient_hash", some["patient_hash"], "event_time", columns, since=_earliest(some["since"]))
        for some in (touched.filter(is_late), touched.filter(~is_late))
    ]
    return pl.concat(found).join(touched, on="patient_hash").filter(c("event_time") >= c("since"))


def _earliest(instants: pl.Series) -> datetime | None:
    earliest = instants.min()
    return earliest if isinstance(earliest, datetime) else None


def _all_patients(target: LakeTable, silver: LakeTable, *, run_id: str) -> StepResult:
    written = RowsWritten()
    parts = _parts(silver, "patient_hash")
    for number, part in enumerate(parts):
        observed = silver.scan().filter(part).select(dimensions.OBSERVATION_COLUMNS).collect()
        after = dimensions.patient_versions(observed)
        is_here = part
        if number == 0:
            after = pl.concat([dimensions.unknown_patient(), after])
            is_here = part | (c("patient_key") == UNKNOWN_KEY)
        before = target.scan().filter(is_here).collect()
        progress = _progress((silver,)) if number == len(parts) - 1 else {PART: number}
        written += target.replace(before, after, progress, run_id=run_id)
    return StepResult(DIM_PATIENT, target.version, written, consumed=_progress((silver,)))


@starts_over
def fact_patient_flow(lake: Lake, *, run_id: str) -> StepResult:
    """FactPatientFlow is rebuilt for the visits that changed events, patients or departments touch."""
    target, silver = lake.open(FACT_PATIENT_FLOW), lake.open(SILVER_EVENTS)
    patients, departments = lake.open(DIM_PATIENT), lake.open(DIM_DEPARTMENT)
    sources = (silver, patients, departments)
    if is_up_to_date(target, *sources):
        return StepResult(FACT_PATIENT_FLOW, target.version)
    touched = _touched_visits(target, silver, patients, departments)
    wards = departments.scan().collect()
    written, seen, waiting = RowsWritten(), 0, 0
    for history, before, progress in _visits_in_parts(target, silver, touched, _progress(sources)):
        is_known = _is_one_of("patient_hash", history["patient_hash"])
        known = patients.scan().filter(is_known).collect(engine="streaming")
        stays = visits.stays(history)
        after = facts.fact_patient_flow(stays, known, wards)
        written += target.replace(before, after, progress, run_id=run_id)
        seen += history["visit_id"].n_unique()
        waiting += visits.waiting(history, stays).height
    return StepResult(
        FACT_PATIENT_FLOW,
        target.version,
        written,
        consumed=_progress(sources),
        figures={"visits": seen, "waiting": waiting},
    )


def _visits_in_parts(
    target: LakeTable, silver: LakeTable, touched: pl.DataFrame | None, progress: dict[str, int]
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]]:
    """Events and present stays of the touched visits (None: of all, part by part), and what to record with them."""
    if touched is not None:
        history = silver.find("visit_hash", touched["visit_hash"], "event_time", visits.VISIT_COLUMNS)
        # A stay begins when one of the visit's events happened or says that the patient was admitted.
        begins = pl.concat([frame[name] for frame in (history, touched) for name in ("event_time", "admission_time")])
        months = begins.dt.strftime("%Y-%m")
        stays = target.scan().filter(
            _is_one_of("admission_month", months),
            within_spans("admission_at", spans_of(begins)),
            _is_one_of("visit_hash", touched["visit_hash"]),
        )
        yield history, stays.collect(engine="streaming"), progress
        return
    parts = _parts(silver, "visit_hash")
    for number, part in enumerate(parts, start=1):
        history = silver.scan().filter(part).select(visits.VISIT_COLUMNS).collect()
        yield history, target.scan().filter(part).collect(), progress if number == len(parts) else {PART: number}


def _parts(silver: LakeTable, hashed: str) -> list[pl.Expr]:
    """Filters that cut everything into parts of about :data:`EVENTS_AT_ONCE` events; a hash keeps each key whole."""
    count = max(1, -(-silver.row_count() // EVENTS_AT_ONCE))
    return [c(hashed) % count == number for number in range(count)]


@starts_over
def fact_bed_census(lake: Lake, *, run_id: str) -> StepResult:
    """FactBedCensus counts the hours that changed stays occupy, and the hours since, for those still in bed."""
    target, flow = lake.open(FACT_BED_CENSUS), lake.open(FACT_PATIENT_FLOW)
    departments, silver = lake.open(DIM_DEPARTMENT), lake.open(SILVER_EVENTS)
    sources = (flow, departments, silver)
    if is_up_to_date(target, *sources):
        return StepResult(FACT_BED_CENSUS, target.version)
    until = silver.newest("event_time")
    if until is None:
        return _nothing_to_do(target, *sources, run_id=run_id)
    progress = {CENSUS_UNTIL: _microseconds(until)}
    versions = departments.scan().collect()
    changes = _changes(target, flow, census.STAY_COLUMNS)
    counted_until = target.progress(CENSUS_UNTIL)
    if changes.is_whole_table or counted_until is None or _versions_changed(target, departments):
        everything = census.bed_hours(census.spans(flow.scan(), until=until), versions)
        return _replace(target, target.scan().collect(), everything, sources, progress, run_id=run_id)
    counted = instant(counted_until)
    still_in_bed = flow.scan().filter(
        c("discharge_at").is_null() | (c("discharge_at") > counted),
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
    return _replace(target, before, census.add(before, change), sources, progress, run_id=run_id)


@starts_over
def kpi_department_day(lake: Lake, zone: str, *, run_id: str) -> StepResult:
    """KpiDepartmentDay is computed again for the local dates that changed stays and census hours touch."""
    target, flow = lake.open(KPI_DEPARTMENT_DAY), lake.open(FACT_PATIENT_FLOW)
    hourly, departments = lake.open(FACT_BED_CENSUS), lake.open(DIM_DEPARTMENT)
    sources = (flow, hourly, departments)
    if is_up_to_date(target, *sources):
        return StepResult(KPI_DEPARTMENT_DAY, target.version)
    first, until = _census_bounds(hourly)
    bounds = {"first": _microseconds(first), "last": _microseconds(until)}
    versions = departments.scan().collect()
    wanted = _touched_days(target, flow, hourly, departments, bounds, zone)
    stays, hours, before = flow.scan().select(kpis.FACT_COLUMNS), hourly.scan(), target.scan()
    if wanted is None:
        wanted = _all_days(flow, versions, first, until, zone)
    else:
        spans = list(_instants(set(wanted["date"].unique()), zone))
        is_there = c("department_key").is_in(wanted["department_key"].unique().implode())
        stays = stays.filter(is_there, _within("admission_at", spans) | _within("discharge_at", spans))
        hours = hours.filter(
            is_there,
            pl.any_horizontal(
                pl.lit(False), *(c("time_key").is_between(_key(start), _key(end)) for start, end in spans)
            ),
        )
        before = before.filter(c("date").is_in(wanted["date"].unique().implode())).join(
            wanted.lazy(), on=kpis.DAY, how="semi"
        )
    after = kpis.kpi_department_day(
        stays.collect(), hours.collect(), versions, wanted=wanted, first_hour=first, until=until, zone=zone
    )
    return _replace(target, before.collect(), after, sources, bounds, run_id=run_id)


@starts_over
def data_quality_day(lake: Lake, zone: str, *, run_id: str) -> StepResult:
    """DataQualityDay adds what changed in silver and quarantine to its counts."""
    target, silver, rejected = lake.open(DATA_QUALITY_DAY), lake.open(SILVER_EVENTS), lake.open(QUARANTINE)
    # How far the counts rest on bronze, if the versions belong together: the check on received events goes on there.
    received = rejected.progress(BRONZE_EVENTS.path)
    belong_together = received is not None and rejected.progress(SILVER_EVENTS.path) == silver.version
    bronze = {BRONZE_EVENTS.path: received if belong_together and received is not None else NOTHING_CONSUMED}
    if is_up_to_date(target, silver, rejected):
        return StepResult(DATA_QUALITY_DAY, target.version)
    accepted_changes = _changes(target, silver, quality.SILVER_COLUMNS)
    rejected_changes = _changes(target, rejected, quality.QUARANTINE_COLUMNS)
    if accepted_changes.is_whole_table or rejected_changes.is_whole_table:
        after = quality.data_quality_day(
            silver.scan().select(quality.SILVER_COLUMNS).collect(),
            rejected.scan().select(quality.QUARANTINE_COLUMNS).collect(),
            zone,
        )
        return _replace(target, target.scan().collect(), after, (silver, rejected), bronze, run_id=run_id)
    change = quality.total(
        quality.data_quality_day(accepted_changes.after, rejected_changes.after, zone),
        quality.negative(quality.data_quality_day(accepted_changes.before, rejected_changes.before, zone)),
    )
    before = (
        target.scan()
        .filter(c("date").is_in(change["date"].unique().implode()))
        .collect()
        .join(change, on=list(DATA_QUALITY_DAY.key), how="semi")
    )
    return _replace(target, before, quality.total(before, change), (silver, rejected), bronze, run_id=run_id)


def _changes(target: LakeTable, source: LakeTable, columns: Iterable[str]) -> Changes:
    """What changed in ``source`` since ``target`` consumed it; all of it if that is not known any more."""
    try:
        return source.changes(target.progress(source.table.path), list(columns))
    except HistoryGone:
        return source.changes(None, list(columns))


def _replace(
    target: LakeTable,
    before: pl.DataFrame,
    after: pl.DataFrame,
    sources: Iterable[LakeTable],
    progress: dict[str, int] | None = None,
    *,
    run_id: str,
) -> StepResult:
    consumed = _progress(sources)
    written = target.replace(before, after, {**consumed, **(progress or {})}, run_id=run_id)
    return StepResult(target.table, target.version, written, consumed=consumed)


def _progress(sources: Iterable[LakeTable]) -> dict[str, int]:
    return {source.table.path: source.version for source in sources}


def _nothing_to_do(target: LakeTable, *sources: LakeTable, run_id: str) -> StepResult:
    if is_up_to_date(target, *sources):
        return StepResult(target.table, target.version)
    empty = target.table.empty()
    return _replace(target, empty, empty, sources, run_id=run_id)


_TOUCHED_COLUMNS = ("visit_hash", "event_time", "admission_time")


def _touched_visits(
    target: LakeTable, silver: LakeTable, patients: LakeTable, departments: LakeTable
) -> pl.DataFrame | None:
    """Visits to compute again, by events of theirs, also such as silver no longer has; None for all.

    Columns: visit_hash, event_time, admission_time.
    """
    if _versions_changed(target, departments):
        return None
    named = _changes(target, silver, _TOUCHED_COLUMNS)
    versions = _changes(target, patients, ("patient_hash", "gender", "valid_from"))
    if named.is_whole_table or versions.is_whole_table:
        return None
    touched = [named.both.select(_TOUCHED_COLUMNS), _visits_under(target, silver, versions)]
    if not _changes(target, departments, ("is_inferred",)).after.is_empty():
        # Stays that found no department because this step was faster than the dimension's.
        unknown = (c("department_key") == UNKNOWN_KEY) | (
            (c("from_department_key") == UNKNOWN_KEY) & (c("stay_number") > 1)
        )
        stays = target.scan().filter(unknown).select("visit_hash", event_time="admission_at").collect()
        touched.append(stays.with_columns(admission_time="event_time"))
    return pl.concat(touched)


def _visits_under(target: LakeTable, silver: LakeTable, versions: Changes) -> pl.DataFrame:
    """Visits whose stays may fall under other ``versions`` of their patient than before (see :func:`_touched_visits`).

    A stay falls under the last version that begins by its admission, so only beginnings matter, and the gender that the
    fact repeats. Where such a version is new or gone, either an event of the visit is not earlier than it, or the fact
    carries the version before it, and that one changed too: it ends elsewhere now.
    """
    facts_know = ["patient_key", "patient_hash", "gender", "valid_from"]
    before, after = versions.before.select(facts_know), versions.after.select(facts_know)
    others = pl.concat(
        [
            before.join(after, on=facts_know, how="anti", nulls_equal=True),
            after.join(before, on=facts_know, how="anti", nulls_equal=True),
        ]
    )
    if others.is_empty():
        return SILVER_EVENTS.empty().select(_TOUCHED_COLUMNS)
    is_late = c("valid_from") < c("valid_from").median() - LATE
    found = [
        silver.scan()
        .filter(c("event_time") >= _earliest(some["valid_from"]), _is_one_of("patient_hash", some["patient_hash"]))
        .select(_TOUCHED_COLUMNS)
        for some in (others.filter(is_late), others.filter(~is_late))
        if not some.is_empty()
    ]
    since = _earliest(others["valid_from"])
    carried = target.scan().filter(c("admission_at") >= since, _is_one_of("patient_key", before["patient_key"]))
    if since is not None:
        carried = carried.filter(c("admission_month") >= since.strftime("%Y-%m"))
    found.append(carried.select("visit_hash", event_time="admission_at", admission_time="admission_at"))
    return pl.concat(frame.collect(engine="streaming") for frame in found)


def _is_one_of(column: str, values: pl.Series) -> pl.Expr:
    return c(column).is_in(values.unique().implode())


def _versions_changed(target: LakeTable, departments: LakeTable) -> bool:
    """True when department versions that rows refer to may have changed; of new inferred members none can be."""
    changes = _changes(target, departments, ("is_inferred",))
    return changes.is_whole_table or not changes.before.is_empty() or not changes.after["is_inferred"].all()


def _census_bounds(hourly: LakeTable) -> tuple[datetime | None, datetime | None]:
    """First hour with somebody in bed, and the newest event, up to which the census counts."""
    first = (
        hourly.scan().select(calendar.hour_start(c("time_key").min())).collect().item() if hourly.row_count() else None
    )
    until = hourly.progress(CENSUS_UNTIL)
    return first, None if until is None else instant(until)


def _microseconds(instant: datetime | None) -> int:
    """Progress can only hold numbers; -1 for none."""
    return -1 if instant is None else round((instant - _EPOCH) / timedelta(microseconds=1))


def instant(microseconds: int) -> datetime:
    """The instant that a progress in microseconds stands for."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _touched_days(
    target: LakeTable,
    flow: LakeTable,
    hourly: LakeTable,
    departments: LakeTable,
    bounds: dict[str, int],
    zone: str,
) -> pl.DataFrame | None:
    """Days of departments whose measures to compute again; None for all."""
    stays = _changes(target, flow, ("department_key", "admission_at", "discharge_at"))
    hours = _changes(target, hourly, ("department_key", "time_key"))
    if stays.is_whole_table or hours.is_whole_table or _versions_changed(target, departments):
        return None
    touched = [
        kpis.days(stays.both, "admission_at", zone),
        kpis.days(stays.both, "discharge_at", zone),
        kpis.days(hours.both.with_columns(hour_at=calendar.hour_start(c("time_key"))), "hour_at", zone),
    ]
    for name, bound in bounds.items():  # staffed beds count from the first hour to the newest event: both may move
        former = target.progress(name)
        if former is None and bound != _microseconds(None):  # nothing was counted: all of it is new
            former = bounds["first" if name == "last" else "last"]
        if former is not None and former != bound:
            moved = _dates_between(instant(min(former, bound)), instant(max(former, bound)), zone)
            touched.append(kpis.every_department(moved, departments.scan().collect()))
    return pl.concat(touched).unique()


def _dates_between(first: datetime, last: datetime, zone: str) -> Iterable[date]:
    start, end = first.astimezone(ZoneInfo(zone)).date(), last.astimezone(ZoneInfo(zone)).date()
    return (start + timedelta(days=number) for number in range((end - start).days + 1))


def _all_days(
    flow: LakeTable, versions: pl.DataFrame, first: datetime | None, until: datetime | None, zone: str
) -> pl.DataFrame:
    stays = flow.scan().select("department_key", "admission_at", "discharge_at").collect()
    counted = [] if first is None or until is None else list(_dates_between(first, until, zone))
    return pl.concat(
        [
            kpis.days(stays, "admission_at", zone),
            kpis.days(stays, "discharge_at", zone),
            kpis.every_department(counted, versions),
        ]
    ).unique()


def _instants(dates: set[date], zone: str) -> Iterable[tuple[datetime, datetime]]:
    """Half-open UTC spans that cover ``dates``, runs of days joined."""
    ordered = sorted(dates)
    start = 0
    for index in range(1, len(ordered) + 1):
        if index == len(ordered) or ordered[index] - ordered[index - 1] > timedelta(days=1):
            yield _midnight(ordered[start], zone), _midnight(ordered[index - 1] + timedelta(days=1), zone)
            start = index


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def _within(column: str, spans: list[tuple[datetime, datetime]]) -> pl.Expr:
    return pl.any_horizontal(
        pl.lit(False), *((c(column) >= pl.lit(start)) & (c(column) < pl.lit(end)) for start, end in spans)
    )


def _key(instant: datetime) -> int:
    return int(instant.strftime("%Y%m%d%H"))
