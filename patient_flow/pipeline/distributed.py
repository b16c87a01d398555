"""The rebuild on a cluster: workers compute rows and keys, this process commits their results.

On the cluster (``workers``): bodies are read and validated, the first of each identity is chosen, patients are folded
into versions, visits into stays and facts. Here: pseudonyms, all commits to the lake with their progress, and the steps
of the small tables as they always are. Results come by way of ``stores.staging`` and are taken in part by part, so the
memory this takes does not follow the history. Progress is only ever committed here and with the rows, as in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial

import polars as pl

from patient_flow.contracts import tables
from patient_flow.contracts.events import NO_HUB, UNKNOWN_KEY
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    ERASED,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    IGNORED,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.pipeline import clusters as visit_clusters
from patient_flow.pipeline import graph, incremental, workers
from patient_flow.pipeline.checkpoints import PART, consumption, consumption_until, no_consumption
from patient_flow.pipeline.erased import judged_by, judging_all
from patient_flow.pipeline.rebuild import reset, reset_silver
from patient_flow.pipeline.recomputation import Basis
from patient_flow.pipeline.silver import key_of
from patient_flow.pipeline.staleness import all_read_with
from patient_flow.pipeline.steps import StepContext, StepResult, retry_on_conflict
from patient_flow.pipeline.workers import ACCEPTED, DAY, OUTCOME, REJECTED
from patient_flow.stores import cluster as clusters
from patient_flow.stores.cluster import Cluster
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.errors import REPAIR, LakeDamaged
from patient_flow.stores.lake.table import LakeTable
from patient_flow.stores.staging import Staged, Staging
from patient_flow.transforms import accept, dimensions
from patient_flow.transforms.erasure import Erasures
from patient_flow.transforms.read import ParserConfig, pseudonymise
from patient_flow.transforms.visits.fold import VISIT_COLUMNS
from patient_flow.transforms.visits.merges import survivors
from patient_flow.wording import plural

GROUPS_PER_PART = 4
"""Groups of keys that workers fold, for each part that is taken in at once."""

_PART, _GROUP = "part", "key_group"
_BODY_COLUMNS = (*COORDINATES, "enqueued_at", "body")
c = pl.col


def rebuild(context: StepContext, cluster: Cluster) -> Iterator[StepResult]:
    """Recomputes silver and gold from bronze, as ``pipeline.rebuild`` does; yields the result of each step."""
    lake, run_id = context.lake, context.run_id
    raw, pseudonymous = lake.staging("bronze", run_id), lake.staging("gold", run_id)
    _clear(raw, pseudonymous)  # what runs that died left there
    try:
        yield from _silver(context, cluster, raw)
        raw.clear()
        for step in graph.GOLD:
            if step.table not in ON_CLUSTER:
                reset(lake, step.table)
        for step in graph.GOLD:
            if step.table in ON_CLUSTER:
                yield ON_CLUSTER[step.table](context, cluster, pseudonymous)
            else:
                yield step.run(context)
    finally:
        _clear(raw, pseudonymous)


def _clear(*places: Staging) -> None:
    for place in places:
        place.clear()


def _silver(context: StepContext, cluster: Cluster, staging: Staging) -> Iterator[StepResult]:
    """Every bronze row validated on the cluster; silver, ignored and quarantine change in one commit each."""
    lake, now, run_id = context.lake, context.now, context.run_id
    parser = judging_all(lake, context.parser)
    bronze, marked = lake.open(BRONZE_EVENTS), Erasures(instants=parser.erasures.instants)
    if not bronze.scan().filter(c("hub_created_at") == NO_HUB).head(1).collect().is_empty():
        # Which row of a file counts depends on other days of its visit (F8): this process judges all events then.
        reset_silver(context)
        for table in (SILVER_EVENTS, ERASED, IGNORED, QUARANTINE):
            yield graph.step_of(table).run(context)
        return
    validate = workers.Validator(parser.departments, parser.mappings, parser.formats, parser.unwrap, marked)
    (
        cluster.rows(bronze, _BODY_COLUMNS)
        .each(validate, workers.VALIDATED)
        .per(DAY, workers.deduplicate, workers.VALIDATED)
        .write(staging.uri("validated"), (OUTCOME, DAY))
    )
    staged = staging.open("validated")
    if staged.row_count() < bronze.row_count():  # before silver is replaced
        raise LakeDamaged(
            f"the cluster read {staged.row_count():,} of {plural(bronze.row_count(), 'event')} of "
            f"{BRONZE_EVENTS.path}. {REPAIR}, which names files that cannot be read"
        )
    accepted = _replace_silver(lake, staged, bronze, parser, run_id)
    yield accepted
    followed = {SILVER_EVENTS: accepted.version}
    if parser.erasures.instants:
        erased = _replace_erased(lake, staged, bronze, followed, run_id)
        yield erased
        followed[ERASED] = erased.version
    ignored = _replace_ignored(lake, staged, bronze, followed, parser.secret, run_id)
    yield ignored
    followed[IGNORED] = ignored.version
    yield _replace_quarantine(lake, staged, bronze, followed, parser, now, run_id)


@retry_on_conflict
def _replace_silver(lake: Lake, staged: Staged, bronze: LakeTable, parser: ParserConfig, run_id: str) -> StepResult:
    silver = lake.open(SILVER_EVENTS)
    days = (pseudonymise(day, parser.secret).sort("event_time") for day in _days(staged, ACCEPTED))
    checkpoints = {**consumption(bronze), **key_of(silver, parser.secret), **judged_by(parser), **all_read_with(parser)}
    _overwrite(silver, days, checkpoints, run_id)
    written = RowsWritten(inserted=staged.row_count(outcome=ACCEPTED))
    return StepResult(SILVER_EVENTS, silver.version, written, consumed=incremental.versions_of((bronze,)))


_Followed = dict[tables.Table, int]
"""The versions of the tables above one that belong to what is staged."""


def _consumption(lake: Lake, bronze: LakeTable, followed: _Followed) -> tuple[dict[str, int], dict[str, int]]:
    """Checkpoints of bronze and of the tables that are ``followed``, and all their versions by path."""
    checkpoints = consumption(bronze)
    for table, version in followed.items():
        checkpoints |= consumption_until(lake.open(table), version)
    return checkpoints, {BRONZE_EVENTS.path: bronze.version} | {table.path: at for table, at in followed.items()}


@retry_on_conflict
def _replace_erased(lake: Lake, staged: Staged, bronze: LakeTable, followed: _Followed, run_id: str) -> StepResult:
    erased, (checkpoints, versions) = lake.open(ERASED), _consumption(lake, bronze, followed)
    _overwrite(erased, (accept.erased(day) for day in _days(staged, workers.ERASED)), checkpoints, run_id)
    written = RowsWritten(inserted=staged.row_count(outcome=workers.ERASED))
    return StepResult(ERASED, erased.version, written, consumed=versions)


@retry_on_conflict
def _replace_ignored(
    lake: Lake, staged: Staged, bronze: LakeTable, followed: _Followed, secret: str, run_id: str
) -> StepResult:
    ignored, (checkpoints, versions) = lake.open(IGNORED), _consumption(lake, bronze, followed)
    days = (accept.ignored(pseudonymise(day, secret)) for day in _days(staged, workers.IGNORED))
    _overwrite(ignored, days, checkpoints, run_id)
    written = RowsWritten(inserted=staged.row_count(outcome=workers.IGNORED))
    return StepResult(IGNORED, ignored.version, written, consumed=versions)


@retry_on_conflict
def _replace_quarantine(
    lake: Lake,
    staged: Staged,
    bronze: LakeTable,
    followed: _Followed,
    parser: ParserConfig,
    now: datetime,
    run_id: str,
) -> StepResult:
    quarantine, (checkpoints, versions) = lake.open(QUARANTINE), _consumption(lake, bronze, followed)
    checkpoints |= all_read_with(parser)
    days = (_rejected(pseudonymise(day, parser.secret), now) for day in _days(staged, REJECTED))
    _overwrite(quarantine, days, checkpoints, run_id)
    written = RowsWritten(inserted=staged.row_count(outcome=REJECTED))
    return StepResult(QUARANTINE, quarantine.version, written, consumed=versions)


def _rejected(day: pl.DataFrame, now: datetime) -> pl.DataFrame:
    bodies = day.select(*COORDINATES, "body", rejected_at=pl.lit(now)).unique(COORDINATES)
    return accept.quarantined(day.rename({"body": "part_body"}), bodies)


def _overwrite(target: LakeTable, frames: Iterator[pl.DataFrame], checkpoints: dict[str, int], run_id: str) -> None:
    failures: list[Exception] = []

    def watched() -> Iterator[pl.DataFrame]:
        try:
            yield from frames
        except Exception as error:
            failures.append(error)
            raise

    try:
        target.overwrite_from(clusters.stream(watched(), target.table.schema), checkpoints, run_id=run_id)
    except Exception:
        if failures:  # the writer would tell it in its own words
            raise failures[0] from None
        raise


def _days(staged: Staged, outcome: str) -> Iterator[pl.DataFrame]:
    return (staged.part(DAY, day, workers.VALIDATED, outcome=outcome) for day in staged.parts(DAY, outcome=outcome))


def _patients(context: StepContext, cluster: Cluster, staging: Staging) -> StepResult:
    lake, run_id = context.lake, context.run_id
    silver = lake.open(SILVER_EVENTS)
    count = _number_of_parts(silver)
    heirs, _ = survivors(visit_clusters.of_merges(silver.scan()))
    (
        cluster.rows(silver, (*dimensions.OBSERVATION_COLUMNS, "patient_hash"))
        .numbered(_GROUP, f"{_leader(silver)} % {count * GROUPS_PER_PART}")
        .per(_GROUP, workers.PatientVersions(heirs), DIM_PATIENT.schema)
        .numbered(_PART, f"patient_hash % {count}")
        .write(staging.uri(DIM_PATIENT.name), (_PART,))
    )
    staged = staging.open(DIM_PATIENT.name)
    return _commit_parts(lake, DIM_PATIENT, staged, "patient_hash", count, (silver,), run_id=run_id)


def _leader(silver: LakeTable) -> str:
    """SQL for the patient that represents the cluster of an event's patient; most clusters hold one patient."""
    leaders = visit_clusters.joined_patients(silver.scan())
    if not leaders:
        return "patient_hash"
    cases = " ".join(f"when {patient} then {leader}" for patient, leader in leaders.items())
    return f"(case patient_hash {cases} else patient_hash end)"


