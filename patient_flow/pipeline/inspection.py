"""What checks look at: in a micro-batch only what the warehouse has not loaded yet, in the audit everything.

Both give the same frames, so that the same rules (``health``) judge them. Not here: what is right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts import measures, tables
from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES, DATA_QUALITY_DAY, QUARANTINE, SILVER_EVENTS, Table
from patient_flow.pipeline.checkpoints import (
    CENSUS_UNTIL,
    Reader,
    consumed,
    incarnation,
    lost_events,
    partition_count,
    position,
)
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import Changes
from patient_flow.stores.lake.errors import ChangeFeedExpired
from patient_flow.stores.lake.spans import within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import calendar, census, extras, facts, visits

c = pl.col

AUDIT_PARTS = 24
"""The audit makes the stays of so many parts of all visits again, one each time."""


def arrived(lake: Lake) -> pl.DataFrame:
    """Coordinates of all bronze rows."""
    return lake.open(BRONZE_EVENTS).changes(None, COORDINATES).after


def lost(lake: Lake, arrived: pl.DataFrame) -> pl.DataFrame:
    """``hub_created_at``, ``partition_id``, ``lost``: events that retention dropped, as bronze recorded at the time."""
    checkpoint = lake.open(BRONZE_EVENTS).checkpoint
    places = arrived.select("hub_created_at", "partition_id").unique()
    return places.with_columns(
        lost=pl.Series(
            [lost_events(_milliseconds(at), part).read(checkpoint) or 0 for at, part in places.iter_rows()],
            dtype=pl.Int64,
        )
    )


@dataclass(frozen=True)
class Arriving:
    """Coordinates of the bronze rows that silver has not consumed, and what became of their ``partitions`` since.

    These have ``hub_created_at``, ``partition_id``, ``read`` (the number up to which silver has consumed it; null for
    none) and ``lost`` (events that retention dropped since): a drain has no gap, so what is lost lies between two.
    """

    events: pl.DataFrame
    partitions: pl.DataFrame


def arriving(lake: Lake, hub: str) -> Arriving:
    """What the next micro-batch takes from bronze, and all partitions of ``hub`` (its ``identity``) besides.

    Retention may have left nothing of a partition, which then is in no row. What silver knew is bronze's own progress
    at the version that silver has consumed: where that is no longer kept, everything counts as new.
    """
    bronze = lake.open(BRONZE_EVENTS)
    since = consumed(lake.open(SILVER_EVENTS), bronze)
    now = bronze.checkpoint
    before: Reader = _nothing
    if since is not None:
        with contextlib.suppress(ChangeFeedExpired):
            before = bronze.as_of(since).checkpoint
    events = bronze.changes_or_all(since, COORDINATES).after
    created = incarnation(hub).read(now)
    count = 0 if created is None else partition_count(hub, created).read(now) or 0
    places = {} if created is None else {(created, str(part)): _of_milliseconds(created) for part in range(count)}
    for at, part in events.select("hub_created_at", "partition_id").unique().iter_rows():
        places[_milliseconds(at), part] = at
    rows = [
        (
            at,
            part,
            position(hub, created, part).read(before),
            (lost_events(created, part).read(now) or 0) - (lost_events(created, part).read(before) or 0),
        )
        for (created, part), at in places.items()
    ]
    schema = {name: BRONZE_EVENTS.schema[name] for name in ("hub_created_at", "partition_id")}
    partitions = pl.DataFrame(rows, schema={**schema, "read": pl.Int64(), "lost": pl.Int64()}, orient="row")
    return Arriving(events, partitions)


def _nothing(_: str) -> None:
    """Checkpoints of a table that has none."""


def _milliseconds(created_at: datetime) -> int:
    return int(created_at.timestamp() * 1000)


def _of_milliseconds(created_at_ms: int) -> datetime:
    return datetime.fromtimestamp(created_at_ms / 1000, UTC)


def accepted(lake: Lake, *, everything: bool) -> pl.DataFrame:
    """Coordinates and identities of silver rows, of those that quarantine has not followed yet unless asked for all."""
    silver = lake.open(SILVER_EVENTS)
    since = None if everything else consumed(lake.open(QUARANTINE), silver)
    return silver.changes_or_all(since, (*COORDINATES, "event_key")).after


@dataclass(frozen=True)
class Accounts:
    """Events per partition (``partition_id``, ``events``), and all rows, of bronze, silver and quarantine."""

    received: pl.DataFrame
    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    totals: tuple[int, int, int]


def accounts(lake: Lake, *, everything: bool) -> Accounts | None:
    """The three tables at the versions that quarantine followed; None when it never did.

    Unless ``everything`` is counted, the partitions only count what changed since DataQualityDay, which comes after
    the check, was made: that was judged before. The totals are of the whole tables, from the log's statistics.
    """
    quarantine = lake.open(QUARANTINE)
    silver, bronze = lake.open(SILVER_EVENTS), lake.open(BRONZE_EVENTS)
    upto = (consumed(quarantine, bronze), consumed(quarantine, silver), quarantine.version)
    if upto[0] is None or upto[1] is None:
        return None
    counted = lake.open(DATA_QUALITY_DAY)
    opened = (bronze, silver, quarantine)
    since = tuple(consumed(counted, table) for table in opened)
    if everything or None in since:
        since = (None, None, None)
    try:
        sides = [_growth(table, start, end) for table, start, end in zip(opened, since, upto, strict=True)]
    except ChangeFeedExpired:
        sides = [_growth(table, None, end) for table, end in zip(opened, upto, strict=True)]
    received, held, rejected = (table.row_count(end) for table, end in zip(opened, upto, strict=True))
    return Accounts(sides[0], sides[1], sides[2], (received, held, rejected))


def _growth(table: LakeTable, since: int | None, upto: int | None) -> pl.DataFrame:
    if since is None:
        version = table.version if upto is None else upto
        return table.at(version).group_by("partition_id").agg(events=pl.len().cast(pl.Int64)).collect()
    moved = table.changes(since, ["partition_id"], upto=upto)
    weighed = [
        side.select("partition_id", events=pl.lit(weight, dtype=pl.Int64))
        for side, weight in ((moved.after, 1), (moved.before, -1))
    ]
    return pl.concat(weighed).group_by("partition_id").agg(c("events").sum())


def pointing(lake: Lake, changes: Changes, table: Table, references: Mapping[str, Table], loaded: Loaded) -> Pointing:
    """Rows of ``table`` whose keys to judge, and the keys that its dimensions have of those they point to.

    These are the changed rows, and the rows that point to a key which its dimension dropped.
    """
    opened = lake.open(table)
    rows = [changes.after.select(list(references))]
    dimensions = {dimension.path: lake.open(dimension) for dimension in references.values()}
    for column, dimension in references.items():
        if changes.is_whole_table:
            break
        key = dimension.key[0]
        moved = dimensions[dimension.path].changes_or_all(loaded.get(dimension.path), [key])
        gone = moved.before.join(moved.after, on=key, how="anti")[key]
        if gone.len():
            rows.append(opened.scan().filter(c(column).is_in(gone.implode())).select(list(references)).collect())
    judged = pl.concat(rows)
    known = {}
    for column, dimension in references.items():
        key = dimension.key[0]
        wanted = judged[column].unique()
        found = dimensions[dimension.path].scan().select(key).filter(c(key).is_in(wanted.implode())).collect()
        known[column] = found[key].unique()
    return Pointing(judged, known)


Loaded = Mapping[str, int | None]


@dataclass(frozen=True)
class Pointing:
    """Rows with keys, and for each of these columns the keys that are known."""

    rows: pl.DataFrame
    known: dict[str, pl.Series]


def members(table: LakeTable, named: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """All versions of the members that ``named`` holds."""
    return table.scan().select(columns).join(named.lazy(), on=named.columns, how="semi", nulls_equal=True).collect()


def newest_hour(lake: Lake) -> pl.DataFrame:
    """FactBedCensus rows of the hour of the newest event: the log's statistics lead to the few files that hold it."""
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


