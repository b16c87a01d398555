"""What starts by itself: a micro-batch when events wait, and the hourly upkeep of the lake.

The sensor looks at the hub once a minute, compares with the lake, and asks for one run when there is work. After an
outage one run takes PATIENT_FLOW_MAX_EVENTS_PER_RUN events at most, fewer when they are large; a second sensor then
asks for the next as soon as one has ended, so that the minute between two looks is not lost for every one of them. It
asks only when the finished run left events behind: in daily life the hub is looked at once a minute, as ever.

What may heal is tried again: a step of the job three times within the run, and all of it a minute or two later, from
the lake's own progress, also when no event has come since. After three failures in a row and without new events, it is
left to ``idle_heartbeat``. What will not heal (another hub, wrong settings) fails at once, and asks for no run.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg

from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES, WAREHOUSE_TABLES
from patient_flow.monitoring.notices import encode
from patient_flow.orchestration.reports import POOL, lake_key
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline.backlog import Backlog
from patient_flow.pipeline.hub_probe import HubFailure, probe_hub
from patient_flow.pipeline.maintenance import maintain
from patient_flow.stores.lake.errors import LakeError
from patient_flow.stores.lake.log import NO_CHECKPOINT
from patient_flow.stores.warehouse.errors import WarehouseError

PIPELINE_TAG = {"pipeline": "patient_flow"}
DAY_SECONDS = str(24 * 60 * 60)
"""Tag ``dagster/max_runtime`` of what grows with the history; all else is ended after ``max_runtime_seconds``."""
RUN_TAGS = {
    **PIPELINE_TAG,
    # A run whose process died is started again. A step that failed for good must not be: with
    # Failure(allow_retries=False) alone the whole run would be, so the tag says it too.
    "dagster/max_retries": "2",
    "dagster/retry_on_asset_or_op_failure": "false",
}
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

PATIENCE = timedelta(minutes=1)
"""What made a run fail may need so long to heal."""
FAILURES = 3
"""After so many in a row it will not heal by itself: no more runs for nothing but that, each minute."""

SINGLE_ASSETS = "__ASSET_JOB"
"""Dagster's name for the job of assets chosen in the UI or with `dagster asset materialize`."""

micro_batch = dg.define_asset_job(
    "micro_batch",
    selection=dg.AssetSelection.all(),
    description="One micro-batch: from what the hub holds at this moment to the warehouse.",
    executor_def=dg.in_process_executor,
    run_tags=RUN_TAGS,
    # A store that is away for seconds; a Failure that no retry can heal says so itself (allow_retries=False).
    op_retry_policy=dg.RetryPolicy(max_retries=2, delay=3, backoff=dg.Backoff.EXPONENTIAL),
)


@dg.op(description="Joins small files, deletes what no reader needs, and keeps the logs short.", pool=POOL)
def maintain_lake(context: dg.OpExecutionContext, patient_flow: PatientFlow) -> None:
    """Every table in turn; what could not be done now is done next time.

    A table that cannot be read or written holds up no other; the run fails when all others are done. A warehouse that
    is paused holds up no compaction. Only files are kept then that it may still have to read.
    """
    services = patient_flow.services()
    loaded: Mapping[str, int | None]
    try:
        loaded = services.warehouse.loaded_versions()
    except WarehouseError as error:
        context.log.warning(f"the warehouse does not say what it has read, so its tables are not vacuumed: {error}")
        loaded = dict.fromkeys((table.path for table in WAREHOUSE_TABLES), NO_CHECKPOINT)
    failed = []
    for table in LAKE_TABLES:
        try:
            done = maintain(services.lake, table, loaded, now=datetime.now(UTC))
        except LakeError as error:
            context.log.warning(f"no upkeep: {error}")
            failed.append(table.path)
            continue
        note = f"; {done.skip_reason}" if done.skip_reason else ""
        context.log.info(f"{table.path}: {done.files_joined} files joined, {done.files_deleted} deleted{note}")
    if failed:
        raise dg.Failure(f"no upkeep of {', '.join(failed)}: the log of this run says why; the next one tries again")


@dg.job(
    description="Maintenance of all lake tables, in the slot of the micro-batch: the two never run side by side.",
    executor_def=dg.in_process_executor,
    tags=PIPELINE_TAG,
)
def lake_maintenance() -> None:
    """One op: the tables are maintained one after another."""
    maintain_lake()


