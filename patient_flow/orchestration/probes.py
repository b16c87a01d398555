"""Probes of the alert sensor, one per source. Each returns what fires and what it could not judge, and never raises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
import sqlalchemy as sa

from patient_flow.contracts.tables import BRONZE_EVENTS, QUARANTINE, SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.key_strength import NEW_KEY
from patient_flow.monitoring import catalogue, thresholds
from patient_flow.monitoring.alert_state import Firing, alert_key
from patient_flow.monitoring.bed_alerts import BedAlert
from patient_flow.monitoring.finding import Finding, Severity
from patient_flow.monitoring.notices import EventsExpired, HubRecreated, Notice, PartitionAdded, decode
from patient_flow.monitoring.rule import SETTLE_WINDOW, Audience, Rule
from patient_flow.monitoring.rules import forecasts, freshness, occupancy, senders, system
from patient_flow.orchestration.automation import ASSET_JOB
from patient_flow.orchestration.backfill import backfill
from patient_flow.orchestration.checks import HISTORY
from patient_flow.orchestration.import_job import import_files
from patient_flow.orchestration.recorded import RECENT, materialized, quarantine_reasons, rows_added
from patient_flow.orchestration.repair_job import lake_repair
from patient_flow.orchestration.reports import NOTICES
from patient_flow.orchestration.resources import read_lists
from patient_flow.orchestration.retries import retried_runs
from patient_flow.pipeline.hub_probe import Failure, HubFailure, HubStatus
from patient_flow.services import Services
from patient_flow.settings import AlertSettings, Settings
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout
from patient_flow.stores.warehouse.errors import WarehouseError, WarehouseNotInitialised
from patient_flow.stores.warehouse.schema import LOAD_LOG
from patient_flow.stores.warehouse.views import TABLES as VIEWS

MANUAL_RUN_TTL = timedelta(days=1)
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_WRAPPERS = {"DagsterExecutionStepExecutionError", "RetryRequestedFromPolicy"}
_CHECK_FAILED = "DagsterAssetCheckFailedError"
LAKE, WAREHOUSE, LIST = "lake", "warehouse", "department list"
LIST_SECONDS, WAREHOUSE_SECONDS = 8.0, 11.0
"""Timeouts: with the 20 seconds of the hub's probe and those of the channels, a tick has no more."""

HUB_RULES = {
    Failure.HUB_DOWN: catalogue.HUB_DOWN,
    Failure.HUB_TIMEOUT: catalogue.HUB_DOWN,
    Failure.HUB_REFUSED: catalogue.HUB_REFUSED,
    Failure.LAKE_DOWN: catalogue.STORE_DOWN,
    Failure.LAKE_DAMAGED: catalogue.DAMAGED_TABLE,
}
NOTICE_RULES: dict[type, Rule] = {
    HubRecreated: catalogue.HUB_RECREATED,
    EventsExpired: catalogue.EVENTS_EXPIRED,
    PartitionAdded: catalogue.PARTITION_ADDED,
}


@dataclass(frozen=True)
class ProbeResult:
    """Findings of a probe, and the rules and alert keys that could not be evaluated."""

    firings: tuple[Firing, ...] = ()
    unknown: frozenset[str] = frozenset()


def firings(rule: Rule, findings: Sequence[Finding]) -> tuple[Firing, ...]:
    """The findings of one rule."""
    return tuple(Firing(rule, finding) for finding in findings)


# --- Dagster --------------------------------------------------------------------------------------------------------


def probe_dagster(
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition | None,
    notices: Sequence[Notice],
    now: datetime,
    settings: AlertSettings,
) -> ProbeResult:
    """Runs, checks, the share of quarantined rows, and ``notices`` of the hub besides those that runs recorded."""
    found = [
        *judge_notices([*notices, *recorded_notices(instance, now)]).firings,
        *firings(
            catalogue.QUARANTINE_SPIKE,
            senders.quarantine_spike(
                rows_added(instance, SILVER_EVENTS.path, now),
                rows_added(instance, QUARANTINE.path, now),
                settings.quarantine_pct,
                min_events=thresholds.QUARANTINE_MIN_EVENTS,
                reasons=quarantine_reasons(instance, now),
            ),
        ),
    ]
    if repository is None:
        unknown = (catalogue.RUN_FAILED, catalogue.CHECK_FAILED, catalogue.DAMAGED_TABLE)
        return ProbeResult(tuple(found), frozenset(rule.name for rule in unknown))
    runs = system.run_retried(retried_runs(instance, now))
    runs += system.run_failed(finished_runs(instance, repository.job_names, now))
    failed, damaged = system.separate_damage(runs, catalogue.DAMAGED_TABLE.page)
    found += [*firings(catalogue.RUN_FAILED, failed), *firings(catalogue.DAMAGED_TABLE, damaged)]
    keys = sorted(set(repository.asset_graph.asset_check_keys) - reported_by_batches())
    results = check_results(instance, keys)
    found += firings(catalogue.CHECK_FAILED, system.check_failed(results))
    evaluated = {(result.asset, result.check) for result in results}
    names = {(key.asset_key.to_user_string(), key.name) for key in keys} - evaluated
    never = {alert_key(catalogue.CHECK_FAILED.name, f"{asset}/{name}") for asset, name in names}
    return ProbeResult(tuple(found), frozenset(never))


