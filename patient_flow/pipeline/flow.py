"""Silver and dimensions → FactPatientFlow: the stays of the visits that changes touch."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from patient_flow.contracts.events import UNKNOWN_KEY
from patient_flow.contracts.tables import (
    DIM_DEPARTMENT,
    DIM_PATIENT,
    FACT_PATIENT_FLOW,
    SILVER_EVENTS,
)
from patient_flow.pipeline.checkpoints import PART, consumption
from patient_flow.pipeline.incremental import (
    LATE,
    changes_of,
    earliest,
    is_one_of,
    parts_of,
    versions_changed,
    versions_of,
)
from patient_flow.pipeline.steps import StepContext, StepResult, is_up_to_date, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import Changes, RowsWritten
from patient_flow.stores.lake.spans import spans_of, within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import facts, visits

c = pl.col


@retry_on_conflict
def fact_patient_flow(context: StepContext) -> StepResult:
    """FactPatientFlow is rebuilt for the visits that changed events, patients or departments touch."""
    lake = context.lake
    target, silver = lake.open(FACT_PATIENT_FLOW), open_complete_silver(lake)
    patients, departments = lake.open(DIM_PATIENT), lake.open(DIM_DEPARTMENT)
    sources = (silver, patients, departments)
    if is_up_to_date(target, *sources):
        return StepResult(FACT_PATIENT_FLOW, target.version)
    touched = _touched_visits(target, silver, patients, departments)
    department_versions = departments.scan().collect()
    written, seen, waiting = RowsWritten(), 0, 0
    for history, before, checkpoints in _visits_in_parts(target, silver, touched, consumption(*sources)):
        is_known = is_one_of("patient_hash", history["patient_hash"])
        known = patients.scan().filter(is_known).collect(engine="streaming")
        stays = visits.stays(history)
        after = facts.fact_patient_flow(stays, known, department_versions)
        written += target.replace(before, after, checkpoints, run_id=context.run_id)
        seen += history["visit_id"].n_unique()
        waiting += visits.waiting(history, stays).height
    return StepResult(
        FACT_PATIENT_FLOW,
        target.version,
        written,
        consumed=versions_of(sources),
        figures={"visits": seen, "waiting": waiting},
    )


def _visits_in_parts(
    target: LakeTable, silver: LakeTable, touched: pl.DataFrame | None, checkpoints: dict[str, int]
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]]:
    """Events and present stays of the touched visits (None: of all, part by part), and what to record with them."""
    if touched is not None:
        history = silver.find("visit_hash", touched["visit_hash"], "event_time", visits.VISIT_COLUMNS)
        # A stay begins when one of the visit's events happened or says that the patient was admitted.
        begins = pl.concat([frame[name] for frame in (history, touched) for name in ("event_time", "admission_time")])
        months = begins.dt.strftime("%Y-%m")
        stays = target.scan().filter(
            is_one_of("admission_month", months),
            within_spans("admission_at", spans_of(begins)),
            is_one_of("visit_hash", touched["visit_hash"]),
        )
        yield history, stays.collect(engine="streaming"), checkpoints
        return
    parts = parts_of(silver, "visit_hash")
    for number, part in enumerate(parts, start=1):
        history = silver.scan().filter(part).select(visits.VISIT_COLUMNS).collect()
        yield history, target.scan().filter(part).collect(), checkpoints if number == len(parts) else PART.of(number)


_TOUCHED_COLUMNS = ("visit_hash", "event_time", "admission_time")


def _touched_visits(
    target: LakeTable, silver: LakeTable, patients: LakeTable, departments: LakeTable
) -> pl.DataFrame | None:
    """Visits to compute again, by events of theirs, also such as silver no longer has; None for all.

    Columns: visit_hash, event_time, admission_time.
    """
    if versions_changed(target, departments):
        return None
    named = changes_of(target, silver, _TOUCHED_COLUMNS)
    versions = changes_of(target, patients, ("patient_hash", "gender", "valid_from"))
    if named.is_whole_table or versions.is_whole_table:
        return None
    touched = [named.both.select(_TOUCHED_COLUMNS), _visits_of_changed_versions(target, silver, versions)]
    if not changes_of(target, departments, ("is_inferred",)).after.is_empty():
        # Stays that found no department because this step was faster than the dimension's.
        unknown = (c("department_key") == UNKNOWN_KEY) | (
            (c("from_department_key") == UNKNOWN_KEY) & (c("stay_number") > 1)
        )
        stays = target.scan().filter(unknown).select("visit_hash", event_time="admission_at").collect()
        touched.append(stays.with_columns(admission_time="event_time"))
    return pl.concat(touched)


def _visits_of_changed_versions(target: LakeTable, silver: LakeTable, versions: Changes) -> pl.DataFrame:
    """Visits whose stays may refer to other patient ``versions`` than before (see :func:`_touched_visits`).

    A stay refers to the last version that begins by its admission, so only the start of a version matters, and the
    gender that the fact repeats. Where such a version is new or gone, there are two cases: an event of the visit is not
    earlier than it, or the fact refers to the version before it, which changed too because it ends elsewhere now.
    """
    compared = ["patient_key", "patient_hash", "gender", "valid_from"]
    before, after = versions.before.select(compared), versions.after.select(compared)
    changed = pl.concat(
        [
            before.join(after, on=compared, how="anti", nulls_equal=True),
            after.join(before, on=compared, how="anti", nulls_equal=True),
        ]
    )
    if changed.is_empty():
        return SILVER_EVENTS.empty().select(_TOUCHED_COLUMNS)
    found = [*_with_later_events(silver, changed), _with_facts_of(target, before["patient_key"], changed["valid_from"])]
    return pl.concat(frame.collect(engine="streaming") for frame in found)


def _with_later_events(silver: LakeTable, changed: pl.DataFrame) -> Iterator[pl.LazyFrame]:
    """Events of the patients of ``changed`` versions since the earliest of these; a few late versions apart."""
    is_late = c("valid_from") < c("valid_from").median() - LATE
    for some in (changed.filter(is_late), changed.filter(~is_late)):
        if not some.is_empty():
            is_later = c("event_time") >= earliest(some["valid_from"])
            yield (
                silver.scan().filter(is_later, is_one_of("patient_hash", some["patient_hash"])).select(_TOUCHED_COLUMNS)
            )


def _with_facts_of(target: LakeTable, patient_keys: pl.Series, starts: pl.Series) -> pl.LazyFrame:
    """Stays in ``target`` that refer to one of ``patient_keys`` and began no earlier than the first of ``starts``."""
    since = earliest(starts)
    stays = target.scan().filter(c("admission_at") >= since, is_one_of("patient_key", patient_keys))
    if since is not None:
        stays = stays.filter(c("admission_month") >= since.strftime("%Y-%m"))
    return stays.select("visit_hash", event_time="admission_at", admission_time="admission_at")


def visits_without_stay(lake: Lake) -> int:
    """Visits that have no stay yet: of all their events none that stands places the patient in a department."""
    known, placed = (
        lake.open(table).scan().select("visit_hash").unique() for table in (SILVER_EVENTS, FACT_PATIENT_FLOW)
    )
    return int(known.join(placed, on="visit_hash", how="anti").select(pl.len()).collect(engine="streaming").item())
