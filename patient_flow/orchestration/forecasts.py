"""The forecast, hourly and after an import, and its backtest: jobs outside the micro-batches and their pool."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
from pydantic import Field

from patient_flow import forecast_report
from patient_flow.contracts.forecasts import JUDGED_DAYS
from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.operations import step_context
from patient_flow.orchestration.reports import ACTIVE, FORECAST_POOL, lake_key
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline.forecast import pending
from patient_flow.pipeline.graph import FORECASTS
from patient_flow.stores.lake.errors import LakeError
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout
from patient_flow.wording import plural

MAX_DAYS = 400
LAKE_SECONDS = 20.0

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


@dg.sensor(
    job=forecast,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a forecast before the next hour: once an import, or the withdrawal of a file, has reached "
    "gold, and while a run has left past mornings to the next one.",
)
def forecast_after_import(
    context: dg.SensorEvaluationContext, patient_flow: PatientFlow
) -> dg.RunRequest | dg.SkipReason:
    """At the second tick that finds the same state: another file may follow. Once for each state."""
    try:
        lake = patient_flow.systems().lake
        waits = call_with_timeout(
            LAKE_SECONDS, ("forecasts", lake.uri(BRONZE_EVENTS)), lambda: pending(lake, datetime.now(UTC))
        )
    except dg.Failure as error:  # a setting that a person must correct: the alert sensor opens the alert
        return dg.SkipReason(error.description)
    except LakeError as error:
        return dg.SkipReason(str(error))
    except CallTimedOut:
        return dg.SkipReason(f"the lake does not answer within {LAKE_SECONDS:.0f} s")
    if waits is None:
        return dg.SkipReason("no forecast is missing")
    if not waits.is_ready:
        return dg.SkipReason("an import, or the withdrawal of a file, has not reached gold yet")
    if context.instance.get_runs_count(dg.RunsFilter(job_name=forecast.name, statuses=ACTIVE)):
        return dg.SkipReason("a forecast is queued or running")
    if context.cursor != waits.state:
        context.update_cursor(waits.state)
        return dg.SkipReason("forecasts are missing: the next tick requests them unless rows of files follow")
    return dg.RunRequest(run_key=waits.state)


class BacktestConfig(dg.Config):
    """Config of the op, as the launchpad shows it."""

    first: str = Field(default="", description=f"First local date, YYYY-MM-DD; empty: {JUDGED_DAYS} days before last.")
    last: str = Field(default="", description="Last local date, YYYY-MM-DD; empty: the day before yesterday.")

    def days(self, now: datetime) -> tuple[date, date]:
        """First and last day. Raises :class:`OperatorError` for dates that make no sense."""
        try:
            last = date.fromisoformat(self.last) if self.last else now.date() - timedelta(days=2)
            first = date.fromisoformat(self.first) if self.first else last - timedelta(days=JUDGED_DAYS - 1)
        except ValueError as error:
            raise OperatorError(f"first and last are dates such as 2026-10-01: {error}") from error
        if not timedelta() <= last - first < timedelta(days=MAX_DAYS):
            raise OperatorError(f"first must not be after last, nor {MAX_DAYS} days before it")
        return first, last


@dg.op(description="Forecasts as of 06:00 on past days, and compares with what happened.", pool=FORECAST_POOL)
def backtest_forecast(context: dg.OpExecutionContext, config: BacktestConfig, patient_flow: PatientFlow) -> None:
    """Writes nothing; logs a line per day, and reports tables with bars in the metadata of its output."""
    now = datetime.now(UTC)
    try:
        first, last = config.days(now)
        steps = step_context(patient_flow.services(), run_id=context.run_id, now=now)
        days = (last - first).days + 1
        scored = []
        for number, (day, rows) in enumerate(forecast_report.backtest(steps, first, last), start=1):
            scored.append(rows)
            context.log.info(f"{number} of {days}: {day}, {plural(rows.height, 'forecast')} compared")
    except OperatorError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    found = pl.concat(scored) if scored else pl.DataFrame()
    if found.is_empty():
        raise dg.Failure(forecast_report.NOTHING_COMPARED, allow_retries=False)
    context.add_output_metadata(
        {**forecast_report.figures(found), "report": dg.MetadataValue.md(forecast_report.markdown(found))}
    )


@dg.job(
    description="Forecasts as of past mornings from what was known then, and compares with what happened; writes "
    "nothing. Open the launchpad to choose the days; the report is in the metadata of the op's output. The hourly "
    f"forecast waits for it (pool {FORECAST_POOL}).",
    executor_def=dg.in_process_executor,
    config={"ops": {"backtest_forecast": {"config": {"first": "", "last": ""}}}},
)
def forecast_backtest() -> None:
    """The same as ``patient-flow forecast backtest``."""
    backtest_forecast()
