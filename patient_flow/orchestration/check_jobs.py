"""Jobs and schedules of the checks, in the slot of the micro-batch, and a sign of life while no events come."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from patient_flow.contracts import tables
from patient_flow.orchestration.automation import (
    decide,
    full_disk,
    is_run_active,
    micro_batch,
)
from patient_flow.orchestration.checks import HISTORY_CHECKS, check_recent_data
from patient_flow.orchestration.reports import warehouse_key
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import DAY_SECONDS, PIPELINE_TAG
from patient_flow.pipeline.hub_probe import HubFailure, probe_hub

audit = dg.define_asset_job(
    "audit",
    selection=dg.AssetSelection.checks(*HISTORY_CHECKS),
    description="Runs every check on the whole history, in the slot of the micro-batch: they never run side by side.",
    executor_def=dg.in_process_executor,
    run_tags={**PIPELINE_TAG, "dagster/max_runtime": DAY_SECONDS},
)
hourly_checks = dg.define_asset_job(
    "hourly_checks",
    selection=dg.AssetSelection.checks(check_recent_data),
    description="Checks the last hours: volume, silent hospitals, new fields, schemas, age of the data.",
    executor_def=dg.in_process_executor,
    run_tags=PIPELINE_TAG,
)

CHECK_SCHEDULES = [
    dg.ScheduleDefinition(
        job=audit,
        cron_schedule="41 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="At night: its duration grows with the history, and micro-batches wait for it.",
    ),
    dg.ScheduleDefinition(
        job=hourly_checks,
        cron_schedule="41 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Hourly, at another time than the maintenance.",
    ),
]

MIN_PAUSE = timedelta(minutes=4)
"""An idle micro-batch is requested this long after the one before."""


@dg.schedule(
    job=micro_batch,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="A micro-batch also when no event came for minutes: an idle hospital must not look broken.",
)
def idle_heartbeat(context: dg.ScheduleEvaluationContext, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    """Every five minutes."""
    return heartbeat(context.instance, patient_flow)


def heartbeat(instance: dg.DagsterInstance, patient_flow: PatientFlow) -> dg.RunRequest | dg.SkipReason:
    """Skips while micro-batches run anyway, before the first one, or when the hub fails: then the data *is* late."""
    if is_run_active(instance):
        return decide(None, is_active=True)
    last = instance.get_latest_materialization_event(warehouse_key(tables.FACT_PATIENT_FLOW))
    if last is None:
        return dg.SkipReason("nothing was ever loaded")
    if datetime.now(UTC).timestamp() - last.timestamp < MIN_PAUSE.total_seconds():
        return dg.SkipReason("a micro-batch ended a moment ago")
    services = patient_flow.services()
    if full := full_disk(services.settings):
        return full
    hub = probe_hub(services.hub, services.lake, services.settings.max_events_per_run)
    if isinstance(hub, HubFailure):
        return dg.SkipReason(hub.reason)
    return dg.RunRequest(tags={"heartbeat": "idle"})
