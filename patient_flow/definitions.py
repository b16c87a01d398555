"""The Dagster code location: everything put together, nothing read and nothing contacted at import.

Only the cadence of the sensor is read from the settings, when Dagster loads the definitions.
"""

from __future__ import annotations

from functools import cache

import dagster as dg

from patient_flow.orchestration import event_log, run_workers
from patient_flow.orchestration.alert_sensor import alerts
from patient_flow.orchestration.assets import ASSETS
from patient_flow.orchestration.automation import (
    backlog_sensor,
    catch_up,
    hourly_maintenance,
    lake_maintenance,
    micro_batch,
)
from patient_flow.orchestration.backfill import backfill
from patient_flow.orchestration.check_jobs import CHECK_SCHEDULES, audit, hourly_checks, idle_heartbeat
from patient_flow.orchestration.checks import CHECKS, HISTORY, HISTORY_CHECKS
from patient_flow.orchestration.forecasts import forecast, forecast_after_import, forecast_backtest, hourly_forecast
from patient_flow.orchestration.housekeeping import hourly_housekeeping, housekeeping
from patient_flow.orchestration.import_job import import_files
from patient_flow.orchestration.open_alerts import OPEN_ALERTS
from patient_flow.orchestration.reconcile_job import reconcile, reconciliation_differences
from patient_flow.orchestration.repair_job import lake_repair
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.settings import CADENCE_SECONDS, SettingsError, load


def build_defs(patient_flow: PatientFlow | None = None, *, cadence: int = CADENCE_SECONDS) -> dg.Definitions:
    """All definitions; tests pass a resource with settings of their own."""
    return dg.Definitions(
        assets=[*ASSETS, HISTORY, OPEN_ALERTS, reconciliation_differences],
        asset_checks=[*CHECKS, *HISTORY_CHECKS],
        jobs=[
            micro_batch,
            lake_maintenance,
            hourly_checks,
            audit,
            housekeeping,
            backfill,
            import_files,
            lake_repair,
            reconcile,
            forecast,
            forecast_backtest,
        ],
        schedules=[hourly_maintenance, *CHECK_SCHEDULES, hourly_housekeeping, idle_heartbeat, hourly_forecast],
        sensors=[backlog_sensor(cadence), catch_up, forecast_after_import, alerts],
        resources={"patient_flow": patient_flow or PatientFlow()},
        # One process per run: a process per step would outlast the minute.
        executor=dg.in_process_executor,
    )


@cache
def _definitions() -> dg.Definitions:
    try:
        return build_defs(cadence=load().cadence_seconds)
    except SettingsError:  # the definitions load in any case, so that a tick can report it
        return build_defs()


@dg.definitions
def defs() -> dg.Definitions:
    """All definitions, with the settings of this process."""
    return _definitions()


event_log.install()
run_workers.install(__name__)
