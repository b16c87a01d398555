"""Reads the inputs of rules: in a micro-batch the rows that the warehouse has not loaded yet, otherwise all rows.

Both have the same schema, so that the same rules (``monitoring.rules``) apply.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts import tables
from patient_flow.contracts.events import NO_HUB
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    DATA_QUALITY_DAY,
    ERASED,
    EVENT_COORDINATES,
    IGNORED,
    QUARANTINE,
    SILVER_EVENTS,
    Table,
)
from patient_flow.monitoring.inputs import BronzeEvents, Recomputed, ReconciliationCounts, Volume
from patient_flow.pipeline import clusters
from patient_flow.pipeline.checkpoints import (
    CENSUS_UNTIL,
    LAST_IMPORT,
    Reader,
    consumed,
    incarnation,
    lost_events,
    partition_count,
    position,
)
from patient_flow.pipeline.incremental import is_one_of
from patient_flow.pipeline.recomputation import Basis
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import ChangeFeedExpired
from patient_flow.stores.lake.spans import within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import calendar, census, extras, facts, quality
from patient_flow.transforms.visits.fold import VISIT_COLUMNS, fold

c = pl.col

AUDIT_PARTS = 24
"""Each audit recomputes the stays of one of this many parts of all visits."""


def all_bronze_events(lake: Lake) -> BronzeEvents:
    """All bronze rows, and the events that retention deleted unread, as bronze recorded at the time."""
    bronze = lake.open(BRONZE_EVENTS)
    events = bronze.changes(None, COORDINATES).after
    partitions = events.select("hub_created_at", "partition_id").unique()
    expired = [lost_events(_milliseconds(at), part).read(bronze.checkpoint) or 0 for at, part in partitions.iter_rows()]
    return BronzeEvents(events, partitions.with_columns(expired=pl.Series(expired, dtype=pl.Int64)))


def new_bronze_events(lake: Lake, hub: str) -> BronzeEvents:
    """Bronze rows that silver has not consumed, with all partitions of ``hub`` (its ``identity``).

    A partition whose events have all expired has no row. The reference is bronze's checkpoints at the version that
    silver has consumed; where that version is no longer kept, everything counts as new.
    """
    bronze = lake.open(BRONZE_EVENTS)
    since = consumed(lake.open(SILVER_EVENTS), bronze)
    now = bronze.checkpoint
    before: Reader = _no_checkpoint
    if since is not None:
        with contextlib.suppress(ChangeFeedExpired):
            before = bronze.as_of(since).checkpoint
    changes = bronze.changes_or_all(since, COORDINATES)
    events = changes.after.join(changes.before, on=list(COORDINATES), how="anti")  # others were only rewritten
    created = incarnation(hub).read(now)
    count = 0 if created is None else partition_count(hub, created).read(now) or 0
    partitions = {} if created is None else {(created, str(part)): _of_milliseconds(created) for part in range(count)}
    for at, part in events.select("hub_created_at", "partition_id").unique().iter_rows():
        partitions[_milliseconds(at), part] = at
    rows = [
        (
            at,
            part,
            position(hub, created, part).read(before),
            (lost_events(created, part).read(now) or 0) - (lost_events(created, part).read(before) or 0),
        )
        for (created, part), at in partitions.items()
    ]
    schema = {name: BRONZE_EVENTS.schema[name] for name in ("hub_created_at", "partition_id")}
    schema |= {"read": pl.Int64(), "expired": pl.Int64()}
    return BronzeEvents(events, pl.DataFrame(rows, schema=schema, orient="row"))


def _no_checkpoint(_: str) -> None:
    """Checkpoints of a table that has none."""


def _milliseconds(created_at: datetime) -> int:
    return int(created_at.timestamp() * 1000)


def _of_milliseconds(created_at_ms: int) -> datetime:
    return datetime.fromtimestamp(created_at_ms / 1000, UTC)


def accepted_events(lake: Lake, *, everything: bool) -> pl.DataFrame:
    """Coordinates and identities of the silver rows that quarantine has not consumed, or of all rows."""
    silver = lake.open(SILVER_EVENTS)
    since = None if everything else consumed(lake.open(QUARANTINE), silver)
    return silver.changes_or_all(since, (*EVENT_COORDINATES, "event_key")).after


def reconciliation_counts(lake: Lake, *, everything: bool) -> ReconciliationCounts | None:
    """Bronze and the tables of its parts at the versions that quarantine has consumed; None before the first time.

    Unless ``everything`` is counted, the partitions count the changes since DataQualityDay, which comes after the
    check: what came before was checked then. The totals are of the whole tables, from the log's statistics. Received
    are the parts of all bodies: bronze has one row for each body, and the other tables know how many parts it held.
    """
    quarantine = lake.open(QUARANTINE)
    bronze, silver, erased, ignored = (lake.open(name) for name in (BRONZE_EVENTS, SILVER_EVENTS, ERASED, IGNORED))
    opened = (bronze, silver, erased, ignored, quarantine)
    upto = (*(_counted_until(quarantine, table) for table in opened[:-1]), quarantine.version)
    if None in upto:
        return None
    counted = lake.open(DATA_QUALITY_DAY)
    since = tuple(_counted_until(counted, table) for table in opened)
    if everything or None in since:
        since = (None,) * len(opened)
    try:
        sides = [_growth(table, start, end) for table, start, end in zip(opened, since, upto, strict=True)]
    except ChangeFeedExpired:
        sides = [_growth(table, None, end) for table, end in zip(opened, upto, strict=True)]
    received, *outcomes = (table.row_count(end) for table, end in zip(opened, upto, strict=True))
    more = sum(_further_parts(table, end) for table, end in zip(opened[1:], upto[1:], strict=True))
    totals = (received + more, *outcomes)
    further = [side.select("partition_id", events="further") for side in sides[1:]]
    events = [side.select("partition_id", "events") for side in sides]
    received_parts = pl.concat([events[0], *further]).group_by("partition_id").agg(c("events").sum())
    accepted, without_person, left_out, rejected = events[1:]
    return ReconciliationCounts(
        received_parts.filter(c("events") != 0), accepted, without_person, left_out, rejected, totals
    )


def _counted_until(table: LakeTable, source: LakeTable) -> int | None:
    """Version of ``source`` that ``table`` has consumed. Erased is empty, and not followed, until the first erasure."""
    until = consumed(table, source)
    return 0 if until is None and source.table is ERASED else until


def _growth(table: LakeTable, since: int | None, upto: int | None) -> pl.DataFrame:
    """Per partition: ``events`` that were added, and of how many ``further`` parts their bodies are."""
    names = ["partition_id", *(name for name in ("part", "parts") if name in table.table.schema)]
    if since is None:
        version = table.version if upto is None else upto
        return table.at(version).select(names).pipe(_per_partition, 1).collect()
    moved = table.changes(since, names, upto=upto)
    sides = [_per_partition(side.lazy(), weight) for side, weight in ((moved.after, 1), (moved.before, -1))]
    return pl.concat(sides).group_by("partition_id").agg(c("events", "further").sum()).collect()


def _per_partition(rows: pl.LazyFrame, weight: int) -> pl.LazyFrame:
    further = pl.lit(0, pl.Int64)
    if "parts" in rows.collect_schema().names():
        further = pl.when(c("part") == 0).then(c("parts") - 1).cast(pl.Int64).sum()
    return rows.group_by("partition_id").agg(
        events=weight * pl.len().cast(pl.Int64), further=weight * further.fill_null(0)
    )


def _further_parts(table: LakeTable, version: int | None) -> int:
    """Parts of bodies but the first of each. Where the log says that no body has several, no file is read."""
    if (table.largest("parts") or 1) <= 1:
        return 0
    rows = table.scan() if version is None else table.at(version)
    further = rows.filter(c("part") == 0, c("parts") > 1).select((c("parts") - 1).cast(pl.Int64).sum())
    return int(further.collect(engine="streaming").item())


def received_events(lake: Lake) -> int:
    """All parts of all bodies in bronze, from the log's statistics where no body holds several."""
    judged = (lake.open(table) for table in (SILVER_EVENTS, ERASED, IGNORED, QUARANTINE))
    return lake.open(BRONZE_EVENTS).row_count() + sum(_further_parts(table, None) for table in judged)


