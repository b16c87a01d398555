"""What no micro-batch can afford: rules over the last hours, each hour, and over the whole history, each night.

These checks belong to an asset of their own that nothing materialises, so neither the micro-batch nor a run of all
assets by hand ever pays for them. They run in the slot of the micro-batch; what grows with the history at night, when
few patients move. Besides, a sign of life when all is idle.
"""

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from patient_flow.contracts import tables
from patient_flow.contracts.departments import DepartmentListError
from patient_flow.contracts.tables import LAKE_TABLES, WAREHOUSE_TABLES, Table
from patient_flow.health import catalogue, feed, keys, reconciliation
from patient_flow.health.catalogue import Check
from patient_flow.health.findings import Finding, Row, combined, fine, grave, warning
from patient_flow.orchestration import checks
from patient_flow.orchestration.automation import DAY_SECONDS, PIPELINE_TAG, decide, is_at_work, micro_batch
from patient_flow.orchestration.checks import Look, age_of_data
from patient_flow.orchestration.findings import result_of, spec_of
from patient_flow.orchestration.reports import OWNERS, warehouse_key
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import inspection
from patient_flow.pipeline.hub_probe import probe_hub
from patient_flow.services import Services
from patient_flow.stores.lake.errors import STORE_ERRORS, ChangeFeedExpired, LakeError, SchemaDrift
from patient_flow.stores.warehouse import reconciliation as comparison
from patient_flow.stores.warehouse.errors import WarehouseError

HISTORY = dg.AssetSpec(
    dg.AssetKey(["audit", "whole_history"]),
    deps=[warehouse_key(table) for table in WAREHOUSE_TABLES],
    group_name="audit",
    description="Everything the pipeline ever received. The job `audit` judges all of it each night, "
    "`hourly_checks` the last hours; micro-batches judge only what is new.",
    kinds={"deltalake", "sql"},
    owners=OWNERS,
)


def _of_tables(judge: checks.Judge, of: list[Table]) -> Callable[[Services], Finding]:
    def found(services: Services) -> Finding:
        return combined({table.path: judge(Look(services, table, everything=True)) for table in of})

    return found


def _of_table(judge: checks.Judge, table: Table) -> Callable[[Services], Finding]:
    return lambda services: judge(Look(services, table, everything=True))


def schemas(services: Services) -> Finding:
    """Columns of lake and warehouse against the declaration; opening a table adds columns it lacks."""
    drifted = []
    for table in LAKE_TABLES:
        try:
            services.lake.open(table)
        except SchemaDrift as error:
            drifted.append(str(error))
    pending = services.warehouse.migrate(dry_run=True)
    figures = {"drifted_tables": len(drifted), "pending_statements": len(pending)}
    if drifted:
        return grave("; ".join(drifted), figures)
    if pending:
        return warning(f"The warehouse lacks {len(pending)} changes of this version.", figures)
    return fine("Lake and warehouse have the declared columns.", figures)


def census(services: Services) -> Finding:
    """The bed census against the stays."""
    stored, again = inspection.recompute_census(services.lake)
    return reconciliation.same_rows(stored, again, list(tables.FACT_BED_CENSUS.key), ["occupied_beds"])


def stays(services: Services) -> Finding:
    """The stays of this day's part of all visits against their events."""
    stored, again = inspection.recompute_stays(services.lake, datetime.now(UTC).toordinal())
    values = [name for name in tables.FACT_PATIENT_FLOW.schema if name not in ("stay_key", "quality_flags")]
    return reconciliation.same_rows(stored, again, ["stay_key"], values)


def warehouse(services: Services) -> Finding:
    """Rows, sums and checksums of the warehouse."""
    frames: dict[str, pl.LazyFrame] = {}
    loaded = services.warehouse.loaded_versions()
    for path, opened in services.lake.open_all(WAREHOUSE_TABLES).items():
        version = loaded.get(path)
        try:
            if version is not None:
                frames[path] = opened.at(version)
        except ChangeFeedExpired:
            continue
    different = comparison.verify(services.warehouse, frames)
    rows: list[Row] = [
        {"table": d.table, "figure": d.figure, "lake": d.lake, "warehouse": d.warehouse} for d in different
    ]
    if different:
        named = ", ".join(sorted({d.table for d in different}))
        return grave(f"The warehouse differs from gold in {named}.", {"differences": len(different)}, rows[:20])
    return fine("The warehouse holds what gold held when it was loaded.", {"differences": 0, "tables": len(frames)})