def _fold(table: tables.Table, context: StepContext, cluster: Cluster, staging: Staging) -> StepResult:
    lake, run_id = context.lake, context.run_id
    silver, ignored, patients, departments = (
        lake.open(table) for table in (SILVER_EVENTS, IGNORED, DIM_PATIENT, DIM_DEPARTMENT)
    )
    again = visit_clusters.received_again(ignored.scan())
    count = _number_of_parts(silver)
    events = cluster.rows(silver, VISIT_COLUMNS).numbered(_GROUP, f"{_leader(silver)} % {count * GROUPS_PER_PART}")
    versions = cluster.rows(patients, ("patient_hash", "patient_id", "valid_from", "patient_key", "gender"))
    fold = workers.Fold(table, departments.scan().collect(), again, context.timezone, context.unconfirmed_days)
    (
        events.per_both(versions.beside(events, "patient_hash", _GROUP), _GROUP, fold, table.schema)
        .numbered(_PART, f"visit_hash % {count}")
        .write(staging.uri(table.name), (_PART,))
    )
    staged = staging.open(table.name)
    sources = (silver, ignored, patients, departments)
    rules = dict(Basis(context.timezone, context.unconfirmed_days, departments).recorded)
    return _commit_parts(lake, table, staged, "visit_hash", count, sources, rules, run_id=run_id)


