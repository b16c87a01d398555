"""Silver → the dimensions: hours, departments, patients."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts.events import UNKNOWN_KEY
from patient_flow.contracts.tables import (
    DIM_DEPARTMENT,
    DIM_PATIENT,
    DIM_TIME,
)
from patient_flow.pipeline import clusters
from patient_flow.pipeline.checkpoints import NAMED_WITH, PART, TIME_ZONE, consumption, no_consumption
from patient_flow.pipeline.incremental import (
    LATE,
    changes_of,
    earliest,
    is_one_of,
    nothing_to_do,
    replace,
    rows_without_source,
    versions_of,
    zone_changed,
)
from patient_flow.pipeline.steps import StepContext, StepResult, is_up_to_date, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import calendar, dimensions
from patient_flow.transforms.visits.merges import survivors

c = pl.col

_SILVER_TIMES = ("event_time", "arrival_time", "admission_time", "discharge_time")
_HOUR = "hour_start_at"
_ENTRIES = pl.List(pl.Struct({"department": pl.String()}))

NAMING_RULES = 1
"""Version of the rules by which names become departments: DimDepartment of another one is made again from silver."""


@retry_on_conflict
def dim_time(context: StepContext) -> StepResult:
    """DimTime covers the calendar's years and every year that an accepted event mentions."""
    lake, zone, run_id = context.lake, context.timezone, context.run_id
    target, silver = lake.open(DIM_TIME), open_complete_silver(lake)
    changes = changes_of(target, silver, _SILVER_TIMES)
    named = silver.scan() if changes is None else changes.both.lazy()
    mentioned = calendar.years_outside_calendar(named, _SILVER_TIMES)
    is_complete = changes is not None and not zone_changed(target, zone) and _knows_its_midnights(target)
    if not mentioned and is_complete:
        return nothing_to_do(target, silver, run_id=run_id)
    known = calendar.years_outside_calendar(target.scan(), (_HOUR,))
    if changes is not None and calendar.years_outside_calendar(changes.before.lazy(), _SILVER_TIMES):
        # an event that was taken back may have been the only one to name its year
        mentioned = calendar.years_outside_calendar(silver.scan(), _SILVER_TIMES)
    elif changes is not None:
        mentioned |= known
    newest = silver.newest("event_time")
    years = calendar.years_to_add(mentioned, newest.year) if newest else mentioned
    if years == known and is_complete:
        return nothing_to_do(target, silver, run_id=run_id)
    after, of_zone = calendar.dim_time(years, zone), TIME_ZONE.of(zone)
    return replace(target, target.scan().collect(), after, (silver,), of_zone, run_id=run_id)


def _knows_its_midnights(hours: LakeTable) -> bool:
    """False for a table written before this column existed: its hours are computed again."""
    unmarked = hours.scan().filter(c(_HOUR).is_not_null() & c("is_day_start").is_null())
    return bool(unmarked.select(pl.len() == 0).collect().item())


@retry_on_conflict
def dim_department(context: StepContext) -> StepResult:
    """DimDepartment follows the reference list, and infers a member for each department that only events name."""
    lake, reference = context.lake, context.departments
    target, silver = lake.open(DIM_DEPARTMENT), open_complete_silver(lake)
    pair = ("hospital_id", "department")
    changes = changes_of(target, silver, (*pair, "stays"))
    is_of_former_rules = NAMED_WITH.read(target.checkpoint) != NAMING_RULES
    before = target.scan().collect()
    dropped = before.filter(~c("is_inferred")).join(reference, on=pair, how="anti")
    if changes is not None and changes.before.is_empty() and not is_of_former_rules and dropped.is_empty():
        mentioned = pl.concat(
            [
                _names(changes.after.lazy()),
                before.filter("is_inferred", c("department_key") != UNKNOWN_KEY).select(pair),
            ]
        )
    else:  # who names a department that the list dropped, or whose event was taken back, only silver knows
        mentioned = _names(silver.scan())
    after = dimensions.department_versions(reference, mentioned)
    return replace(target, before, after, (silver,), NAMED_WITH.of(NAMING_RULES), run_id=context.run_id)


def _names(rows: pl.LazyFrame) -> pl.DataFrame:
    """hospital_id and department that silver's ``rows`` name, in ``stays`` too."""
    pairs = rows.select("hospital_id", "department").unique().collect()
    names = c("stays").str.json_decode(_ENTRIES).list.eval(pl.element().struct.field("department"))
    placements = rows.filter(c("stays").is_not_null()).select("hospital_id", department=names).explode("department")
    return pl.concat([pairs, placements.unique().collect(engine="streaming")])