def newest_hour(lake: Lake) -> pl.DataFrame:
    """FactBedCensus rows of the hour of the newest event: the log's statistics select few files."""
    hourly = lake.open(tables.FACT_BED_CENSUS)
    until = CENSUS_UNTIL.read(hourly.checkpoint)
    if until is None:
        return tables.FACT_BED_CENSUS.empty()
    hour = until
    return (
        hourly.scan()
        .filter(c("census_month") == hour.strftime("%Y-%m"), c("time_key") == calendar.hour_key(hour))
        .collect()
    )


def all_hours(lake: Lake, hours: int) -> tuple[pl.DataFrame, int]:
    """All of FactBedCensus, and the ``time_key`` of ``hours`` before its newest hour."""
    hourly = lake.open(tables.FACT_BED_CENSUS)
    until = CENSUS_UNTIL.read(hourly.checkpoint)
    if until is None:
        return hourly.scan().collect(), 0
    return hourly.scan().collect(), calendar.hour_key(until - timedelta(hours=hours))


def quality_counts(lake: Lake) -> tuple[int, int, int]:
    """Rows of silver, ignored and quarantine at the versions that DataQualityDay counted."""
    quality = lake.open(DATA_QUALITY_DAY)
    accepted, ignored, quarantined = (
        0 if (version := consumed(quality, table)) is None else table.row_count(version)
        for table in (lake.open(SILVER_EVENTS), lake.open(IGNORED), lake.open(QUARANTINE))
    )
    return accepted, ignored, quarantined


