"""Bronze rows as the steps that read bodies take them: a bounded number at once, those that arrived since, or some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from patient_flow.contracts.events import NO_HUB
from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES
from patient_flow.stores.lake.snapshot import STATISTICS_TOLERANCE, Snapshot
from patient_flow.stores.lake.table import LakeTable

ROWS_AT_ONCE = 125_000
"""Bronze rows that are read and validated at once: bounds memory when a backlog is long. One commit is always read
whole, so no commit of the hub's events has more."""
BYTES_AT_ONCE = 256 * 1024 * 1024
"""The same for their bodies; it is what one micro-batch may add to bronze."""

BODY_COLUMNS = (*COORDINATES, "enqueued_at", "ingested_at", "body")

c = pl.col


@dataclass(frozen=True)
class Arrival:
    """Bronze rows that came between two versions, the coordinates of those that left (an import was undone).

    ``changed`` are those of rows that were there in another form (a person was erased): they are among ``rows``.
    """

    rows: pl.DataFrame
    gone: pl.DataFrame
    changed: pl.DataFrame


def arrived(bronze: LakeTable, since: int, upto: int) -> Iterator[Arrival]:
    """What came to bronze, and left it, after version ``since`` up to ``upto``, in batches."""
    for stop in stops(bronze, since, upto):
        changes = bronze.changes(since, BODY_COLUMNS, upto=stop)
        former = changes.before.select(COORDINATES)
        changed = former.join(changes.after, on=COORDINATES, how="semi")
        yield Arrival(changes.after, former.join(changed, on=COORDINATES, how="anti"), changed)
        since = stop


def stops(bronze: LakeTable, since: int, upto: int) -> list[int]:
    """Versions at which to stop on the way from ``since`` to ``upto``, so that each batch is bounded."""
    return bronze.versions_in_steps(since, ROWS_AT_ONCE, upto=upto, weighed="body", max_bytes=BYTES_AT_ONCE)


def all_rows(bronze: LakeTable, version: int) -> Iterator[pl.DataFrame]:
    """All bronze rows at ``version``, some at once."""
    return _all_of(bronze, BODY_COLUMNS, version)


def _all_of(table: Snapshot, columns: tuple[str, ...], version: int) -> Iterator[pl.DataFrame]:
    weighed = "body" if "body" in columns else None
    return table.batches(columns, ROWS_AT_ONCE, version=version, weighed=weighed, max_bytes=BYTES_AT_ONCE)


def fetch(bronze: LakeTable, coordinates: pl.DataFrame) -> pl.DataFrame:
    """The few bronze rows with these coordinates, once each."""
    if coordinates.is_empty():
        return BRONZE_EVENTS.empty().select(BODY_COLUMNS)
    return at_coordinates(bronze, coordinates, BODY_COLUMNS)


def fetch_in_parts(
    table: Snapshot, version: int, coordinates: pl.DataFrame, columns: tuple[str, ...] = BODY_COLUMNS
) -> Iterator[pl.DataFrame]:
    """All rows of ``table`` at ``version`` with these coordinates, some at once, in one pass; at least one part.

    A lazy join would hold what it has read until its end.
    """
    gathered, height, weight = [table.table.empty().select(columns)], 0, 0
    for batch in _all_of(table, columns, version) if coordinates.height else ():
        numbers = batch["sequence_number"]
        near = coordinates.filter(c("sequence_number").is_between(numbers.min(), numbers.max()))
        rows = batch.join(near, on=COORDINATES, how="semi")
        added = int(rows["body"].bin.size().sum()) if "body" in columns else 0
        if height and (height + rows.height > ROWS_AT_ONCE or weight + added > BYTES_AT_ONCE):
            yield pl.concat(gathered)
            gathered, height, weight = [], 0, 0
        gathered.append(rows)
        height, weight = height + rows.height, weight + added
    yield pl.concat(gathered)


def with_bodies(rows: pl.DataFrame, bronze: LakeTable) -> pl.DataFrame:
    """The bronze rows that these quarantined ``rows`` are parts of, once each, with their bodies as received.

    Quarantine keeps the body of an event that came alone, and of others their own part of it. When a row of a file was
    imported, only bronze knows.
    """
    is_alone = (c("parts").fill_null(1) == 1) & (c("hub_created_at") > NO_HUB)
    unknown = pl.lit(None, BRONZE_EVENTS.schema["ingested_at"])
    alone = rows.filter(is_alone).with_columns(ingested_at=unknown).select(BODY_COLUMNS)
    return pl.concat([alone, fetch(bronze, rows.filter(~is_alone))]).unique(COORDINATES, maintain_order=True)


def at_coordinates(table: Snapshot, coordinates: pl.DataFrame, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
    """Rows of ``table`` of the bronze rows with these coordinates, whatever part of their bodies they are."""
    if coordinates.is_empty():
        return table.table.empty().select(columns or table.table.schema.names())
    # All partitions number their events from 0, and so does each incarnation of the hub: rows that only share a number
    # are not kept in memory for the join.
    hubs = coordinates["hub_created_at"]
    earliest, latest = pl.lit(hubs.min()) - STATISTICS_TOLERANCE, pl.lit(hubs.max()) + STATISTICS_TOLERANCE
    return (
        table.scan()
        .filter(
            c("hub_created_at").is_between(earliest, latest),
            *(c(name).is_in(coordinates[name].unique().implode()) for name in ("partition_id", "sequence_number")),
        )
        .select(columns or table.table.schema.names())
        .collect()
        .join(coordinates.select(COORDINATES).unique(), on=COORDINATES, how="semi")
    )


_SPANS = (timedelta(milliseconds=1), timedelta(days=1), timedelta(days=31), timedelta(days=366))


def newest_hub_event(silver: LakeTable) -> datetime | None:
    """When the hub took its newest accepted event; None while there is none.

    Rows of files may be newer: spans before the newest row are read until one holds an event of the hub.
    """
    newest = silver.newest("enqueued_at")
    if newest is None:
        return None
    of_hub = silver.scan().filter(c("hub_created_at") > NO_HUB)
    for rows in (*(of_hub.filter(c("enqueued_at") >= newest - span) for span in _SPANS), of_hub):
        found = rows.select(c("enqueued_at").max()).collect(engine="streaming").item()
        if isinstance(found, datetime):
            return found
    return None


def newest_event(silver: LakeTable) -> datetime | None:
    """What stands for now in tables: :func:`newest_hub_event`, else the newest row of a file."""
    return newest_hub_event(silver) or silver.newest("enqueued_at")
