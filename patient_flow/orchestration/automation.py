"""What starts by itself: a micro-batch when events wait, and the hourly upkeep of the lake.

The sensor looks at the hub once a minute, compares with the lake, and asks for one run when there is work.
"""

from datetime import UTC, datetime

import dagster as dg

from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline.backlog import Backlog, HubRefused, plan
from patient_flow.pipeline.maintenance import maintain
from patient_flow.stores.hub import HubError
from patient_flow.stores.lake import LakeError

PIPELINE_TAG = {"pipeline": "patient_flow"}
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

micro_batch = dg.define_asset_job(
    "micro_batch",
    selection=dg.AssetSelection.all(),
    description="One micro-batch: from what the hub holds at this moment to the warehouse.",
    executor_def=dg.in_process_executor,
    run_tags=PIPELINE_TAG,
)


@dg.op(description="Joins small files, deletes what no reader needs, and keeps the logs short.")
def maintain_lake(context: dg.OpExecutionContext, patient_flow: PatientFlow) -> None:
    """Every table in turn; what could not be done now is done next time."""
    services = patient_flow.services()
    loaded = services.warehouse.loaded_versions()
    for table in LAKE_TABLES:
        done = maintain(services.lake, table, loaded, now=datetime.now(UTC))
        note = f"; {done.left_alone}" if done.left_alone else ""
        context.log.info(f"{table.path}: {done.files_joined} files joined, {done.files_deleted} deleted{note}")


@dg.job(
    description="Upkeep of all tables of the lake, in the slot of the micro-batch: the two never run side by side.",
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
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks once a minute what the Event Hub holds beyond the lake, and asks for one micro-batch.",
)
def event_hub_backlog(context: dg.SensorEvaluationContext, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    """Peeks; never consumes. What comes next is read from the lake, not from a cursor."""
    active = context.instance.get_runs_count(dg.RunsFilter(tags=PIPELINE_TAG, statuses=ACTIVE))
    if active:
        return decide(None, is_active=True)
    services = patient_flow.services()
    try:
        state = services.hub.peek()
        progress = services.lake.open(BRONZE_EVENTS).progress
        backlog = plan(state, progress, services.settings.max_events_per_run)
    except (HubError, HubRefused, LakeError) as error:
        return dg.SkipReason(str(error))
    return decide(backlog, is_active=False)


def decide(backlog: Backlog | None, *, is_active: bool) -> dg.RunRequest | dg.SkipReason:
    """One run when events wait and none is at work; else the reason why not."""
    if is_active or backlog is None:
        return dg.SkipReason("a micro-batch is queued or running")
    notices = "; ".join(backlog.notices)
    if not backlog.events:
        return dg.SkipReason("; ".join(filter(None, ["no new events", notices])))
    # No run key: Dagster remembers keys for ever, and a failed run would never be asked for again.
    tags = {"events": str(backlog.next_events), "backlog": str(backlog.events)}
    return dg.RunRequest(tags={**tags, **({"notices": notices} if notices else {})})