def newest_day_quality(lake: Lake, zone: str) -> pl.DataFrame:
    """DataQualityDay rows of its newest date, without rejected rows of imports.

    A row that states no time counts on the day of its import, whatever day it is about, and the import reports it.
    """
    newest = lake.open(DATA_QUALITY_DAY).scan().filter(c("date") == c("date").max()).collect()
    last_import, day = LAST_IMPORT.read(lake.open(BRONZE_EVENTS).checkpoint), newest["date"].max()
    if last_import is None or not isinstance(day, date):
        return newest
    began = calendar.first_hour(day, ZoneInfo(zone))
    if last_import < began:
        return newest
    silver, ignored, quarantine = (lake.open(table).scan() for table in (SILVER_EVENTS, IGNORED, QUARANTINE))
    imported = quality.data_quality_day(
        silver.select(quality.SILVER_COLUMNS).head(0).collect(),
        ignored.select(quality.IGNORED_COLUMNS).head(0).collect(),
        quarantine.filter(c("hub_created_at") == NO_HUB, c("enqueued_at") >= began)
        .select(quality.QUARANTINE_COLUMNS)
        .collect(),
        zone,
    )
    return quality.total(newest, quality.negative(imported.filter(c("date") == day)))


def recompute_census(lake: Lake) -> Recomputed:
    """FactBedCensus as stored, and recomputed from the stays it was made from; nothing while only parts are made.

    Raises :class:`ChangeFeedExpired` where these are no longer kept:
    with newer ones every difference would be a false alarm.
    """
    hourly = lake.open(tables.FACT_BED_CENSUS)
    until = CENSUS_UNTIL.read(hourly.checkpoint)
    flow = lake.open(tables.FACT_PATIENT_FLOW)
    since = consumed(hourly, flow)
    if until is None or since is None:
        return Recomputed(tables.FACT_BED_CENSUS.empty(), tables.FACT_BED_CENSUS.empty())
    stays = flow.at(since)
    departments = _as_known_to(hourly, lake.open(tables.DIM_DEPARTMENT)).collect()
    return Recomputed(hourly.scan().collect(), census.bed_hours(census.spans(stays, until=until), departments))


def recompute_facts(lake: Lake, table: Table, part: int, zone: str, unconfirmed_days: int) -> Recomputed:
    """``table`` (stays or attendances) of one of :data:`AUDIT_PARTS` parts of all visits, stored and recomputed.

    Events and dimensions are those that the facts were made from; facts that were made by other rules, or of which only
    some parts are made, are not compared. Raises :class:`ChangeFeedExpired`, as :func:`recompute_census`.
    """
    flow, silver = lake.open(table), lake.open(SILVER_EVENTS)
    since = consumed(flow, silver)
    if since is None or not Basis(zone, unconfirmed_days, lake.open(tables.DIM_DEPARTMENT)).is_settled(flow):
        return Recomputed(table.empty(), table.empty())
    events = silver.at(since)
    in_part = clusters.cut(events, AUDIT_PARTS)[part % AUDIT_PARTS]
    history = events.filter(in_part).select(VISIT_COLUMNS).collect()
    patients = _as_known_to(flow, lake.open(tables.DIM_PATIENT))
    known = patients.filter(c("patient_hash").is_in(history["patient_hash"].unique().implode())).collect()
    departments = _as_known_to(flow, lake.open(tables.DIM_DEPARTMENT)).collect()
    ignored = _as_known_to(flow, lake.open(IGNORED)).filter(is_one_of("visit_hash", history["visit_hash"]))
    again = clusters.received_again(ignored)
    folded = fold(history, departments, unconfirmed_days=unconfirmed_days, zone=zone, received_again=again)
    stored = flow.scan().filter(is_one_of("visit_hash", history["visit_hash"])).collect()
    if table is tables.FACT_ED_ATTENDANCE:
        return Recomputed(stored, facts.fact_ed_attendance(folded.attendances, known, departments))
    return Recomputed(stored, facts.fact_patient_flow(folded.stays, known, departments))


