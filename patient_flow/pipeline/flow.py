"""Silver and dimensions → FactPatientFlow and FactEdAttendance, for the clusters of visits that changes touch.

Both are made from the same fold (``folding``). What is not recorded as consumed is made again as a whole, part by part;
what was folded by other rules, another list or another setting in as many runs as the limit demands (F20).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from patient_flow.contracts.events import UNKNOWN_KEY
from patient_flow.contracts.tables import (
    DIM_DEPARTMENT,
    DIM_PATIENT,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    IGNORED,
    SILVER_EVENTS,
    Table,
)
from patient_flow.pipeline import folding, recomputation
from patient_flow.pipeline.checkpoints import PART, consumption, no_consumption
from patient_flow.pipeline.folding import FoldedClusters, Sources
from patient_flow.pipeline.incremental import changes_of, is_one_of, mentioned, rows_without_source, versions_of
from patient_flow.pipeline.recomputation import Basis
from patient_flow.pipeline.steps import StepContext, StepResult, is_up_to_date, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.log import Checkpoints
from patient_flow.stores.lake.spans import spans_of, within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import facts
from patient_flow.transforms.visits.fold import Folded

c = pl.col


@dataclass(frozen=True)
class _Fact:
    """One of the two tables: where its rows are found, and how they are made of the fold."""

    table: Table
    instant: str
    month: str
    rows: Callable[[Folded, pl.DataFrame, pl.DataFrame], pl.DataFrame]
    has_no_department: pl.Expr
    """Rows that may have found no department because their step was faster than the dimension's."""


_FLOW = _Fact(
    FACT_PATIENT_FLOW,
    "admission_at",
    "admission_month",
    lambda folded, patients, departments: facts.fact_patient_flow(folded.stays, patients, departments),
    (c("department_key") == UNKNOWN_KEY) | ((c("from_department_key") == UNKNOWN_KEY) & (c("stay_number") > 1)),
)
_ATTENDANCE = _Fact(
    FACT_ED_ATTENDANCE,
    "arrival_at",
    "arrival_month",
    lambda folded, patients, departments: facts.fact_ed_attendance(folded.attendances, patients, departments),
    c("department_key") == UNKNOWN_KEY,
)


@retry_on_conflict
def fact_patient_flow(context: StepContext) -> StepResult:
    """FactPatientFlow is rebuilt for the clusters that changed events, patients or departments touch."""
    return _run(context, _FLOW)


@retry_on_conflict
def fact_ed_attendance(context: StepContext) -> StepResult:
    """FactEdAttendance is rebuilt for the same clusters."""
    return _run(context, _ATTENDANCE)


def _run(context: StepContext, fact: _Fact) -> StepResult:
    lake = context.lake
    target, silver = lake.open(fact.table), open_complete_silver(lake)
    sources = Sources(silver, *(lake.open(table) for table in (IGNORED, DIM_PATIENT, DIM_DEPARTMENT)))
    basis = Basis(context.timezone, context.unconfirmed_days, sources.departments)
    if is_up_to_date(target, *sources.all) and basis.is_recorded(target):
        return StepResult(fact.table, target.version)
    done: Checkpoints = {**consumption(*sources.all), **basis.recorded}
    waiting = 0
    touched = _touched(fact, target, sources)
    again = None if touched is None else recomputation.next_visits(target, silver, basis, context.max_events)
    if touched is None or again is None:
        found = folding.fold_all(context, sources, keep=fact is _FLOW)
    else:
        touched = pl.concat([touched, pl.DataFrame({"visit_hash": again.visits})], how="diagonal")
        found = folding.fold_touched(context, sources, touched, keep=fact is _FLOW)
        del touched  # as large as the micro-batch
        waiting = again.waiting
        if waiting:  # the changed list and settings are consumed with the last visit
            done = {**consumption(sources.silver, sources.ignored, sources.patients), **again.progress}
    # Whoever commits, part or end, is refused where another writer did since.
    written, seen, placeless = _write(context, fact, target, sources, found, {**done, **PART.of(0)}, basis)
    return StepResult(
        fact.table,
        target.version,
        written,
        consumed=versions_of(sources.all),
        figures={"visits": seen, "waiting": placeless, "to_recompute": waiting},
    )


