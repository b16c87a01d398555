"""Files → bronze: each row once, whatever dies in between; and back out of it.

A file is known by its SHA-256. Its rows lie under a partition of that name, numbered as in the file, and enter in
commits that record how many of them are there; a second attempt goes on after the last one. What becomes of the rows
is the business of the steps that follow bronze.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import polars as pl

from patient_flow.contracts.events import IMPORTED, NO_HUB
from patient_flow.contracts.tables import BRONZE_EVENTS, ERASED, IGNORED, QUARANTINE, SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.files import Source, bodies
from patient_flow.pipeline.checkpoints import (
    FILE_ROWS_TO_COME,
    FILES_CHANGED_AT,
    LAST_IMPORT,
    imported_at,
    imported_rows,
    rows_of_import,
)
from patient_flow.pipeline.steps import while_writing
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import CommitConflict
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.read import ParserConfig
from patient_flow.transforms.stated import latest_stated

ROWS_AT_ONCE = 50_000
"""Rows of one commit: they are in memory at once, with what is read of them."""
BYTES_AT_ONCE = 32 * 1024 * 1024
_ATTEMPTS = 5
ABANDONED_AFTER = timedelta(days=1)
"""An import or withdrawal that began this long ago and has not ended is not waited for."""

c = pl.col

Progress = Callable[[int], None]
"""Called with the number of rows of the file that are in bronze."""


@dataclass(frozen=True)
class Outcome:
    """What became of the rows of one file: ``ignored`` by name, ``quarantined`` by reason (a row may have several)."""

    rows: int
    accepted: int
    ignored: dict[str, int]
    quarantined: dict[str, int]
    rejected_rows: int
    erased: int


@dataclass(frozen=True)
class FilesState:
    """Which rows of files bronze has: ``changed_at`` is another one after each change, None where there was none.

    ``is_complete`` is false while an import or a withdrawal of a file is under way.
    """

    changed_at: datetime | None
    is_complete: bool


def files_state(lake: Lake, now: datetime) -> FilesState:
    """The state of the rows of files at ``now``, from bronze's checkpoints."""
    read = lake.open(BRONZE_EVENTS).checkpoint
    changed_at, to_come = FILES_CHANGED_AT.read(read), FILE_ROWS_TO_COME.read(read)
    return FilesState(changed_at, not (changed_at and to_come) or now - changed_at > ABANDONED_AFTER)


def _changed(bronze: LakeTable, now: datetime, to_come: int) -> dict[str, int]:
    last = FILES_CHANGED_AT.read(bronze.checkpoint)
    changed_at = max(now, last + timedelta(microseconds=1)) if last else now
    return {**FILES_CHANGED_AT.of(changed_at), **FILE_ROWS_TO_COME.of(to_come)}


def partition_of(sha256: str) -> str:
    """The partition of bronze that holds the rows of a file."""
    return f"{IMPORTED}{sha256}"


def is_complete(bronze: LakeTable, source: Source) -> bool:
    """True when all rows of the file are in bronze."""
    done = imported_rows(source.sha256).read(bronze.checkpoint)
    return done is not None and done == rows_of_import(source.sha256).read(bronze.checkpoint)


def is_begun(bronze: LakeTable, sha256: str) -> bool:
    """True when rows of the file are in bronze, all or some."""
    return imported_at(sha256).read(bronze.checkpoint) is not None


@while_writing
def write(
    lake: Lake,
    source: Source,
    parser: ParserConfig,
    *,
    now: datetime,
    as_of: datetime | None,
    run_id: str,
    progress: Progress,
) -> Iterator[int]:
    """Appends the rows of ``source`` that bronze lacks; yields how many each commit added.

    A row counts as received at the latest instant that it states, or at ``as_of``. Raises :class:`OperatorError` for
    rows that an unfinished withdrawal has left, and ``FileRefused`` where the file changed since it was examined.
    """
    sha256 = source.sha256
    conflicts = 0
    while True:
        bronze = lake.open(BRONZE_EVENTS)
        begun = imported_at(sha256).read(bronze.checkpoint)
        if begun is None:
            _require_withdrawn(bronze, source)
            begun = max(now, (LAST_IMPORT.read(bronze.checkpoint) or NO_HUB) + timedelta(microseconds=1))
        done = imported_rows(sha256).read(bronze.checkpoint) or 0
        try:
            for rows in _batches(source, done):
                frame = _bronze_rows(source, rows, parser, begun, as_of, run_id)
                source.require_unchanged()
                done += len(rows)
                recorded = {
                    **imported_at(sha256).of(begun),
                    **rows_of_import(sha256).of(source.rows),
                    **imported_rows(sha256).of(done),
                    **(LAST_IMPORT.of(begun) if begun > (LAST_IMPORT.read(bronze.checkpoint) or NO_HUB) else {}),
                    **_changed(bronze, now, source.rows - done),
                }
                bronze.append(frame, recorded, run_id=run_id, file=source.path.name)
                conflicts = 0
                progress(done)
                yield len(rows)
        except CommitConflict:
            conflicts += 1
            if conflicts == _ATTEMPTS:
                raise
            continue
        return


