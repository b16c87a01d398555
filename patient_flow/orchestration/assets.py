"""One asset per table: read, one step of the pipeline, metadata. The graph is the way of an event."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from patient_flow.contracts import tables
from patient_flow.orchestration.reports import lake_asset, metadata_of, warehouse_key, warehouse_spec
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import bronze, gold, load, silver
from patient_flow.pipeline.backlog import HubRefused
from patient_flow.pipeline.steps import StepResult
from patient_flow.services import Services

EVENT_HUB = dg.AssetSpec(
    dg.AssetKey(["source", "event_hub"]),
    description="Azure Event Hub that hospitals send their events to; locally `patient-flow hub`.",
    group_name="source",
    kinds={"azure", "eventhub"},
)
DEPARTMENT_LIST = dg.AssetSpec(
    dg.AssetKey(["source", "department_list"]),
    description="Hospitals, departments, staffed beds and staff over time (PATIENT_FLOW_DEPARTMENTS).",
    group_name="source",
    kinds={"csv"},
)


def _key(table: tables.Table) -> dg.AssetKey:
    return dg.AssetKey([table.layer, table.name])


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
    services = patient_flow.services()
    try:
        result = bronze.ingest(
            services.lake,
            services.hub,
            now=_now(),
            run_id=context.run.run_id,
            max_events=config.max_events or services.settings.max_events_per_run,
            adopt_hub=config.adopt_hub,
        )
    except HubRefused as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    return _materialized(services, context, result)


@dg.asset(**lake_asset(tables.SILVER_EVENTS, [_key(tables.BRONZE_EVENTS), DEPARTMENT_LIST.key]))
def silver_patient_events(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Accepts events: typed, validated, pseudonymised, each identity once."""
    services = patient_flow.services()
    if services.settings.uses_demo_key:
        context.log.warning("pseudonyms are made with the demo's key: set PATIENT_FLOW_PSEUDONYM_KEY for real patients")
    return _materialized(
        services, context, silver.accept_events(services.lake, services.reading, run_id=context.run.run_id)
    )


@dg.asset(**lake_asset(tables.QUARANTINE, [_key(tables.BRONZE_EVENTS), _key(tables.SILVER_EVENTS)]))
def silver_quarantine(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Keeps every rejected event with its reasons."""
    services = patient_flow.services()
    result = silver.quarantine_events(services.lake, services.reading, now=_now(), run_id=context.run.run_id)
    return _materialized(services, context, result)


@dg.asset(**lake_asset(tables.DIM_TIME, [_key(tables.SILVER_EVENTS)]))
def gold_dim_time(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Hours with the hospital's calendar."""
    services = patient_flow.services()
    return _materialized(
        services, context, gold.dim_time(services.lake, services.settings.timezone, run_id=context.run.run_id)
    )


@dg.asset(**lake_asset(tables.DIM_DEPARTMENT, [_key(tables.SILVER_EVENTS), DEPARTMENT_LIST.key]))
def gold_dim_department(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Departments over time."""
    services = patient_flow.services()
    result = gold.dim_department(services.lake, services.departments, run_id=context.run.run_id)
    return _materialized(services, context, result)


@dg.asset(**lake_asset(tables.DIM_PATIENT, [_key(tables.SILVER_EVENTS)]))
def gold_dim_patient(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Patients over time."""
    services = patient_flow.services()
    return _materialized(services, context, gold.dim_patient(services.lake, run_id=context.run.run_id))


@dg.asset(
    **lake_asset(
        tables.FACT_PATIENT_FLOW,
        [_key(tables.SILVER_EVENTS), _key(tables.DIM_PATIENT), _key(tables.DIM_DEPARTMENT)],
    )
)
def gold_fact_patient_flow(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Stays of visits in departments."""
    services = patient_flow.services()
    return _materialized(services, context, gold.fact_patient_flow(services.lake, run_id=context.run.run_id))


@dg.asset(
    **lake_asset(
        tables.FACT_BED_CENSUS,
        [_key(tables.FACT_PATIENT_FLOW), _key(tables.DIM_DEPARTMENT), _key(tables.SILVER_EVENTS)],
    )
)
def gold_fact_bed_census(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Occupied beds, hour by hour."""
    services = patient_flow.services()
    return _materialized(services, context, gold.fact_bed_census(services.lake, run_id=context.run.run_id))


@dg.asset(
    **lake_asset(
        tables.KPI_DEPARTMENT_DAY,
        [_key(tables.FACT_PATIENT_FLOW), _key(tables.FACT_BED_CENSUS), _key(tables.DIM_DEPARTMENT)],
    )
)
def gold_kpi_department_day(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Measures by day, department and gender."""
    services = patient_flow.services()
    result = gold.kpi_department_day(services.lake, services.settings.timezone, run_id=context.run.run_id)
    return _materialized(services, context, result)


@dg.asset(**lake_asset(tables.DATA_QUALITY_DAY, [_key(tables.SILVER_EVENTS), _key(tables.QUARANTINE)]))
def gold_data_quality_day(context: dg.AssetExecutionContext, patient_flow: PatientFlow) -> dg.MaterializeResult[Any]:
    """Accepted, flagged and quarantined events by rule."""
    services = patient_flow.services()
    result = gold.data_quality_day(services.lake, services.settings.timezone, run_id=context.run.run_id)
    return _materialized(services, context, result)


@dg.multi_asset(specs=[warehouse_spec(table) for table in tables.WAREHOUSE_TABLES], can_subset=True)
def warehouse_tables(
    context: dg.AssetExecutionContext, patient_flow: PatientFlow
) -> Iterator[dg.MaterializeResult[Any]]:
    """Loads what changed in gold, all selected tables in one transaction."""
    services = patient_flow.services()
    selected = [table for table in tables.WAREHOUSE_TABLES if warehouse_key(table) in context.selected_asset_keys]
    results = load.load_warehouse(services.lake, services.warehouse, selected, now=_now(), run_id=context.run.run_id)
    counts = services.warehouse.row_counts()
    for table in selected:
        yield dg.MaterializeResult(
            asset_key=warehouse_key(table),
            metadata=metadata_of(results[table.path], **{"dagster/row_count": counts[table.path]}),
        )


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
]


def _materialized(
    services: Services, context: dg.AssetExecutionContext, result: StepResult
) -> dg.MaterializeResult[Any]:
    """The step's metadata, and one line of log: what an operator reads first."""
    table = services.lake.open(result.table)
    written = result.written
    context.log.info(
        f"{result.table.path} at version {result.version}: "
        f"{written.inserted} rows inserted, {written.updated} updated, {written.deleted} deleted"
    )
    for notice in result.notices:
        context.log.warning(notice)
    return dg.MaterializeResult(
        metadata=metadata_of(
            result, **{"dagster/row_count": table.row_count(), "dagster/uri": table.uri, "bytes": table.size_bytes()}
        )
    )


def _now() -> datetime:
    return datetime.now(UTC)
