"""The sensor that opens and resolves alerts: it merges the results of the probes and delivers what changed.

No system that does not answer may take the tick's minute: the cursor would not be kept, and the same mail would be sent
every minute. The cursor holds the open alerts and what each channel has yet to deliver:

* a restart of the daemon loses nothing: the cursor is in Dagster's database;
* a tick that dies after sending and before the cursor is kept sends again next time: twice rather than never;
* a channel that is down has its own outbox, which it delivers later in one message; the other channel waits no longer
  than one timeout for it;
* without a channel, alerts still open and resolve; the asset ``audit/open_alerts`` shows them and those that ended.

Two ticks never run at once: Dagster waits for one to end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
from msgspec.structs import replace

from patient_flow.monitoring import catalogue, messages
from patient_flow.monitoring.alert_state import AlertState, Firing, changes, mark_delivered, update
from patient_flow.monitoring.rules.disks import disk_full
from patient_flow.monitoring.rules.freshness import Staleness
from patient_flow.monitoring.rules.system import unknown_names
from patient_flow.orchestration import open_alerts, probes
from patient_flow.orchestration.channels import Channel, ChannelError, channels_of
from patient_flow.orchestration.probes import ProbeResult, WarehouseStatus
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import hub_probe
from patient_flow.pipeline.hub_probe import Failure, HubFailure, HubStatus
from patient_flow.services import Services
from patient_flow.settings import Settings, unknown_variables


@dataclass(frozen=True)
class Observation:
    """The merged results of all probes."""

    firings: tuple[Firing, ...]
    unknown: frozenset[str]
    staleness: Staleness


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches runs, checks, hub, lake and warehouse once a minute. Sends each alert once when it opens and "
    "once when it resolves, by e-mail and Teams: faults of the pipeline to PATIENT_FLOW_ALERT_…, full departments to "
    "PATIENT_FLOW_BED_ALERT_…. The asset `audit/open_alerts` lists the open alerts.",
)
def alerts(context: dg.SensorEvaluationContext, patient_flow: PatientFlow) -> dg.SensorResult:
    """Probes → alert state → messages → cursor."""
    now = datetime.now(UTC)
    state = AlertState.from_json(context.cursor)
    try:
        services = patient_flow.systems()
    except dg.Failure as error:  # nothing can be sent either: the channels are settings too
        return dg.SensorResult(
            skip_reason=f"{catalogue.SETTINGS_INVALID.name}: {error.description}", cursor=context.cursor
        )
    observed = observe(context.instance, context.repository_def, services, state, now)
    services.warehouse.dispose()
    settings = services.settings
    channels = channels_of(settings)
    changed = changes(state, observed.firings, now, observed.unknown)
    audiences = {name: channel.audience for name, channel in channels.items()}
    state = update(state, changed, audiences, now, observed.staleness)
    links = messages.Links(settings.alerts.runbook_url, settings.alerts.ui_url, ZoneInfo(settings.timezone))
    state, failures = deliver(state, channels, links)
    for failure in failures:
        context.log.warning(failure)
    summary = [messages.summarize(state.open, links), *failures]
    if not channels:
        summary.append("no channel is set (PATIENT_FLOW_ALERT_EMAIL_TO, PATIENT_FLOW_ALERT_TEAMS_WEBHOOK)")
    report = open_alerts.Report.of(state, links)
    events = [] if report.fingerprint == state.reported else [report.materialization()]
    state = replace(state, reported=report.fingerprint)
    return dg.SensorResult(skip_reason="; ".join(summary), cursor=state.to_json(), asset_events=events)


def deliver(state: AlertState, channels: Mapping[str, Channel], links: messages.Links) -> tuple[AlertState, list[str]]:
    """Sends every channel its outbox; what fails stays there. Never raises.

    Also returns what an operator should know: what is not delivered yet, and which recipients were refused.
    """
    failures = []
    for name, channel in channels.items():
        outbox = state.outbox.get(name, ())
        if not outbox:
            continue
        try:
            refused = channel.send(messages.compose(outbox, links))
        except ChannelError as error:
            failures.append(f"not delivered yet: {error}")
        except Exception as error:  # noqa: BLE001  (a bug in one channel must not silence the other)
            failures.append(f"not delivered yet: {name}: {type(error).__name__}")
        else:
            state = mark_delivered(state, name)
            if refused:
                failures.append(f"not delivered to everybody: {refused}")
    return state, failures


def observe(
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition | None,
    services: Services,
    state: AlertState,
    now: datetime,
) -> Observation:
    """All probes. A source that cannot be read fires itself, and its other alerts are unknown."""
    settings = services.settings.alerts
    hub = hub_probe.probe_hub(services.hub, services.lake, services.settings.max_events_per_run)
    notices = hub.backlog.notices if isinstance(hub, HubStatus) else ()
    lake_answers = isinstance(hub, HubStatus) or (hub.lake_was_asked and hub.failure is not Failure.LAKE_DOWN)
    results = [
        probes.probe_dagster(instance, repository, notices, now, settings),
        probes.judge_hub(hub, now, settings),
        probes.probe_lists(services, lake_answers=lake_answers),
        probes.judge_keys(services.settings),
        judge_machine(services.settings),
    ]
    staleness = state.staleness
    warehouse = probes.probe_warehouse(services, now)
    if isinstance(warehouse, ProbeResult):
        results.append(warehouse)
    else:
        results.append(probes.judge_occupancy(services.settings, warehouse.hours))
        results.append(probes.judge_delays(services, warehouse.delays, now))
        results.append(probes.judge_chances(warehouse.chances))
        staleness, stale = _judge_staleness(hub, warehouse, staleness, now, timedelta(minutes=settings.stale_minutes))
        results.append(stale)
    return Observation(
        tuple(firing for result in results for firing in result.firings),
        frozenset(name for result in results for name in result.unknown),
        staleness,
    )


def judge_machine(settings: Settings) -> ProbeResult:
    """Disks that are full or nearly so, and variables that look like settings and are none."""
    full, misspelt = disk_full(settings.disks), unknown_names(unknown_variables())
    return ProbeResult(
        (*probes.firings(catalogue.DISK_FULL, full), *probes.firings(catalogue.SETTINGS_INVALID, misspelt))
    )


def _judge_staleness(
    hub: HubStatus | HubFailure, warehouse: WarehouseStatus, staleness: Staleness, now: datetime, limit: timedelta
) -> tuple[Staleness, ProbeResult]:
    """Hub and warehouse together: events that the warehouse has awaited for too long."""
    if isinstance(hub, HubFailure):
        return staleness, ProbeResult()
    staleness, findings = staleness.observe(hub.last, hub.read, warehouse.loaded_at, now, limit, newest=hub.newest)
    return staleness, ProbeResult(probes.firings(catalogue.DATA_STALE, findings))
