"""The Delta lake: tables pinned at a version, their changes, and commits that carry rows and progress together.

Not here: what the rows mean. Exactly-once rests on one rule: whoever writes reads its own progress from a handle,
computes, and commits through *the same* handle. delta-rs then refuses the commit if anybody recorded progress for
the same source in between (measured for delta-rs 1.6.6; the tests keep watching it).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol

import polars as pl
from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from patient_flow.contracts.tables import Table
from patient_flow.stores.staging import Staging

Progress = Mapping[str, int]
"""Source → its version (a Delta version, a sequence number) up to which a table has consumed it."""

NO_CHECKPOINT = -1
"""Recorded to forget progress: delta-rs can overwrite a recorded version but not remove it."""


def number_of(text: str) -> int:
    """63-bit number of a text, to be kept as progress, which can only hold numbers."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


CHECKPOINT_EVERY = "50"
LOG_RETENTION = "interval 1 day"
"""A commit lists the log: a week of one-minute commits makes it three times as dear as a day does."""
TOMBSTONE_RETENTION = "interval 1 day"
"""Every checkpoint repeats which files were replaced so lately; vacuum looks into the folder and does not need it."""
ROWS_PER_GROUP = 131_072
"""Rows that a reader can skip at once within a file; delta-rs would write a million."""
_WRITER = WriterProperties(max_row_group_size=ROWS_PER_GROUP)
PLACES_NAMED = 1_000
"""Values that a merge names to say where its rows lie; with more of them every file is likely to hold one."""
WIDE, OUT_OF_ORDER = 4, 0.1
"""A file is out of order when it spans so many times its share; a table when so much of it lies in such files."""
READ_ROWS = 5_000
"""Rows of a whole table that come at once from its files, before they are gathered: they may be 10 kilobytes each."""
SPAN_GAP = timedelta(hours=12)
"""Instants further apart than this are looked for separately."""
STATISTICS_TOLERANCE = timedelta(milliseconds=1)
SPANS = 50
"""Spans that one look-up reads at most; the nearest ones are joined."""
EXPORTS = "_exports"
"""Folder beside gold's tables for what a warehouse copies; deleted by a rule of ``infra/bicep/modules/lake.bicep``."""
STREAMED_FILE_BYTES = 32 * 1024 * 1024
"""A file is held in memory until it has this size, one for each partition that a stream has touched."""
_GONE = (
    "Invalid table version",
    "not found",
    "No files in log segment",
    "No table metadata or protocol found",
    "not the same as the specified end version",
)
"""What delta-rs says when a log was cleaned up, a file deleted or a table replaced: not of a network that fails, after
which a consumer must try again and not read the whole table."""
STORE_ERRORS = (DeltaError, OSError)
"""What delta-rs and Polars raise when a store fails. Everything here makes a :class:`LakeError` of it; who collects a
LazyFrame of the lake meets it as it is."""
_BRANCH = re.compile(r"\s*(?:\x1b\[\d*m)*↳(?:\x1b\[\d*m)*\s*")
_CHANGE = "_change_type"
_VERSION = "_commit_version"
_OPERATION = "_operation"


class LakeError(RuntimeError):
    """The lake cannot be read or written; the message says which table."""


class Conflict(LakeError):
    """Another writer committed first; nothing was written. Open the table again and start over."""


class SchemaDrift(LakeError):
    """A table of the lake was made by another version of this package, in a way that cannot be mended in passing."""


class ChangeFeedExpired(LakeError):
    """The changes asked for are no longer kept; read the whole table instead."""


@dataclass(frozen=True)
class Changes:
    """What became of a table between two versions, net, one row per key on each side.

    ``before`` holds changed and removed rows as they were, ``after`` changed and added rows as they are. ``grown_by``
    is what the table grew by, counted row by row: more than ``after`` minus ``before`` where a key was added twice.
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


class ArrowStream(Protocol):
    """Rows by way of Arrow's stream interface."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A capsule with the stream."""