@retry_on_conflict
def dim_patient(context: StepContext) -> StepResult:
    """DimPatient is rebuilt for the patients that changed events observe, from the earliest of these events on."""
    target, silver = context.lake.open(DIM_PATIENT), open_complete_silver(context.lake)
    if is_up_to_date(target, silver):
        return StepResult(DIM_PATIENT, target.version)
    changes = changes_of(target, silver, ("patient_hash", "merged_patient_hash", "event_time"))
    if changes is None:
        return _all_patients(target, silver, run_id=context.run_id)
    merged = clusters.of_merges(silver.scan())
    heirs, _ = survivors(merged)
    touched = _touched_patients(changes.both, merged)
    versions = target.having({"patient_hash": touched["patient_hash"]}).collect(engine="streaming")
    # What was observed earlier did not change, and the version then valid says all that matters of it.
    dated = versions.join(touched, on="patient_hash").with_columns(earlier=c("valid_from") < c("since"))
    last_earlier = c("valid_from").filter("earlier").max().over("patient_hash")
    before = dated.filter(last_earlier.is_null() | (c("valid_from") >= last_earlier))
    observed = _observed_since(silver, touched)
    after = dimensions.patient_versions(observed, before.filter("earlier"), heirs)
    return replace(target, before.select(versions.columns), after, (silver,), run_id=context.run_id)


def _touched_patients(changed: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    """patient_hash and ``since``: whose versions to make again from when on.

    Merged patients are touched together (F3), and from the beginning where one of their merges changed.
    """
    merging = changed.filter(c("merged_patient_hash").is_not_null())
    given_up = merging.select(patient_hash="merged_patient_hash")
    since = pl.concat(
        [
            changed.select("patient_hash", since="event_time"),
            pl.concat([given_up, merging.select("patient_hash")]).with_columns(since=pl.lit(dimensions.BEGINNING)),
        ],
        how="vertical_relaxed",
    )
    leaders = clusters.leaders_of(clusters.merged_pairs(merged))
    members = pl.DataFrame(
        {"patient_hash": [*leaders, *leaders.values()], "leader": [*leaders.values(), *leaders.values()]},
        schema={"patient_hash": pl.Int64(), "leader": pl.Int64()},
    ).unique()
    touched = (
        since.join(members, on="patient_hash", how="left")
        .with_columns(leader=pl.coalesce("leader", "patient_hash"))
        .group_by("leader")
        .agg(c("since").min(), alone=c("patient_hash"))
    )
    together = touched.join(members, on="leader").select("patient_hash", "since")
    by_themselves = touched.explode("alone").select(patient_hash="alone", since="since")
    return pl.concat([together, by_themselves]).unique()


def _observed_since(silver: LakeTable, touched: pl.DataFrame) -> pl.DataFrame:
    """Events of the ``touched`` patients (patient_hash) from the instant ``since`` on."""
    columns = ("patient_hash", *dimensions.OBSERVATION_COLUMNS)
    is_late = c("since") < c("since").median() - LATE
    found = [
        # A few late ones must not make the search for all others go as far back.
        silver.find("patient_hash", some["patient_hash"], "event_time", columns, since=earliest(some["since"]))
        for some in (touched.filter(is_late), touched.filter(~is_late))
    ]
    return pl.concat(found).join(touched, on="patient_hash").filter(c("event_time") >= c("since"))


def _all_patients(target: LakeTable, silver: LakeTable, *, run_id: str) -> StepResult:
    """All versions, in parts of whole clusters; with the last one go those of patients that silver no longer has."""
    heirs, _ = survivors(clusters.of_merges(silver.scan()))
    written, start = RowsWritten(), target.version
    parts = clusters.parts(silver)
    for number, part in enumerate(parts, start=1):
        observed = silver.scan().filter(part).select("patient_hash", *dimensions.OBSERVATION_COLUMNS).collect()
        after = dimensions.patient_versions(observed, survivors=heirs)
        before = target.at(start).filter(is_one_of("patient_hash", observed["patient_hash"])).collect()
        checkpoints = {**no_consumption(silver), **PART.of(number)}
        if number == len(parts):
            gone = rows_without_source(target.at(start), silver, "patient_hash")
            after, before = pl.concat([dimensions.unknown_patient(), after]), pl.concat([before, gone])
            checkpoints = consumption(silver)
        written += target.replace(before, after, checkpoints, run_id=run_id)
    return StepResult(DIM_PATIENT, target.version, written, consumed=versions_of((silver,)))