hourly_maintenance = dg.ScheduleDefinition(
    job=lake_maintenance,
    cron_schedule="17 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Hourly, at a time when nothing else starts.",
)


@dg.sensor(
    job=micro_batch,
    # The daemon comes round every few seconds: with 60, ticks lay up to 70 apart, and now and then a minute had none.
    minimum_interval_seconds=50,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks once a minute what the Event Hub holds beyond the lake, and asks for one micro-batch. Where a "
    "tick asked for none, a click on its result says why.",
)
def event_hub_backlog(context: dg.SensorEvaluationContext, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    """Peeks; never consumes. What comes next is read from the lake, not from a cursor."""
    return _ask(context.instance, patient_flow)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[micro_batch],
    request_job=micro_batch,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="After an outage: asks for the next micro-batch as soon as one that left events behind has ended.",
)
def catch_up(context: dg.RunStatusSensorContext, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    """Looks at the hub only when the finished run was to read fewer events than it knew of, or had to put some off."""
    tags = context.dagster_run.tags
    is_limited = int(tags.get("backlog", 0)) > int(tags.get("events", 0))
    if not is_limited and not _has_deferred_events(context.instance, context.dagster_run.run_id):
        return dg.SkipReason("no remaining backlog")
    return _ask(context.instance, patient_flow)


def _has_deferred_events(instance: dg.DagsterInstance, run_id: str) -> bool:
    """True when the run read less than it was to, for want of room or time; not where a partition is in trouble."""
    event = instance.get_latest_materialization_event(lake_key(BRONZE_EVENTS))
    if event is None or event.run_id != run_id or event.asset_materialization is None:
        return False
    events = event.asset_materialization.metadata.get("deferred_events")
    return events is not None and bool(events.value)


def _ask(instance: dg.DagsterInstance, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    if is_at_work(instance):
        return decide(None, is_active=True)
    services = patient_flow.services()
    hub = probe_hub(services.hub, services.lake, services.settings.max_events_per_run)
    if isinstance(hub, HubFailure):
        return dg.SkipReason(hub.reason)
    # Looked at again: the look takes up to 20 seconds, in which the other sensor may have asked.
    slow = f"the hub took {hub.seconds:.0f} s to answer" if hub.is_slow else ""
    return decide(hub.backlog, is_active=is_at_work(instance), has_failed=_has_failed(instance), slow=slow)


def _has_failed(instance: dg.DagsterInstance) -> bool:
    """True when the newest finished micro-batch failed, not just now, and not for the third time in a row."""
    finished = dg.RunsFilter(job_name=micro_batch.name, statuses=FINISHED)
    records = instance.get_run_records(finished, limit=FAILURES)
    failed = [*takewhile(lambda record: record.dagster_run.status is dg.DagsterRunStatus.FAILURE, records)]
    if not failed or len(failed) == FAILURES:
        return False
    return datetime.now(UTC).timestamp() - (failed[0].end_time or 0) > PATIENCE.total_seconds()


def is_at_work(instance: dg.DagsterInstance) -> bool:
    """True while a run of the pipeline is on its way, also one of single assets, which has no tags of ours."""
    filters = (
        dg.RunsFilter(tags=PIPELINE_TAG, statuses=ACTIVE),
        dg.RunsFilter(job_name=SINGLE_ASSETS, statuses=ACTIVE),
    )
    return any(instance.get_runs_count(wanted) for wanted in filters)


def decide(
    backlog: Backlog | None, *, is_active: bool, has_failed: bool = False, slow: str = ""
) -> dg.RunRequest | dg.SkipReason:
    """One run when events wait, something is to be recorded or the last one failed, and none is at work.

    Else the reason why not. ``slow`` is what is to be said of a hub that took long to answer.
    """
    if is_active or backlog is None:
        return dg.SkipReason("a micro-batch is queued or running")
    notices = encode(backlog.notices) if backlog.notices else ""
    if not backlog.events and not notices and not has_failed:
        return dg.SkipReason(f"no new events; {slow}" if slow else "no new events")
    # No run key: Dagster remembers keys for ever, and a failed run would never be asked for again.
    tags = {"events": str(backlog.next_events), "backlog": str(backlog.events)}
    said = {"notices": notices, "hub": slow, "again": "the run before failed" if has_failed else ""}
    return dg.RunRequest(tags={**tags, **{name: sentence for name, sentence in said.items() if sentence}})