class LakeTable:
    """One Delta table, pinned at the version it had when it was opened."""

    def __init__(self, table: Table, handle: DeltaTable, storage_options: dict[str, str] | None = None) -> None:
        self.table = table
        self._handle = handle
        self._storage_options = storage_options
        self.version = handle.version()

    @property
    def uri(self) -> str:
        """Where the table lies."""
        return self._handle.table_uri

    def progress(self, source: str) -> int | None:
        """Version of ``source`` up to which this table has consumed it; None if it never did, or was reset."""
        version = self._handle.transaction_version(source)
        return None if version == NO_CHECKPOINT else version

    def scan(self) -> pl.LazyFrame:
        """All rows at the pinned version."""
        with self._explained("read"):
            return pl.scan_delta(self._handle).select(self.table.schema.names())

    def batches(
        self,
        columns: Sequence[str],
        rows: int,
        *,
        version: int | None = None,
        weighed: str | None = None,
        max_bytes: int = sys.maxsize,
    ) -> Iterator[pl.DataFrame]:
        """All rows at the pinned version, or at an earlier one, once each and at most ``rows`` at a time.

        They are fewer when they hold about ``max_bytes`` in the column ``weighed``. Raises
        :class:`ChangeFeedExpired` when the earlier version is no longer kept.
        """
        everything = self.scan() if version is None else self.at(version)
        with self._explained("read"):
            gathered: list[pl.DataFrame] = []
            height = weight = 0
            for part in everything.select(columns).collect_batches(chunk_size=min(rows, READ_ROWS)):
                added = int(part[weighed].bin.size().sum()) if weighed else 0
                if gathered and (height + part.height > rows or weight + added > max_bytes):
                    yield pl.concat(gathered)
                    gathered, height, weight = [], 0, 0
                gathered.append(part)
                height, weight = height + part.height, weight + added
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
        """Rows whose ``column`` is one of ``values``, by way of the spans of ``within`` in which they lie.

        The first, narrow pass makes the second read only the parts of files in these spans: rows that belong together
        usually were written at about the same time, and a few that lie far apart cost only the spans they lie in.
        With ``since``, only rows whose ``within`` is not earlier.
        """
        names = columns or self.table.schema.names()
        matching = self.scan().filter(pl.col(column).is_in(values.implode()))
        if since is not None:
            matching = matching.filter(pl.col(within) >= since)
        with self._explained("read"):
            spans = spans_of(matching.select(within).collect(engine="streaming")[within])
            if not spans:
                return self.table.empty().select(names)
            return matching.filter(within_spans(within, spans)).select(names).collect(engine="streaming")

    def newest(self, column: str) -> datetime | None:
        """The latest instant in ``column``; the log's statistics say which files can hold it."""
        return self._outermost(column, "max")

    def oldest(self, column: str) -> datetime | None:
        """The earliest instant in ``column``, found like :meth:`newest`."""
        return self._outermost(column, "min")

    def _outermost(self, column: str, end: Literal["min", "max"]) -> datetime | None:
        files = self._files()
        if files.is_empty():
            return None
        rows, value = self.scan().select(column), pl.col(column)
        known = f"{end}.{column}"
        if known in files.columns and (stated := getattr(files[known], end)()) is not None:
            # Statistics may be cut to milliseconds, downwards.
            bound = pl.lit(stated).cast(self.table.schema[column])
            is_near = value >= bound - STATISTICS_TOLERANCE if end == "max" else value <= bound + STATISTICS_TOLERANCE
            rows = rows.filter(is_near)
        with self._explained("read"):
            found = rows.select(value.max() if end == "max" else value.min()).collect().item()
        return found if isinstance(found, datetime) else None

    def at(self, version: int) -> pl.LazyFrame:
        """All rows at an earlier ``version``. Raises :class:`ChangeFeedExpired` when it is no longer kept."""
        if version == self.version:
            return self.scan()
        return pl.scan_delta(self._older(version)).select(self.table.schema.names())

    def _older(self, version: int) -> DeltaTable:
        try:
            return DeltaTable(self.uri, version=version, storage_options=self._storage_options)
        except STORE_ERRORS as error:
            raise _unread(error, f"version {version} of {self.table.path}") from error

    def as_of(self, version: int) -> LakeTable:
        """This table, pinned at an earlier ``version``. Raises :class:`ChangeFeedExpired` when it is no longer kept."""
        return LakeTable(self.table, self._older(version), self._storage_options)

    def row_count(self, version: int | None = None) -> int:
        """Rows at the pinned version, or at an earlier one, from the log's statistics.

        Raises :class:`ChangeFeedExpired` when the earlier version is no longer kept.
        """
        handle = self._handle if version in (None, self.version) else self._older(int(version or 0))
        return int(self._files(handle)["num_records"].sum())

    def size_bytes(self) -> int:
        """Bytes of the data files at the pinned version."""
        return int(self._files()["size_bytes"].sum())

    def _files(self, handle: DeltaTable | None = None) -> pl.DataFrame:
        """What the log knows of each data file."""
        with self._explained("read"):
            return pl.DataFrame((handle or self._handle).get_add_actions(flatten=True))

    def changes(self, since: int | None, columns: Sequence[str] | None = None, *, upto: int | None = None) -> Changes:
        """Net changes after version ``since`` up to ``upto`` (else the pinned version).

        When ``since`` is None, the whole table counts as added. ``columns`` limits what is read (the key is always
        there), not what counts as a change: a row that changed elsewhere is on both sides, looking the same. Raises
        :class:`ChangeFeedExpired` when the change feed no longer reaches back to ``since``.
        """
        upto = self.version if upto is None else upto
        wanted = list(dict.fromkeys([*self.table.key, *(columns or self.table.schema.names())]))
        nothing = self.table.empty().select(wanted)
        if since is None:
            with self._explained("read"):
                everything = self.at(upto).select(wanted).collect()
            return Changes(nothing, everything, is_whole_table=True, grown_by=everything.height)
        if since == upto:
            return Changes(nothing, nothing)
        feed = self._feed(since, upto, [*wanted, _CHANGE, _VERSION]).with_columns(
            pl.col(name).cast(dtype) for name, dtype in nothing.schema.items()
        )
        grown_by = int(feed.select(_added() - _removed()).item())
        before, after = _net(feed, self.table.key, wanted)
        if not columns:
            before, after = _without_equal(before, after, self.table.key)
        return Changes(before, after, grown_by=grown_by)

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
        """Versions at which to stop on the way from ``since`` to ``upto`` (else the pinned one).

        Between two of them at most ``rows`` were added, and ``max_bytes`` in the column ``weighed``, unless one commit
        added more: for consumers that must not read a long backlog at once. Raises
        :class:`ChangeFeedExpired` when the change feed no longer reaches back to ``since``.
        """
        upto = self.version if upto is None else upto
        if since == upto:
            return []
        if since + 1 == upto:
            return [upto]  # as in daily life: nothing to be measured
        stops, last, height, weight = [], since, 0, 0
        for version, added_rows, added_bytes in self._sizes(since, upto, weighed):
            if height and (height + added_rows > rows or weight + added_bytes > max_bytes):
                stops.append(last)
                height, weight = 0, 0
            last, height, weight = version, height + added_rows, weight + added_bytes
        return [*stops, upto]

    def _sizes(self, since: int, upto: int, weighed: str | None) -> list[tuple[int, int, int]]:
        """Versions that added rows, each with how many, and how many bytes these have in the column ``weighed``."""
        weight = pl.col(weighed).bin.size().sum().cast(pl.Int64) if weighed else pl.lit(0, pl.Int64)

        def measure(feed: Iterable[ArrowStream]) -> pl.DataFrame:
            """Piece by piece: all of it may not fit into memory, which is why it is measured."""
            sizes = [
                pl.DataFrame(piece).group_by(_VERSION).agg(pl.len().cast(pl.Int64).alias("rows"), weight.alias("bytes"))
                for piece in _pieces(feed)
            ]
            return pl.concat(sizes) if sizes else pl.DataFrame()

        sizes = self._feed(since, upto, [weighed or self.table.key[-1], _VERSION], measure)
        return [] if sizes.is_empty() else sizes.group_by(_VERSION).sum().sort(_VERSION).rows()

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
            # Not ``allow_out_of_range``: it would make an empty feed of one whose log was cleaned up.
            return read(self._handle.load_cdf(starting_version=since + 1, ending_version=upto, columns=list(columns)))
        except (*STORE_ERRORS, pl.exceptions.ComputeError) as error:
            raise _unread(error, f"the changes of {self.table.path} since version {since}") from error

    def append(self, rows: pl.DataFrame, progress: Progress, **metadata: str) -> int:
        """Adds ``rows`` and records ``progress`` in one commit; returns the new version.

        Raises :class:`Conflict` when another writer recorded progress for one of the same sources since this table
        was opened.
        """
        with self._explained("write"):
            write_deltalake(
                self._handle,
                self._conform(rows),
                mode="append",
                writer_properties=_WRITER,
                commit_properties=_commit(progress, metadata),
            )
            return self._refresh()

    def overwrite(self, rows: pl.DataFrame, progress: Progress, **metadata: str) -> int:
        """Makes ``rows`` the whole content, in one commit with ``progress``; returns the new version."""
        with self._explained("write"):
            write_deltalake(
                self._handle,
                self._conform(rows),
                mode="overwrite",
                writer_properties=_WRITER,
                commit_properties=_commit(progress, metadata, retries=0),
            )
            return self._refresh()

    def overwrite_from(self, rows: ArrowStream, progress: Progress, **metadata: str) -> int:
        """Like :meth:`overwrite`, with rows that are written while they come: no more than some are in memory.

        The stream must have the declared columns. Readers see the old rows until all new ones are there.
        """
        with self._explained("write"):
            write_deltalake(
                self._handle,
                rows,
                mode="overwrite",
                target_file_size=STREAMED_FILE_BYTES,
                writer_properties=_WRITER,
                commit_properties=_commit(progress, metadata, retries=0),
            )
            return self._refresh()

    def replace(self, before: pl.DataFrame, after: pl.DataFrame, progress: Progress, **metadata: str) -> RowsWritten:
        """Makes ``before`` (rows that are in the table now) into ``after``, in one commit with ``progress``.

        Only rows that really differ are written, so a consumer of the change feed sees just those. Rows are matched
        by the table's key; a row whose partition changes is removed from the old one and added to the new. Where rows
        of ``before`` share a key that ``after`` lacks, all of them go.
        """
        after, before = self._conform(after), self._conform(before)
        keys = list(dict.fromkeys([*self.table.key, *self.table.partition_by]))
        removed = before.join(after, on=keys, how="anti")
        added = after.join(before, on=keys, how="anti")
        changed = _differing(before, after, keys)
        written = RowsWritten(inserted=added.height, updated=changed.height, deleted=removed.height)
        if removed.is_empty() and changed.is_empty():
            if added.height or any(self.progress(source) != version for source, version in progress.items()):
                self.append(added, progress, **metadata)
            return written
        source = pl.concat(
            [
                pl.concat([added, changed]).with_columns(pl.lit("upsert").alias(_OPERATION)),
                removed.unique(keys).with_columns(pl.lit("delete").alias(_OPERATION)),
            ]
        )
        with self._explained("write"):
            in_table = before.join(source.select(keys), on=keys, how="semi")
            self._merge(source, in_table, keys, _commit(progress, metadata))
            self._refresh()
        return written

    def lease(self, name: str, until: int) -> None:
        """Claims the table for ``name`` until an instant (epoch seconds), or gives it back (0).

        A claim is progress like any other: of two claims on the same state the second is a :class:`Conflict`.
        """
        self.append(self.table.empty(), {name: until})

    def compact(self) -> int:
        """Joins small files; the number of files it replaced. Never beside another compaction: see :meth:`lease`.

        Where much of a partition lies out of the order of ``sort_by``, all of it is sorted again.
        """
        removed = 0
        with self._explained("compact"):
            self._adopt_properties()
            for partition in self._out_of_order():
                done = self._handle.optimize.z_order(
                    [self.table.sort_by], partition_filters=partition, writer_properties=_WRITER
                )
                removed += int(done["numFilesRemoved"])
                self._refresh()
            removed += int(self._handle.optimize.compact(writer_properties=_WRITER)["numFilesRemoved"])
            self._refresh()
        return removed

    def _adopt_properties(self) -> None:
        """A table that an earlier version of this package made may have kept larger files, or its log for longer."""
        wanted = _properties(self.table)
        if wanted.items() - self._handle.metadata().configuration.items():
            self._handle.alter.set_table_properties(wanted)
            self._refresh()

    def _out_of_order(self) -> list[list[tuple[str, str, str]] | None]:
        """Partitions with many rows in files that are too large, or span much more of ``sort_by`` than their share."""
        files = self._files()
        first, last = (f"{side}.{self.table.sort_by}" for side in ("min", "max"))
        if not self.table.file_bytes or first not in files.columns or files["num_records"].sum() == 0:
            return []
        names = [f"partition.{name}" for name in self.table.partition_by]
        rows = pl.col("num_records")
        width = (pl.col(last) - pl.col(first)) / (pl.col(last).max() - pl.col(first).min())
        is_wide = (width > WIDE * rows / rows.sum()) | (pl.col("size_bytes") > WIDE * self.table.file_bytes)
        wide = rows.filter(is_wide).sum() / rows.sum()
        found = files.group_by(names or pl.lit("all")).agg(wide=wide).filter(pl.col("wide") > OUT_OF_ORDER)
        if not names:
            return [None] * found.height
        return [
            [(name, "=", value) for name, value in zip(self.table.partition_by, values, strict=True)]
            for values in found.select(names).iter_rows()
        ]

    def vacuum(self, keep_hours: int) -> int:
        """Deletes files that no version of the last ``keep_hours`` needs; how many."""
        with self._explained("vacuum"):
            deleted = self._handle.vacuum(keep_hours, dry_run=False, enforce_retention_duration=False, full=True)
            self._refresh()
        return len(deleted)

    def checkpoint(self) -> None:
        """Writes a checkpoint, from which the next open starts."""
        with self._explained("checkpoint"):
            self._handle.create_checkpoint()

    def clean_up_log(self) -> None:
        """Deletes logs older than their retention: the changes in them can no longer be read."""
        with self._explained("clean up the log of"):
            self._handle.cleanup_metadata()

    def _merge(
        self, source: pl.DataFrame, in_table: pl.DataFrame, keys: Sequence[str], properties: CommitProperties
    ) -> None:
        """Merges ``source``; ``in_table`` are the rows that it changes or deletes, as they are now."""
        assignments = {f"`{name}`": f"s.`{name}`" for name in self.table.schema.names()}
        # Literal values let delta-rs skip partitions and files; without them every merge reads the whole table.
        literals = [
            f"t.`{column}` IN ({', '.join(_literal(value) for value in in_table[column].unique().sort())})"
            for column in self.table.partition_by
        ]
        if self.table.sort_by:
            literals += _places(in_table[self.table.sort_by])
        predicate = " AND ".join([*literals, *(f"t.`{key}` = s.`{key}`" for key in keys)])
        (
            self._handle.merge(
                source,
                predicate,
                "s",
                "t",
                streamed_exec=False,
                writer_properties=_WRITER,
                commit_properties=properties,
            )
            .when_matched_delete(f"s.{_OPERATION} = 'delete'")
            .when_matched_update(assignments, predicate=f"s.{_OPERATION} = 'upsert'")
            .when_not_matched_insert(assignments, predicate=f"s.{_OPERATION} = 'upsert'")
            .execute()
        )

    def _conform(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Exactly the declared columns, in order and type: delta-rs would cast silently."""
        return rows.select(pl.col(name).cast(dtype) for name, dtype in self.table.schema.items())

    def _refresh(self) -> int:
        self._handle.update_incremental()
        self.version = self._handle.version()
        return self.version

    def _explained(self, doing: str) -> AbstractContextManager[None]:
        return _explained(doing, f"{self.table.path} at {self.uri}")


class Lake:
    """All tables below one URI pattern such as ``data/{layer}`` or ``abfss://{layer}@ACCOUNT.dfs.core.windows.net``."""

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        self._uri = uri
        self._storage_options = dict(storage_options or {}) or None

    def uri(self, table: Table) -> str:
        """Where ``table`` lies."""
        return f"{self._uri.format(layer=table.layer).rstrip('/')}/{table.name}"

    def exists(self, table: Table) -> bool:
        """True when ``table`` has been created."""
        uri = self.uri(table)
        with _explained("look for", f"{table.path} at {uri}"):
            return DeltaTable.is_deltatable(uri, self._storage_options)

    def open(self, table: Table) -> LakeTable:
        """``table`` at its newest version; created, with its final properties, when it is not there yet.

        Columns that the declaration gained since are added. Raises :class:`LakeError` when the place cannot be
        reached, and :class:`SchemaDrift` when a column has another type.
        """
        uri = self.uri(table)
        with _explained("open", f"{table.path} at {uri}"):
            try:
                handle = DeltaTable(uri, storage_options=self._storage_options)
            except TableNotFoundError:
                # Looked for only now: delta-rs stops all threads of the process while it does, minutes in front of a
                # store that says nothing.
                if not self.exists(table):
                    self._create(table, uri)
                handle = DeltaTable(uri, storage_options=self._storage_options)
            missing, drifted = _drift(table, handle)
            if drifted:
                raise SchemaDrift(f"{table.path} differs from this version: {drifted}. Run `patient-flow migrate`")
            if missing:
                handle.alter.add_columns(missing)
                handle.update_incremental()
            return LakeTable(table, handle, self._storage_options)

    def migrate(self, table: Table) -> str | None:
        """Rewrites ``table`` with the declared types where they differ; what it did, or None.

        Progress is kept. Raises :class:`LakeError` when a value does not fit its new type: then nothing is changed.
        """
        if not self.exists(table):
            return None
        with _explained("migrate", f"{table.path} at {self.uri(table)}"):
            handle = DeltaTable(self.uri(table), storage_options=self._storage_options)
            _, drifted = _drift(table, handle)
            if not drifted:
                return None
            stored = pl.scan_delta(handle).collect()
            try:
                rows = stored.select(
                    (pl.col(name) if name in stored.columns else pl.lit(None)).cast(dtype).alias(name)
                    for name, dtype in table.schema.items()
                )
            except pl.exceptions.PolarsError as error:
                raise LakeError(f"{table.path} cannot be converted: {error}") from error
            write_deltalake(
                handle, rows, mode="overwrite", schema_mode="overwrite", commit_properties=_commit({}, {}, retries=0)
            )
        return f"{table.path}: {drifted}; {rows.height} rows rewritten"

    def export(self, name: str, rows: pl.DataFrame) -> str:
        """Writes ``rows`` as one Parquet file beside gold, for a warehouse to copy from; gives its https address.

        The container's lifecycle rule deletes it. Raises :class:`LakeError` for a lake on this machine, which no
        warehouse elsewhere could read.
        """
        account = re.fullmatch(r"abfss?://([^@/]+)@([^/]+)(/.*)?", self._uri.format(layer="gold").rstrip("/"))
        if account is None:
            raise LakeError("the warehouse copies from the lake: PATIENT_FLOW_LAKE_URI must be an abfss:// address")
        path = f"{EXPORTS}/{name}.parquet"
        uri = f"{self._uri.format(layer='gold').rstrip('/')}/{path}"
        with _explained("write", uri):
            rows.write_parquet(uri, storage_options=self._storage_options)
        container, host, folder = account.groups()
        return f"https://{host}/{container}{folder or ''}/{path}"

    def staging(self, layer: str, run_id: str) -> Staging:
        """Where a run may leave results beside the tables of ``layer`` until they are taken in."""
        return Staging(self._uri.format(layer=layer), run_id, self._storage_options)

    def open_all(self, tables: Iterable[Table]) -> dict[str, LakeTable]:
        """Each of ``tables`` that exists, by path."""
        return {table.path: self.open(table) for table in tables if self.exists(table)}

    def _create(self, table: Table, uri: str) -> None:
        # Properties are final at creation: changing one later makes every writer in flight fail.
        # A second process that creates the table at the same moment finds it there, which is as good.
        with contextlib.suppress(CommitFailedError):
            DeltaTable.create(
                uri,
                schema=Schema.from_arrow(table.schema),
                mode="ignore",
                partition_by=list(table.partition_by),
                name=table.name,
                description=table.description,
                configuration={
                    "delta.enableChangeDataFeed": "true",
                    "delta.checkpointInterval": CHECKPOINT_EVERY,
                    **_properties(table),
                    **table.configuration,
                },
                storage_options=self._storage_options,
            )


def _properties(table: Table) -> dict[str, str]:
    """Table properties that maintenance may change: how large files should be, and how long the log is kept."""
    return {
        "delta.logRetentionDuration": LOG_RETENTION,
        "delta.deletedFileRetentionDuration": TOMBSTONE_RETENTION,
        "delta.enableExpiredLogCleanup": "false",  # any commit would do it; maintenance knows who still needs the log
        **({"delta.targetFileSize": str(table.file_bytes)} if table.file_bytes else {}),
    }


@contextlib.contextmanager
def _explained(doing: str, what: str) -> Iterator[None]:
    """Errors of the store as :class:`LakeError`, on one line that says what could not be done with what."""
    try:
        yield
    except CommitFailedError as error:
        raise Conflict(f"another writer changed {what} meanwhile: {_one_line(error)}") from error
    except STORE_ERRORS as error:
        raise LakeError(f"cannot {doing} {what}: {_one_line(error)}") from error


def _pieces(feed: Iterable[ArrowStream]) -> Iterator[ArrowStream]:
    try:
        yield from feed
    except Exception as error:  # Arrow's reader raises nothing narrower
        raise OSError(str(error)) from error


def _unread(error: Exception, what: str) -> LakeError:
    """:class:`ChangeFeedExpired` where a log was cleaned up or a file deleted; not where a network failed."""
    if any(said in str(error) for said in _GONE):
        return ChangeFeedExpired(f"no longer kept: {what}")
    return LakeError(f"cannot read {what}: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    """delta-rs draws its chain of causes as a coloured tree."""
    return " ".join(_BRANCH.sub(": ", str(error)).split())


def _drift(table: Table, handle: DeltaTable) -> tuple[list[Field], str]:
    """Declared columns that are missing, and a sentence on columns whose type differs or that nobody declares."""
    declared = {field.name: field for field in Schema.from_arrow(table.schema).fields}
    stored = {field.name: field for field in handle.schema().fields}
    missing = [field for name, field in declared.items() if name not in stored]
    drifted = [
        f"{name} is {_type(stored[name])}, not {_type(field)}"
        for name, field in declared.items()
        if name in stored and stored[name].type != field.type
    ]
    unknown = [f"{name} is not known" for name in stored if name not in declared]
    return missing, "; ".join(drifted + unknown)


def _type(field: Field) -> str:
    return str(json.loads(field.type.to_json()))


def _commit(progress: Progress, metadata: Mapping[str, str], retries: int | None = None) -> CommitProperties:
    return CommitProperties(
        custom_metadata=dict(metadata) or None,
        max_commit_retries=retries,
        app_transactions=[Transaction(source, version) for source, version in progress.items()],
    )


def _added() -> pl.Expr:
    return (pl.col(_CHANGE) == "insert").sum().cast(pl.Int64)


def _removed() -> pl.Expr:
    return (pl.col(_CHANGE) == "delete").sum().cast(pl.Int64)


def _net(feed: pl.DataFrame, key: Sequence[str], columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """First image of each key if it is an old one, last image if it is a new one."""
    is_old = pl.col(_CHANGE).is_in(["delete", "update_preimage"])
    if not feed.select(is_old.any()).item():
        return feed.clear().select(columns), feed.select(columns)
    feed = feed.with_columns(is_old.alias("_is_old")).sort(_VERSION, pl.col("_is_old").not_(), maintain_order=True)
    before = feed.unique(key, keep="first", maintain_order=True).filter("_is_old").select(columns)
    after = feed.unique(key, keep="last", maintain_order=True).filter(~pl.col("_is_old")).select(columns)
    return before, after


def _without_equal(before: pl.DataFrame, after: pl.DataFrame, key: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both sides without the rows that went away and came back as they were."""
    differing = _differing(before, after, key).select(key)
    unchanged = before.join(after, on=key, how="semi").join(differing, on=key, how="anti").select(key)
    return before.join(unchanged, on=key, how="anti"), after.join(unchanged, on=key, how="anti")


def _differing(before: pl.DataFrame, after: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Rows of ``after`` whose key is in ``before`` with other values."""
    values = [name for name in after.columns if name not in key]
    paired = after.join(before, on=list(key), how="inner", suffix="_before")
    if not values:
        return after.clear()
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in values)
    return paired.filter(differs).select(after.columns)


def spans_of(instants: pl.Series) -> list[tuple[datetime, datetime]]:
    """Inclusive spans that cover ``instants`` (or dates), cut at the widest gaps; nulls are left out."""
    ordered = instants.drop_nulls().unique().sort()
    if ordered.is_empty():
        return []
    gaps = ordered.diff().to_frame("gap").with_row_index("start").filter(pl.col("gap") > SPAN_GAP)
    starts = sorted([0, *gaps.top_k(SPANS - 1, by="gap")["start"]])
    ends = [*(start - 1 for start in starts[1:]), ordered.len() - 1]
    return [(ordered[start], ordered[end]) for start, end in zip(starts, ends, strict=True)]


def within_spans(column: str, spans: Iterable[tuple[datetime, datetime]]) -> pl.Expr:
    """True where ``column`` lies in one of the inclusive ``spans``."""
    return pl.any_horizontal(pl.lit(False), *(pl.col(column).is_between(first, last) for first, last in spans))


def _places(values: pl.Series) -> list[str]:
    """Conditions on the target alone that hold for rows with these ``values`` in the column the files are sorted by."""
    column = f"t.`{values.name}`"
    if values.null_count():
        return []
    if values.dtype.is_temporal():
        spans = [f"{column} BETWEEN {_literal(first)} AND {_literal(last)}" for first, last in spans_of(values)]
        return [f"({' OR '.join(spans)})"]
    named = values.unique().sort()
    if named.len() > PLACES_NAMED:
        return []
    return [f"({' OR '.join(f'{column} = {value}' for value in named)})"]  # a long IN list would not be looked into


def _literal(value: object) -> str:
    if isinstance(value, datetime):
        return f"arrow_cast('{value.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    quoted = str(value).replace("'", "''")
    return f"'{quoted}'"
