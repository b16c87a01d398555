"""What the UI shows: how a table looks as an asset, and what a step did as metadata. No patient data, ever."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from patient_flow.contracts.tables import Table
from patient_flow.pipeline.steps import StepResult

OWNERS = ["team:data-platform"]
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=15), warn_window=timedelta(minutes=5))
CODE_VERSION = "1"


def lake_asset(table: Table, deps: list[dg.AssetKey | dg.AssetSpec]) -> dict[str, Any]:
    """Arguments of ``dg.asset`` for a table of the lake."""
    return {
        "key": dg.AssetKey([table.layer, table.name]),
        "deps": deps,
        "group_name": table.layer,
        "description": f"{table.description} One row per {', '.join(table.key)}.",
        "kinds": {"deltalake", "polars", table.layer},
        "owners": OWNERS,
        "code_version": CODE_VERSION,
        "freshness_policy": FRESHNESS,
        "metadata": {"dagster/column_schema": column_schema(table, lake=True), "dagster/table_name": table.path},
    }


def warehouse_spec(table: Table) -> dg.AssetSpec:
    """The warehouse's table made of ``table``."""
    return dg.AssetSpec(
        key=warehouse_key(table),
        deps=[dg.AssetKey([table.layer, table.name])],
        group_name="warehouse",
        description=f"{table.description} As Power BI and the dashboard read it.",
        kinds={"sql", "table"},
        owners=OWNERS,
        code_version=CODE_VERSION,
        freshness_policy=FRESHNESS,
        metadata={
            "dagster/column_schema": column_schema(table, lake=False),
            "dagster/table_name": table.warehouse_name,
        },
    )


def warehouse_key(table: Table) -> dg.AssetKey:
    """Asset key of the warehouse's table made of ``table``."""
    return dg.AssetKey(["warehouse", table.warehouse_name])


def column_schema(table: Table, *, lake: bool) -> dg.TableSchema:
    """Columns as the catalog shows them."""
    columns = table.columns if lake else table.warehouse_columns
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key == (column.name,)),
            )
            for column in columns
        ]
    )


def metadata_of(result: StepResult, **more: Any) -> dict[str, Any]:
    """Metadata of a materialisation: rows written, versions, figures, notices."""
    return {
        "rows_inserted": result.written.inserted,
        "rows_updated": result.written.updated,
        "rows_deleted": result.written.deleted,
        "delta_version": result.version,
        **{f"consumed {source}": version for source, version in result.consumed.items()},
        **result.figures,
        **{name: dg.MetadataValue.md(as_table(name, counted)) for name, counted in result.counts.items() if counted},
        **({"notices": dg.MetadataValue.md("\n".join(f"- {n}" for n in result.notices))} if result.notices else {}),
        **more,
    }


def as_table(name: str, counted: Mapping[str, int]) -> str:
    """Two columns of Markdown."""
    rows = "\n".join(f"| {key} | {count:,} |" for key, count in counted.items())
    return f"| {name} | events |\n|---|---|\n{rows}"