def _write(
    context: StepContext,
    fact: _Fact,
    target: LakeTable,
    sources: Sources,
    found: Iterator[FoldedClusters],
    done: Checkpoints,
    basis: Basis,
) -> tuple[RowsWritten, int, int]:
    """Commits the rows of the clusters that were ``found``; returns what was written, visits, and visits without rows.

    Parts of a whole table are committed one by one. Of what changes touch, new rows are appended with their part, and
    the others merged with ``done``: a merge needs much memory for each row. After a death between these commits the
    same clusters are touched again, because changes name rows that came and went too. Only of a list or setting that
    was changed back they would not be: where these are not recorded, everything is committed with ``done``. Present
    rows are those of the start: no part changes rows of another one.
    """
    versions = sources.departments.scan().collect()
    moved = mentioned(target, sources.departments, ("department_key",))
    may_append = basis.is_settled(target) and moved is not None and moved.is_empty()
    written, seen, placeless, start = RowsWritten(), 0, 0, target.version
    befores: list[pl.DataFrame] = []
    afters: list[pl.DataFrame] = []
    for clusters in found:
        after = _after(fact, sources.patients, versions, clusters)
        before = _before(fact, target.at(start), sources.silver, clusters)
        seen, placeless = seen + clusters.folded.visits, placeless + clusters.folded.waiting
        if clusters.part is not None and clusters.begins is None:
            recorded = {**no_consumption(*sources.all), **clusters.part}
            written += target.replace(before, after, recorded, run_id=context.run_id)
        else:
            if clusters.part is not None and may_append:
                new, after = target.append_new(before, after, clusters.part, run_id=context.run_id)
                written += new
            before, after = target.without_equal(before, after)
            befores.append(before)
            afters.append(after)
        del clusters, before, after  # else they would be in memory while the next part is folded
    written += target.replace(pl.concat(befores), pl.concat(afters), done, run_id=context.run_id)
    return written, seen, placeless


def _after(fact: _Fact, patients: LakeTable, versions: pl.DataFrame, clusters: FoldedClusters) -> pl.DataFrame:
    """The rows that ``clusters`` come to."""
    known = patients.having({"patient_hash": clusters.patients}).collect(engine="streaming")
    return fact.rows(clusters.folded, known, versions)


def _before(fact: _Fact, present: pl.LazyFrame, silver: LakeTable, clusters: FoldedClusters) -> pl.DataFrame:
    """The present rows of ``clusters``; with the last part of a whole table those of visits that silver lacks."""
    is_mine = is_one_of("visit_hash", clusters.visits)
    if clusters.begins is not None:
        is_then = within_spans(fact.instant, spans_of(clusters.begins))
        is_in_month = is_one_of(fact.month, clusters.begins.dt.strftime("%Y-%m"))
        return present.filter(is_in_month, is_then, is_mine).collect(engine="streaming")
    before = present.filter(is_mine).collect()
    if clusters.part is not None:
        return before
    return pl.concat([before, rows_without_source(present, silver, "visit_hash")])


def _touched(fact: _Fact, target: LakeTable, sources: Sources) -> pl.DataFrame | None:
    """What links the clusters that changes touch; None for all."""
    touched = folding.touched_by_changes(target, sources)
    listed = changes_of(target, sources.departments, ("is_inferred",))
    if touched is None or (listed is not None and listed.after.is_empty()):
        return touched
    unknown = target.scan().filter(fact.has_no_department)
    return pl.concat([touched, unknown.select("visit_hash", event_time=fact.instant).collect()], how="diagonal")


def visits_without_stay(lake: Lake) -> int:
    """Visits with neither a stay nor an attendance: no placement and no emergency arrival is left uncancelled."""
    known = lake.open(SILVER_EVENTS).scan().filter(c("visit_hash").is_not_null()).select("visit_hash").unique()
    for table in (FACT_PATIENT_FLOW, FACT_ED_ATTENDANCE):
        placed = lake.open(table).scan().select("visit_hash").unique()
        known = known.join(placed, on="visit_hash", how="anti")
    return int(known.select(pl.len()).collect(engine="streaming").item())