def _as_known_to(target: LakeTable, source: LakeTable) -> pl.LazyFrame:
    """``source`` at the version that ``target`` consumed: newer ones may exist while a micro-batch runs."""
    since = consumed(target, source)
    return source.scan() if since is None else source.at(since)


def volume(lake: Lake, zone: str, now: datetime, weeks: int) -> Volume:
    """Events of the hub in the last full hour and in the same hour of the ``weeks`` before, from its first one on."""
    bronze = lake.open(BRONZE_EVENTS)
    of_hub = bronze.scan().filter(c("hub_created_at") > NO_HUB)
    # Earlier weeks are subtracted in local time; the result is in UTC, where every hour exists exactly once.
    hour = (now.astimezone(UTC) - timedelta(hours=1)).astimezone(ZoneInfo(zone))
    hour = hour.replace(minute=0, second=0, microsecond=0)
    starts = [(hour - timedelta(weeks=week)).astimezone(UTC) for week in range(weeks + 1)]
    hours = [(start, start + timedelta(hours=1)) for start in starts]
    found = of_hub.filter(within_spans("enqueued_at", hours)).select("enqueued_at").collect().to_series()
    this, *earlier = (int(found.is_between(start, end, closed="left").sum()) for start, end in hours)
    first = bronze.oldest("enqueued_at", above=("hub_created_at", NO_HUB))
    return Volume(
        hour, this, [count for count, start in zip(earlier, starts[1:], strict=True) if first and first <= start]
    )


def last_sent(lake: Lake, now: datetime, days: int) -> pl.DataFrame:
    """hospital_id and last_at of every hospital with an accepted event of the hub in the last days."""
    since = pl.lit(now - timedelta(days=days))
    return (
        lake.open(SILVER_EVENTS)
        .scan()
        .filter(c("enqueued_at") >= since, c("hub_created_at") > NO_HUB)
        .group_by("hospital_id")
        .agg(last_at=c("enqueued_at").max())
        .collect()
    )


def silver_is_behind(lake: Lake) -> bool:
    """True when silver has not consumed the current version of bronze."""
    bronze = lake.open(BRONZE_EVENTS)
    return consumed(lake.open(SILVER_EVENTS), bronze) != bronze.version


def new_fields(lake: Lake, now: datetime, hours: int, days: int) -> set[str]:
    """Names of unknown fields in the hub's events of the last ``hours`` that none of the ``days`` before has.

    Empty without events of the days before, as every field would be new.
    """
    events = lake.open(SILVER_EVENTS).scan().filter(c("hub_created_at") > NO_HUB)
    recent = now - timedelta(hours=hours)
    oldest = now - timedelta(days=days)
    if events.filter(_enqueued(oldest, recent)).select("enqueued_at").head(1).collect().is_empty():
        return set()
    fields = _fields(events.filter(c("enqueued_at") >= recent))
    # The day before nearly always has all of them, so that earlier days need not be read.
    day_before = recent - timedelta(days=1)
    for first, end in ((day_before, recent), (oldest, day_before)):
        if fields:
            fields -= _fields(events.filter(_enqueued(first, end)))
    return fields


def _enqueued(first: datetime, end: datetime) -> pl.Expr:
    return c("enqueued_at").is_between(pl.lit(first), pl.lit(end), closed="left")


def _fields(events: pl.LazyFrame) -> set[str]:
    outlines = events.select(extras.outline(c("extra")).drop_nulls().unique())
    return extras.names_in(outlines.collect(engine="streaming").to_series())
