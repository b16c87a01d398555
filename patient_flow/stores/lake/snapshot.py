"""Reads of one Delta table at a pinned version: its rows, statistics, checkpoints and changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl
from deltalake import DeltaTable

from patient_flow.contracts.tables import Table
from patient_flow.stores.lake import lookups
from patient_flow.stores.lake.changes import (
    CHANGE,
    VERSION,
    Changes,
    commit_sizes,
    net_changes,
    stops,
)
from patient_flow.stores.lake.errors import (
    REPAIR,
    STORE_ERRORS,
    ChangeFeedExpired,
    LakeDamaged,
    history_error,
    wrap_errors,
)
from patient_flow.stores.lake.folders import open_table
from patient_flow.stores.lake.log import NO_CHECKPOINT, data_files, number_of
from patient_flow.stores.lake.spans import spans_of, within_spans
from patient_flow.wording import plural

READ_ROWS = 5_000
"""Rows per batch when a whole table is read, before batches are joined: a row may have 10 kilobytes."""
STATISTICS_TOLERANCE = timedelta(milliseconds=1)


class Snapshot:
    """One Delta table, pinned at the version of its handle."""

    _may_extend_index = False
    """Whether look-ups may add data files to the index: those of the newest version."""

    def __init__(self, table: Table, handle: DeltaTable, storage_options: dict[str, str] | None = None) -> None:
        self.table = table
        self._handle = handle
        self._storage_options = storage_options
        self._checkpoints: dict[tuple[int, str], int | None] = {}

    @property
    def uri(self) -> str:
        """URI of the table."""
        return self._handle.table_uri

    @property
    def version(self) -> int:
        """The pinned version."""
        return self._handle.version()

    @property
    def identity(self) -> int:
        """Number of the table's Delta id: a table that was deleted and created again has another one."""
        return number_of(str(self._handle.metadata().id))

    def checkpoint(self, source: str) -> int | None:
        """Version of ``source`` up to which this table has consumed it; None if it never did, or was reset."""
        key = (self.version, source)
        if key not in self._checkpoints:  # delta-rs goes through the log each time
            self._checkpoints[key] = self._handle.transaction_version(source)
        version = self._checkpoints[key]
        return None if version == NO_CHECKPOINT else version

    def scan(self) -> pl.LazyFrame:
        """All rows at the pinned version."""
        with self._wrap_errors("read"):
            return pl.scan_delta(self._handle).select(self.table.schema.names())

    def having(self, sought: Mapping[str, pl.Series]) -> pl.LazyFrame:
        """Rows with one of the values ``sought`` in one of the columns: column → values.

        Where all of these columns are indexed (``Table.indexed``), only files that may hold such rows are read.
        """
        wanted = {column: values.drop_nulls().unique() for column, values in sought.items()}
        wanted = {column: values for column, values in wanted.items() if values.len()}
        rows = self.scan()
        with self._wrap_errors("read"):
            handle = lookups.narrowed(
                self.table, self._handle, wanted, self._files(), may_extend=self._may_extend_index
            )
        if handle is None:
            return self.table.empty().lazy()
        if handle is not self._handle:
            rows = pl.scan_delta(handle).select(self.table.schema.names())
        is_sought = (pl.col(column).is_in(values.implode()) for column, values in wanted.items())
        return rows.filter(pl.any_horizontal(is_sought))

    def batches(
        self,
        columns: Sequence[str],
        rows: int,
        *,
        version: int | None = None,
        weighed: str | None = None,
        max_bytes: int = sys.maxsize,
    ) -> Iterator[pl.DataFrame]:
        """All rows at the pinned version, or at an earlier one, in batches of at most ``rows``.

        Those of the first partition come first: rows that arrived in their order are read in it. A batch has fewer rows
        when these have about ``max_bytes`` in the column ``weighed``, or where the partitions after it would not fit
        in. Raises :class:`ChangeFeedExpired` when the earlier version is no longer kept.
        """
        pinned = self if version in (None, self.version) else self.as_of(int(version or 0))
        with self._wrap_errors("read"):
            for run, count in _in_order(pinned.scan(), pinned._files(), self.table.partition_by, rows):
                missing = count
                gathered: list[pl.DataFrame] = []
                height = weight = 0
                for part in run.select(columns).collect_batches(chunk_size=min(rows, READ_ROWS)):
                    missing -= part.height
                    added = int(part[weighed].bin.size().sum()) if weighed else 0
                    if gathered and (height + part.height > rows or weight + added > max_bytes):
                        yield pl.concat(gathered)
                        gathered, height, weight = [], 0, 0
                    gathered.append(part)
                    height, weight = height + part.height, weight + added
                if missing:  # Polars ends such a read without an error where a file cannot be decoded
                    raise LakeDamaged(
                        f"{plural(missing, 'row')} of {self._name} cannot be decoded. {REPAIR}, which names the file"
                    )
                if gathered:
                    yield pl.concat(gathered)

    def find(
        self,
        column: str,
        values: pl.Series,
        within: str,
        columns: Sequence[str] | None = None,
        *,
        since: datetime | None = None,
    ) -> pl.DataFrame:
        """Rows whose ``column`` is one of ``values``, read like :meth:`having` and through the spans of ``within``.

        The first, narrow pass lets the second read only the row groups in these spans: related rows usually were
        written at about the same time, and a few distant ones cost only their own spans. With ``since``, only rows
        whose ``within`` is not earlier.
        """
        names = columns or self.table.schema.names()
        matching = self.having({column: values})
        if since is not None:
            matching = matching.filter(pl.col(within) >= since)
        with self._wrap_errors("read"):
            spans = spans_of(matching.select(within).collect(engine="streaming")[within])
            if not spans:
                return self.table.empty().select(names)
            return matching.filter(within_spans(within, spans)).select(names).collect(engine="streaming")

    def newest(self, column: str) -> datetime | None:
        """The latest instant in ``column``, read only from files whose statistics allow it."""
        return self._outermost(column, "max")

    def oldest(self, column: str, *, above: tuple[str, datetime] | None = None) -> datetime | None:
        """The earliest instant in ``column``, read like :meth:`newest`.

        ``above`` = (other column, instant): of rows in which the other column is later. Every file with such a row is
        read where the earliest of these files begins with other rows.
        """
        if above is None:
            return self._outermost(column, "min")
        other, limit = above
        files, rows = self._files(), self.scan().filter(pl.col(other) > limit).select(pl.col(column))
        known, statistic = f"max.{other}", f"min.{column}"
        if known in files.columns and statistic in files.columns:
            first = files.filter(pl.col(known) > limit)[statistic].min()
            bound = pl.lit(first).cast(self.table.schema[column]) + STATISTICS_TOLERANCE
            near = rows.filter(pl.col(column) <= bound).select(pl.col(column).min()).collect().item()
            if first is None or isinstance(near, datetime):
                return near if isinstance(near, datetime) else None
        found = rows.select(pl.col(column).min()).collect(engine="streaming").item()
        return found if isinstance(found, datetime) else None

    def largest(self, column: str) -> int | None:
        """The largest number in ``column``, from the log's statistics; None where they do not hold it."""
        files, known = self._files(), f"max.{column}"
        largest = files[known].max() if known in files.columns else None
        return largest if isinstance(largest, int) else None

    def _outermost(self, column: str, end: Literal["min", "max"]) -> datetime | None:
        files = self._files()
        if files.is_empty():
            return None
        rows, value = self.scan().select(column), pl.col(column)
        statistic = f"{end}.{column}"
        if statistic in files.columns and (stated := getattr(files[statistic], end)()) is not None:
            # Statistics may be truncated to milliseconds.
            bound = pl.lit(stated).cast(self.table.schema[column])
            is_near = value >= bound - STATISTICS_TOLERANCE if end == "max" else value <= bound + STATISTICS_TOLERANCE
            rows = rows.filter(is_near)
        with self._wrap_errors("read"):
            found = rows.select(value.max() if end == "max" else value.min()).collect().item()
        return found if isinstance(found, datetime) else None

    def at(self, version: int) -> pl.LazyFrame:
        """All rows at an earlier ``version``. Raises :class:`ChangeFeedExpired` when it is no longer kept."""
        if version == self.version:
            return self.scan()
        return self.as_of(version).scan()

    def as_of(self, version: int) -> Snapshot:
        """This table, pinned at an earlier ``version``. Raises :class:`ChangeFeedExpired` when it is no longer kept."""
        try:
            handle = open_table(self.uri, version, self._storage_options)
        except STORE_ERRORS as error:
            raise history_error(error, f"version {version} of {self.table.path}") from error
        return Snapshot(self.table, handle, self._storage_options)

    def row_count(self, version: int | None = None) -> int:
        """Rows at the pinned version, or at an earlier one, from the statistics of the log.

        Raises :class:`ChangeFeedExpired` when the earlier version is no longer kept.
        """
        pinned = self if version in (None, self.version) else self.as_of(int(version or 0))
        return int(pinned._files()["num_records"].sum())

    def file_sizes(self) -> dict[str, int]:
        """Path of each data file, relative to the table and as the log states it, → its bytes."""
        files = self._files()
        return {} if files.is_empty() else dict(files.select("path", "size_bytes").iter_rows())

    def size_bytes(self) -> int:
        """Bytes of the data files at the pinned version."""
        return int(self._files()["size_bytes"].sum())

    def _files(self) -> pl.DataFrame:
        return data_files(self._handle, self._name)

    def changes(self, since: int | None, columns: Sequence[str] | None = None, *, upto: int | None = None) -> Changes:
        """Net changes after version ``since`` up to ``upto`` (default: the pinned version).

        When ``since`` is None, the whole table counts as added. ``columns`` limits which columns are read (the key
        always is), not which rows count as changed: a row that changed in another column is on both sides with equal
        values. Raises :class:`ChangeFeedExpired` when the change feed no longer reaches back to ``since``.
        """
        upto = self.version if upto is None else upto
        wanted = list(dict.fromkeys([*self.table.key, *(columns or self.table.schema.names())]))
        nothing = self.table.empty().select(wanted)
        if since is None:
            with self._wrap_errors("read"):
                everything = self.at(upto).select(wanted).collect()
            return Changes(nothing, everything, is_whole_table=True, grown_by=everything.height)
        if since == upto:
            return Changes(nothing, nothing)
        feed = self._feed(since, upto, [*wanted, CHANGE, VERSION]).with_columns(
            pl.col(name).cast(dtype) for name, dtype in nothing.schema.items()
        )
        return net_changes(feed, self.table.key, wanted, compare=not columns)

    def changes_or_all(self, since: int | None, columns: Sequence[str] | None = None) -> Changes:
        """:meth:`changes` after version ``since``; where they are no longer kept, the whole table counts as added."""
        try:
            return self.changes(since, columns)
        except ChangeFeedExpired:
            return self.changes(None, columns)

    def versions_in_steps(
        self,
        since: int,
        rows: int,
        *,
        upto: int | None = None,
        weighed: str | None = None,
        max_bytes: int = sys.maxsize,
    ) -> list[int]:
        """Versions at which to stop between ``since`` and ``upto`` (default: the pinned one), to read a backlog.

        Between two of them at most ``rows`` were added, and ``max_bytes`` in the column ``weighed``, unless one commit
        added more. Raises :class:`ChangeFeedExpired` when the change feed no longer reaches back to ``since``.
        """
        upto = self.version if upto is None else upto
        if since == upto:
            return []
        if since + 1 == upto:
            return [upto]  # the usual case: one commit cannot be split
        sizes = self._feed(since, upto, [weighed or self.table.key[-1], VERSION], commit_sizes(weighed))
        return stops(sizes.rows(), since, upto, rows, max_bytes)

    def _feed(
        self,
        since: int,
        upto: int,
        columns: Sequence[str],
        read: Callable[[Any], pl.DataFrame] = pl.DataFrame,
    ) -> pl.DataFrame:
        if since > upto:
            raise ChangeFeedExpired(f"{self.table.path} is at version {upto}, older than {since}: it was replaced")
        try:
            # Not ``allow_out_of_range``: after a cleanup of the log it would return an empty feed.
            return read(self._handle.load_cdf(starting_version=since + 1, ending_version=upto, columns=list(columns)))
        except (*STORE_ERRORS, pl.exceptions.ComputeError) as error:
            raise history_error(error, f"the changes of {self.table.path} since version {since}") from error

    @property
    def _name(self) -> str:
        return f"{self.table.path} at {self.uri}"

    def _wrap_errors(self, action: str) -> AbstractContextManager[None]:
        return wrap_errors(action, self._name)


