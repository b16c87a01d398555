"""Clusters of visits, folded once for both facts: what changes touch, what waits (F20), or everything.

The facts consume the same changes and are made one after the other in a run. The second one takes the clusters that
the first one folded in the same process; where it touches others, or runs by itself, it folds its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.tables import SILVER_EVENTS
from patient_flow.pipeline import clusters
from patient_flow.pipeline.ahead import ahead
from patient_flow.pipeline.checkpoints import PART
from patient_flow.pipeline.clusters import LINK_COLUMNS, Keys
from patient_flow.pipeline.incremental import mentioned
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.lake.log import Checkpoints
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.visits.fold import VISIT_COLUMNS, Folded, fold

c = pl.col

SHARED_ATTENDANCES = 2_000_000
"""Attendances that are kept for the second fact: limits memory."""


@dataclass(frozen=True)
class Sources:
    """The tables that both facts are made from, as a run opened them."""

    silver: LakeTable
    ignored: LakeTable
    patients: LakeTable
    departments: LakeTable

    @property
    def all(self) -> tuple[LakeTable, ...]:
        """Each of them."""
        return self.silver, self.ignored, self.patients, self.departments


@dataclass(frozen=True)
class FoldedClusters:
    """Whole clusters and their fold."""

    visits: pl.Series
    """visit_hash, also of visits that silver no longer has."""
    patients: pl.Series
    """patient_hash."""
    begins: pl.Series | None
    """Instants at which their stays and attendances may begin; None where the whole table is made again."""
    folded: Folded
    part: Checkpoints | None = None
    """The part to record with it. None with the last one of a whole table, and where there are no parts."""


@dataclass
class _Shared:
    """The newest fold of this process."""

    key: tuple[object, ...] = ()
    clusters: list[FoldedClusters] = field(default_factory=list)


_SHARED = _Shared()


def fold_touched(
    context: StepContext, sources: Sources, touched: pl.DataFrame, *, keep: bool = False
) -> Iterator[FoldedClusters]:
    """The clusters of what is ``touched`` (columns of :data:`TOUCHED_COLUMNS`), part by part.

    With ``keep``, their attendances are kept for whoever folds the same next.
    """
    keys, stated = Keys.of(touched), _beginnings(touched)
    key = _key(context, sources, _digest(keys, stated))
    shared = _take(key)
    if shared and not keep:  # what is kept has no stays: whoever keeps it folds again after a lost race
        return iter(shared)
    found = _parts_of(context, sources, keys, stated)
    return _kept(key, found) if keep else found


def _parts_of(context: StepContext, sources: Sources, keys: Keys, stated: pl.Series) -> Iterator[FoldedClusters]:
    """The clusters of ``keys``, part by part; ``stated`` are further instants at which their rows may begin."""
    parts = clusters.divided(clusters.grown(sources.silver, keys))
    for number, part in enumerate(parts, start=1):
        history = clusters.history(sources.silver, part)
        begins = pl.concat([_beginnings(history), stated])
        patients = history["patient_hash"].unique()
        progress = PART.of(number) if len(parts) > 1 else None
        folded = _fold(context, sources, history)
        del history
        yield FoldedClusters(part.keys.visits, patients, begins, folded, progress)
        del folded


def fold_all(context: StepContext, sources: Sources, *, keep: bool = False) -> Iterator[FoldedClusters]:
    """All clusters, part by part; ``keep`` as in :func:`fold_touched`."""
    key = _key(context, sources, "everything")
    shared = _take(key)
    if shared and not keep:
        return iter(shared)
    parts = ahead(_parts_of_all(context, sources))
    return _kept(key, parts) if keep else parts


def _parts_of_all(context: StepContext, sources: Sources) -> Iterator[FoldedClusters]:
    parts = clusters.parts(sources.silver)
    for number, part in enumerate(parts, start=1):
        history = sources.silver.scan().filter(part).select(VISIT_COLUMNS).collect()
        visits, patients = history["visit_hash"].drop_nulls().unique(), history["patient_hash"].unique()
        progress = PART.of(number) if number < len(parts) else None
        folded = _fold(context, sources, history)
        del history
        yield FoldedClusters(visits, patients, None, folded, progress)
        del folded


def _fold(context: StepContext, sources: Sources, history: pl.DataFrame) -> Folded:
    return fold(
        history,
        sources.departments.scan().collect(),
        unconfirmed_days=context.unconfirmed_days,
        zone=context.timezone,
        received_again=clusters.received_again(sources.ignored.having({"visit_hash": history["visit_hash"]})),
    )


# -- one fold for both facts


def _key(context: StepContext, sources: Sources, touched: str) -> tuple[object, ...]:
    """Equal for equal folds."""
    versions = [(table.identity, table.version) for table in sources.all]
    return (context.lake.uri(SILVER_EVENTS), *versions, context.timezone, context.unconfirmed_days, touched)


def _digest(keys: Keys, stated: pl.Series) -> str:
    """The two facts may have consumed different changes, which touch the same keys at different instants."""
    digest = hashlib.blake2b(digest_size=16)
    for series in (keys.visits, keys.numbers, keys.patients, stated.unique()):
        digest.update(series.sort().to_numpy().tobytes() + b"|")
    return digest.hexdigest()


def _kept(key: tuple[object, ...], parts: Iterator[FoldedClusters]) -> Iterator[FoldedClusters]:
    """``parts``; once all were taken, their attendances are kept under ``key``, unless these are many."""
    made: list[FoldedClusters] = []
    attendances = 0
    for found in parts:
        attendances += found.folded.attendances.height
        made = [*made, _without_stays(found)] if attendances <= SHARED_ATTENDANCES else []
        yield found
        del found  # its stays would be in memory beside those of the next part
    _SHARED.key, _SHARED.clusters = (key, made) if attendances <= SHARED_ATTENDANCES else ((), [])


def _without_stays(found: FoldedClusters) -> FoldedClusters:
    return replace(found, folded=replace(found.folded, stays=found.folded.stays.clear()))


def _take(key: tuple[object, ...]) -> list[FoldedClusters]:
    """The fold that was kept under ``key``; none otherwise. It is kept no longer in either case."""
    found = _SHARED.clusters if _SHARED.key == key else []
    _SHARED.key, _SHARED.clusters = (), []
    return found


# -- what changes touch

_BEGINNINGS = ("event_time", "admission_time", "arrival_time", "triage_time", "discharge_time")
"""A stay or an attendance begins at one of these instants of its visit's events, or where its ``stays`` begin.

