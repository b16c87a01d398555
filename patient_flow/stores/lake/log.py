"""The entries of a Delta log that this package writes and reads: checkpoints, table properties, data files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import ColumnProperties, CommitProperties, DeltaTable, Transaction, WriterProperties
from deltalake.transaction import AddAction, RemoveAction

from patient_flow.contracts.tables import Table
from patient_flow.stores.lake.durability import CHECKPOINTS_STATED
from patient_flow.stores.lake.errors import wrap_errors

Checkpoints = Mapping[str, int]
"""Source → the version of it (a Delta version, a sequence number) up to which a table has consumed it.

Stored as Delta's application transactions."""
NO_CHECKPOINT = -1
"""Recorded to reset a checkpoint: delta-rs can overwrite a recorded version but not remove it."""

CHECKPOINT_EVERY = "50"
LOG_RETENTION = "interval 1 day"
"""Each commit lists the log: a week of one-minute commits makes it three times as slow as a day of them."""
TOMBSTONE_RETENTION = "interval 1 day"
"""Each Delta checkpoint repeats the files replaced within this time; vacuum lists the folder and does not need them."""
STATISTICS = "delta.dataSkippingStatsColumns"
ROWS_PER_GROUP = 131_072
"""Rows per Parquet row group, the unit that a reader can skip; the default of delta-rs is a million."""
_DISTINCT = frozenset(
    {"event_id", "event_key", "merged_patient_id", "offset", "patient_id", "patient_key", "sequence_number", "visit_id"}
)
_ONE_PER_HUB = "hub_created_at"


@cache
def writer_of(table: Table) -> WriterProperties:
    """How Parquet files of ``table`` are written.

    Columns in which nearly every row has another value get no dictionary: it would be filled, found too large and given
    up, which takes more time than all else. Bodies are compressed to a third; hashes and instants hardly compress, and
    reading them often costs more than their bytes.
    """
    plain = ColumnProperties(dictionary_enabled=False)
    has_bodies = any(dtype == pl.Binary for dtype in table.schema.values())
    return WriterProperties(
        max_row_group_size=ROWS_PER_GROUP,
        compression="SNAPPY" if has_bodies else "UNCOMPRESSED",
        column_properties=dict.fromkeys(_distinct_columns(table), plain),
    )


def _distinct_columns(table: Table) -> list[str]:
    return [
        name
        for name, dtype in table.schema.items()
        if name not in (*table.partition_by, _ONE_PER_HUB)
        and (
            isinstance(dtype, pl.Datetime | pl.Float64 | pl.Binary)
            or name.endswith("_hash")
            or name in _DISTINCT
            or table.key == (name,)
        )
    ]


def number_of(text: str) -> int:
    """63-bit hash of ``text``, for a checkpoint that represents a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def commit_properties(
    checkpoints: Checkpoints, metadata: Mapping[str, str] | None = None, retries: int | None = None
) -> CommitProperties:
    """Properties of a commit that records ``checkpoints``; ``retries`` None leaves the default of delta-rs."""
    return CommitProperties(
        custom_metadata={**(metadata or {}), CHECKPOINTS_STATED: str(len(checkpoints))},
        max_commit_retries=retries,
        app_transactions=[Transaction(source, version) for source, version in checkpoints.items()],
    )


def table_properties(table: Table) -> dict[str, str]:
    """Delta properties that maintenance may change later: the target file size and the retention of the log."""
    return {
        "delta.logRetentionDuration": LOG_RETENTION,
        "delta.deletedFileRetentionDuration": TOMBSTONE_RETENTION,
        "delta.enableExpiredLogCleanup": "false",  # any commit would do it; maintenance knows who still needs the log
        STATISTICS: ",".join(statistics_columns(table)),
        **({"delta.targetFileSize": str(table.file_bytes)} if table.file_bytes else {}),
    }


def statistics_columns(table: Table) -> list[str]:
    """Columns whose smallest and largest values the log holds for each file.

    None with text or bytes: these come from senders or identify patients, and the log outlives the rows that it lists.
    """
    return [
        name
        for name, dtype in table.schema.items()
        if (dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean) and name not in table.partition_by
    ]


def restated(files: pl.DataFrame, table: Table) -> list[AddAction | RemoveAction]:
    """The entries of the data files in ``files`` (:func:`data_files`) with the statistics of today's columns only."""
    columns = statistics_columns(table)
    return [
        AddAction(
            path=unquote(row["path"]),
            size=row["size_bytes"],
            partition_values={name: _text(row[f"partition.{name}"]) for name in table.partition_by},
            modification_time=row["modification_time"],
            data_change=False,
            stats=json.dumps(
                {
                    "numRecords": row["num_records"],
                    "minValues": _statistics(row, "min", columns),
                    "maxValues": _statistics(row, "max", columns),
                    "nullCount": _statistics(row, "null_count", columns),
                }
            ),
        )
        for row in files.iter_rows(named=True)
    ]


def _statistics(row: Mapping[str, Any], kind: str, columns: Sequence[str]) -> dict[str, Any]:
    known = {name: row.get(f"{kind}.{name}") for name in columns}
    return {
        name: value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if isinstance(value, datetime) else _date(value)
        for name, value in known.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def _date(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def data_files(handle: DeltaTable, target: str) -> pl.DataFrame:
    """One row per data file: path, size, row count, partition values, and the statistics of each column.

    Raises :class:`LakeError`, which names ``target``.
    """
    with wrap_errors("read", target):
        return pl.DataFrame(handle.get_add_actions(flatten=True))
