"""The hourly forecast: a job of its own, outside the micro-batches and their pool."""

import dagster as dg

from patient_flow.orchestration.reports import FORECAST_POOL, lake_key
from patient_flow.pipeline.graph import FORECASTS

FORECAST_KEYS = [lake_key(step.table) for step in FORECASTS]

forecast = dg.define_asset_job(
    "forecast",
    selection=dg.AssetSelection.assets(*FORECAST_KEYS),
    description="Forecasts beds and arrivals from what is known now, makes missing forecasts of 06:00 as of their "
    f"time, and scores past ones. It runs beside micro-batches, in the pool {FORECAST_POOL}; the next one loads the "
    "rows into the warehouse.",
    executor_def=dg.in_process_executor,
)

hourly_forecast = dg.ScheduleDefinition(
    job=forecast,
    # Some minutes after the hour, when the events of the hour have arrived.
    cron_schedule="6 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Hourly; a forecast made at an hour waits until the lake has what the hub accepted by then.",
)
