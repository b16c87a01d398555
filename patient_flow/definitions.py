"""The Dagster code location: everything put together, nothing read and nothing contacted at import."""

from __future__ import annotations

import dagster as dg

from patient_flow.orchestration import run_workers
from patient_flow.orchestration.alert_sensor import alerts
from patient_flow.orchestration.assets import ASSETS
from patient_flow.orchestration.automation import (
    catch_up,
    event_hub_backlog,
    hourly_maintenance,
    lake_maintenance,
    micro_batch,
)
from patient_flow.orchestration.backfill import backfill
from patient_flow.orchestration.check_jobs import CHECK_SCHEDULES, audit, hourly_checks, idle_heartbeat
from patient_flow.orchestration.checks import CHECKS, HISTORY, HISTORY_CHECKS
from patient_flow.orchestration.housekeeping import hourly_housekeeping, housekeeping
from patient_flow.orchestration.resources import PatientFlow


def build_defs(patient_flow: PatientFlow | None = None) -> dg.Definitions:
    """All definitions; tests pass a resource with settings of their own."""
    return dg.Definitions(
        assets=[*ASSETS, HISTORY],
        asset_checks=[*CHECKS, *HISTORY_CHECKS],
        jobs=[micro_batch, lake_maintenance, hourly_checks, audit, housekeeping, backfill],
        schedules=[hourly_maintenance, *CHECK_SCHEDULES, hourly_housekeeping, idle_heartbeat],
        sensors=[event_hub_backlog, catch_up, alerts],
        resources={"patient_flow": patient_flow or PatientFlow()},
        # One process per run: a process per step would outlast the minute.
        executor=dg.in_process_executor,
    )


defs = build_defs()

run_workers.install(__name__)
