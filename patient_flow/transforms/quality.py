"""Accepted, ignored and quarantined events → counts by rule, hospital and local date of arrival at the hub."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.rules import ALL
from patient_flow.contracts.tables import DATA_QUALITY_DAY
from patient_flow.transforms.calendar import local_date

c = pl.col

SILVER_COLUMNS = ("hospital_id", "enqueued_at", "quality_flags")
IGNORED_COLUMNS = ("hospital_id", "enqueued_at", "name")
QUARANTINE_COLUMNS = ("hospital_id", "enqueued_at", "reasons")

_KEY = list(DATA_QUALITY_DAY.key)
_COUNTS = ["accepted", "flagged", "quarantined", "ignored"]


def data_quality_day(silver: pl.DataFrame, ignored: pl.DataFrame, quarantine: pl.DataFrame, zone: str) -> pl.DataFrame:
    """DataQualityDay rows of accepted (``silver``), ``ignored`` and rejected (``quarantine``) events."""
    return total(count_accepted(silver, zone), count_ignored(ignored, zone), count_rejected(quarantine, zone))


def count_accepted(silver: pl.DataFrame, zone: str) -> pl.DataFrame:
    """DataQualityDay rows of accepted events, by day and by flag."""
    rows = _dated(silver, zone)
    flagged = rows.explode("quality_flags").drop_nulls("quality_flags")
    return _counted(
        rows.group_by("date", "hospital_id", rule=pl.lit(ALL)).agg(accepted=pl.len()),
        flagged.group_by("date", "hospital_id", rule="quality_flags").agg(flagged=pl.len()),
    )


def count_ignored(ignored: pl.DataFrame, zone: str) -> pl.DataFrame:
    """DataQualityDay rows of ignored events, by day and by name."""
    rows = _dated(ignored, zone)
    return _counted(
        rows.group_by("date", "hospital_id", rule=pl.lit(ALL)).agg(ignored=pl.len()),
        rows.group_by("date", "hospital_id", rule="name").agg(ignored=pl.len()),
    )


def count_rejected(quarantine: pl.DataFrame, zone: str) -> pl.DataFrame:
    """DataQualityDay rows of rejected events, by day and by reason."""
    rows = _dated(quarantine, zone)
    return _counted(
        rows.group_by("date", "hospital_id", rule=pl.lit(ALL)).agg(quarantined=pl.len()),
        rows.explode("reasons").group_by("date", "hospital_id", rule="reasons").agg(quarantined=pl.len()),
    )


def _counted(*frames: pl.DataFrame) -> pl.DataFrame:
    return total(*(_typed(frame) for frame in frames))


def total(*counts: pl.DataFrame) -> pl.DataFrame:
    """The sum of frames of DataQualityDay rows; rows that add up to nothing are left out."""
    return (
        pl.concat(counts)
        .group_by(_KEY)
        .agg(c(_COUNTS).sum())
        .filter(pl.any_horizontal(c(name) != 0 for name in _COUNTS))
        .select(DATA_QUALITY_DAY.schema.names())
    )


def negative(counts: pl.DataFrame) -> pl.DataFrame:
    """``counts`` to be taken away."""
    return counts.with_columns(-c(_COUNTS))


def _dated(rows: pl.DataFrame, zone: str) -> pl.DataFrame:
    return rows.with_columns(
        date=local_date(c("enqueued_at"), zone), hospital_id=c("hospital_id").fill_null(events.UNKNOWN)
    )


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        (c(name) if name in frame.columns else pl.lit(0)).cast(dtype).alias(name)
        for name, dtype in DATA_QUALITY_DAY.schema.items()
    )
