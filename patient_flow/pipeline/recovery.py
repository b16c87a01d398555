"""Events that bronze has read and lost: which they are, and which of them the hub or quarantine still holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS, QUARANTINE
from patient_flow.errors import TransientError
from patient_flow.pipeline.bronze import DRAIN_BYTES, DRAIN_SECONDS
from patient_flow.pipeline.checkpoints import lost_events, partition_count, position
from patient_flow.pipeline.hub_probe import peek
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.hub import HubState, Slice
from patient_flow.stores.lake.errors import LakeError


@dataclass(frozen=True)
class Gap:
    """Consecutive events of one partition that bronze lacks: from sequence number ``first`` to ``last``."""

    created_at_ms: int
    partition_id: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"partition {self.partition_id}, events {self.first} to {self.last}"


def hub_state(context: StepContext) -> HubState | None:
    """The hub's state; None when it cannot be reached."""
    try:
        return None if context.hub is None else peek(context.hub)
    except TransientError:
        return None


def gaps_of(rows: pl.DataFrame, checkpoints: Mapping[str, int], hub: str, created_at_ms: int) -> list[Gap]:
    """Sequence numbers that bronze has read and ``rows`` lack."""
    found = []
    followed = rows.filter(pl.col("hub_created_at").dt.epoch("ms") == created_at_ms)
    present = {part[0]: group["sequence_number"].sort() for part, group in followed.group_by("partition_id")}
    prefix = position(hub, created_at_ms, "").name
    stated = {key.removeprefix(prefix): number for key, number in checkpoints.items() if key.startswith(prefix)}
    stated.pop(partition_count(hub, created_at_ms).name.removeprefix(prefix), None)
    for part in sorted(present.keys() | stated.keys(), key=str):
        numbers = [-1, *present.get(part, []), stated.get(str(part), -1) + 1]
        lost = lost_events(created_at_ms, str(part)).read(checkpoints.get) or 0
        between = [(low + 1, high - 1) for low, high in pairwise(numbers) if high > low + 1]
        if between and lost >= between[0][1] - between[0][0] + 1:
            between = between[1:]  # retention had deleted these before they were read
        found += [Gap(created_at_ms, str(part), first, last) for first, last in between]
    return found


def from_hub(context: StepContext, gaps: list[Gap], state: HubState | None) -> pl.DataFrame:
    """The events in ``gaps`` that the hub still keeps."""
    found = [BRONZE_EVENTS.empty()]
    if context.hub is None or state is None:
        return found[0]
    for part in state.partitions:
        ours = [
            gap
            for gap in gaps
            if gap.partition_id == part.partition_id and gap.created_at_ms == int(state.created_at.timestamp() * 1000)
        ]
        after = max(min((gap.first for gap in ours), default=0), part.first_sequence_number) - 1
        upto = min(max((gap.last for gap in ours), default=-1), part.last_sequence_number)
        while after < upto:
            slices = [Slice(part.partition_id, after, upto, None)]
            events = context.hub.drain(slices, time.monotonic() + DRAIN_SECONDS, DRAIN_BYTES).events
            if events.is_empty():
                break
            after = int(events["sequence_number"].to_list()[-1])
            wanted = pl.any_horizontal(pl.col("sequence_number").is_between(gap.first, gap.last) for gap in ours)
            found.append(as_bronze(_ingested(context, events.filter(wanted), state)))
    return pl.concat(found)


def _ingested(context: StepContext, events: pl.DataFrame, state: HubState) -> pl.DataFrame:
    return events.with_columns(
        hub_created_at=pl.lit(state.created_at),
        ingested_at=pl.lit(context.now),
        ingested_date=pl.lit(context.now.date()),
        run_id=pl.lit(context.run_id),
    )


def from_quarantine(context: StepContext, gaps: list[Gap], _state: HubState | None) -> pl.DataFrame:
    """The rejected events in ``gaps``, of which quarantine keeps the bodies: those that came alone in a body."""
    try:
        if not gaps or not context.lake.exists(QUARANTINE):
            return BRONZE_EVENTS.empty()
        rows = context.lake.open(QUARANTINE).scan().filter(pl.col("parts").fill_null(1) == 1).collect()
    except (LakeError, pl.exceptions.PanicException, pl.exceptions.PolarsError):
        return BRONZE_EVENTS.empty()
    lost = pl.any_horizontal(
        (pl.col("partition_id") == gap.partition_id)
        & pl.col("sequence_number").is_between(gap.first, gap.last)
        & (pl.col("hub_created_at").dt.epoch("ms") == gap.created_at_ms)
        for gap in gaps
    )
    return as_bronze(
        rows.filter(lost).with_columns(
            ingested_at=pl.lit(context.now), ingested_date=pl.lit(context.now.date()), run_id=pl.lit(context.run_id)
        )
    )


def explained(gaps: list[Gap], checkpoints: Mapping[str, int]) -> dict[str, int]:
    """The events lost for good are recorded like those that retention deleted."""
    found: dict[str, int] = {}
    for gap in gaps:
        key = lost_events(gap.created_at_ms, gap.partition_id)
        before = key.read({**checkpoints, **found}.get) or 0
        found |= key.of(before + gap.last - gap.first + 1)
    return found


def as_bronze(rows: pl.DataFrame) -> pl.DataFrame:
    """``rows`` with the columns of bronze; those they lack are null."""
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in BRONZE_EVENTS.schema.items()
    )
