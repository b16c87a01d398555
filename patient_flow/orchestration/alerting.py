"""The sensor that looks for what is wrong, and tells it once: opened, worse, over.

It gathers facts, each of which may be missing without hiding the others, hands them to the pure part (``alerts``) and
carries the messages out. No system that says nothing may take the tick's minute: its cursor would not be kept, and the
same mail would come again every minute. It holds the ledger of open alerts and of what a channel has not been told yet:

* a restart of the daemon loses nothing: the cursor is in Dagster's database;
* a tick that dies after sending and before the cursor is kept sends again next time: twice rather than never;
* a channel that is down keeps its own queue in the ledger, until it takes them all in one message; the other is not
  held up for longer than one timeout;
* without a channel, alerts still open and close, and stand in the tick.

Two ticks never run at once: Dagster waits for one to end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from patient_flow.alerts import findings as found
from patient_flow.alerts import texts
from patient_flow.alerts.ledger import CRITICAL, Finding, Ledger, changes, reconcile, told
from patient_flow.contracts.tables import BRONZE_EVENTS, QUARANTINE, SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.health import catalogue
from patient_flow.monitoring.notices import Notice, decode
from patient_flow.orchestration.audit import HISTORY
from patient_flow.orchestration.automation import SINGLE_ASSETS
from patient_flow.orchestration.backfill import backfill
from patient_flow.orchestration.channels import Channel, ChannelError, channels
from patient_flow.orchestration.reports import NOTICES
from patient_flow.orchestration.resources import PatientFlow, read_lists
from patient_flow.pipeline import hub_probe
from patient_flow.services import Services
from patient_flow.settings import AlertSettings
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout
from patient_flow.stores.warehouse.errors import WarehouseError, WarehouseNotInitialised
from patient_flow.stores.warehouse.schema import LOAD_LOG
from patient_flow.stores.warehouse.views import TABLES as VIEWS

RECENTLY = timedelta(minutes=15)
BY_HAND = timedelta(days=1)
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_WRAPPERS = {"DagsterExecutionStepExecutionError", "RetryRequestedFromPolicy"}
LAKE, WAREHOUSE, LIST = "lake", "warehouse", "department list"
LIST_SECONDS, WAREHOUSE_SECONDS = 8.0, 11.0
"""Patience with each: besides the look's 20 seconds and the channels', a tick has no more."""
JUDGED_BY_MICRO_BATCHES = {
    dg.AssetCheckKey(HISTORY.key, check.name) for check in (catalogue.DATA_RECENT, catalogue.DEPARTMENTS_CURRENT)
}
"""Hourly checks that judge nothing else than those of a micro-batch: one cause is one alert. Other rules that both know
look at the whole history here, and at what is new there."""
_STORE_PAGE = {
    hub_probe.DOWN: found.HUB_DOWN,
    hub_probe.SILENT: found.HUB_DOWN,
    hub_probe.SLOW: found.HUB_SLOW,
    hub_probe.REFUSED: found.HUB_REFUSED,
    hub_probe.LAKE: found.STORE_DOWN,
}


@dataclass
class Gathered:
    """What a look found; ``unknown`` are pages, and keys of alerts, about which nothing can be said now."""

    findings: list[Finding] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    watch: dict[str, Any] = field(default_factory=dict)


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks once a minute for what is wrong and tells each alert once, and once when it is over: by e-mail "
    "and Teams where PATIENT_FLOW_ALERT_… is set. The open ones stand in the newest tick: "
    "click its result.",
)
def alerts(context: dg.SensorEvaluationContext, patient_flow: PatientFlow) -> dg.SensorResult:
    """Facts → findings → ledger → messages → cursor."""
    now = datetime.now(UTC)
    ledger = Ledger.from_json(context.cursor)
    try:
        services = patient_flow.systems()
    except dg.Failure as error:  # nothing can be told either: where to is a setting too
        return dg.SensorResult(skip_reason=f"{found.SETTINGS}: {error.description}", cursor=context.cursor)
    gathered = gather(context, services, ledger, now)
    services.warehouse.dispose()
    ways = channels(services.settings.alerts)
    changed = changes(ledger.open, gathered.findings, now, gathered.unknown)
    ledger = replace(reconcile(ledger, changed, ways, now), watch=gathered.watch)
    links = _links(context, services.settings.alerts)
    ledger, troubles = deliver(ledger, ways, links)
    for trouble in troubles:
        context.log.warning(trouble)
    said = [texts.open_alerts(ledger.open), *troubles]
    if not ways:
        said.append("no channel is set (PATIENT_FLOW_ALERT_EMAIL_TO, PATIENT_FLOW_ALERT_TEAMS_WEBHOOK)")
    return dg.SensorResult(skip_reason="; ".join(said), cursor=ledger.to_json())


def deliver(ledger: Ledger, ways: Mapping[str, Channel], links: texts.Links) -> tuple[Ledger, list[str]]:
    """Tells every channel what it has not been told yet; what failed stays in the ledger. Never raises.

    Besides, what an operator should know: what is not told yet, and who was left out.
    """
    troubles = []
    for name, channel in ways.items():
        notes = ledger.untold.get(name, ())
        if not notes:
            continue
        try:
            left_out = channel.send(texts.message(notes, links))
        except ChannelError as error:
            troubles.append(f"not told yet: {error}")
        except Exception as error:  # noqa: BLE001  (a bug in one channel must not silence the other)
            troubles.append(f"not told yet: {name}: {type(error).__name__}")
        else:
            ledger = told(ledger, name)
            if left_out:
                troubles.append(f"not told to all: {left_out}")
    return ledger, troubles


def gather(context: dg.SensorEvaluationContext, services: Services, ledger: Ledger, now: datetime) -> Gathered:
    """All findings. A source that cannot be read is a finding itself, and leaves its alerts as they are."""
    gathered = Gathered()
    _of_dagster(context, services, now, gathered)
    hub = hub_probe.probe_hub(services.hub, services.lake, services.settings.max_events_per_run)
    _of_hub(hub, services, now, gathered)
    _of_lists(hub, services, gathered)
    _of_warehouse(hub, services, ledger, now, gathered)
    return gathered


def _of_dagster(context: dg.SensorEvaluationContext, services: Services, now: datetime, gathered: Gathered) -> None:
    gathered.findings += found.of_notices(hub_notices(context.instance, now))
    repository = context.repository_def
    if repository is not None:
        gathered.findings += found.of_runs(finished_runs(context.instance, repository.job_names, now))
        keys = set(repository.asset_graph.asset_check_keys) - JUDGED_BY_MICRO_BATCHES
        gathered.findings += found.of_checks(check_results(context.instance, sorted(keys)))
    accepted, quarantined = (rows_added(context.instance, table.path, now) for table in (SILVER_EVENTS, QUARANTINE))
    gathered.findings += found.quarantine(accepted, quarantined, services.settings.alerts.quarantine_pct)


def _of_hub(hub: hub_probe.HubStatus, services: Services, now: datetime, gathered: Gathered) -> None:
    if hub.trouble is not None:
        page = _STORE_PAGE[hub.trouble]
        subject = LAKE if page == found.STORE_DOWN else ""
        hold = found.FLICKER if hub.trouble in {hub_probe.SILENT, hub_probe.SLOW} else timedelta()
        gathered.findings.append(Finding(page, subject, CRITICAL, _ended(hub.sentence), hold))
    if hub.trouble in hub_probe.NO_ANSWER:
        gathered.unknown.add(f"{found.STORE_DOWN}/{LAKE}")
    if hub.backlog is None:
        gathered.unknown |= {found.SILENCE, found.STALE, found.HUB_REFUSED, found.HUB_SLOW}
        return
    gathered.findings += found.of_notices(hub.backlog.notices)
    limit = timedelta(hours=services.settings.alerts.silence_hours)
    gathered.findings += found.silence(hub.newest, now, limit)
    if hub.newest is None:  # no event that the hub knows of ends a silence
        gathered.unknown.add(found.SILENCE)


def _of_lists(hub: hub_probe.HubStatus, services: Services, gathered: Gathered) -> None:
    """The department list and the source mapping; neither may silence the other alerts."""
    is_lake_unknown = hub.trouble == hub_probe.LAKE or hub.trouble in hub_probe.NO_ANSWER
    if is_lake_unknown and "://" in services.settings.departments:  # a list in a lake that is away is no wrong one
        gathered.unknown |= {found.SETTINGS, f"{found.STORE_DOWN}/{LIST}"}
        return
    try:
        read_lists(services, LIST_SECONDS)
    except OperatorError as error:
        gathered.findings.append(Finding(found.SETTINGS, "", CRITICAL, _ended(str(error))))
    except CallTimedOut as error:
        gathered.unknown.add(found.SETTINGS)
        gathered.findings.append(Finding(found.STORE_DOWN, LIST, CRITICAL, _ended(str(error)), found.FLICKER))


def _of_warehouse(
    hub: hub_probe.HubStatus, services: Services, ledger: Ledger, now: datetime, gathered: Gathered
) -> None:
    settings, warehouse = services.settings.alerts, services.warehouse
    gathered.watch = dict(ledger.watch)
    since = now - timedelta(hours=settings.occupancy_hours + 24)
    try:
        loaded_at, hours = call_with_timeout(
            WAREHOUSE_SECONDS,
            (WAREHOUSE, warehouse.address),
            lambda: (last_load(services), department_hours(services, since)),
        )
    except WarehouseError as error:
        gathered.unknown |= {found.STALE, found.OCCUPANCY}
        if not isinstance(error, WarehouseNotInitialised):  # before the first load there is nothing to read
            gathered.findings.append(Finding(found.STORE_DOWN, WAREHOUSE, CRITICAL, f"{error}."))
        return
    except CallTimedOut:
        gathered.unknown |= {found.STALE, found.OCCUPANCY}
        sentence = f"{warehouse.address} does not answer within {WAREHOUSE_SECONDS:.0f} s."
        gathered.findings.append(Finding(found.STORE_DOWN, WAREHOUSE, CRITICAL, sentence, found.FLICKER))
        return
    if hub.backlog is not None:
        limit = timedelta(minutes=settings.stale_minutes)
        gathered.watch, stale = found.staleness(
            ledger.watch, hub.ends, hub.read, loaded_at, now, limit, newest=hub.newest
        )
        gathered.findings += stale
    if not hours:  # no figures are no empty beds
        gathered.unknown.add(found.OCCUPANCY)
    already = [alert.subject for alert in ledger.open.values() if alert.page == found.OCCUPANCY]
    gathered.findings += found.occupancy(
        hours,
        already,
        found.OccupancyLimits(
            settings.occupancy_pct,
            settings.occupancy_critical_pct,
            settings.occupancy_closes_pct,
            settings.occupancy_hours,
        ),
    )


def last_load(services: Services) -> datetime | None:
    """When the warehouse was loaded last."""
    log = services.warehouse.query(LOAD_LOG.select())
    loaded_at = log["loaded_at"].drop_nulls().max() if log.height else None
    return loaded_at.replace(tzinfo=UTC) if isinstance(loaded_at, datetime) else None


def department_hours(services: Services, since: datetime) -> list[found.DepartmentHour]:
    """Occupancy of departments by hour, as the warehouse's view has it."""
    view = VIEWS["BedOccupancyHourly"]
    asked = view.select().where(view.c.date >= since.date(), view.c.occupancy_pct.is_not(None))
    frame = services.warehouse.query(asked).select("hospital_name", "department", "hour_start_at", "occupancy_pct")
    return [
        found.DepartmentHour(str(hospital), department, at.replace(tzinfo=UTC), pct)
        for hospital, department, at, pct in frame.iter_rows()
    ]


