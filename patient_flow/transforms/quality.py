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
    accepted, left_out, rejected = (_dated(frame, zone) for frame in (silver, ignored, quarantine))
    flagged = accepted.explode("quality_flags").drop_nulls("quality_flags")
    broken = rejected.explode("reasons")
    counted = [
        accepted.group_by("date", "hospital_id", rule=pl.lit(ALL)).agg(accepted=pl.len()),
        rejected.group_by("date", "hospital_id", rule=pl.lit(ALL)).agg(quarantined=pl.len()),
        left_out.group_by("date", "hospital_id", rule=pl.lit(ALL)).agg(ignored=pl.len()),
        flagged.group_by("date", "hospital_id", rule="quality_flags").agg(flagged=pl.len()),
        broken.group_by("date", "hospital_id", rule="reasons").agg(quarantined=pl.len()),
        left_out.group_by("date", "hospital_id", rule="name").agg(ignored=pl.len()),
    ]
    return total(pl.concat([_typed(frame) for frame in counted]))


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