def batches(source: Source, parser: ParserConfig, now: datetime, as_of: datetime | None) -> Iterator[pl.DataFrame]:
    """The rows of a file as bronze would hold them, some at once, all received at ``as_of``, else ``now``."""
    return (_bronze_rows(source, rows, parser, now, as_of or now, "") for rows in _batches(source, 0))


def count(lake: Lake, sha256: str) -> int:
    """Rows of a file in bronze."""
    return int(_of_file(lake.open(BRONZE_EVENTS), sha256).select(pl.len()).collect().item())


@while_writing
def withdraw(lake: Lake, sha256: str, *, now: datetime, run_id: str, progress: Progress) -> Iterator[int]:
    """Deletes the rows of a file from bronze, some per commit; yields how many have gone after each.

    Raises :class:`OperatorError` where bronze holds none.
    """
    bronze = lake.open(BRONZE_EVENTS)
    held = _of_file(bronze, sha256).select(first=c("sequence_number").min(), last=c("sequence_number").max())
    first, last = held.collect().row(0)
    if first is None:
        if is_begun(bronze, sha256):
            bronze.record(_forgotten(sha256))
        raise OperatorError(f"no rows of a file with the SHA-256 {sha256} are in the lake: it was not imported")
    gone = 0
    for start in range(first, last + 1, ROWS_AT_ONCE):
        end = min(last, start + ROWS_AT_ONCE - 1)
        predicate = (
            f"partition_id = '{partition_of(sha256)}' and sequence_number >= {start} and sequence_number <= {end}"
        )
        bronze = lake.open(BRONZE_EVENTS)  # an import beside this may have committed since
        gone += bronze.delete(predicate, _forgotten(sha256) | _changed(bronze, now, last - end), run_id=run_id)
        progress(gone)
        yield gone


def outcome_of(lake: Lake, sha256: str) -> Outcome:
    """What became of the rows of a file, as the tables after bronze say now."""
    bronze, silver, ignored, quarantine = (
        lake.open(table) for table in (BRONZE_EVENTS, SILVER_EVENTS, IGNORED, QUARANTINE)
    )
    rows, accepted = (int(_of_file(table, sha256).select(pl.len()).collect().item()) for table in (bronze, silver))
    names = _of_file(ignored, sha256).group_by("name").len().sort("len", descending=True).collect()
    rejected = _of_file(quarantine, sha256).select("reasons").collect()
    reasons = rejected.explode("reasons")["reasons"].drop_nulls().value_counts(sort=True)
    erased = int(_of_file(lake.open(ERASED), sha256).select(pl.len()).collect().item())
    return Outcome(rows, accepted, dict(names.iter_rows()), dict(reasons.iter_rows()), rejected.height, erased)


def _of_file(table: LakeTable, sha256: str) -> pl.LazyFrame:
    return table.scan().filter(c("hub_created_at") == NO_HUB, c("partition_id") == partition_of(sha256))


def _forgotten(sha256: str) -> dict[str, int]:
    keys = (imported_at(sha256), rows_of_import(sha256), imported_rows(sha256))
    return {name: number for key in keys for name, number in key.of(None).items()}


def _require_withdrawn(bronze: LakeTable, source: Source) -> None:
    if not _of_file(bronze, source.sha256).head(1).collect().is_empty():
        raise OperatorError(
            f"{source.path.name}: withdrawing this file was interrupted, and rows of it are still in the lake: run "
            f"`patient-flow import --undo {source.sha256}` again, then import it"
        )


def _batches(source: Source, after: int) -> Iterator[list[tuple[int, bytes]]]:
    rows = bodies(source, after)
    while batch := list(_bounded(islice(rows, ROWS_AT_ONCE))):
        yield batch


def _bounded(rows: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    size = 0
    for number, body in rows:
        size += len(body)
        yield number, body
        if size > BYTES_AT_ONCE:
            return


def _bronze_rows(
    source: Source,
    rows: list[tuple[int, bytes]],
    parser: ParserConfig,
    begun: datetime,
    as_of: datetime | None,
    run_id: str,
) -> pl.DataFrame:
    schema = BRONZE_EVENTS.schema
    numbers, contents = zip(*rows, strict=True)
    body = pl.Series("body", contents, dtype=pl.Binary)
    received = pl.lit(as_of, schema["enqueued_at"]) if as_of is not None else latest_stated(body, parser, begun)
    given = {
        "hub_created_at": pl.lit(NO_HUB),
        "partition_id": pl.lit(partition_of(source.sha256)),
        "enqueued_at": received,
        "ingested_at": pl.lit(begun),
        "run_id": pl.lit(run_id),
        "ingested_date": pl.lit(begun.date()),
    }
    frame = pl.DataFrame([pl.Series("sequence_number", numbers, dtype=pl.Int64), body]).with_columns(**given)
    return frame.select(
        (c(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items()
    )
