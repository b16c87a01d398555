"""Silver and dimensions → FactPatientFlow and FactEdAttendance, for the clusters of visits that changes touch.

Both are made from the same fold (``transforms.visits``). What is not recorded as consumed, or was folded by other
rules, in another time zone or under another setting, is made again as a whole, part by part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from patient_flow.contracts import events
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
from patient_flow.pipeline import clusters
from patient_flow.pipeline.checkpoints import FOLDED_WITH, PART, consumption
from patient_flow.pipeline.clusters import LINK_COLUMNS, Keys
from patient_flow.pipeline.incremental import changes_of, is_one_of, versions_changed, versions_of
from patient_flow.pipeline.steps import StepContext, StepResult, is_up_to_date, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.spans import spans_of, within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import facts
from patient_flow.transforms.visits.fold import VISIT_COLUMNS, Folded, fold

c = pl.col

RULES = 2
"""Version of the rules of the fold: facts that were made by another one are made again."""


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


def rules_of(zone: str, unconfirmed_days: int) -> str:
    """What the facts record that are folded by the present rules in ``zone`` under this setting."""
    return f"{RULES} {zone} {unconfirmed_days}"


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
    ignored, patients, departments = (lake.open(table) for table in (IGNORED, DIM_PATIENT, DIM_DEPARTMENT))
    sources = (silver, ignored, patients, departments)
    folded_with = rules_of(context.timezone, context.unconfirmed_days)
    is_of_these_rules = FOLDED_WITH.matches(target.checkpoint, folded_with)
    if is_up_to_date(target, *sources) and is_of_these_rules:
        return StepResult(fact.table, target.version)
    touched = _touched(fact, target, *sources) if is_of_these_rules else None
    department_versions = departments.scan().collect()
    checkpoints = {**consumption(*sources), **FOLDED_WITH.of(folded_with)}
    found = _all_clusters(target, silver) if touched is None else _clusters(fact, target, silver, touched)
    written, seen, waiting = RowsWritten(), 0, 0
    for history, before, of_part in found:
        folded = fold(
            history,
            department_versions,
            unconfirmed_days=context.unconfirmed_days,
            zone=context.timezone,
            received_again=clusters.received_again(ignored.scan(), history["visit_hash"]),
        )
        is_known = is_one_of("patient_hash", history["patient_hash"])
        known = patients.scan().filter(is_known).collect(engine="streaming")
        after = fact.rows(folded, known, department_versions)
        written += target.replace(before, after, of_part or checkpoints, run_id=context.run_id)
        seen, waiting = seen + folded.visits, waiting + folded.waiting
    return StepResult(
        fact.table,
        target.version,
        written,
        consumed=versions_of(sources),
        figures={"visits": seen, "waiting": waiting},
    )


_Found = Iterator[tuple[pl.DataFrame, pl.DataFrame, dict[str, int] | None]]
"""Events of whole clusters, their present rows, and what to record with them (None: that everything is consumed)."""


def _clusters(fact: _Fact, target: LakeTable, silver: LakeTable, touched: pl.DataFrame) -> _Found:
    """The clusters of what is touched, all at once."""
    keys, instants = clusters.grown(silver, Keys.of(touched))
    history = clusters.history(silver, keys, instants)
    begins = _beginnings(pl.concat([history, touched], how="diagonal"))
    before = target.scan().filter(
        is_one_of(fact.month, begins.dt.strftime("%Y-%m")),
        within_spans(fact.instant, spans_of(begins)),
        is_one_of("visit_hash", keys.visits),
    )
    yield history, before.collect(engine="streaming"), None


def _all_clusters(target: LakeTable, silver: LakeTable) -> _Found:
    """All clusters, part by part; with the last one go rows of visits that silver no longer has."""
    parts = clusters.parts(silver)
    for number, part in enumerate(parts, start=1):
        history = silver.scan().filter(part).select(VISIT_COLUMNS).collect()
        is_mine = is_one_of("visit_hash", history["visit_hash"].drop_nulls())
        before = target.scan().filter(is_mine).collect()
        if number < len(parts):
            yield history, before, PART.of(number)
            continue
        known = silver.scan().select("visit_hash").unique()
        gone = target.scan().join(known, on="visit_hash", how="anti").collect(engine="streaming")
        yield history, pl.concat([before, gone]), None


_BEGINNINGS = ("event_time", "admission_time", "arrival_time", "triage_time")
"""A stay or an attendance begins at one of these instants of its visit's events, or where its ``stays`` begin."""
_TOUCHED_COLUMNS = (*LINK_COLUMNS, "admission_time", "arrival_time", "triage_time", "stays")


def _beginnings(rows: pl.DataFrame) -> pl.Series:
    stated = [rows[name] for name in _BEGINNINGS]
    listed = [entry["from"] for text in rows["stays"].drop_nulls().unique() for entry in json.loads(text)]
    begins = pl.Series("begins", listed, dtype=pl.Int64).cast(SILVER_EVENTS.schema["event_time"])
    return pl.concat([*(series.rename("begins") for series in stated), begins]).drop_nulls()


def _touched(
    fact: _Fact,
    target: LakeTable,
    silver: LakeTable,
    ignored: LakeTable,
    patients: LakeTable,
    departments: LakeTable,
) -> pl.DataFrame | None:
    """What links the clusters to compute again, also by events that silver no longer has; None for all.

    Columns: those of :data:`_TOUCHED_COLUMNS`.
    """
    if versions_changed(target, departments):
        return None
    named = changes_of(target, silver, _TOUCHED_COLUMNS)
    versions = changes_of(target, patients, ("patient_hash",))
    repeated = changes_of(target, ignored, ("name", "visit_hash"))
    if any(changes.is_whole_table for changes in (named, versions, repeated)):
        return None
    is_repeat = c("name") == events.ALREADY_RECEIVED
    touched = [
        named.both.select(_TOUCHED_COLUMNS),
        versions.both.select("patient_hash"),
        repeated.both.filter(is_repeat).select("visit_hash"),
    ]
    if not changes_of(target, departments, ("is_inferred",)).after.is_empty():
        unknown = target.scan().filter(fact.has_no_department)
        touched.append(unknown.select("visit_hash", event_time=fact.instant).collect())
    return pl.concat(touched, how="diagonal")


def visits_without_stay(lake: Lake) -> int:
    """Visits with neither a stay nor an attendance: no placement and no emergency arrival is left uncancelled."""
    known = lake.open(SILVER_EVENTS).scan().filter(c("visit_hash").is_not_null()).select("visit_hash").unique()
    for table in (FACT_PATIENT_FLOW, FACT_ED_ATTENDANCE):
        placed = lake.open(table).scan().select("visit_hash").unique()
        known = known.join(placed, on="visit_hash", how="anti")
    return int(known.select(pl.len()).collect(engine="streaming").item())
