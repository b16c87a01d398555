"""What runs recorded of a table in the last minutes, from the metadata of its materializations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from patient_flow.contracts.tables import QUARANTINE
from patient_flow.pipeline.unaccepted import MOST_FREQUENT

RECENT = timedelta(minutes=15)
MAX_NAMED_REASONS = 3


def materialized(instance: dg.DagsterInstance, path: str, now: datetime) -> list[Mapping[str, dg.MetadataValue[Any]]]:
    """Metadata of an asset's materializations of the last 15 minutes, the newest first."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(path.split("/")), after_timestamp=(now - RECENT).timestamp()),
        limit=30,
    ).records
    found = [record.asset_materialization for record in records]
    return [materialization.metadata for materialization in found if materialization is not None]


def rows_added(instance: dg.DagsterInstance, path: str, now: datetime) -> int:
    """Rows that the materializations of an asset added in the last 15 minutes, by their metadata."""
    values = [metadata.get("rows_inserted") for metadata in materialized(instance, path, now)]
    return sum(value.value for value in values if value is not None and isinstance(value.value, int))


def quarantine_reasons(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """The most frequent reasons of the last micro-batches that quarantined events, the newest first."""
    stated = [metadata.get(MOST_FREQUENT) for metadata in materialized(instance, QUARANTINE.path, now)]
    return [str(value.value) for value in stated if value is not None][:MAX_NAMED_REASONS]