@retry_on_conflict
def _commit_parts(
    lake: Lake,
    table: tables.Table,
    staged: Staged,
    hashed: str,
    count: int,
    sources: Sequence[LakeTable],
    rules: dict[str, int] | None = None,
    *,
    run_id: str,
) -> StepResult:
    """Commit the staged rows that differ from ``table`` part by part, and the checkpoints with the last part."""
    reset(lake, table)
    target = lake.open(table)
    consumed = consumption(*sources)
    # The sources are stated with every part: a micro-batch that commits meanwhile makes this a conflict.
    not_yet = no_consumption(*sources)
    written = RowsWritten()
    for number in range(count):
        is_here = c(hashed) % count == number
        after = staged.part(_PART, number, table.schema)
        if table is DIM_PATIENT and number == 0:
            after = pl.concat([dimensions.unknown_patient(), after])
            is_here |= c("patient_key") == UNKNOWN_KEY
        before = target.scan().filter(is_here).collect()
        checkpoints = {**consumed, **(rules or {})} if number == count - 1 else {**not_yet, **PART.of(number)}
        written += target.replace(before, after, checkpoints, run_id=run_id)
    return StepResult(table, target.version, written, consumed=incremental.versions_of(sources))


ON_CLUSTER: dict[tables.Table, Callable[[StepContext, Cluster, Staging], StepResult]] = {
    DIM_PATIENT: _patients,
    **{table: partial(_fold, table) for table in (FACT_PATIENT_FLOW, FACT_ED_ATTENDANCE)},
}
"""Gold tables that the cluster makes; the others are small."""


def _number_of_parts(silver: LakeTable) -> int:
    return max(1, -(-silver.row_count() // incremental.EVENTS_AT_ONCE))
