"""Repairs damaged tables of a folder lake: bronze from its other files, the hub and quarantine; the others from bronze.

Nothing is deleted: damaged files and tables are moved to ``<layer>/_damaged/``. Tables after bronze are computed again.
No other process writes meanwhile. The new bronze is complete before the damaged one is moved away; a repair that died
between the two moves leaves a lake that every writer refuses, and the next repair puts the new table in its place.
A bronze table whose log or data files are damaged is written again, with another identity, from every data file that is
readable: bronze only grows, so a file that a compaction replaced holds true rows as well. Events that no file has are
read from the hub while it keeps them, then from quarantine. The rest are lost, and stated; silver keeps what it
accepted of them, until a rebuild.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from patient_flow.contracts.events import IMPORTED, NO_HUB
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    LAKE_TABLES,
    SILVER_EVENTS,
    Table,
)
from patient_flow.pipeline import graph, repair_remote
from patient_flow.pipeline.backlog import identity
from patient_flow.pipeline.checkpoints import FOLLOWED_HUB, imported_at, incarnation, partition_count, position
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.recovery import as_bronze, explained, from_hub, from_quarantine, gaps_of, hub_state
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.hub import HubState
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.durability import TableFolder, checksum, flush_folder, table_folder
from patient_flow.stores.lake.inspection import check, decode
from patient_flow.stores.lake.leftovers import DAMAGED, REPLACED, REPLACEMENT, replacement_of
from patient_flow.stores.lake.log import NO_CHECKPOINT, Checkpoints
from patient_flow.wording import plural

_ATTEMPTS = 4
"""Each removes the spare files that are damaged; what they hid is found by the next."""


def repair(context: StepContext, on_wait: Callable[[], None] = lambda: None) -> Iterator[str]:
    """Repairs every damaged table; yields a line for each thing done, and for each gap that remains.

    It waits until no other process writes the lake, and holds back new writers; ``on_wait`` is called once where it has
    to wait.
    """
    with context.lake.alone(on_wait):
        yield from _repair(context)


def _repair(context: StepContext) -> Iterator[str]:
    damaged, is_replaced = [], False
    for table in LAKE_TABLES:
        folder = table_folder(table.path, context.lake.uri(table))
        if folder is None:
            yield from repair_remote.repair(context)
            return
        if (replacement := replacement_of(folder.folder)) is not None:
            is_replaced = True
            _put_in_place(replacement, folder)
            yield f"{table.path}: an interrupted repair had written it again; now it is in its place"
        yield from _set_spare_files_aside(context, table, folder)
        if any(damage.needs_copy for damage in check(context.lake, table)):
            damaged.append(table)
    if BRONZE_EVENTS in damaged:
        yield from _repair_bronze(context)
    for table in damaged:
        if table is not BRONZE_EVENTS:
            yield _set_table_aside(context, table)
    if SILVER_EVENTS in damaged:
        steps = rebuild(context)
    else:
        steps = (step.run(context) for step in graph.STEPS[1:]) if damaged or is_replaced else iter(())
    for result in steps:
        inserted = plural(result.written.inserted, "row")
        yield f"{result.table.path}: {inserted} inserted, {result.written.deleted:,} deleted"
    yield "every table is whole" if damaged or is_replaced else "no table had to be computed again"


def _set_spare_files_aside(context: StepContext, table: Table, folder: TableFolder) -> Iterator[str]:
    for _ in range(_ATTEMPTS):
        spare = [damage for damage in check(context.lake, table) if not damage.needs_copy]
        for damage in spare:
            path = Path(damage.path)
            _move(path, _place(context, table, folder) / path.relative_to(folder.folder))
            yield f"{damage}; moved away, the table is complete without it"
        if not spare:
            return


def _set_table_aside(context: StepContext, table: Table) -> str:
    folder = table_folder(table.path, context.lake.uri(table))
    assert folder is not None  # noqa: S101  (repair has refused remote storage)
    place = _place(context, table, folder)
    _move(folder.folder, place / REPLACED)
    return f"{table.path}: damaged, moved to {place / REPLACED}; computed again from bronze"


def _place(context: StepContext, table: Table, folder: TableFolder) -> Path:
    return folder.folder.parent / DAMAGED / context.run_id / table.name


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


# --- bronze


def _repair_bronze(context: StepContext) -> Iterator[str]:
    folder = table_folder(BRONZE_EVENTS.path, context.lake.uri(BRONZE_EVENTS))
    assert folder is not None  # noqa: S101  (repair has refused remote storage)
    rows, checkpoints = _readable_rows(folder), _readable_checkpoints(folder)
    state = hub_state(context)
    hub, created_at_ms = _followed(context, checkpoints, rows)
    yield f"{BRONZE_EVENTS.path}: {plural(rows.height, 'event is', 'events are')} in readable files"
    for sha256, number in _withdrawn(rows, checkpoints):
        back = plural(number, "row of a file that was withdrawn is back", "rows of a file that was withdrawn are back")
        yield f"{BRONZE_EVENTS.path}: {back}: run `patient-flow import --undo {sha256}` again"
    for source, name in ((from_hub, "the hub"), (from_quarantine, "quarantine")):
        found = source(context, gaps_of(rows, checkpoints, hub, created_at_ms), state)
        new = found.join(rows, on=COORDINATES, how="anti").unique(COORDINATES)
        rows = pl.concat([rows, new])
        yield f"{BRONZE_EVENTS.path}: {plural(new.height, 'event was', 'events were')} read again from {name}"
    gaps = gaps_of(rows, checkpoints, hub, created_at_ms)
    for gap in gaps:
        yield f"lost for good from {BRONZE_EVENTS.path}: {gap}"
    if gaps:
        yield f"{SILVER_EVENTS.path} keeps what it accepted of these, until the next `patient-flow rebuild`"
    recorded = {**checkpoints, **_positions(rows, checkpoints, hub, created_at_ms, state)}
    yield _write_again(context, folder, rows, {**recorded, **explained(gaps, checkpoints)})


def _write_again(context: StepContext, folder: TableFolder, rows: pl.DataFrame, checkpoints: Checkpoints) -> str:
    """Writes a new bronze table beside the damaged one, then replaces that: there is always one that is complete."""
    place = _place(context, BRONZE_EVENTS, folder)
    try:
        new = Lake(str(place / REPLACEMENT)).open(BRONZE_EVENTS)
        new.append(rows, checkpoints, run_id=context.run_id)
    except BaseException:  # the disk may be full, and a copy of readable rows is no loss
        shutil.rmtree(place / REPLACEMENT, ignore_errors=True)
        raise
    line = _set_table_aside(context, BRONZE_EVENTS)
    _put_in_place(place / REPLACEMENT / BRONZE_EVENTS.name, folder)
    return line.replace("computed again from bronze", "written again")


def _put_in_place(replacement: Path, folder: TableFolder) -> None:
    replacement.rename(folder.folder)
    replacement.parent.rmdir()
    for changed in (replacement.parent.parent, folder.folder.parent):
        flush_folder(changed)


def _withdrawn(rows: pl.DataFrame, checkpoints: dict[str, int]) -> Iterator[tuple[str, int]]:
    """SHA-256 and number of rows of files that were withdrawn: files of the table that a withdrawal replaced have them.

    They are kept, because silver may not have followed the withdrawal, and only rows of bronze can be withdrawn.
    """
    of_files = rows.filter(pl.col("hub_created_at") == NO_HUB)["partition_id"].value_counts(sort=True)
    for part, number in of_files.iter_rows():
        sha256 = part.removeprefix(IMPORTED)
        if checkpoints.get(imported_at(sha256).name) == NO_CHECKPOINT:
            yield sha256, number


def _readable_rows(folder: TableFolder) -> pl.DataFrame:
    """All rows in data files that can be read and are what was written."""
    recorded, found = folder.file_checksums(), [BRONZE_EVENTS.empty()]
    for path in sorted(folder.folder.rglob("*.parquet")):
        relative = path.relative_to(folder.folder)
        if relative.parts[0].startswith("_"):
            continue
        expected = recorded.get(relative.as_posix())
        if expected is not None and checksum(path) != expected:
            continue
        if (rows := decode(path)) is not None and set(COORDINATES) <= set(rows.columns):
            found.append(as_bronze(rows.with_columns(ingested_date=pl.col("ingested_at").dt.date())))
    return pl.concat(found).unique(COORDINATES)


def _readable_checkpoints(folder: TableFolder) -> dict[str, int]:
    """Bronze's checkpoints, as far as the log can be read."""
    if not folder.log.exists():
        return {}
    entries, stored = folder.log_versions()
    found: dict[str, int] = {}
    for version in stored:
        part = decode(folder.log / f"{version:020d}.checkpoint.parquet")
        if part is not None and "txn" in part.columns:
            found |= {txn["appId"]: txn["version"] for txn in part["txn"].drop_nulls() if txn and txn["appId"]}
    for version in entries:
        if not stored or version > stored[0]:
            found |= _checkpoints_of(folder.entry_path(version))
    return found


