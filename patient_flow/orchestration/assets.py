"""One asset per table, made from the steps of ``pipeline.graph``."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from patient_flow.contracts import tables
from patient_flow.contracts.columns import DEPARTMENT_LIST, EVENT_HUB
from patient_flow.monitoring.catalogue import ROW_COUNTS_MATCH
from patient_flow.monitoring.notices import describe
from patient_flow.monitoring.rules.reconciliation import row_counts_match
from patient_flow.operations import step_context
from patient_flow.orchestration.checks import result_of, spec_of
from patient_flow.orchestration.failures import described
from patient_flow.orchestration.reports import (
    OWNERS,
    POOL,
    lake_asset,
    metadata_of,
    source_spec,
    warehouse_key,
    warehouse_spec,
)
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import load
from patient_flow.pipeline.graph import ALL_STEPS, Step, step_of
from patient_flow.pipeline.steps import ATTEMPTS, StepContext
from patient_flow.services import Services
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.wording import plural

SOURCES = [
    source_spec(
        EVENT_HUB,
        "Azure Event Hub that hospitals send their events to; locally `patient-flow hub`.",
        {"azure", "eventhub"},
    ),
    source_spec(
        DEPARTMENT_LIST,
        "Hospitals, departments, staffed beds and staff over time (PATIENT_FLOW_DEPARTMENTS).",
        {"csv"},
    ),
]
CONSUMERS = [
    dg.AssetSpec(
        dg.AssetKey(["consumers", name]),
        deps=[warehouse_key(table) for table in tables.WAREHOUSE_TABLES],
        description=description,
        group_name="consumers",
        kinds=kinds,
        owners=OWNERS,
    )
    for name, kinds, description in (
        ("dashboard", {"dashboard"}, "The live page of `patient-flow dashboard`, on the warehouse's tables and views."),
        ("power_bi", {"powerbi"}, "The Power BI project in `infra/powerbi`, on the warehouse's tables."),
    )
]


class IngestConfig(dg.Config):
    """Config of the bronze asset."""

    max_events: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of events to read; default PATIENT_FLOW_MAX_EVENTS_PER_RUN.",
    )
    adopt_hub: bool = Field(
        default=False,
        description="Follow the hub of the settings from now on, although the lake was filled from another one.",
    )


@dg.asset(**lake_asset(step_of(tables.BRONZE_EVENTS)))
def bronze_patient_events(
    context: dg.AssetExecutionContext, config: IngestConfig, patient_flow: PatientFlow
) -> dg.MaterializeResult[Any]:
    """The only asset with config."""
    services, now = patient_flow.services(), datetime.now(UTC)
    max_events = config.max_events or services.settings.max_events_per_run
    ingesting = replace(
        step_context(services, run_id=context.run.run_id, now=now), max_events=max_events, adopt_hub=config.adopt_hub
    )
    step = step_of(tables.BRONZE_EVENTS)
    return _materialize(context, services, step, ingesting, hub_read_at=dg.MetadataValue.timestamp(now))


def _asset_of(step: Step) -> dg.AssetsDefinition:
    """The asset of a lake table."""

    @dg.asset(**lake_asset(step))
    def materialize(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
        services = patient_flow.services()
        if step.table is tables.SILVER_EVENTS and services.settings.uses_demo_key:
            context.log.warning("pseudonyms use the public demo key: set PATIENT_FLOW_PSEUDONYM_KEY for real patients")
        inputs = step_context(services, run_id=context.run.run_id, now=datetime.now(UTC))
        return _materialize(context, services, step, inputs)

    made: dg.AssetsDefinition = materialize
    return made


@dg.multi_asset(
    specs=[warehouse_spec(table) for table in tables.WAREHOUSE_TABLES],
    check_specs=[spec_of(ROW_COUNTS_MATCH, warehouse_key(table)) for table in tables.WAREHOUSE_TABLES],
    can_subset=True,
    pool=POOL,
)
def warehouse_tables(
    context: dg.AssetExecutionContext, patient_flow: PatientFlow
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Loads the changes of all selected gold tables in one transaction, and compares row counts.

    They are compared with the loaded gold version: a rebuild or a run of selected assets may have committed newer ones.
    """
    services = patient_flow.services()
    with described(context.op_execution_context, services.settings):
        yield from _load(context, services)


def _load(
    context: dg.AssetExecutionContext, services: Services
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    selected = [table for table in tables.WAREHOUSE_TABLES if warehouse_key(table) in context.selected_asset_keys]
    began = time.monotonic()
    results = load.load_warehouse(
        services.lake, services.warehouse, selected, now=datetime.now(UTC), run_id=context.run.run_id
    )
    seconds = time.monotonic() - began
    loaded, counts = _loaded_state(services.warehouse)
    for table in selected:
        yield dg.MaterializeResult(
            asset_key=warehouse_key(table),
            metadata=metadata_of(results[table.path], seconds=seconds, **{"dagster/row_count": counts[table.path]}),
        )
    for table in tables.WAREHOUSE_TABLES:
        key = warehouse_key(table)
        if dg.AssetCheckKey(key, ROW_COUNTS_MATCH.name) in context.selected_asset_check_keys:
            finding = row_counts_match(services.lake.open(table).row_count(loaded[table.path]), counts[table.path])
            yield result_of(ROW_COUNTS_MATCH, key, finding)


def _materialize(
    context: dg.AssetExecutionContext, services: Services, step: Step, inputs: StepContext, **metadata: Any
) -> dg.MaterializeResult[Any]:
    """Runs ``step`` and logs one line for operators. Permanent failures are not retried."""
    began = time.monotonic()
    with described(context.op_execution_context, services.settings):
        result = step.run(inputs)
        seconds = time.monotonic() - began
        table = inputs.lake.open(result.table)
        stored = {"dagster/row_count": table.row_count(), "dagster/uri": table.uri, "bytes": table.size_bytes()}
    written = result.written
    context.log.info(
        f"{result.table.path} at version {result.version}: "
        f"{plural(written.inserted, 'row')} inserted, {written.updated:,} updated, {written.deleted:,} deleted"
    )
    for notice in result.notices:
        context.log.warning(describe(notice))
    return dg.MaterializeResult(metadata=metadata_of(result, seconds=seconds, **stored, **metadata))


def _loaded_state(warehouse: Warehouse) -> tuple[Mapping[str, int | None], Mapping[str, int]]:
    """Consistent loaded gold versions and row counts by table path: read again when a load came in between."""
    loaded, counts = warehouse.loaded_versions(), warehouse.row_counts()
    for _ in range(ATTEMPTS):
        before, loaded = loaded, warehouse.loaded_versions()
        if loaded == before:
            break
        counts = warehouse.row_counts()
    return loaded, counts


ASSETS = [
    *SOURCES,
    bronze_patient_events,
    *(_asset_of(step) for step in ALL_STEPS if step.table is not tables.BRONZE_EVENTS),
    warehouse_tables,
    *CONSUMERS,
]
