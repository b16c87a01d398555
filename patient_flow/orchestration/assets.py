"""One asset per table: read, one step of the pipeline, metadata. The graph is the way of an event."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from patient_flow.contracts import events, lineage, tables
from patient_flow.errors import PatientFlowError, TransientError
from patient_flow.health import catalogue
from patient_flow.health.reconciliation import rows_equal
from patient_flow.monitoring.notices import describe
from patient_flow.orchestration.findings import result_of, spec_of
from patient_flow.orchestration.reports import (
    OWNERS,
    POOL,
    lake_asset,
    lake_key,
    metadata_of,
    named_columns,
    warehouse_key,
    warehouse_spec,
)
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import aggregates, bronze, dimensions, flow, load, silver
from patient_flow.pipeline.steps import ATTEMPTS, StepResult
from patient_flow.services import Services
from patient_flow.stores.warehouse.warehouse import Warehouse

EVENT_HUB = dg.AssetSpec(
    dg.AssetKey(lineage.EVENT_HUB.split("/")),
    description="Azure Event Hub that hospitals send their events to; locally `patient-flow hub`.",
    group_name="source",
    kinds={"azure", "eventhub"},
    owners=OWNERS,
    metadata={"dagster/column_schema": named_columns((*lineage.HUB_FIELDS, *events.FIELDS))},
)
DEPARTMENT_LIST = dg.AssetSpec(
    dg.AssetKey(lineage.DEPARTMENT_LIST.split("/")),
    description="Hospitals, departments, staffed beds and staff over time (PATIENT_FLOW_DEPARTMENTS).",
    group_name="source",
    kinds={"csv"},
    owners=OWNERS,
    metadata={"dagster/column_schema": named_columns(lineage.LIST_COLUMNS)},
)
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
    """What a run may ask of the bronze step."""

    max_events: int | None = Field(
        default=None, ge=1, description="Read at most so many events; default PATIENT_FLOW_MAX_EVENTS_PER_RUN."
    )
    adopt_hub: bool = Field(
        default=False,
        description="Follow the hub of the settings from now on, although the lake was filled from another.",
    )


@dg.asset(**lake_asset(tables.BRONZE_EVENTS, [EVENT_HUB.key]))
def bronze_patient_events(
    context: dg.AssetExecutionContext, config: IngestConfig, patient_flow: PatientFlow
) -> dg.MaterializeResult[Any]:
    """Drains what the hub holds into bronze, once."""
    services, now = patient_flow.services(), _now()
    return _materialized(
        services,
        context,
        lambda: bronze.ingest(
            services.lake,
            services.hub,
            now=now,
            run_id=context.run.run_id,
            max_events=config.max_events or services.settings.max_events_per_run,
            adopt_hub=config.adopt_hub,
        ),
        hub_read_at=dg.MetadataValue.timestamp(now),
    )


@dg.asset(**lake_asset(tables.SILVER_EVENTS, [lake_key(tables.BRONZE_EVENTS), DEPARTMENT_LIST.key]))
def silver_patient_events(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Accepts events: typed, validated, pseudonymised, each identity once."""
    services = patient_flow.services()
    if services.settings.uses_demo_key:
        context.log.warning("pseudonyms are made with the demo's key: set PATIENT_FLOW_PSEUDONYM_KEY for real patients")
    return _materialized(
        services, context, lambda: silver.accept_events(services.lake, services.parser, run_id=context.run.run_id)
    )


