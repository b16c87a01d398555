"""Rebuilds everything after bronze by the steps of a micro-batch, with their checkpoints reset.

Silver and quarantine are emptied first. Gold and warehouse keep their rows until the new ones are computed, and only
differences are written, so that readers never see a partial result; steps read silver only when it is complete. Of gold
only rows with duplicate keys are deleted first, because the comparison is by key. After a rebuild that died, the next
micro-batch completes it.

Steps that do not need each other's tables run side by side.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context

import polars as pl

from patient_flow.contracts import tables
from patient_flow.pipeline import graph, silver
from patient_flow.pipeline.checkpoints import REBUILT_UNTIL, version_of
from patient_flow.pipeline.staleness import all_read_with
from patient_flow.pipeline.steps import StepContext, StepResult, retry_on_conflict
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.inspection import require_readable
from patient_flow.stores.lake.log import Checkpoints
from patient_flow.stores.lake.table import LakeTable

STEPS_AT_ONCE = 2
"""Limits memory: what steps need at the same time adds up."""
WAKE_SECONDS = 1.0
"""Time after which an interrupt is noticed at the latest."""


def rebuild(context: StepContext) -> Iterator[StepResult]:
    """Recomputes silver and gold from bronze, table by table; yields the result of each step.

    Raises ``LakeDamaged``, and changes nothing, when bronze cannot be read completely.
    """
    with context.lake.writing():
        yield from _rebuild(context)


def _rebuild(context: StepContext) -> Iterator[StepResult]:
    lake = context.lake
    require_readable(lake, tables.BRONZE_EVENTS)
    # All resets come first, while no consumer reads silver: a consumer that was reset later would read it twice.
    reset_silver(context)
    for step in graph.GOLD:
        reset(lake, step.table)
    yield from side_by_side(graph.STEPS[1:], context)


def side_by_side(steps: Sequence[graph.Step], context: StepContext) -> Iterator[StepResult]:
    """Runs ``steps``, each once those of them that it reads from or comes after have ended; yields results in order.

    Raises the error of a step that fails, or an interrupt, once those that run beside it have ended; no other one
    begins.
    """
    left, unfinished = list(steps), {step.table.path for step in steps}
    running: dict[Future[StepResult], graph.Step] = {}
    results: dict[str, StepResult] = {}
    threads = ThreadPoolExecutor(STEPS_AT_ONCE, "step")
    try:
        for step in steps:
            while step.table.path not in results:
                for ready in [one for one in left if one.needs.isdisjoint(unfinished)][: STEPS_AT_ONCE - len(running)]:
                    left.remove(ready)
                    # In this context the thread is inside the lake for as long as the rebuild is.
                    running[threads.submit(copy_context().run, ready.run, context)] = ready
                # Polars' signal handler restarts a wait without a limit, so that an interrupt would not end it.
                for future in wait(running, timeout=WAKE_SECONDS, return_when=FIRST_COMPLETED).done:
                    path = running.pop(future).table.path
                    results[path] = future.result()
                    unfinished.discard(path)
            yield results[step.table.path]
    finally:
        _wait_for(running)
        threads.shutdown()


def _wait_for(running: Collection[Future[StepResult]]) -> None:
    """Until steps have ended that still write: nobody may leave the lake before them, however often interrupted."""
    while True:
        with contextlib.suppress(BaseException):  # of interrupts, Dagster's is no Exception either
            if not wait(running, timeout=WAKE_SECONDS).not_done:
                return


def reset_silver(context: StepContext) -> None:
    """Empties the tables that judge events; silver counts as incomplete until it has read bronze as it is now."""
    lake = context.lake
    until = REBUILT_UNTIL.of(lake.open(tables.BRONZE_EVENTS).version)
    key = silver.key_of(lake.open(tables.SILVER_EVENTS), context.parser.secret)
    read = all_read_with(context.parser)
    reset(lake, tables.SILVER_EVENTS, {**until, **key, **read}, empty=True)
    reset(lake, tables.ERASED, empty=True)
    reset(lake, tables.IGNORED, empty=True)
    reset(lake, tables.QUARANTINE, read, empty=True)


@retry_on_conflict
def reset(
    lake: Lake, table: tables.Table, checkpoints: Checkpoints | None = None, *, empty: bool = False
) -> StepResult:
    """Resets what ``table`` has consumed, and with ``empty`` deletes its rows: its next step starts from the beginning.

    Rows of gold that share their key are deleted in any case. Further ``checkpoints`` are recorded with the reset.
    """
    opened = lake.open(table)
    recorded: dict[str, int] = {}
    for source in tables.LAKE_TABLES:
        if version_of(source).read(opened.checkpoint) is not None:
            recorded |= version_of(source).of(None)
    checkpoints = {**recorded, **(checkpoints or {})}
    if empty:
        opened.overwrite(table.empty(), checkpoints)
    elif table.layer == "gold":
        opened.replace(_duplicate_keys(opened), table.empty(), checkpoints)
    elif checkpoints:
        opened.record(checkpoints)
    return StepResult(table, opened.version)


def _duplicate_keys(opened: LakeTable) -> pl.DataFrame:
    """Rows that share their key with another one."""
    key = list(opened.table.key)
    shared = opened.scan().select(key).group_by(key).len("rows").filter(pl.col("rows") > 1)
    return opened.scan().join(shared, on=key, how="semi").collect(engine="streaming")