At a discharge where a snapshot names another department for a patient who has left by its time (F7).
"""
TOUCHED_COLUMNS = (*LINK_COLUMNS, *_BEGINNINGS[1:], "stays")


def _beginnings(rows: pl.DataFrame) -> pl.Series:
    stated = [rows[name] for name in _BEGINNINGS]
    listed = [entry["from"] for text in rows["stays"].drop_nulls().unique() for entry in json.loads(text)]
    begins = pl.Series("begins", listed, dtype=pl.Int64).cast(SILVER_EVENTS.schema["event_time"])
    return pl.concat([*(series.rename("begins") for series in stated), begins]).drop_nulls()


def touched_by_changes(target: LakeTable, sources: Sources) -> pl.DataFrame | None:
    """What links the clusters that changes touch since ``target`` consumed them; None for all.

    Events that silver no longer has are among it, also those that came and went: rows may have been made of them by a
    run that died. Columns: those of :data:`TOUCHED_COLUMNS`.
    """
    named = mentioned(target, sources.silver, TOUCHED_COLUMNS)
    versions = mentioned(target, sources.patients, ("patient_hash",))
    repeated = mentioned(target, sources.ignored, ("name", "visit_hash"))
    if named is None or versions is None or repeated is None:
        return None
    is_repeat = c("name") == events.ALREADY_RECEIVED
    return pl.concat([named, versions, repeated.filter(is_repeat).select("visit_hash")], how="diagonal")