def judge_notices(notices: Sequence[Notice]) -> ProbeResult:
    """Notices of the hub: recreated, a new partition, events that expired unread."""
    return ProbeResult(
        tuple(firing for kind, rule in NOTICE_RULES.items() for firing in firings(rule, system.noticed(notices, kind)))
    )


def reported_by_batches() -> set[dg.AssetCheckKey]:
    """Hourly checks that say the same as those of micro-batches: one cause is one alert."""
    return {dg.AssetCheckKey(HISTORY.key, rule.name) for rule in catalogue.CHECKS if rule.is_judged_by_batches}


def finished_runs(instance: dg.DagsterInstance, jobs: Sequence[str], now: datetime) -> list[system.FinishedRun]:
    """The newest finished run of each job, however many runs of other jobs came since.

    Runs of single assets count as micro-batches: each heals the other. A job that only a person starts counts for a
    day: nobody may ever start it again.
    """
    newest: dict[str, dg.RunRecord] = {}
    for name in jobs:
        since = now - MANUAL_RUN_TTL if name in (backfill.name, import_files.name, lake_repair.name) else None
        wanted = dg.RunsFilter(job_name=name, statuses=FINISHED, updated_after=since)
        job = system.MICRO_BATCH if name == ASSET_JOB else name
        for record in instance.get_run_records(wanted, limit=1):
            newest[job] = max(record, newest.get(job, record), key=lambda found: found.storage_id)
    return [_finished(instance, job, record.dagster_run) for job, record in newest.items()]


def _finished(instance: dg.DagsterInstance, job: str, run: dg.DagsterRun) -> system.FinishedRun:
    succeeded = run.status == dg.DagsterRunStatus.SUCCESS
    return system.FinishedRun(job, run.run_id, succeeded, "" if succeeded else cause(instance, run.run_id))


def cause(instance: dg.DagsterInstance, run_id: str) -> str:
    """The step that failed and the kind of its error: never its text, unless we wrote it for operators."""
    failures = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    for entry in failures:
        event = entry.dagster_event
        if event is None or event.step_failure_data.error is None:
            continue
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            return f"{event.step_key}: {failure.user_failure_data.description}"
        error = failure.error
        while error is not None and error.cls_name in _WRAPPERS and error.cause is not None:
            error = error.cause
        if error is not None and error.cls_name == _CHECK_FAILED:
            return f"{event.step_key} found an error, so the warehouse was not loaded; the alert of the check names it"
        return f"{event.step_key} ended with {error.cls_name if error is not None else 'an error'}"
    return "it was interrupted before a step could fail"


def recorded_notices(instance: dg.DagsterInstance, now: datetime) -> list[Notice]:
    """Notices of the hub in the last minutes, from its sensor's requests and from the runs of bronze."""
    filters = dg.RunsFilter(job_name=system.MICRO_BATCH, created_after=now - RECENT)
    requested = [run.tags.get("notices", "") for run in instance.get_runs(filters, limit=20)]
    recorded = [
        notices.value or ""
        for metadata in materialized(instance, BRONZE_EVENTS.path, now)
        if isinstance(notices := metadata.get(NOTICES), dg.TextMetadataValue)
    ]
    return [notice for text in (*requested, *recorded) for notice in decode(text)]


def check_results(instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]) -> list[system.CheckResult]:
    """The newest evaluation of each check. One that is being evaluated counts as what it was."""
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

    evaluated = {Status.SUCCEEDED, Status.FAILED}
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    results = []
    for key in keys:  # the answer has others too: Dagster looks for assets and for names separately
        record = newest.get(key)
        if record is None:
            continue
        if record.status not in evaluated:
            earlier = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=evaluated)
            if not earlier:
                continue
            record = earlier[0]
        event = record.event.dagster_event if record.event is not None else None
        if event is None or event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        evaluation = event.asset_check_evaluation_data
        failed = Severity.ERROR if evaluation.severity == dg.AssetCheckSeverity.ERROR else Severity.WARNING
        results.append(
            system.CheckResult(
                key.asset_key.to_user_string(),
                key.name,
                Severity.OK if evaluation.passed else failed,
                evaluation.description or "see the check in the Dagster UI",
            )
        )
    return results