@dg.asset(**lake_asset(tables.QUARANTINE, [lake_key(tables.BRONZE_EVENTS), lake_key(tables.SILVER_EVENTS)]))
def silver_quarantine(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Keeps every rejected event with its reasons."""
    services = patient_flow.services()
    return _materialized(
        services,
        context,
        lambda: silver.quarantine_events(services.lake, services.parser, now=_now(), run_id=context.run.run_id),
    )


@dg.asset(**lake_asset(tables.DIM_TIME, [lake_key(tables.SILVER_EVENTS)]))
def gold_dim_time(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Hours with the hospital's calendar."""
    services = patient_flow.services()
    return _materialized(
        services,
        context,
        lambda: dimensions.dim_time(services.lake, services.settings.timezone, run_id=context.run.run_id),
    )


@dg.asset(**lake_asset(tables.DIM_DEPARTMENT, [lake_key(tables.SILVER_EVENTS), DEPARTMENT_LIST.key]))
def gold_dim_department(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Departments over time."""
    services = patient_flow.services()
    return _materialized(
        services,
        context,
        lambda: dimensions.dim_department(services.lake, services.departments, run_id=context.run.run_id),
    )


@dg.asset(**lake_asset(tables.DIM_PATIENT, [lake_key(tables.SILVER_EVENTS)]))
def gold_dim_patient(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Patients over time."""
    services = patient_flow.services()
    return _materialized(services, context, lambda: dimensions.dim_patient(services.lake, run_id=context.run.run_id))


@dg.asset(
    **lake_asset(
        tables.FACT_PATIENT_FLOW,
        [lake_key(tables.SILVER_EVENTS), lake_key(tables.DIM_PATIENT), lake_key(tables.DIM_DEPARTMENT)],
    )
)
def gold_fact_patient_flow(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Stays of visits in departments."""
    services = patient_flow.services()
    return _materialized(services, context, lambda: flow.fact_patient_flow(services.lake, run_id=context.run.run_id))


@dg.asset(
    **lake_asset(
        tables.FACT_BED_CENSUS,
        [lake_key(tables.FACT_PATIENT_FLOW), lake_key(tables.DIM_DEPARTMENT), lake_key(tables.SILVER_EVENTS)],
    )
)
def gold_fact_bed_census(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Occupied beds, hour by hour."""
    services = patient_flow.services()
    return _materialized(
        services, context, lambda: aggregates.fact_bed_census(services.lake, run_id=context.run.run_id)
    )


@dg.asset(
    **lake_asset(
        tables.KPI_DEPARTMENT_DAY,
        [lake_key(tables.FACT_PATIENT_FLOW), lake_key(tables.FACT_BED_CENSUS), lake_key(tables.DIM_DEPARTMENT)],
    )
)
def gold_kpi_department_day(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Measures by day, department and gender."""
    services = patient_flow.services()
    return _materialized(
        services,
        context,
        lambda: aggregates.kpi_department_day(services.lake, services.settings.timezone, run_id=context.run.run_id),
    )


@dg.asset(**lake_asset(tables.DATA_QUALITY_DAY, [lake_key(tables.SILVER_EVENTS), lake_key(tables.QUARANTINE)]))
def gold_data_quality_day(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Accepted, flagged and quarantined events by rule."""
    services = patient_flow.services()
    return _materialized(
        services,
        context,
        lambda: aggregates.data_quality_day(services.lake, services.settings.timezone, run_id=context.run.run_id),
    )


@dg.multi_asset(
    specs=[warehouse_spec(table) for table in tables.WAREHOUSE_TABLES],
    check_specs=[spec_of(catalogue.ROWS_EQUAL, warehouse_key(table)) for table in tables.WAREHOUSE_TABLES],
    can_subset=True,
    pool=POOL,
)
def warehouse_tables(
    context: dg.AssetExecutionContext, patient_flow: PatientFlow
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Loads what changed in gold, all selected tables in one transaction, and compares the numbers of rows.

    They are compared with the gold version that the warehouse holds: gold may have moved on since the load, in a
    rebuild or a run of single assets.
    """
    services = patient_flow.services()
    selected = [table for table in tables.WAREHOUSE_TABLES if warehouse_key(table) in context.selected_asset_keys]
    began = time.monotonic()
    results = load.load_warehouse(services.lake, services.warehouse, selected, now=_now(), run_id=context.run.run_id)
    seconds = time.monotonic() - began
    held, counts = _held(services.warehouse)
    for table in selected:
        yield dg.MaterializeResult(
            asset_key=warehouse_key(table),
            metadata=metadata_of(results[table.path], seconds=seconds, **{"dagster/row_count": counts[table.path]}),
        )
    for table in tables.WAREHOUSE_TABLES:
        key = warehouse_key(table)
        if dg.AssetCheckKey(key, catalogue.ROWS_EQUAL.name) in context.selected_asset_check_keys:
            finding = rows_equal(services.lake.open(table).row_count(held[table.path]), counts[table.path])
            yield result_of(catalogue.ROWS_EQUAL, key, finding)


ASSETS = [
    EVENT_HUB,
    DEPARTMENT_LIST,
    bronze_patient_events,
    silver_patient_events,
    silver_quarantine,
    gold_dim_time,
    gold_dim_department,
    gold_dim_patient,
    gold_fact_patient_flow,
    gold_fact_bed_census,
    gold_kpi_department_day,
    gold_data_quality_day,
    warehouse_tables,
    *CONSUMERS,
]


def _materialized(
    services: Services, context: dg.AssetExecutionContext, step: Callable[[], StepResult], **more: Any
) -> dg.MaterializeResult[Any]:
    """The step's metadata, and one line of log: what an operator reads first. What is refused is not tried again."""
    began = time.monotonic()
    try:
        result = step()
    except PatientFlowError as error:
        if isinstance(error, TransientError):
            raise
        raise dg.Failure(str(error), allow_retries=False) from error
    seconds = time.monotonic() - began
    table = services.lake.open(result.table)
    written = result.written
    context.log.info(
        f"{result.table.path} at version {result.version}: "
        f"{written.inserted} rows inserted, {written.updated} updated, {written.deleted} deleted"
    )
    for notice in result.notices:
        context.log.warning(describe(notice))
    stored = {"dagster/row_count": table.row_count(), "dagster/uri": table.uri, "bytes": table.size_bytes()}
    return dg.MaterializeResult(metadata=metadata_of(result, seconds=seconds, **stored, **more))


def _held(warehouse: Warehouse) -> tuple[Mapping[str, int | None], Mapping[str, int]]:
    """Gold versions that the warehouse holds and rows that it has, by table path; again when a load came in between."""
    held, counts = warehouse.loaded_versions(), warehouse.row_counts()
    for _ in range(ATTEMPTS):
        before, held = held, warehouse.loaded_versions()
        if held == before:
            break
        counts = warehouse.row_counts()
    return held, counts


def _now() -> datetime:
    return datetime.now(UTC)
