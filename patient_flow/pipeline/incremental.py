"""Shared parts of the steps of gold: reading changes, finding touched keys, and committing differences.

Every step reads the net changes of its sources since the consumed versions, finds the keys they touch, recomputes the
rows of these keys from their complete history, and commits differences and checkpoints together. When the changes are
no longer kept, or nothing was consumed yet, every key counts as touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

from patient_flow.pipeline.checkpoints import TIME_ZONE, consumed, consumption
from patient_flow.pipeline.steps import StepResult, is_up_to_date
from patient_flow.stores.lake.changes import Changes
from patient_flow.stores.lake.errors import ChangeFeedExpired
from patient_flow.stores.lake.log import Checkpoints
from patient_flow.stores.lake.table import LakeTable

c = pl.col

EVENTS_AT_ONCE = 250_000
"""Silver events that are processed at once when a whole table is computed: limits memory."""

STAYS_AT_ONCE = 1_000_000
"""Stays that are counted at once when a whole table is computed, or one month of them: limits memory."""

LATE = timedelta(days=1)
"""Events that are older than most of their batch by more than this are read separately."""


def changes_of(target: LakeTable, source: LakeTable, columns: Iterable[str]) -> Changes | None:
    """Changes of ``source`` since ``target`` consumed it.

    None where these are no longer kept, or ``source`` was replaced: then all of it counts, which may be larger than
    memory.
    """
    since = consumed(target, source)
    if since is not None:
        with contextlib.suppress(ChangeFeedExpired):
            return source.changes(since, list(columns))
    return None


def mentioned(target: LakeTable, source: LakeTable, columns: Iterable[str]) -> pl.DataFrame | None:
    """``columns`` of all rows of ``source`` that changed since ``target`` consumed it, also of rows that came and went.

    None where :func:`changes_of` is None.
    """
    since = consumed(target, source)
    if since is not None:
        with contextlib.suppress(ChangeFeedExpired):
            return source.mentioned(since, list(columns))
    return None


def replace(
    target: LakeTable,
    before: pl.DataFrame,
    after: pl.DataFrame,
    sources: Iterable[LakeTable],
    checkpoints: Checkpoints | None = None,
    *,
    run_id: str,
) -> StepResult:
    """Replaces ``before`` by ``after`` in one commit that also records the consumption of ``sources``.

    Further ``checkpoints`` are recorded with them.
    """
    sources = tuple(sources)
    written = target.replace(before, after, {**consumption(*sources), **(checkpoints or {})}, run_id=run_id)
    return StepResult(target.table, target.version, written, consumed=versions_of(sources))


def versions_of(sources: Iterable[LakeTable]) -> dict[str, int]:
    """The versions at which ``sources`` were opened, by path."""
    return {source.table.path: source.version for source in sources}


def zone_changed(target: LakeTable, zone: str) -> bool:
    """True when the dates of ``target`` use another time zone, or an unrecorded one."""
    return not TIME_ZONE.matches(target.checkpoint, zone)


def nothing_to_do(target: LakeTable, *sources: LakeTable, run_id: str) -> StepResult:
    """Records that ``sources`` were consumed without a change, unless it is recorded already."""
    if is_up_to_date(target, *sources):
        return StepResult(target.table, target.version)
    empty = target.table.empty()
    return replace(target, empty, empty, sources, run_id=run_id)


def versions_changed(target: LakeTable, departments: LakeTable) -> bool:
    """True when department versions that rows refer to may have changed.

    New inferred members cannot affect rows, nor can another spelling of one: its key stays.
    """
    columns = [name for name in departments.table.schema if name != "department"]
    changes = changes_of(target, departments, columns)
    if changes is None:
        return True
    gone = changes.before.join(changes.after, on=columns, how="anti", nulls_equal=True)
    return not gone.is_empty() or not changes.after["is_inferred"].all()


def is_one_of(column: str, values: pl.Series) -> pl.Expr:
    """True where ``column`` is one of ``values``."""
    return c(column).is_in(values.unique().implode())


def rows_without_source(rows: pl.LazyFrame, source: LakeTable, key: str) -> pl.DataFrame:
    """Those of ``rows`` whose ``key`` is null, or which no row of ``source`` has. Only keys are compared."""
    known = source.scan().select(key).unique()
    gone = rows.select(key).join(known, on=key, how="anti").unique().collect(engine="streaming")
    return rows.filter(c(key).is_null() | is_one_of(key, gone[key])).collect(engine="streaming")


def earliest(instants: pl.Series) -> datetime | None:
    """The first of ``instants``; None where there is none."""
    first = instants.min()
    return first if isinstance(first, datetime) else None