# --- hub ------------------------------------------------------------------------------------------------------------


def judge_hub(hub: HubStatus | HubFailure, now: datetime, settings: AlertSettings) -> ProbeResult:
    """The hub, and the lake it was compared with."""
    if isinstance(hub, HubFailure):
        rule = HUB_RULES[hub.failure]
        subject = LAKE if rule is catalogue.STORE_DOWN else ""
        resolve_after = SETTLE_WINDOW if hub.failure is Failure.HUB_TIMEOUT else None
        unknown = {catalogue.NO_EVENTS, catalogue.DATA_STALE, catalogue.HUB_REFUSED, catalogue.HUB_SLOW}
        if hub.failure not in (Failure.LAKE_DAMAGED, Failure.HUB_REFUSED):  # else the log of bronze was read
            unknown.add(catalogue.DAMAGED_TABLE)
        of_lake = () if hub.lake_was_asked else (alert_key(catalogue.STORE_DOWN.name, LAKE),)
        return ProbeResult(
            firings(rule, [system.unavailable(hub.reason, subject, resolve_after=resolve_after)]),
            frozenset({*(rule.name for rule in unknown), *of_lake}),
        )
    slow = f"Event Hub took {hub.seconds:.0f} s to answer"
    return ProbeResult(
        (
            *firings(catalogue.HUB_SLOW, [system.unavailable(slow)] if hub.is_slow else []),
            *firings(
                catalogue.NO_EVENTS, freshness.no_events(hub.newest, now, timedelta(hours=settings.silence_hours))
            ),
        ),
        # An event that the hub has forgotten ends no silence.
        frozenset() if hub.newest is not None else frozenset({catalogue.NO_EVENTS.name}),
    )


# --- department list and source mapping -----------------------------------------------------------------------------


def probe_lists(services: Services, *, lake_answers: bool) -> ProbeResult:
    """The department list, the source mapping, and the files of escalation and charts."""
    of_list = alert_key(catalogue.STORE_DOWN.name, LIST)
    if not lake_answers and "://" in services.settings.departments:  # a list in a lake that is away is not invalid
        return ProbeResult(unknown=frozenset({catalogue.SETTINGS_INVALID.name, of_list}))
    try:
        read_lists(services, LIST_SECONDS)
        _ = services.escalation, services.chart_notes
    except OperatorError as error:
        return ProbeResult(firings(catalogue.SETTINGS_INVALID, [system.unavailable(str(error))]))
    except CallTimedOut as error:
        finding = system.unavailable(str(error), LIST, resolve_after=SETTLE_WINDOW)
        return ProbeResult(firings(catalogue.STORE_DOWN, [finding]), frozenset({catalogue.SETTINGS_INVALID.name}))
    return ProbeResult()


def judge_keys(settings: Settings) -> ProbeResult:
    """The key of the pseudonyms, unless the lake is on this machine."""
    why = None if settings.lake_is_local else settings.pseudonym_key_weakness
    return ProbeResult(firings(catalogue.PSEUDONYM_KEY_WEAK, system.pseudonym_key_weak(why, NEW_KEY)))


# --- warehouse ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WarehouseStatus:
    """The time of the last warehouse load, the hourly occupancy of departments, the delays of hospitals now, and the
    places that will probably be full."""

    loaded_at: datetime | None
    hours: pl.DataFrame
    delays: Sequence[occupancy.Delays] = ()
    chances: Sequence[forecasts.Chance] = ()


def probe_warehouse(services: Services, now: datetime) -> WarehouseStatus | ProbeResult:
    """The status of the warehouse, or what fires instead."""
    warehouse = services.warehouse
    since = now - services.settings.alerts.occupancy_limits.window - timedelta(days=1)
    beds = {rule.name for rule in catalogue.ALERTS if rule.audience is Audience.BED_MANAGEMENT}
    unknown = frozenset({catalogue.DATA_STALE.name, *beds})
    try:
        return call_with_timeout(
            WAREHOUSE_SECONDS,
            (WAREHOUSE, warehouse.address),
            lambda: WarehouseStatus(
                last_load(services),
                department_hours(services, since),
                delays_now(services),
                chances_to_be_full(services, now),
            ),
        )
    except WarehouseNotInitialised:  # before the first load there is nothing to read
        return ProbeResult(unknown=unknown)
    except WarehouseError as error:
        finding = system.unavailable(str(error), WAREHOUSE)
    except CallTimedOut:
        reason = f"{warehouse.address} does not answer within {WAREHOUSE_SECONDS:.0f} s"
        finding = system.unavailable(reason, WAREHOUSE, resolve_after=SETTLE_WINDOW)
    return ProbeResult(firings(catalogue.STORE_DOWN, [finding]), unknown)


