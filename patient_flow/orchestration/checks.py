"""Asset checks: does what came in equal what went out? Blocking where going on would spread an error."""

import dagster as dg
import polars as pl

from patient_flow.contracts import measures, tables
from patient_flow.contracts.rules import ALL
from patient_flow.orchestration.reports import warehouse_key
from patient_flow.orchestration.resources import PatientFlow


@dg.asset_check(
    asset=dg.AssetKey(["silver", "quarantine"]),
    blocking=True,
    description="Per partition, events received (bronze) = accepted (silver) + quarantined.",
)
def received_is_accepted_plus_quarantined(patient_flow: PatientFlow) -> dg.AssetCheckResult:
    """Counts hub coordinates on both sides."""
    lake = patient_flow.services().lake
    counted = [
        lake.open(table).scan().group_by("partition_id").len(name).collect()
        for table, name in (
            (tables.BRONZE_EVENTS, "received"),
            (tables.SILVER_EVENTS, "accepted"),
            (tables.QUARANTINE, "quarantined"),
        )
    ]
    partitions = counted[0]
    for side in counted[1:]:
        partitions = partitions.join(side, on="partition_id", how="full", coalesce=True)
    partitions = partitions.fill_null(0).sort("partition_id")
    wrong = partitions.filter(pl.col("received") != pl.col("accepted") + pl.col("quarantined"))
    return dg.AssetCheckResult(
        passed=wrong.is_empty(),
        description="Every event received is accounted for."
        if wrong.is_empty()
        else "Some events are in neither or in both: run `patient-flow rebuild`.",
        metadata={"partitions": dg.MetadataValue.json(partitions.to_dicts())},
    )


def _rows_agree(table: tables.Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=warehouse_key(table),
        name="rows_equal_gold",
        blocking=True,
        description=f"Rows of {table.warehouse_name} in the warehouse = rows of {table.path} in the lake.",
    )
    def rows_equal_gold(patient_flow: PatientFlow) -> dg.AssetCheckResult:
        services = patient_flow.services()
        in_lake = services.lake.open(table).row_count()
        in_warehouse = services.warehouse.row_counts()[table.path]
        return dg.AssetCheckResult(
            passed=in_lake == in_warehouse,
            description="Lake and warehouse agree."
            if in_lake == in_warehouse
            else "Lake and warehouse differ: materialize this table again, or run `patient-flow rebuild`.",
            metadata={"lake": in_lake, "warehouse": in_warehouse},
        )

    return rows_equal_gold


@dg.asset_check(
    asset=dg.AssetKey(["gold", "data_quality_day"]),
    description=f"Of the newest day's events, at most {measures.QUARANTINE_WARNING_PCT:g} % are quarantined.",
)
def few_events_are_quarantined(patient_flow: PatientFlow) -> dg.AssetCheckResult:
    """Warns, and names the rules that events break most often."""
    quality = patient_flow.services().lake.open(tables.DATA_QUALITY_DAY).scan()
    newest = quality.filter(pl.col("date") == pl.col("date").max())
    by_rule = newest.group_by("rule").agg(pl.col("accepted", "quarantined").sum()).collect()
    events = by_rule.filter(pl.col("rule") == ALL)
    accepted, quarantined = int(events["accepted"].sum()), int(events["quarantined"].sum())
    share = 100 * quarantined / max(1, accepted + quarantined)
    worst = by_rule.filter((pl.col("rule") != ALL) & (pl.col("quarantined") > 0)).sort("quarantined", descending=True)
    is_fine = share <= measures.QUARANTINE_WARNING_PCT
    return dg.AssetCheckResult(
        passed=is_fine,
        severity=dg.AssetCheckSeverity.WARN,
        description="Few events are quarantined."
        if is_fine
        else "Ask the sender about the rules below; after a mapping or rule changed: patient-flow replay-quarantine.",
        metadata={
            "quarantined_pct": share,
            "rules": dg.MetadataValue.json(dict(worst.select("rule", "quarantined").head(10).iter_rows())),
        },
    )


CHECKS = [
    received_is_accepted_plus_quarantined,
    few_events_are_quarantined,
    *(_rows_agree(table) for table in tables.WAREHOUSE_TABLES),
]
