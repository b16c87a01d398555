"""Assets and metadata as Dagster's UI shows them. They never contain patient data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from patient_flow.contracts.columns import Column, ExternalSource, Sources
from patient_flow.contracts.tables import Table
from patient_flow.monitoring.catalogue import DATA_FRESH
from patient_flow.monitoring.notices import Notice, describe, encode
from patient_flow.orchestration import versions
from patient_flow.pipeline.graph import Step
from patient_flow.pipeline.steps import StepResult
from patient_flow.wording import plural

OWNERS = ["team:data-platform"]
POOL = "patient_flow"
"""Everything that writes to lake or warehouse is in this pool, which ``dagster.yaml`` limits to one run at a time. Runs
that the UI starts for selected assets have no tag that could limit them."""
FORECAST_POOL = "forecast"
"""The hourly forecast writes to tables of its own, and does not wait for micro-batches."""
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Runs that have not ended."""
RECONCILIATION_KEY = dg.AssetKey(["reconciliation", "differences"])
"""Differences of the newest extract: nightly, and no part of a micro-batch."""
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=20), warn_window=timedelta(minutes=10))
"""Wider than the pause between two runs of an idle hospital (``orchestration.check_jobs.idle_heartbeat``)."""
FORECAST_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=6), warn_window=timedelta(hours=2))

LATE_HELP = (
    "If it is late, check whether the newest run failed; if there was no run, the ticks of the sensor "
    f"`event_hub_backlog` give the reason. See `{DATA_FRESH.page}`."
)

NOTICES = "notices_json"
"""Metadata of a materialization: its notices as JSON."""

MAX_NAMED_SOURCES = 5
"""Sources of a column that are listed per table; of more only the number is shown."""


def lake_key(table: Table) -> dg.AssetKey:
    """Asset key of a table of the lake."""
    return dg.AssetKey([table.layer, table.name])


def warehouse_key(table: Table) -> dg.AssetKey:
    """Asset key of the warehouse's table made of ``table``."""
    return dg.AssetKey(["warehouse", table.warehouse_name])


def source_key(source: ExternalSource) -> dg.AssetKey:
    """Asset key of an external system."""
    return dg.AssetKey(source.path.split("/"))


def lake_asset(step: Step) -> dict[str, Any]:
    """Arguments of ``dg.asset`` for the table that ``step`` makes."""
    table = step.table
    return {
        "key": lake_key(table),
        "deps": [lake_key(read) if isinstance(read, Table) else source_key(read) for read in step.reads],
        "group_name": table.layer,
        "description": f"{table.description} One row per {', '.join(table.key)}.\n\n{LATE_HELP}",
        "kinds": {"deltalake", "polars", table.layer},
        "owners": OWNERS,
        "pool": FORECAST_POOL if table.is_forecast else POOL,
        "code_version": versions.code_version(step),
        "freshness_policy": FORECAST_FRESHNESS if table.is_forecast else FRESHNESS,
        "metadata": {
            "dagster/column_schema": column_schema(table, table.columns),
            "dagster/column_lineage": column_lineage(table.columns),
            "dagster/table_name": table.path,
        },
    }


def warehouse_spec(table: Table) -> dg.AssetSpec:
    """The warehouse's table made of ``table``; its columns are copies of gold's."""
    columns = tuple(replace(column, sources=table.of(column.name)) for column in table.warehouse_columns)
    return dg.AssetSpec(
        key=warehouse_key(table),
        deps=[lake_key(table)],
        group_name="warehouse",
        description=f"{table.description} As Power BI and the dashboard read it.\n\n{LATE_HELP}",
        kinds={"sql", "table"},
        owners=OWNERS,
        code_version=versions.fingerprint(versions.WAREHOUSE),
        freshness_policy=FRESHNESS,
        metadata={
            "dagster/column_schema": column_schema(table, columns),
            "dagster/column_lineage": column_lineage(columns),
            "dagster/table_name": table.warehouse_name,
        },
    )


def column_schema(table: Table, columns: Sequence[Column]) -> dg.TableSchema:
    """Columns as the catalog shows them. Descriptions name the sources: the open-source UI draws no lineage."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=str(column.dtype),
                description=f"{column.description} ← {_format_sources(column.sources) or column.generated_by}",
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key == (column.name,)),
            )
            for column in columns
        ]
    )


def _format_sources(sources: Sources) -> str:
    """The sources of a column by table; a long list as its number of columns."""
    columns: dict[str, list[str]] = {}
    for table, column in sources:
        columns.setdefault(table, []).append(column)
    return "; ".join(
        f"{table} ({', '.join(names) if len(names) <= MAX_NAMED_SOURCES else plural(len(names), 'column')})"
        for table, names in columns.items()
    )


def source_spec(source: ExternalSource, description: str, kinds: set[str]) -> dg.AssetSpec:
    """An external system, of whose columns only the names are known."""
    return dg.AssetSpec(
        source_key(source),
        description=description,
        group_name="source",
        kinds=kinds,
        owners=OWNERS,
        metadata={"dagster/column_schema": dg.TableSchema(columns=[dg.TableColumn(name) for name in source.columns])},
    )


def column_lineage(columns: Sequence[Column]) -> dg.TableColumnLineage:
    """Column → the columns of other assets that it derives from."""
    return dg.TableColumnLineage(
        {
            column.name: [dg.TableColumnDep(dg.AssetKey(path.split("/")), name) for path, name in column.sources]
            for column in columns
            if column.sources
        }
    )


def metadata_of(result: StepResult, *, seconds: float, **more: Any) -> dict[str, Any]:
    """Metadata of a materialisation: rows written, versions, figures, notices. Numbers are what the UI plots."""
    return {
        "rows_written": result.written.inserted + result.written.updated + result.written.deleted,
        "rows_inserted": result.written.inserted,
        "rows_updated": result.written.updated,
        "rows_deleted": result.written.deleted,
        "delta_version": result.version,
        "seconds": round(seconds, 3),
        **{f"consumed {source}": version for source, version in result.consumed.items()},
        **result.figures,
        **_age(result.newest_event_at),
        **{name: dg.MetadataValue.md(as_table(name, counted)) for name, counted in result.counts.items() if counted},
        **_notices(result.notices),
        **more,
    }


def _notices(notices: Sequence[Notice]) -> dict[str, Any]:
    """Notices as sentences for people and as JSON for the alert sensor."""
    if not notices:
        return {}
    sentences = "\n".join(f"- {describe(notice)}" for notice in notices)
    return {"notices": dg.MetadataValue.md(sentences), NOTICES: encode(notices)}


def _age(newest: datetime | None) -> dict[str, Any]:
    if newest is None:
        return {}
    minutes = (datetime.now(UTC) - newest).total_seconds() / 60
    return {"newest_event_at": dg.MetadataValue.timestamp(newest), "age_minutes": round(minutes, 2)}


def as_table(name: str, counted: Mapping[str, int]) -> str:
    """Two columns of Markdown."""
    rows = "\n".join(f"| {key} | {count:,} |" for key, count in counted.items())
    return f"| {name} | events |\n|---|---|\n{rows}"
