"""Sensors and schedules: a micro-batch when events wait, and the hourly maintenance of the lake.

One sensor compares the hub with the lake every PATIENT_FLOW_CADENCE_SECONDS (once a minute) and requests a run when
there is work. A run reads at most PATIENT_FLOW_MAX_EVENTS_PER_RUN events, fewer when they are large. After an outage a
second sensor therefore requests the next run as soon as one has ended with events remaining, instead of waiting for
the next tick.

Transient failures are retried: each step three times within the run, and the whole run a minute or two later, from the
lake's checkpoints, even without new events; after three failed runs in a row, less often. No run is requested while a
disk of the lake or the warehouse is full. Permanent failures (another hub, wrong settings) fail at once and request no
run.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg

from patient_flow import operations
from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES, WAREHOUSE_TABLES
from patient_flow.monitoring import catalogue
from patient_flow.monitoring.notices import encode
from patient_flow.monitoring.rules.disks import disk_full
from patient_flow.orchestration import run_workers
from patient_flow.orchestration.failures import MAX_RETRIES, failure_of
from patient_flow.orchestration.forecasts import FORECAST_KEYS
from patient_flow.orchestration.launching import fail_lost_starts
from patient_flow.orchestration.reports import ACTIVE, POOL, RECONCILIATION_KEY, lake_key
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import PIPELINE_TAG, RUN_TAGS
from patient_flow.pipeline.backlog import Backlog
from patient_flow.pipeline.hub_probe import HubFailure, probe_hub
from patient_flow.pipeline.maintenance import maintain
from patient_flow.settings import CADENCE_SECONDS, Settings
from patient_flow.stores.lake.errors import LakeDamaged, LakeError
from patient_flow.stores.lake.log import NO_CHECKPOINT
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.wording import plural

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

RETRY_DELAY = timedelta(minutes=1)
"""Time between a failed run and its retry: a transient cause may need it to pass."""
MAX_FAILURES = 3
LATER_RETRY_DELAY = timedelta(minutes=2)
"""The same after MAX_FAILURES failed runs in a row."""

ASSET_JOB = "__ASSET_JOB"
"""Dagster's name for the job of assets chosen in the UI or with `dagster asset materialize`."""

micro_batch = dg.define_asset_job(
    "micro_batch",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(*FORECAST_KEYS, RECONCILIATION_KEY),
    description="One micro-batch: brings all events that the hub has now into lake and warehouse.",
    executor_def=dg.in_process_executor,
    run_tags=RUN_TAGS,
    # For a store that is unavailable for seconds; permanent failures set allow_retries=False.
    op_retry_policy=dg.RetryPolicy(max_retries=MAX_RETRIES, delay=3, backoff=dg.Backoff.EXPONENTIAL),
)


@dg.op(description="Compacts small files, vacuums unused ones, and cleans up the logs.", pool=POOL)
def maintain_lake(context: dg.OpExecutionContext, patient_flow: PatientFlow) -> None:
    """Maintains one table after another; the next run retries those that failed.

    The run fails after the last table if any of them could not be read or written; of damage it states the first, with
    its page of the runbook. While the warehouse is unavailable,
    tables are compacted but not vacuumed: it may still have to read their old files.
    """
    services = patient_flow.services()
    loaded: Mapping[str, int | None]
    try:
        loaded = services.warehouse.loaded_versions()
    except WarehouseError as error:
        context.log.warning(f"the loaded versions are unknown, so gold tables are not vacuumed: {error}")
        loaded = dict.fromkeys((table.path for table in WAREHOUSE_TABLES), NO_CHECKPOINT)
    failed: list[str] = []
    damage: LakeDamaged | None = None
    try:
        if cleared := operations.clear_returned(services):
            back = plural(
                cleared,
                "event of erased persons had come back: its body has",
                "events of erased persons had come back: their bodies have",
            )
            context.log.info(f"{back} left bronze")
    except (LakeError, WarehouseError) as error:
        context.log.warning(f"events of erased persons that came back have not been cleared: {error}")
        failed.append(BRONZE_EVENTS.path)
        damage = error if isinstance(error, LakeDamaged) else None
    for table in LAKE_TABLES:
        try:
            done = maintain(services.lake, table, loaded, now=datetime.now(UTC))
        except LakeError as error:
            context.log.warning(f"maintenance failed: {error}")
            failed.append(table.path)
            damage = damage or (error if isinstance(error, LakeDamaged) else None)
            continue
        note = f"; {done.skip_reason}" if done.skip_reason else ""
        context.log.info(
            f"{table.path}: {plural(done.files_joined, 'file')} compacted, {done.files_deleted} deleted{note}"
        )
    for path in services.lake.remove_leftovers(datetime.now(UTC)):
        context.log.info(f"removed what a killed process or an old repair left: {path}")
    if damage is not None:
        raise failure_of(damage, allow_retries=False)
    if failed:
        raise dg.Failure(f"maintenance failed for {', '.join(failed)}: see the log of this run; the next run retries")


@dg.job(
    description="Maintains all lake tables. It never runs beside a micro-batch.",
    executor_def=dg.in_process_executor,
    tags=PIPELINE_TAG,
)
def lake_maintenance() -> None:
    """One op that maintains all tables."""
    maintain_lake()


hourly_maintenance = dg.ScheduleDefinition(
    job=lake_maintenance,
    cron_schedule="17 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Hourly, at a time when nothing else starts.",
)


