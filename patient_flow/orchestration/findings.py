"""A check of the catalogue and what it found, in Dagster's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from patient_flow.health.catalogue import Check
from patient_flow.health.findings import Finding, Row


def spec_of(check: Check, key: dg.AssetKey, *, may_stop: bool = True) -> dg.AssetCheckSpec:
    """``check`` of the asset ``key``; its description says what to do when it fails."""
    return dg.AssetCheckSpec(
        check.name,
        asset=key,
        blocking=check.stops and may_stop,
        description=f"{check.meaning} If not: {check.todo} See {check.page}.",
        metadata={"runbook": check.page},
    )


def result_of(check: Check, key: dg.AssetKey, finding: Finding) -> dg.AssetCheckResult:
    """What ``check`` of ``key`` found. Only a grave finding of a check that stops the pipeline stops it."""
    metadata: dict[str, Any] = dict(finding.figures)
    if finding.rows:
        metadata["details"] = _table(finding.rows)
    if not finding.is_fine:
        metadata |= {"what to do": check.todo, "runbook": check.page}
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=check.name,
        passed=finding.is_fine,
        severity=dg.AssetCheckSeverity.ERROR if finding.is_grave else dg.AssetCheckSeverity.WARN,
        description=check.said(finding),
        metadata=metadata,
    )


def _table(rows: Sequence[Row]) -> dg.TableMetadataValue:
    names = list(dict.fromkeys(name for row in rows for name in row))
    is_number = {
        name: all(isinstance(row.get(name, 0), int | float) for row in rows if row.get(name) is not None)
        for name in names
    }
    columns = [dg.TableColumn(name, type="number" if is_number[name] else "string") for name in names]
    # a table's records must have the same fields
    records = [dg.TableRecord({name: "" if row.get(name) is None else row[name] for name in names}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema(columns=columns))