def all_hours(lake: Lake) -> tuple[pl.DataFrame, int]:
    """All of FactBedCensus, and the ``time_key`` from which on its hours are judged by the staffed beds."""
    hourly = lake.open(tables.FACT_BED_CENSUS)
    until = CENSUS_UNTIL.read(hourly.checkpoint)
    if until is None:
        return hourly.scan().collect(), 0
    since = until - timedelta(hours=measures.OCCUPANCY_AUDITED_HOURS)
    return hourly.scan().collect(), calendar.hour_key(since)


def newest_day_quality(lake: Lake) -> pl.DataFrame:
    """DataQualityDay rows of its newest date."""
    quality = lake.open(DATA_QUALITY_DAY).scan()
    return quality.filter(c("date") == c("date").max()).collect()


def recompute_census(lake: Lake) -> tuple[pl.DataFrame, pl.DataFrame]:
    """FactBedCensus as it is, and made again from the stays it was made from.

    Raises :class:`ChangeFeedExpired` where these are no longer kept:
    with newer ones every difference would be a false alarm.
    """
    hourly = lake.open(tables.FACT_BED_CENSUS)
    until = CENSUS_UNTIL.read(hourly.checkpoint)
    flow = lake.open(tables.FACT_PATIENT_FLOW)
    since = consumed(hourly, flow)
    if until is None or since is None:
        return hourly.scan().collect(), tables.FACT_BED_CENSUS.empty()
    stays = flow.at(since)
    departments = _as_known_to(hourly, lake.open(tables.DIM_DEPARTMENT)).collect()
    return hourly.scan().collect(), census.bed_hours(census.spans(stays, until=until), departments)


