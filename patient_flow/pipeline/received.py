"""Bronze rows as the steps that read bodies take them: a bounded number at once, those that arrived since, or some."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES
from patient_flow.stores.lake.table import LakeTable

ROWS_AT_ONCE = 500_000
"""Bronze rows that are read and validated at once: bounds memory when a backlog is long."""
BYTES_AT_ONCE = 256 * 1024 * 1024
"""The same for their bodies; it is what one micro-batch may add to bronze, for one commit is always read whole."""

BODY_COLUMNS = (*COORDINATES, "enqueued_at", "body")

c = pl.col


def arrived(bronze: LakeTable, since: int, upto: int) -> Iterator[pl.DataFrame]:
    """Bronze rows that came after version ``since`` up to ``upto``, in batches."""
    for stop in stops(bronze, since, upto):
        yield bronze.changes(since, BODY_COLUMNS, upto=stop).after
        since = stop


def stops(bronze: LakeTable, since: int, upto: int) -> list[int]:
    """Versions at which to stop on the way from ``since`` to ``upto``, so that each batch is bounded."""
    return bronze.versions_in_steps(since, ROWS_AT_ONCE, upto=upto, weighed="body", max_bytes=BYTES_AT_ONCE)


def all_rows(bronze: LakeTable, version: int) -> Iterator[pl.DataFrame]:
    """All bronze rows at ``version``, some at once."""
    return bronze.batches(BODY_COLUMNS, ROWS_AT_ONCE, version=version, weighed="body", max_bytes=BYTES_AT_ONCE)


def fetch(bronze: LakeTable, coordinates: pl.DataFrame) -> pl.DataFrame:
    """The few bronze rows with these coordinates, once each."""
    if coordinates.is_empty():
        return BRONZE_EVENTS.empty().select(BODY_COLUMNS)
    return at_coordinates(bronze, coordinates, BODY_COLUMNS)


def with_bodies(rows: pl.DataFrame, bronze: LakeTable) -> pl.DataFrame:
    """The bronze rows that these quarantined ``rows`` are parts of, once each, with their bodies as received.

    Quarantine keeps the body of an event that came alone, and of others their own part of it.
    """
    is_alone = c("parts").fill_null(1) == 1
    alone = rows.filter(is_alone).select(BODY_COLUMNS)
    return pl.concat([alone, fetch(bronze, rows.filter(~is_alone))]).unique(COORDINATES, maintain_order=True)


def at_coordinates(table: LakeTable, coordinates: pl.DataFrame, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
    """Rows of ``table`` of the bronze rows with these coordinates, whatever part of their bodies they are."""
    if coordinates.is_empty():
        return table.table.empty().select(columns or table.table.schema.names())
    rows = table.scan().filter(c("sequence_number").is_in(coordinates["sequence_number"].unique().implode()))
    return (
        rows.select(columns or table.table.schema.names())
        .collect()
        .join(coordinates.select(COORDINATES).unique(), on=COORDINATES, how="semi")
    )