def finished_runs(instance: dg.DagsterInstance, jobs: Sequence[str], now: datetime) -> list[found.FinishedRun]:
    """The newest finished run of each job, however many runs of other jobs came since.

    Runs of single assets count as micro-batches: each heals the other. A run that only a person starts is looked at
    for a day: nobody may ever start it again.
    """
    newest: dict[str, dg.RunRecord] = {}
    for name in jobs:
        since = now - BY_HAND if name == backfill.name else None
        wanted = dg.RunsFilter(job_name=name, statuses=FINISHED, updated_after=since)
        job = found.MICRO_BATCH if name == SINGLE_ASSETS else name
        for record in instance.get_run_records(wanted, limit=1):
            newest[job] = max(record, newest.get(job, record), key=lambda found: found.storage_id)
    return [_finished(instance, job, record.dagster_run) for job, record in newest.items()]


def _finished(instance: dg.DagsterInstance, job: str, run: dg.DagsterRun) -> found.FinishedRun:
    succeeded = run.status == dg.DagsterRunStatus.SUCCESS
    return found.FinishedRun(job, run.run_id, succeeded, "" if succeeded else cause(instance, run.run_id))


def cause(instance: dg.DagsterInstance, run_id: str) -> str:
    """Which step failed, and of what kind the error was: never its text, unless we wrote it for operators."""
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
        return f"{event.step_key} ended with {error.cls_name if error is not None else 'an error'}"
    return "it was interrupted before a step could fail"


