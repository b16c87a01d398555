"""Net changes between two versions of a table, computed from its change feed. No storage here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

CHANGE = "_change_type"
VERSION = "_commit_version"


class ArrowStream(Protocol):
    """Rows through Arrow's C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A capsule with the stream."""


@dataclass(frozen=True)
class Changes:
    """Net changes of a table between two versions, one row per key on each side.

    ``before`` holds changed and removed rows with their old values, ``after`` changed and added rows with their new
    values. With ``is_whole_table`` these are all rows of the table, as if each was added. ``grown_by`` is the growth of
    the table in rows: more than ``after`` minus ``before`` where a key was added twice.
    """

    before: pl.DataFrame
    after: pl.DataFrame
    is_whole_table: bool = False
    grown_by: int = 0

    @property
    def both(self) -> pl.DataFrame:
        """All rows of both sides."""
        return pl.concat([self.before, self.after])


@dataclass(frozen=True)
class RowsWritten:
    """Rows that commits inserted, updated and deleted."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    def __add__(self, other: RowsWritten) -> RowsWritten:
        return RowsWritten(self.inserted + other.inserted, self.updated + other.updated, self.deleted + other.deleted)


def net_changes(feed: pl.DataFrame, key: Sequence[str], columns: Sequence[str], *, compare: bool) -> Changes:
    """The net changes in ``feed``: ``columns`` plus the feed's change type and commit version.

    With ``compare``, rows that were changed and then restored are left out.
    """
    inserted, deleted = ((pl.col(CHANGE) == kind).sum().cast(pl.Int64) for kind in ("insert", "delete"))
    grown_by = int(feed.select(inserted - deleted).item())
    before, after = _first_and_last(feed, key, columns)
    if compare:
        before, after = _without_equal(before, after, key)
    return Changes(before, after, grown_by=grown_by)


def _first_and_last(
    feed: pl.DataFrame, key: Sequence[str], columns: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """First image of each key if it is an old one, last image if it is a new one."""
    is_old = pl.col(CHANGE).is_in(["delete", "update_preimage"])
    if not feed.select(is_old.any()).item():
        return feed.clear().select(columns), feed.select(columns)
    feed = feed.with_columns(is_old.alias("_is_old")).sort(VERSION, pl.col("_is_old").not_(), maintain_order=True)
    before = feed.unique(key, keep="first", maintain_order=True).filter("_is_old").select(columns)
    after = feed.unique(key, keep="last", maintain_order=True).filter(~pl.col("_is_old")).select(columns)
    return before, after


def _without_equal(before: pl.DataFrame, after: pl.DataFrame, key: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both sides without the rows that are equal on both."""
    changed = differing(before, after, key).select(key)
    unchanged = before.join(after, on=key, how="semi").join(changed, on=key, how="anti").select(key)
    return before.join(unchanged, on=key, how="anti"), after.join(unchanged, on=key, how="anti")


def differing(before: pl.DataFrame, after: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Rows of ``after`` whose key is in ``before`` with other values, each once: ``before`` may hold a key twice."""
    values = [name for name in after.columns if name not in key]
    paired = after.with_row_index("_row").join(before, on=list(key), how="inner", suffix="_before")
    if not values:
        return after.clear()
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in values)
    return paired.filter(differs).unique("_row", maintain_order=True).select(after.columns)


def commit_sizes(weighed: str | None) -> Callable[[Iterable[ArrowStream]], pl.DataFrame]:
    """A reader of a change feed that returns rows and bytes (of the column ``weighed``) per commit version.

    It aggregates batch by batch, because the whole feed may not fit into memory.
    """
    weight = pl.col(weighed).bin.size().sum().cast(pl.Int64) if weighed else pl.lit(0, pl.Int64)

    def measure(feed: Iterable[ArrowStream]) -> pl.DataFrame:
        sizes = [
            pl.DataFrame(batch).group_by(VERSION).agg(pl.len().cast(pl.Int64).alias("rows"), weight.alias("bytes"))
            for batch in _batches(feed)
        ]
        return pl.concat(sizes).group_by(VERSION).sum().sort(VERSION) if sizes else pl.DataFrame()

    return measure


def _batches(feed: Iterable[ArrowStream]) -> Iterator[ArrowStream]:
    try:
        yield from feed
    except Exception as error:  # Arrow's reader raises nothing narrower
        raise OSError(str(error)) from error


def stops(sizes: Iterable[tuple[int, int, int]], since: int, upto: int, rows: int, max_bytes: int) -> list[int]:
    """Versions at which to stop between ``since`` and ``upto``, from the (version, rows, bytes) of each commit."""
    found, last, height, weight = [], since, 0, 0
    for version, added_rows, added_bytes in sizes:
        if height and (height + added_rows > rows or weight + added_bytes > max_bytes):
            found.append(last)
            height, weight = 0, 0
        last, height, weight = version, height + added_rows, weight + added_bytes
    return [*found, upto]