def volume(services: Services, *, read_until: datetime | None) -> Finding:
    """The last full hour against earlier weeks."""
    seen = inspection.volume(services.lake, services.settings.timezone, datetime.now(UTC))
    return feed.volume_usual(seen.events, seen.earlier, seen.hour, read_until=read_until)


def hospitals(services: Services, *, read_until: datetime | None) -> Finding:
    """Hospitals that fell silent. What bronze has read but silver has not accepted yet, nobody knows of whom it is."""
    now = datetime.now(UTC)
    known_until = None if inspection.silver_is_behind(services.lake) else read_until
    sent = inspection.last_sent(services.lake, now)
    return feed.every_hospital_sends(sent, services.departments["hospital_id"], now=now, read_until=known_until)


def fields(services: Services) -> Finding:
    """Unknown fields of the last hours that were not there in the days before."""
    return feed.fields_known(inspection.new_fields(services.lake, datetime.now(UTC)))


_WITH_KEYS = [table for table in WAREHOUSE_TABLES if keys.references(table)]
_WITH_VERSIONS = [table for table in WAREHOUSE_TABLES if table.path in keys.MEMBER]

Judged = tuple[tuple[Check, Callable[[Services], Finding]], ...]

AUDITED: Judged = (
    (catalogue.ARRIVE_ONCE, _of_table(checks.arrive_once, tables.BRONZE_EVENTS)),
    (catalogue.ACCEPTED_ONCE, _of_table(checks.accepted_once, tables.SILVER_EVENTS)),
    (catalogue.ACCOUNTED_FOR, _of_table(checks.accounted_for, tables.QUARANTINE)),
    (catalogue.KEYS_UNIQUE, _of_tables(checks.keys_unique, list(WAREHOUSE_TABLES))),
    (catalogue.KEYS_KNOWN, _of_tables(checks.keys_known, _WITH_KEYS)),
    (catalogue.VERSIONS_CHAINED, _of_tables(checks.versions_chained, _WITH_VERSIONS)),
    (catalogue.EVENTS_COUNTED, _of_table(checks.events_counted, tables.DATA_QUALITY_DAY)),
    (catalogue.STAYS, stays),
    (catalogue.CENSUS, census),
    (catalogue.OCCUPANCY, _of_table(checks.occupancy_plausible, tables.FACT_BED_CENSUS)),
    (catalogue.VERIFIED, warehouse),
)
"""Rules whose cost grows with the history."""

LOOKED_AT: Judged = (
    (catalogue.SCHEMAS, schemas),
    (catalogue.DEPARTMENTS_CURRENT, _of_table(checks.departments_current, tables.DIM_DEPARTMENT)),
    (catalogue.FIELDS_KNOWN, fields),
)
"""Rules on the last hours and weeks; besides, those of senders and the age of the data."""

OF_SENDERS = ((catalogue.VOLUME, volume), (catalogue.HOSPITALS_SEND, hospitals))
"""Rules that blame senders, and so must know up to when the hub was read: our own outage is not theirs."""

HAS_ITS_OWN_ALERT = {catalogue.DATA_RECENT.name}
"""Late data is said as such at once; that the hourly look failed would be the same news twice."""


def _judge(
    context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow, judged: Judged, *, matter: str
) -> Iterator[dg.AssetCheckResult]:
    """Each rule in turn; one that cannot be judged hides no other.

    What is grave fails the run, which says in what ``matter``: several jobs judge, and each has its own alert.
    """
    services = patient_flow.services()
    asked = {key.name for key in context.selected_asset_check_keys}
    grave_ones: list[str] = []
    for check, judge in judged:
        if check.name not in asked:
            continue
        try:
            finding = judge(services)
        except pl.exceptions.PolarsError as error:  # its text may repeat values
            finding = warning(f"This could not be judged: {type(error).__name__}.")
        except (LakeError, WarehouseError, DepartmentListError, *STORE_ERRORS) as error:
            said = " ".join(str(error).split()).rstrip(".")
            finding = warning(f"This could not be judged: {type(error).__name__}: {said}.")
        if not finding.is_fine:
            context.log.warning(f"{check.name}: {check.said(finding)}")
        if finding.is_grave and check.name not in HAS_ITS_OWN_ALERT:
            grave_ones.append(check.name)
        yield result_of(check, HISTORY.key, finding)
    if grave_ones:
        raise dg.Failure(f"What {matter} found is grave: {', '.join(grave_ones)}", allow_retries=False)


