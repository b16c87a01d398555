"""Repairs damaged tables on remote storage, where the service keeps each log entry whole.

A data file that is missing or cannot be decoded is taken out of its table's log; its bytes stay until a vacuum of
the table. Bronze then reads lost events from the hub and from quarantine. The other tables are computed again from
bronze. A damaged log is not repaired here: its blobs are restored from soft delete or versions.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    IGNORED,
    LAKE_TABLES,
    QUARANTINE,
    SILVER_EVENTS,
    Table,
)
from patient_flow.pipeline import graph
from patient_flow.pipeline.backlog import identity
from patient_flow.pipeline.checkpoints import incarnation, lost_events, partition_count, position
from patient_flow.pipeline.rebuild import reset
from patient_flow.pipeline.recovery import explained, from_hub, from_quarantine, gaps_of, hub_state
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.lake.inspection import check
from patient_flow.stores.lake.table import LakeTable
from patient_flow.wording import plural


def repair(context: StepContext) -> Iterator[str]:
    """Repairs every table with damaged data files; yields a line for each thing done, and for each gap that remains.

    Raises ``LakeUnavailable`` when a file cannot be read for another reason than damage.
    """
    damaged = []
    for table in LAKE_TABLES:
        found = list(check(context.lake, table))
        if not found:
            continue
        damaged.append(table)
        opened = context.lake.open(table)
        opened.maintenance().forget_files([damage.path.removeprefix(opened.uri).lstrip("/") for damage in found])
        yield from (f"{damage}; taken out of the table" for damage in found)
    if BRONZE_EVENTS in damaged:
        yield from _recover_bronze(context)
    if damaged:
        yield from _recompute(context, damaged)
    yield "every table is whole" if damaged else "no table had to be computed again"


def _recompute(context: StepContext, damaged: list[Table]) -> Iterator[str]:
    """Every table after bronze reads its sources from the start: their change feeds do not show which rows are gone.

    Silver keeps the rows that it has, those of events that bronze has lost among them.
    """
    for table in LAKE_TABLES[1:]:
        reset(context.lake, table, empty=table in damaged and table in (IGNORED, QUARANTINE))
    for step in graph.STEPS[1:]:
        result = step.run(context)
        inserted = plural(result.written.inserted, "row")
        yield f"{result.table.path}: {inserted} inserted, {result.written.deleted:,} deleted"


def _recover_bronze(context: StepContext) -> Iterator[str]:
    bronze = context.lake.open(BRONZE_EVENTS)
    rows = bronze.scan().select(COORDINATES).collect()
    hub = identity(context.hub.host, context.hub.name) if context.hub else ""
    created_at_ms = incarnation(hub).read(bronze.checkpoint)
    if created_at_ms is None:
        yield f"{BRONZE_EVENTS.path} does not follow the hub of the settings: nothing can be read again from it"
        return
    checkpoints, state = _positions(bronze, hub, created_at_ms), hub_state(context)
    for source, name in ((from_hub, "the hub"), (from_quarantine, "quarantine")):
        found = source(context, gaps_of(rows, checkpoints, hub, created_at_ms), state)
        new = found.join(rows, on=COORDINATES, how="anti").unique(COORDINATES)
        bronze.append(new, {}, run_id=context.run_id)
        rows = pl.concat([rows, new.select(COORDINATES)])
        yield f"{BRONZE_EVENTS.path}: {plural(new.height, 'event was', 'events were')} read again from {name}"
    gaps = gaps_of(rows, checkpoints, hub, created_at_ms)
    bronze.record(explained(gaps, checkpoints))
    for gap in gaps:
        yield f"lost for good from {BRONZE_EVENTS.path}: {gap}"
    if gaps:
        yield f"{SILVER_EVENTS.path} keeps what it accepted of these, until the next `patient-flow rebuild`"


def _positions(bronze: LakeTable, hub: str, created_at_ms: int) -> dict[str, int]:
    """Bronze's checkpoints of each partition of the hub that it follows."""
    parts = [str(number) for number in range(partition_count(hub, created_at_ms).read(bronze.checkpoint) or 0)]
    keys = [key for part in parts for key in (position(hub, created_at_ms, part), lost_events(created_at_ms, part))]
    return {key.name: number for key in keys if (number := key.read(bronze.checkpoint)) is not None}
