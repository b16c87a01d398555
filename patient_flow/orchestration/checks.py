"""Asset checks of a micro-batch: is what came in what goes out, and may it go on to the warehouse?

They judge only what the warehouse has not loaded yet, so that their cost follows the batch; ``audit`` applies the same
rules to the whole history. One op per asset: its checks share what they read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import dagster as dg
import polars as pl

from patient_flow.contracts import tables
from patient_flow.contracts.tables import Table
from patient_flow.health import beds, catalogue, feed, keys, reconciliation
from patient_flow.health.catalogue import Check
from patient_flow.health.findings import Finding, fine
from patient_flow.orchestration.findings import result_of, spec_of
from patient_flow.orchestration.reports import lake_key, warehouse_key
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import hub_probe, inspection
from patient_flow.pipeline.backlog import identity
from patient_flow.pipeline.graph import STEPS, Step
from patient_flow.services import Services
from patient_flow.stores.lake.changes import Changes
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.views import TABLES as VIEWS


@dataclass(frozen=True)
class Look:
    """One asset's table, and what of it is to be judged: what the warehouse lacks, or everything.

    ``loaded`` are the gold versions that the warehouse holds. Bronze and silver are not in the warehouse: what is new
    of them, the progress of the next table says.
    """

    services: Services
    table: Table
    loaded: Mapping[str, int | None] = field(default_factory=dict)
    everything: bool = False

    @cached_property
    def changes(self) -> Changes:
        """The changes to judge, with the columns that rules need."""
        member = keys.MEMBER.get(self.table.path, ())
        versions = (*member, "valid_from", "valid_to", "is_current") if member else ()
        columns = [*self.table.key, *keys.references(self.table), *versions]
        return self.services.lake.open(self.table).changes_or_all(self.loaded.get(self.table.path), columns)


def arrive_once(look: Look) -> Finding:
    """Hub → bronze. A loss warns with the batch that met it; the audit knows it then."""
    lake, hub = look.services.lake, look.services.hub
    if look.everything:
        arrived = inspection.arrived(lake)
        return reconciliation.events_arrive_once(arrived, inspection.lost(lake, arrived))
    arriving = inspection.arriving(lake, identity(hub.host, hub.name))
    return reconciliation.events_arrive_once(arriving.events, since=arriving.partitions)


def accepted_once(look: Look) -> Finding:
    """Silver's identities."""
    return reconciliation.identities_accepted_once(inspection.accepted(look.services.lake, everything=look.everything))


def accounted_for(look: Look) -> Finding:
    """Bronze → silver and quarantine."""
    counted = inspection.accounts(look.services.lake, everything=look.everything)
    if counted is None:
        return fine("Nothing was received yet.")
    return reconciliation.accounted_for(counted.received, counted.accepted, counted.quarantined, counted.totals)


def keys_unique(look: Look) -> Finding:
    """Keys of a gold table."""
    changes = look.changes
    return keys.keys_unique(changes.before, changes.after, look.table.key, changes.grown_by)


def keys_known(look: Look) -> Finding:
    """Keys of a gold table that point to dimensions."""
    references = keys.references(look.table)
    pointing = inspection.pointing(look.services.lake, look.changes, look.table, references, look.loaded)
    return keys.keys_known(pointing.rows, pointing.known)


def versions_chained(look: Look) -> Finding:
    """Versions of patients or departments; of the few that changed rows cannot judge, all versions."""
    member = keys.MEMBER[look.table.path]
    before, after = look.changes.before, look.changes.after
    open_ones = keys.unsettled(before, after, member)
    if open_ones.height:
        all_of_them = inspection.members(look.services.lake.open(look.table), open_ones, after.columns)
        settled = after.join(open_ones, on=member, how="anti", nulls_equal=True)
        before = before.join(open_ones, on=member, how="anti", nulls_equal=True)
        after = pl.concat([settled, all_of_them])
    return keys.versions_chained(before, after, member)


def occupancy_plausible(look: Look) -> Finding:
    """Census of the newest hour against beds. Of all hours: the last days against beds, all for what cannot be."""
    lake = look.services.lake
    departments = lake.open(tables.DIM_DEPARTMENT).scan().collect()
    if not look.everything:
        return beds.occupancy_plausible(inspection.newest_hour(lake), departments)
    hourly, since = inspection.all_hours(lake)
    return beds.occupancy_plausible(hourly, departments, since=since)


def departments_current(look: Look) -> Finding:
    """The department list against what events name."""
    services = look.services
    departments = services.lake.open(tables.DIM_DEPARTMENT).scan().collect()
    is_shipped = not services.settings.departments
    return feed.departments_current(departments, services.departments, now=datetime.now(UTC), is_shipped=is_shipped)


def events_counted(look: Look) -> Finding:
    """Silver and quarantine → DataQualityDay, at the versions it counted."""
    lake = look.services.lake
    quality = lake.open(tables.DATA_QUALITY_DAY)
    counted = [
        0 if (version := quality.checkpoint(table.path)) is None else lake.open(table).row_count(version)
        for table in (tables.SILVER_EVENTS, tables.QUARANTINE)
    ]
    return reconciliation.every_event_counted(quality.scan().collect(), *counted)