def recompute_stays(lake: Lake, part: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The stays of one of :data:`AUDIT_PARTS` parts of all visits, as they are and made again from their events.

    Events and dimensions are those that the facts were made from. Raises :class:`ChangeFeedExpired`,
    as :func:`recompute_census`.
    """
    flow, silver = lake.open(tables.FACT_PATIENT_FLOW), lake.open(SILVER_EVENTS)
    since = consumed(flow, silver)
    if since is None:
        return flow.scan().collect(), tables.FACT_PATIENT_FLOW.empty()
    in_part = c("visit_hash") % AUDIT_PARTS == part % AUDIT_PARTS
    history = silver.at(since).filter(in_part).select(visits.VISIT_COLUMNS).collect()
    patients = _as_known_to(flow, lake.open(tables.DIM_PATIENT))
    known = patients.filter(c("patient_hash").is_in(history["patient_hash"].unique().implode())).collect()
    wards = _as_known_to(flow, lake.open(tables.DIM_DEPARTMENT)).collect()
    again = facts.fact_patient_flow(visits.stays(history), known, wards)
    return flow.scan().filter(in_part).collect(), again


def _as_known_to(target: LakeTable, source: LakeTable) -> pl.LazyFrame:
    """``source`` as ``target`` consumed it: while the pipeline stands between the two, it may have moved on."""
    since = consumed(target, source)
    return source.scan() if since is None else source.at(since)


@dataclass(frozen=True)
class Volume:
    """Events that the hub accepted in the last full local ``hour``, and in the same hour of the weeks before."""

    hour: datetime
    events: int
    earlier: list[int]


def volume(lake: Lake, zone: str, now: datetime) -> Volume:
    """Weeks before the lake's first event do not count."""
    bronze = lake.open(BRONZE_EVENTS)
    # Back in UTC, where every hour exists once; the weeks before on the wall clock, where people live.
    hour = (now.astimezone(UTC) - timedelta(hours=1)).astimezone(ZoneInfo(zone))
    hour = hour.replace(minute=0, second=0, microsecond=0)
    starts = [(hour - timedelta(weeks=week)).astimezone(UTC) for week in range(measures.VOLUME_WEEKS + 1)]
    hours = [(start, start + timedelta(hours=1)) for start in starts]
    found = bronze.scan().filter(within_spans("enqueued_at", hours)).select("enqueued_at").collect().to_series()
    this, *earlier = (int(found.is_between(start, end, closed="left").sum()) for start, end in hours)
    first = bronze.oldest("enqueued_at")
    return Volume(
        hour, this, [count for count, start in zip(earlier, starts[1:], strict=True) if first and first <= start]
    )


def last_sent(lake: Lake, now: datetime) -> pl.DataFrame:
    """hospital_id and last_at of every hospital with an accepted event in the last days."""
    since = pl.lit(now - timedelta(days=measures.SENDER_KNOWN_DAYS))
    return (
        lake.open(SILVER_EVENTS)
        .scan()
        .filter(c("enqueued_at") >= since)
        .group_by("hospital_id")
        .agg(last_at=c("enqueued_at").max())
        .collect()
    )


def silver_is_behind(lake: Lake) -> bool:
    """True when bronze holds more than silver has consumed."""
    bronze = lake.open(BRONZE_EVENTS)
    return consumed(lake.open(SILVER_EVENTS), bronze) != bronze.version


def new_fields(lake: Lake, now: datetime) -> set[str]:
    """Names of unknown fields that events of the last hours have, and those of the days before had not.

    None where no event of the days before is there to compare with: in a young lake every field is new.
    """
    events = lake.open(SILVER_EVENTS).scan()
    recent = now - timedelta(hours=measures.NEW_FIELD_HOURS)
    oldest = now - timedelta(days=measures.FIELD_KNOWN_DAYS)
    if events.filter(_enqueued(oldest, recent)).select("enqueued_at").head(1).collect().is_empty():
        return set()
    fields = _fields(events.filter(c("enqueued_at") >= recent))
    # The day before nearly always knows them all, and what lies before it need not be read.
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
