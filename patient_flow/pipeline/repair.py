"""Repairs damaged tables of a folder lake: bronze from its other files, the hub and quarantine; the others from bronze.

Nothing is deleted: damaged files and tables are moved to ``<layer>/_damaged/``. Tables after bronze are computed again.
A bronze table whose log or data files are damaged is written again, with another identity, from every data file that is
readable: bronze only grows, so a file that a compaction replaced holds true rows as well. Events that no file has are
read from the hub while it keeps them, then from quarantine. The rest are lost, and stated; silver keeps what it
accepted of them, until a rebuild.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    LAKE_TABLES,
    SILVER_EVENTS,
    Table,
)
from patient_flow.pipeline import graph, repair_remote
from patient_flow.pipeline.backlog import identity
from patient_flow.pipeline.checkpoints import FOLLOWED_HUB, incarnation, partition_count, position
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.recovery import as_bronze, explained, from_hub, from_quarantine, gaps_of, hub_state
from patient_flow.pipeline.steps import StepContext, while_writing
from patient_flow.stores.hub import HubState
from patient_flow.stores.lake.durability import TableFolder, checksum, table_folder
from patient_flow.stores.lake.inspection import check, decode
from patient_flow.stores.lake.leftovers import DAMAGED

_ATTEMPTS = 4
"""Each removes the spare files that are damaged; what they hid is found by the next."""


@while_writing
def repair(context: StepContext) -> Iterator[str]:
    """Repairs every damaged table; yields a line for each thing done, and for each gap that remains."""
    damaged = []
    for table in LAKE_TABLES:
        folder = table_folder(table.path, context.lake.uri(table))
        if folder is None:
            yield from repair_remote.repair(context)
            return
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
        steps = (step.run(context) for step in graph.STEPS[1:]) if damaged else iter(())
    for result in steps:
        yield f"{result.table.path}: {result.written.inserted:,} rows inserted, {result.written.deleted:,} deleted"
    yield "every table is whole" if damaged else "no table had to be computed again"


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
    _move(folder.folder, place / "table")
    return f"{table.path}: damaged, moved to {place / 'table'}; computed again from bronze"


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
    yield f"{BRONZE_EVENTS.path}: {rows.height:,} events are in readable files"
    for source, name in ((from_hub, "the hub"), (from_quarantine, "quarantine")):
        found = source(context, gaps_of(rows, checkpoints, hub, created_at_ms), state)
        new = found.join(rows, on=COORDINATES, how="anti").unique(COORDINATES)
        rows = pl.concat([rows, new])
        yield f"{BRONZE_EVENTS.path}: {new.height:,} events were read again from {name}"
    gaps = gaps_of(rows, checkpoints, hub, created_at_ms)
    yield _set_table_aside(context, BRONZE_EVENTS).replace("computed again from bronze", "written again")
    context.lake.open(BRONZE_EVENTS).append(
        rows.select(BRONZE_EVENTS.schema.names()),
        {**checkpoints, **_positions(rows, checkpoints, hub, created_at_ms, state), **explained(gaps, checkpoints)},
        run_id=context.run_id,
    )
    for gap in gaps:
        yield f"lost for good from {BRONZE_EVENTS.path}: {gap}"
    if gaps:
        yield f"{SILVER_EVENTS.path} keeps what it accepted of these, until the next `patient-flow rebuild`"


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