def few_quarantined(look: Look) -> Finding:
    """The newest day's quarantine."""
    return feed.few_quarantined(inspection.newest_day_quality(look.services.lake))


Judge = Callable[[Look], Finding]

JUDGES: dict[str, tuple[Check, Judge]] = {
    check.name: (check, judge)
    for check, judge in (
        (catalogue.ARRIVE_ONCE, arrive_once),
        (catalogue.ACCEPTED_ONCE, accepted_once),
        (catalogue.ACCOUNTED_FOR, accounted_for),
        (catalogue.KEYS_UNIQUE, keys_unique),
        (catalogue.VERSIONS_CHAINED, versions_chained),
        (catalogue.DEPARTMENTS_CURRENT, departments_current),
        (catalogue.KEYS_KNOWN, keys_known),
        (catalogue.OCCUPANCY, occupancy_plausible),
        (catalogue.EVENTS_COUNTED, events_counted),
        (catalogue.FEW_QUARANTINED, few_quarantined),
    )
}
"""Name of a check of ``pipeline.graph`` → the check. Those of the warehouse are part of the load (``assets``)."""


def _checks_of(step: Step) -> dg.AssetChecksDefinition:
    table, key = step.table, lake_key(step.table)
    judges = [JUDGES[name] for name in step.checks]

    @dg.multi_asset_check(
        name=f"check_{table.layer}_{table.name}",
        specs=[spec_of(check, key) for check, _ in judges],
        can_subset=True,
    )
    def judge(context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow) -> Iterator[dg.AssetCheckResult]:
        services = patient_flow.services()
        look = Look(services, table, _loaded(context.run.run_id, services) if table.warehouse else {})
        for check, found in judges:
            if dg.AssetCheckKey(key, check.name) in context.selected_asset_check_keys:
                yield result_of(check, key, found(look))

    return judge


_loaded_of_run: dict[str, Mapping[str, int | None]] = {}


def _loaded(run_id: str, services: Services) -> Mapping[str, int | None]:
    """Versions that the warehouse holds, asked once per run: before the load they do not change."""
    if run_id not in _loaded_of_run:
        _loaded_of_run.clear()
        try:
            _loaded_of_run[run_id] = services.warehouse.loaded_versions()
        except WarehouseError:  # its tables may not be there yet; if it is down, this says so
            services.warehouse.init()
            _loaded_of_run[run_id] = services.warehouse.loaded_versions()
    return _loaded_of_run[run_id]


FRESH = warehouse_key(tables.FACT_PATIENT_FLOW)
"""The asset that shows the age of the data: all tables of the warehouse are loaded together."""


@dg.multi_asset_check(name="check_data_age", specs=[spec_of(catalogue.DATA_RECENT, FRESH)])
def data_recent(context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow) -> Iterator[dg.AssetCheckResult]:
    """How far the warehouse is behind the hub."""
    finding = age_of_data(patient_flow.services(), context.instance, context.run.run_id)
    yield result_of(catalogue.DATA_RECENT, FRESH, finding)


def age_of_data(services: Services, instance: dg.DagsterInstance, run_id: str) -> Finding:
    """The lag from hub to warehouse. A run that drained the hub itself does not ask it again."""
    now = datetime.now(UTC)
    loaded = services.warehouse.query(VIEWS["DataFreshness"].select())["newest_event_at"].drop_nulls().max()
    newest = loaded.replace(tzinfo=UTC) if isinstance(loaded, datetime) else None
    event, drained = _last_drain(instance)
    complete_until = _complete_until(drained)
    if event is not None and event.run_id == run_id:
        waiting = None if complete_until is not None else _number(drained.get("backlog"))
        return feed.data_recent(now=now, newest=newest, complete_until=complete_until, waiting=waiting)
    hub = hub_probe.probe_hub(services.hub, services.lake, services.settings.max_events_per_run)
    if hub.backlog is None:
        return feed.hub_silent(hub.sentence, now=now, newest=newest)
    return feed.data_recent(now=now, newest=newest, complete_until=complete_until, waiting=hub.backlog.events)


def read_until(instance: dg.DagsterInstance) -> datetime | None:
    """Up to when bronze has everything that the hub had accepted; None while the last drain left something there."""
    return _complete_until(_last_drain(instance)[1])


def _last_drain(instance: dg.DagsterInstance) -> tuple[dg.EventLogEntry | None, Mapping[str, dg.MetadataValue]]:
    event = instance.get_latest_materialization_event(lake_key(tables.BRONZE_EVENTS))
    return event, event.asset_materialization.metadata if event is not None and event.asset_materialization else {}


def _complete_until(drained: Mapping[str, dg.MetadataValue]) -> datetime | None:
    read_at, left = drained.get("hub_read_at"), drained.get("backlog")
    if isinstance(read_at, dg.TimestampMetadataValue) and left is not None and left.value == 0:
        return datetime.fromtimestamp(read_at.value, UTC)
    return None


def _number(value: dg.MetadataValue | None) -> int | None:
    return int(value.value) if isinstance(value, dg.IntMetadataValue) and value.value is not None else None


CHECKS = [*(_checks_of(step) for step in STEPS), data_recent]