def _checkpoints_of(path: Path) -> dict[str, int]:
    found = {}
    for line in path.read_bytes().split(b"\n"):
        try:
            txn: dict[str, Any] = json.loads(line).get("txn") or {}
            found[str(txn["appId"])] = int(txn["version"])
        except (ValueError, KeyError, AttributeError, TypeError):
            continue
    return found


def _followed(context: StepContext, checkpoints: dict[str, int], rows: pl.DataFrame) -> tuple[str, int]:
    """Name of the hub that bronze follows, and its creation time (ms)."""
    stated = [name for name in checkpoints if FOLLOWED_HUB.matches(checkpoints.get, name)]
    hub = stated[0] if stated else identity(context.hub.host, context.hub.name) if context.hub else ""
    created_at_ms = incarnation(hub).read(checkpoints.get)
    if created_at_ms is None and rows.height:
        created_at_ms = rows.select(pl.col("hub_created_at").max().dt.epoch("ms")).item()
    return hub, int(created_at_ms or 0)


def _positions(
    rows: pl.DataFrame, checkpoints: dict[str, int], hub: str, created_at_ms: int, state: HubState | None
) -> dict[str, int]:
    """Positions in the hub, where the log does not state them: the last event of each partition that is there."""
    followed = rows.filter(pl.col("hub_created_at").dt.epoch("ms") == created_at_ms)
    last = dict(followed.group_by("partition_id").agg(pl.col("sequence_number").max()).iter_rows())
    found: dict[str, int] = {}
    if not last:
        return found
    if not FOLLOWED_HUB.is_recorded(checkpoints.get) and state is not None:
        found |= {**FOLLOWED_HUB.of(hub), **incarnation(hub).of(created_at_ms)}
        found |= partition_count(hub, created_at_ms).of(len(state.partitions))
    if FOLLOWED_HUB.is_recorded(checkpoints.get) or state is not None:
        for part, number in last.items():
            key = position(hub, created_at_ms, part)
            found |= key.of(max(number, key.read(checkpoints.get) or 0))
    return found