def partitions_in_steps(table: Snapshot, rows: int) -> list[list[Any]]:
    """Values of the table's partition column in ascending order, in runs that have at most ``rows``, or one value."""
    files = table._files()
    return [] if files.is_empty() else [run for run, _ in _runs(files, table.table.partition_by, rows)]


def _in_order(
    everything: pl.LazyFrame, files: pl.DataFrame, partition_by: Sequence[str], rows: int
) -> Iterator[tuple[pl.LazyFrame, int]]:
    """All rows in runs of whole partitions, the first ones first, and how many rows each run has.

    A run has at most ``rows``, unless one partition alone has more.
    """
    if not partition_by or files.is_empty():
        yield everything, int(files["num_records"].sum())
        return
    for run, count in _runs(files, partition_by, rows):
        yield everything.filter(pl.col(partition_by[0]).is_in(run, nulls_equal=True)), count


def _runs(files: pl.DataFrame, partition_by: Sequence[str], rows: int) -> Iterator[tuple[list[Any], int]]:
    """Partitions one after the other in runs of at most ``rows``, or of one partition, and how many rows a run has."""
    sizes = files.group_by(value=f"partition.{partition_by[0]}").agg(pl.col("num_records").sum()).sort("value")
    run: list[Any] = []
    height = 0
    for value, count in sizes.iter_rows():
        if run and height + count > rows:
            yield run, height
            run, height = [], 0
        run.append(value)
        height += count
    yield run, height