def judge_occupancy(settings: Settings, hours: pl.DataFrame) -> ProbeResult:
    """Departments that are full; no figures are no empty beds."""
    full = occupancy.full_departments(hours, settings.alerts.occupancy_limits, ZoneInfo(settings.timezone))
    return ProbeResult(
        _of_beds(catalogue.OCCUPANCY_HIGH, full),
        frozenset() if hours.height else frozenset({catalogue.OCCUPANCY_HIGH.name}),
    )


def judge_delays(services: Services, delays: Sequence[occupancy.Delays], now: datetime) -> ProbeResult:
    """Hospitals whose delayed patients reach the share of escalation level 3 or 4; no figures are no empty beds."""
    try:
        limit = thresholds.delayed_limit(services.escalation)
    except OperatorError:  # an alert of its own (probe_lists)
        limit = thresholds.DELAYED
    return ProbeResult(
        _of_beds(catalogue.DISCHARGES_DELAYED, occupancy.delayed_hospitals(delays, limit, now)),
        frozenset() if delays else frozenset({catalogue.DISCHARGES_DELAYED.name}),
    )


def judge_chances(chances: Sequence[forecasts.Chance]) -> ProbeResult:
    """Departments and hospitals that will probably be full."""
    return ProbeResult(_of_beds(catalogue.BEDS_FULL_AHEAD, forecasts.beds_full_ahead(chances)))


def _of_beds(rule: Rule, alerts: Sequence[BedAlert]) -> tuple[Firing, ...]:
    return firings(rule, [alert.finding for alert in alerts])


def last_load(services: Services) -> datetime | None:
    """The time of the last warehouse load."""
    log = services.warehouse.query(LOAD_LOG.select())
    loaded_at = log["loaded_at"].drop_nulls().max() if log.height else None
    return loaded_at.replace(tzinfo=UTC) if isinstance(loaded_at, datetime) else None


def department_hours(services: Services, since: datetime) -> pl.DataFrame:
    """hospital, department, at (UTC), occupancy_pct by hour, from the warehouse's view."""
    view = VIEWS["BedOccupancyHourly"]
    query = view.select().where(view.c.date >= since.date(), view.c.occupancy_pct.is_not(None))
    return services.warehouse.query(query).select(
        pl.coalesce("hospital_name", "hospital_id").alias("hospital"),
        "department",
        pl.col("hour_start_at").dt.replace_time_zone("UTC").alias("at"),
        "occupancy_pct",
    )


def delays_now(services: Services) -> list[occupancy.Delays]:
    """Patients in beds of each hospital, and when the delayed ones could have left, from the warehouse's views."""
    present, delayed = VIEWS["CurrentPatients"], VIEWS["DelayedDischarges"]
    in_beds = services.warehouse.query(
        sa.select(
            present.c.hospital_id, sa.func.max(present.c.hospital_name), sa.func.count().label("patients")
        ).group_by(present.c.hospital_id)
    )
    due: dict[str, list[datetime]] = {}
    for hospital, at in services.warehouse.query(sa.select(delayed.c.hospital_id, delayed.c.due_at)).iter_rows():
        due.setdefault(hospital, []).append(at.replace(tzinfo=UTC))
    return [
        occupancy.Delays(str(name or hospital), patients, due.get(hospital, ()))
        for hospital, name, patients in in_beds.iter_rows()
    ]


def chances_to_be_full(services: Services, now: datetime) -> list[forecasts.Chance]:
    """Of the newest forecast, unless it is older than what it looks ahead."""
    view = VIEWS["BedsExpected"]
    wanted = (view.c.horizon_hours == thresholds.FORECAST_FULL_HOURS, view.c.probability_full.is_not(None))
    try:
        rows = services.warehouse.query(view.select().where(*wanted)).filter(pl.col("target_at") > now)
    except WarehouseNotInitialised:  # a warehouse that `migrate` has not given the view must not lose its other alerts
        return []
    columns = ("hospital_name", "department", "probability_full")
    return [
        forecasts.Chance(str(hospital), department or "", probability, thresholds.FORECAST_FULL_HOURS)
        for hospital, department, probability in rows.select(columns).iter_rows()
    ]
