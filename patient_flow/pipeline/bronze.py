"""Hub → bronze: drains the hub, and commits events and positions together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.monitoring.notices import EventsRemaining, Notice, ReadInterrupted
from patient_flow.pipeline import received
from patient_flow.pipeline.backlog import Backlog, PartitionBacklog, plan
from patient_flow.pipeline.checkpoints import READ_UNTIL
from patient_flow.pipeline.hub_probe import peek
from patient_flow.pipeline.steps import StepContext, StepResult, retry_on_conflict
from patient_flow.stores.hub import Slice
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.table import LakeTable

DRAIN_SECONDS = 300.0
DRAIN_BYTES = 256 * 1024 * 1024
"""Approximate size of bodies and properties of one micro-batch. The steps keep several copies in memory, which must fit
into the container whether an event has a hundred bytes or a megabyte."""


@retry_on_conflict
def ingest(context: StepContext) -> StepResult:
    """Appends all new events of the hub (at most ``max_events`` and :data:`DRAIN_BYTES`) to bronze, exactly once.

    Many events enter in several commits, each with the positions that it reaches: a commit is always read whole, so
    its size bounds the memory of every step that follows.
    Notices of the hub are recorded even without new events; otherwise each run would repeat them. The error of a
    partition that cannot be read becomes a notice, so that the events of the other partitions are committed.
    Raises ``HubUnavailable`` when no partition can be read, ``HubRefused`` when it is another hub, and ``ValueError``
    for a context without a hub.
    """
    hub, now = context.hub, context.now
    if hub is None:
        raise ValueError("bronze reads from a hub, and the context has none")
    bronze = context.lake.open(BRONZE_EVENTS)
    state = peek(hub)
    backlog = plan(state, bronze.checkpoint, context.max_events, adopt=context.adopt_hub)
    slices = [resume_at(bronze, backlog, part) for part in backlog.partitions]
    if not slices and not backlog.notices:
        nothing = {"backlog": 0, "events_received": 0}
        return StepResult(BRONZE_EVENTS, bronze.version, figures={**nothing})
    drained = hub.drain(slices, time.monotonic() + DRAIN_SECONDS, DRAIN_BYTES)
    events = drained.events
    if drained.error is not None and events.is_empty():
        raise drained.error
    last_read = _last_read(events)
    rows = events.with_columns(
        hub_created_at=pl.lit(state.created_at),
        ingested_at=pl.lit(now),
        ingested_date=pl.lit(now.date()),
        run_id=pl.lit(context.run_id),
    )
    left = backlog.events - events.height
    reached: dict[str, int] = {}
    for part in _parts(rows):
        reached |= _last_read(part)
        read_until = READ_UNTIL.of(now) if reached == last_read and not left else {}
        bronze.append(part, {**backlog.checkpoints(reached), **read_until}, run_id=context.run_id)
    notices: list[Notice] = [*backlog.notices]
    if drained.error is not None:
        notices.append(ReadInterrupted(str(drained.error)))
    if left:
        notices.append(EventsRemaining(left))
    return StepResult(
        BRONZE_EVENTS,
        bronze.version,
        RowsWritten(inserted=events.height),
        figures={
            "backlog": left,
            "deferred_events": left if drained.limit_reached else 0,
            "events_received": events.height,
            "bytes_received": int(events["body"].bin.size().sum()),
            "longest_wait_minutes": _longest_wait(events, now),
        },
        counts={
            "events": dict(events["partition_id"].value_counts().iter_rows()),
            "lag": {
                part.partition_id: part.available - (last_read.get(part.partition_id, part.after) - part.after)
                for part in backlog.partitions
            },
        },
        notices=tuple(notices),
        newest_event_at=_newest(events),
    )


def _parts(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """``rows`` in parts of which each goes on in every partition; one part without rows where there are none.

    What the hub took at about the same time comes together: visits are in few parts, and files have short spans.
    """
    if rows.height <= received.ROWS_AT_ONCE:
        return iter([rows])
    taken_at = pl.col("enqueued_at").cum_max().over("partition_id")  # the clock of the hub may go back
    return rows.sort(taken_at, maintain_order=True).iter_slices(received.ROWS_AT_ONCE)


def _last_read(rows: pl.DataFrame) -> dict[str, int]:
    """The largest sequence number of each partition."""
    return dict(rows.group_by("partition_id").agg(pl.col("sequence_number").max()).iter_rows())


def _newest(events: pl.DataFrame) -> datetime | None:
    newest = events["enqueued_at"].max()
    return newest if isinstance(newest, datetime) else None


def _longest_wait(events: pl.DataFrame, now: datetime) -> float:
    """Minutes that the oldest of the events had waited at the hub."""
    oldest = events["enqueued_at"].min()
    return round((now - oldest).total_seconds() / 60, 2) if isinstance(oldest, datetime) else 0.0


def resume_at(bronze: LakeTable, backlog: Backlog, part: PartitionBacklog) -> Slice:
    """The slice to read, from the stored offset: the only position that survives a geo-replication failover."""
    offset = None
    if part.after >= 0 and not part.lost:
        stored = (
            bronze.scan()
            .filter(
                pl.col("sequence_number") == part.after,
                pl.col("partition_id") == part.partition_id,
                pl.col("hub_created_at").dt.epoch("ms") == backlog.created_at_ms,
            )
            .select("offset")
            .collect()
        )
        offset = stored.item(0, 0) if stored.height else None
    return Slice(part.partition_id, part.after, part.upto, offset)
