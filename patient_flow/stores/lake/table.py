"""One Delta table that can be written: commits carry rows and checkpoints together.

The meaning of the rows is not known here. Exactly-once rests on one rule: a writer reads its own checkpoint from a
handle, computes, and commits through *the same* handle. delta-rs then refuses the commit if another writer recorded a
checkpoint for the same source in between (measured for delta-rs 1.6.6; the tests keep checking it).
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from deltalake import CommitProperties, write_deltalake

from patient_flow.stores.lake.changes import ArrowStream, RowsWritten, differing
from patient_flow.stores.lake.durability import settle, table_folder
from patient_flow.stores.lake.log import Checkpoints, commit_properties, writer_of
from patient_flow.stores.lake.lookups import delete_index
from patient_flow.stores.lake.maintenance import TableMaintenance
from patient_flow.stores.lake.purge import purge
from patient_flow.stores.lake.snapshot import Snapshot
from patient_flow.stores.lake.spans import merge_predicate

STREAMED_FILE_BYTES = 32 * 1024 * 1024
"""File size of a streamed write: delta-rs buffers one file of this size in memory per partition."""
_OPERATION = "_operation"


class LakeTable(Snapshot):
    """One Delta table, pinned at the version it had when it was opened or last written through this object."""

    _may_extend_index = True
    _complete = -1
    """The version whose data files are known to be there."""

    def maintenance(self) -> TableMaintenance:
        """Maintenance of this table; its commits move the pinned version."""
        return TableMaintenance(self.table, self._handle)

    def purge(self) -> int:
        """Deletes every file of the table but those of the pinned version, which must be the newest; returns how many.

        The changes up to it can no longer be read: every consumer must have read this version. The index goes too.
        """
        deleted = purge(self._handle, self.table.path, self._storage_options)
        with self._wrap_errors("write"):  # last: until the old files are gone, a reader may add them to the index again
            delete_index(self.uri)
        return deleted

    def append(self, rows: pl.DataFrame, checkpoints: Checkpoints, **metadata: str) -> int:
        """Adds ``rows`` and records ``checkpoints`` in one commit; returns the new version.

        Raises :class:`CommitConflict` when another writer recorded a checkpoint for one of the same sources since this
        table was opened.
        """
        with self._wrap_errors("write"):
            write_deltalake(
                self._handle,
                self._conform(rows),
                mode="append",
                writer_properties=writer_of(self.table),
                commit_properties=commit_properties(checkpoints, metadata),
            )
            return self._refresh()

    def record(self, checkpoints: Checkpoints) -> int:
        """Records ``checkpoints`` in a commit without rows, like :meth:`append`; returns the new version."""
        return self.append(self.table.empty(), checkpoints)

    def delete(self, predicate: str, checkpoints: Checkpoints, **metadata: str) -> int:
        """Deletes the rows that match an SQL ``predicate``, in one commit with ``checkpoints``; returns how many.

        The change feed states them. Nothing is committed where none matches.
        """
        with self._wrap_errors("write"):
            done = self._handle.delete(
                predicate,
                writer_properties=writer_of(self.table),
                commit_properties=commit_properties(checkpoints, metadata),
            )
            self._refresh()
        return int(done["num_deleted_rows"] or 0)

    def overwrite(self, rows: pl.DataFrame, checkpoints: Checkpoints, **metadata: str) -> int:
        """Replaces all rows by ``rows``, in one commit with ``checkpoints``; returns the new version."""
        with self._wrap_errors("write"):
            write_deltalake(
                self._handle,
                self._conform(rows),
                mode="overwrite",
                writer_properties=writer_of(self.table),
                commit_properties=commit_properties(checkpoints, metadata, retries=0),
            )
            return self._refresh()

    def overwrite_from(self, rows: ArrowStream, checkpoints: Checkpoints, **metadata: str) -> int:
        """Like :meth:`overwrite`, with a stream of rows that is never in memory as a whole.

        The stream must have the declared columns. Readers see the old rows until the commit.
        """
        with self._wrap_errors("write"):
            write_deltalake(
                self._handle,
                rows,
                mode="overwrite",
                target_file_size=STREAMED_FILE_BYTES,
                writer_properties=writer_of(self.table),
                commit_properties=commit_properties(checkpoints, metadata, retries=0),
            )
            return self._refresh()

    def replace(
        self, before: pl.DataFrame, after: pl.DataFrame, checkpoints: Checkpoints, **metadata: str
    ) -> RowsWritten:
        """Replaces ``before`` (rows that are in the table now) by ``after``, in one commit with ``checkpoints``.

        Only rows that differ are written, so consumers of the change feed read only those. Rows are matched by the
        table's key; a row whose partition changes is deleted from the old one and inserted into the new. Where rows of
        ``before`` share a key that ``after`` lacks, all of them are deleted.
        """
        after, before = self._conform(after), self._conform(before)
        keys = self._row_keys
        removed = before.join(after, on=keys, how="anti")
        added = after if before.is_empty() else after.join(before, on=keys, how="anti")
        changed = differing(before, after, keys)
        written = RowsWritten(inserted=added.height, updated=changed.height, deleted=removed.height)
        if removed.is_empty() and changed.is_empty():
            if added.height or any(self.checkpoint(source) != version for source, version in checkpoints.items()):
                self.append(added, checkpoints, **metadata)
            return written
        source = pl.concat(
            [
                pl.concat([added, changed]).with_columns(pl.lit("upsert").alias(_OPERATION)),
                removed.unique(keys).with_columns(pl.lit("delete").alias(_OPERATION)),
            ]
        )
        with self._wrap_errors("write"):
            in_table = before.join(source.select(keys), on=keys, how="semi")
            self._merge(source, in_table, keys, commit_properties(checkpoints, metadata))
            self._refresh()
        return written

    def append_new(
        self, before: pl.DataFrame, after: pl.DataFrame, checkpoints: Checkpoints, **metadata: str
    ) -> tuple[RowsWritten, pl.DataFrame]:
        """Appends those rows of ``after`` that ``before`` (as for :meth:`replace`) has none for, with ``checkpoints``.

        Returns what was written, and the other rows of ``after``: :meth:`replace` merges them. A merge needs memory for
        every row of its source, an append does not. A row that moves to another partition is not new: the change feed
        must have both of its images in one commit.
        """
        after, before = self._conform(after), self._conform(before)
        keys = list(self.table.key)
        new = after.join(before, on=keys, how="anti")
        if not new.is_empty():
            self.append(new, checkpoints, **metadata)
        return RowsWritten(inserted=new.height), after.join(before, on=keys, how="semi")

    def without_equal(self, before: pl.DataFrame, after: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """``before`` and ``after`` (as for :meth:`replace`) without the rows that it would not write."""
        after, before = self._conform(after), self._conform(before)
        keys = self._row_keys
        changed = differing(before, after, keys)
        removed = before.join(after, on=keys, how="anti")
        added = after.join(before, on=keys, how="anti")
        return pl.concat([removed, before.join(changed, on=keys, how="semi")]), pl.concat([added, changed])

    @property
    def _row_keys(self) -> list[str]:
        """Columns by which rows are matched: one that moves to another partition is another row."""
        return list(dict.fromkeys([*self.table.key, *self.table.partition_by]))

    def _merge(
        self, source: pl.DataFrame, in_table: pl.DataFrame, keys: Sequence[str], properties: CommitProperties
    ) -> None:
        """Merges ``source``; ``in_table`` are the rows that it changes or deletes, as they are now."""
        assignments = {f"`{name}`": f"s.`{name}`" for name in self.table.schema.names()}
        sort_values = in_table[self.table.sort_by] if self.table.sort_by else None
        (
            self._handle.merge(
                source,
                merge_predicate(keys, in_table.select(self.table.partition_by), sort_values),
                "s",
                "t",
                streamed_exec=False,
                writer_properties=writer_of(self.table),
                commit_properties=properties,
            )
            .when_matched_delete(f"s.{_OPERATION} = 'delete'")
            .when_matched_update(assignments, predicate=f"s.{_OPERATION} = 'upsert'")
            .when_not_matched_insert(assignments, predicate=f"s.{_OPERATION} = 'upsert'")
            .execute()
        )

    def mentioned(self, since: int, columns: Sequence[str]) -> pl.DataFrame:
        """``columns`` of every row that the change feed states after version ``since``, old values and new ones.

        Unlike :meth:`changes` also of rows that came and went. Raises :class:`ChangeFeedExpired` like it.
        """
        nothing = self.table.empty().select(columns)
        if since == self.version:
            return nothing
        return self._feed(since, self.version, columns).select(
            pl.col(name).cast(dtype) for name, dtype in nothing.schema.items()
        )

    def scan(self) -> pl.LazyFrame:
        """All rows at the pinned version. Raises ``LakeDamaged`` when a data file is missing or cut off."""
        with self._wrap_errors("read"):
            self._require_files()
        return super().scan()

    def _require_files(self) -> None:
        folder = table_folder(self.table.path, self.uri)
        if folder is None or self._complete == self.version:
            return
        folder.require_sizes(self.file_sizes(), self.version)
        self._complete = self.version

    def _conform(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The declared columns, in order and type: delta-rs would cast silently."""
        return rows.select(pl.col(name).cast(dtype) for name, dtype in self.table.schema.items())

    def _refresh(self) -> int:
        self._handle.update_incremental()
        settle(self.table.path, self._handle)
        return self.version