def _specs(judged: list[Check]) -> list[dg.AssetCheckSpec]:
    return [spec_of(check, HISTORY.key, may_stop=False) for check in judged]


@dg.multi_asset_check(name="check_whole_history", specs=_specs([check for check, _ in AUDITED]), can_subset=True)
def check_whole_history(
    context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow
) -> Iterator[dg.AssetCheckResult]:
    """What grows with the history."""
    yield from _judge(context, patient_flow, AUDITED, matter="the audit of the whole history")


@dg.multi_asset_check(
    name="check_recent_data",
    specs=_specs([*(check for check, _ in (*LOOKED_AT, *OF_SENDERS)), catalogue.DATA_RECENT]),
    can_subset=True,
)
def check_recent_data(
    context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow
) -> Iterator[dg.AssetCheckResult]:
    """What looks only at the last hours and weeks."""

    def age(services: Services) -> Finding:
        return age_of_data(services, context.instance, context.run.run_id)

    until = checks.read_until(context.instance)
    of_senders = tuple((check, functools.partial(judge, read_until=until)) for check, judge in OF_SENDERS)
    judged: Judged = (*LOOKED_AT, *of_senders, (catalogue.DATA_RECENT, age))
    yield from _judge(context, patient_flow, judged, matter="the look at the last hours")


AUDITS = [check_recent_data, check_whole_history]

audit = dg.define_asset_job(
    "audit",
    selection=dg.AssetSelection.checks(*AUDITS),
    description="Judges the whole history by every rule, in the slot of the micro-batch: they never run side by side.",
    executor_def=dg.in_process_executor,
    run_tags={**PIPELINE_TAG, "dagster/max_runtime": DAY_SECONDS},
)
hourly_checks = dg.define_asset_job(
    "hourly_checks",
    selection=dg.AssetSelection.checks(check_recent_data),
    description="Judges the last hours: volume, hospitals that fell silent, new fields, schemas, age of the data.",
    executor_def=dg.in_process_executor,
    run_tags=PIPELINE_TAG,
)

AUDIT_SCHEDULES = [
    dg.ScheduleDefinition(
        job=audit,
        cron_schedule="41 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="At night: it takes the longer the more history there is, and micro-batches wait for it.",
    ),
    dg.ScheduleDefinition(
        job=hourly_checks,
        cron_schedule="41 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Hourly, away from the upkeep.",
    ),
]

PAUSE = timedelta(minutes=4)
"""An idle hospital's tables are looked at again after so long."""


@dg.schedule(
    job=micro_batch,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="When no event came for minutes, a micro-batch all the same: an idle hospital must not look broken.",
)
def idle_heartbeat(context: dg.ScheduleEvaluationContext, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    """Every five minutes."""
    return heartbeat(context.instance, patient_flow)


def heartbeat(instance: dg.DagsterInstance, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    """Nothing while micro-batches run anyway, before the first one, or when no hub answers: then it *is* late."""
    if is_at_work(instance):
        return decide(None, is_active=True)
    last = instance.get_latest_materialization_event(warehouse_key(tables.FACT_PATIENT_FLOW))
    if last is None:
        return dg.SkipReason("nothing was ever loaded")
    if datetime.now(UTC).timestamp() - last.timestamp < PAUSE.total_seconds():
        return dg.SkipReason("a micro-batch ended a moment ago")
    services = patient_flow.services()
    hub = probe_hub(services.hub, services.lake, services.settings.max_events_per_run)
    if hub.backlog is None:
        return dg.SkipReason(hub.sentence)
    return dg.RunRequest(tags={"heartbeat": "idle"})
