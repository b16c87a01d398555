"""Maintenance of one Delta table: compaction, vacuum, checkpoints, cleanup of the log.

When it is safe to run is decided by ``pipeline.maintenance``: two compactions at once duplicate rows (delta-rs 1.6.6).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from patient_flow.contracts.tables import Table
from patient_flow.stores.lake.durability import settle, table_folder
from patient_flow.stores.lake.errors import wrap_errors
from patient_flow.stores.lake.log import (
    STATISTICS,
    commit_properties,
    data_files,
    restated,
    table_properties,
    writer_of,
)

WIDE, OUT_OF_ORDER = 4, 0.1
"""A file is wide if it spans this multiple of its share of its partition's sort column; a partition is sorted again if
this share of its rows lies in wide files."""
RECENT_PARTITIONS, COLD_SIZE = 2, 8
"""Files of the newest partitions are small, as their rows still change. Those of the others are this many times as
large: fewer files to plan each scan with."""


class TableMaintenance:
    """Maintenance through the handle of an open table, which moves to the newest version with each commit."""

    def __init__(self, table: Table, handle: DeltaTable) -> None:
        self._table = table
        self._handle = handle
        self._target = f"{table.path} at {handle.table_uri}"

    def compact(self) -> int:
        """Joins small files; returns the number of files replaced. Never run it beside another compaction.

        A partition with many rows out of the order of ``sort_by``, or in files of another size than it should have, is
        sorted again as a whole.
        """
        removed = 0
        with wrap_errors("compact", self._target):
            self._update_properties()
            for partition, file_bytes in self._out_of_order():
                result = self._handle.optimize.z_order(
                    [self._table.sort_by],
                    partition_filters=partition,
                    target_size=file_bytes,
                    writer_properties=writer_of(self._table),
                )
                removed += int(result["numFilesRemoved"])
                self._refresh()
            removed += int(self._handle.optimize.compact(writer_properties=writer_of(self._table))["numFilesRemoved"])
            self._refresh()
        return removed

    def vacuum(self, keep_hours: int) -> int:
        """Deletes files that no version of the last ``keep_hours`` needs; returns how many."""
        with wrap_errors("vacuum", self._target):
            deleted = self._handle.vacuum(keep_hours, dry_run=False, enforce_retention_duration=False, full=True)
            self._refresh()
        return len(deleted)

    def forget_files(self, paths: Iterable[str]) -> None:
        """Takes data files (paths relative to the table) out of the table, without a change in its change feed.

        For files that cannot be read: their rows are missing from then on. The files stay until they are vacuumed.
        """
        wanted = set(paths)
        with wrap_errors("repair", self._target):
            files = data_files(self._handle, self._target)
            now = int(datetime.now(UTC).timestamp() * 1000)
            removed: list[AddAction | RemoveAction] = [
                RemoveAction(unquote(path), data_change=False, deletion_timestamp=now, size=size)
                for path, size in files.select("path", "size_bytes").iter_rows()
                if unquote(path) in wanted
            ]
            self._handle.create_write_transaction(
                removed,
                mode="append",
                schema=self._handle.schema(),
                partition_by=list(self._table.partition_by),
                commit_properties=commit_properties({}, retries=0),
            )
            self._refresh()

    def write_checkpoint(self) -> None:
        """Writes a Delta checkpoint, from which the next open starts."""
        with wrap_errors("checkpoint", self._target):
            self._handle.create_checkpoint()
            if (folder := table_folder(self._table.path, self._handle.table_uri)) is not None:
                folder.flush_log()

    def clean_up_log(self) -> None:
        """Deletes log entries older than their retention: the changes in them can no longer be read."""
        with wrap_errors("clean up the log of", self._target):
            self._handle.cleanup_metadata()
            if (folder := table_folder(self._table.path, self._handle.table_uri)) is not None:
                folder.forget_old()

    def _refresh(self) -> None:
        self._handle.update_incremental()
        settle(self._table.path, self._handle)

    def _update_properties(self) -> None:
        """Tables made by earlier versions of this package may have other properties, and text in their statistics."""
        wanted, stored = table_properties(self._table), self._handle.metadata().configuration
        if wanted[STATISTICS] != stored.get(STATISTICS):  # first: afterwards delta-rs shows the other columns no more
            self._restate_statistics()
        if wanted.items() - stored.items():
            self._handle.alter.set_table_properties(wanted)
            self._refresh()

    def _restate_statistics(self) -> None:
        files = data_files(self._handle, self._target)
        if files.is_empty():
            return
        self._handle.create_write_transaction(
            restated(files, self._table),
            mode="append",
            schema=self._handle.schema(),
            partition_by=list(self._table.partition_by),
            commit_properties=commit_properties({}, retries=0),
        )
        self._refresh()

    def _out_of_order(self) -> list[tuple[list[tuple[str, str, str]] | None, int]]:
        """Filters of partitions to sort again and the size of their files; None for the whole table.

        They have many rows in files that are too wide or too large or, where rows hardly change any more, too small.
        """
        files = data_files(self._handle, self._target)
        first, last = (f"{side}.{self._table.sort_by}" for side in ("min", "max"))
        if not self._table.file_bytes or first not in files.columns or files["num_records"].sum() == 0:
            return []
        names = [f"partition.{name}" for name in self._table.partition_by]
        rows, size = pl.col("num_records"), pl.col("size_bytes")
        age = pl.col(names[0]).rank("dense", descending=True) if names else pl.lit(1)
        wanted = pl.when(age > RECENT_PARTITIONS).then(COLD_SIZE).otherwise(1) * self._table.file_bytes
        files = files.with_columns(wanted=wanted)
        within = names or pl.lit("all")
        range_of_all = (pl.col(last).max() - pl.col(first).min()).over(within)
        width = ((pl.col(last) - pl.col(first)) / range_of_all).fill_nan(0)
        is_wide = (width > WIDE * rows / rows.sum().over(within)) | (size > WIDE * pl.col("wanted"))
        is_small = (pl.col("wanted") > self._table.file_bytes) & (size < pl.col("wanted") / WIDE)
        found = (
            files.with_columns(is_wide=is_wide, is_small=is_small)
            .group_by(within)
            .agg(
                pl.col("wanted").first(),
                wide=rows.filter("is_wide").sum() / rows.sum(),
                small=size.filter("is_small").sum() / pl.col("wanted").first(),
            )
            .filter((pl.col("wide") > OUT_OF_ORDER) | (pl.col("small") > 1))
        )
        partitions = found.select(names).iter_rows() if names else [None] * found.height
        return [
            (
                None
                if values is None
                else [(name, "=", value) for name, value in zip(self._table.partition_by, values, strict=True)],
                file_bytes,
            )
            for values, file_bytes in zip(partitions, found["wanted"], strict=True)
        ]