def hub_notices(instance: dg.DagsterInstance, now: datetime) -> list[Notice]:
    """What was noticed of the hub in the last minutes, by its sensor or by a run that somebody else asked for."""
    filters = dg.RunsFilter(job_name=found.MICRO_BATCH, created_after=now - RECENTLY)
    requested = [run.tags.get("notices", "") for run in instance.get_runs(filters, limit=20)]
    recorded = [
        notices.value or ""
        for metadata in _materialized(instance, BRONZE_EVENTS.path, now)
        if isinstance(notices := metadata.get(NOTICES), dg.TextMetadataValue)
    ]
    return [notice for text in (*requested, *recorded) for notice in decode(text)]


def check_results(instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]) -> list[found.CheckResult]:
    """The newest evaluation of each check. One that is being evaluated counts as what it was."""
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

    evaluated = {Status.SUCCEEDED, Status.FAILED}
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    results = []
    for key in keys:  # it answers for others too: it looks for assets and for names, each on their own
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
        results.append(
            found.CheckResult(
                key.asset_key.to_user_string(),
                key.name,
                evaluation.passed,
                evaluation.severity == dg.AssetCheckSeverity.ERROR,
                evaluation.description or "see the check in the Dagster UI",
            )
        )
    return results


def rows_added(instance: dg.DagsterInstance, path: str, now: datetime) -> int:
    """Rows that the materialisations of an asset added in the last quarter of an hour, by their metadata."""
    values = [metadata.get("rows_inserted") for metadata in _materialized(instance, path, now)]
    return sum(value.value for value in values if value is not None and isinstance(value.value, int))


def _materialized(instance: dg.DagsterInstance, path: str, now: datetime) -> list[Mapping[str, dg.MetadataValue[Any]]]:
    """Metadata of an asset's materialisations of the last quarter of an hour, the newest first."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(path.split("/")), after_timestamp=(now - RECENTLY).timestamp()),
        limit=30,
    ).records
    found = [record.asset_materialization for record in records]
    return [materialization.metadata for materialization in found if materialization is not None]


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def _links(context: dg.SensorEvaluationContext, settings: AlertSettings) -> texts.Links:
    repository = context.repository_def
    checks = [] if repository is None else [key.name for key in repository.asset_graph.asset_check_keys]
    return texts.Links(settings.runbook_url, settings.ui_url, frozenset(checks))