def backlog_sensor(cadence_seconds: int) -> dg.SensorDefinition:
    """The sensor that requests micro-batches, at most one per ``cadence_seconds``."""

    @dg.sensor(
        name="event_hub_backlog",
        job=micro_batch,
        # The daemon evaluates sensors every five seconds: with the whole cadence, ticks were up to ten seconds late.
        minimum_interval_seconds=cadence_seconds * 5 // 6,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Compares the Event Hub with the lake every {plural(cadence_seconds, 'second')} "
        "(PATIENT_FLOW_CADENCE_SECONDS), and requests a micro-batch when events wait. The result of a tick that "
        "requested none gives the reason.",
    )
    def evaluate(context: dg.SensorEvaluationContext, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
        """Peeks at the hub and never consumes. The positions are checkpoints of the lake, no cursor of the sensor."""
        run_workers.prepare()
        fail_lost_starts(context.instance)
        return _request_run(context.instance, patient_flow)

    return evaluate


event_hub_backlog = backlog_sensor(CADENCE_SECONDS)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[micro_batch],
    request_job=micro_batch,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="After an outage: requests the next micro-batch as soon as one has ended with events remaining.",
)
def catch_up(context: dg.RunStatusSensorContext, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    """Peeks at the hub only when the finished run was limited to a part of the backlog, or deferred events."""
    tags = context.dagster_run.tags
    is_limited = int(tags.get("backlog", 0)) > int(tags.get("events", 0))
    if not is_limited and not _has_deferred_events(context.instance, context.dagster_run.run_id):
        return dg.SkipReason("no remaining backlog")
    return _request_run(context.instance, patient_flow)


def _has_deferred_events(instance: dg.DagsterInstance, run_id: str) -> bool:
    """True when the run reached its limit of bytes or time; false when only a partition could not be read."""
    event = instance.get_latest_materialization_event(lake_key(BRONZE_EVENTS))
    if event is None or event.run_id != run_id or event.asset_materialization is None:
        return False
    events = event.asset_materialization.metadata.get("deferred_events")
    return events is not None and bool(events.value)


def _request_run(instance: dg.DagsterInstance, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    if is_run_active(instance):
        return decide(None, is_active=True)
    try:
        services = patient_flow.services()
    except dg.Failure as error:  # a setting or a list that a person must correct: the alert sensor opens the alert
        return dg.SkipReason(error.description)
    if full := full_disk(services.settings):
        return full
    hub = probe_hub(services.hub, services.lake, services.settings.max_events_per_run)
    if isinstance(hub, HubFailure):
        return dg.SkipReason(hub.reason)
    # Asked again: the probe takes up to 20 seconds, in which the other sensor may have requested a run.
    slow = f"the hub took {hub.seconds:.0f} s to answer" if hub.is_slow else ""
    return decide(hub.backlog, is_active=is_run_active(instance), has_failed=_has_failed(instance), slow=slow)


def full_disk(settings: Settings) -> dg.SkipReason | None:
    """Why no run may start while a disk is full; None while there is room."""
    full = [finding for finding in disk_full(settings.disks) if finding.is_error]
    return dg.SkipReason(" ".join(map(catalogue.DISK_FULL.describe, full))) if full else None


def _has_failed(instance: dg.DagsterInstance) -> bool:
    """True when the newest finished micro-batch failed and is due for a retry."""
    finished = dg.RunsFilter(job_name=micro_batch.name, statuses=FINISHED)
    records = instance.get_run_records(finished, limit=MAX_FAILURES)
    failed = [*takewhile(lambda record: record.dagster_run.status is dg.DagsterRunStatus.FAILURE, records)]
    if not failed:
        return False
    delay = LATER_RETRY_DELAY if len(failed) == MAX_FAILURES else RETRY_DELAY
    return datetime.now(UTC).timestamp() - (failed[0].end_time or 0) > delay.total_seconds()


def is_run_active(instance: dg.DagsterInstance) -> bool:
    """True while a run of the pipeline is queued or running, including runs of selected assets, which lack our tags."""
    filters = (
        dg.RunsFilter(tags=PIPELINE_TAG, statuses=ACTIVE),
        dg.RunsFilter(job_name=ASSET_JOB, statuses=ACTIVE),
    )
    return any(instance.get_runs_count(wanted) for wanted in filters)


def decide(
    backlog: Backlog | None, *, is_active: bool, has_failed: bool = False, slow: str = ""
) -> dg.RunRequest | dg.SkipReason:
    """Requests a run when events wait, a notice must be recorded or the last run failed, and none is active.

    Otherwise the reason why not. ``slow`` is a note about a hub that answered slowly, empty for others.
    """
    if is_active or backlog is None:
        return dg.SkipReason("a micro-batch is queued or running")
    notices = encode(backlog.notices) if backlog.notices else ""
    if not backlog.events and not notices and not has_failed:
        return dg.SkipReason(f"no new events; {slow}" if slow else "no new events")
    # No run key: Dagster remembers keys for ever, and would never run a failed key again.
    tags = {"events": str(backlog.next_events), "backlog": str(backlog.events)}
    optional = {"notices": notices, "hub": slow, "again": "the previous run failed" if has_failed else ""}
    return dg.RunRequest(tags={**tags, **{name: sentence for name, sentence in optional.items() if sentence}})
