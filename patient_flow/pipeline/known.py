"""Stays and attendances as they were known at a past instant (flow F21).

Facts of visits that nothing touched since are taken from gold. The others are folded again from what the hub had
accepted by then. Of an imported row each fact is known from the instant that it states.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.events import NO_HUB
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DIM_DEPARTMENT,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    IGNORED,
    SILVER_EVENTS,
)
from patient_flow.forecasting.forecast import ATTENDANCE_COLUMNS, STAY_COLUMNS
from patient_flow.pipeline import clusters
from patient_flow.pipeline.checkpoints import consumed
from patient_flow.pipeline.clusters import LINKS, Keys
from patient_flow.pipeline.incremental import is_one_of
from patient_flow.pipeline.steps import StepContext, open_complete_silver
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import facts
from patient_flow.transforms.dimensions import OBSERVATION_COLUMNS, patient_versions
from patient_flow.transforms.visits.fold import IMPORTED, VISIT_COLUMNS, fold
from patient_flow.transforms.visits.merges import survivors

c = pl.col

_NOT_YET = ("arrival_time", "triage_time", "seen_time", "decision_time", "discharge_time", "ready_time")


@dataclass(frozen=True)
class Known:
    """Stays and attendances as known at an instant, and the versions of departments."""

    stays: pl.DataFrame
    attendances: pl.DataFrame
    departments: pl.DataFrame


def known_at(context: StepContext, at: datetime, since: datetime) -> Known:
    """What was known at ``at`` of stays that had not ended, and attendances that arrived, before ``since``."""
    lake = context.lake
    silver = open_complete_silver(lake)
    flow, attended = lake.open(FACT_PATIENT_FLOW), lake.open(FACT_ED_ATTENDANCE)
    departments = lake.open(DIM_DEPARTMENT).scan().collect()
    recent = (c("discharge_at").is_null()) | (c("discharge_at") > since)
    stays = flow.scan().filter(recent, c("admission_at") <= at)
    arrivals = attended.scan().filter(c("arrival_at") > since, c("arrival_at") <= at)
    touched = touched_after(context, silver, at)
    if touched.is_empty():
        return Known(stays.select(STAY_COLUMNS).collect(), arrivals.select(ATTENDANCE_COLUMNS).collect(), departments)
    whole = clusters.grown(silver, Keys.of(touched))
    folded_again = is_one_of("visit_hash", whole.keys.visits)
    unchanged_stays = stays.filter(~folded_again).select(STAY_COLUMNS).collect(engine="streaming")
    unchanged_arrivals = arrivals.filter(~folded_again).select(ATTENDANCE_COLUMNS).collect(engine="streaming")
    columns = dict.fromkeys((*VISIT_COLUMNS, *OBSERVATION_COLUMNS))
    history = as_known_at(clusters.history(silver, whole, tuple(columns)), at)
    ignored = lake.open(IGNORED).having({"visit_hash": history["visit_hash"]})
    again = clusters.received_again(ignored).filter(c("enqueued_at") <= at)
    folded = fold(
        history, departments, unconfirmed_days=context.unconfirmed_days, zone=context.timezone, received_again=again
    )
    # Not DimPatient: what a later event observed must not reach an earlier forecast.
    patients = patient_versions(history, survivors=survivors(history)[0])
    own_stays = facts.fact_patient_flow(folded.stays, patients, departments).filter(recent, c("admission_at") <= at)
    own_arrivals = facts.fact_ed_attendance(folded.attendances, patients, departments).filter(
        c("arrival_at") > since, c("arrival_at") <= at
    )
    return Known(
        pl.concat([unchanged_stays, own_stays.select(STAY_COLUMNS)]),
        pl.concat([unchanged_arrivals, own_arrivals.select(ATTENDANCE_COLUMNS)]),
        departments,
    )


def as_known_at(history: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Silver events that were known at ``at``, without what imported ones state of later instants."""
    is_import = c("partition_id").str.starts_with(IMPORTED)
    known = history.filter(pl.when(is_import).then(c("event_time") <= at).otherwise(c("enqueued_at") <= at))
    is_ahead = is_import & (c("enqueued_at") > at)
    has_not_left = is_ahead & (c("discharge_time") > at)
    return known.with_columns(
        pl.when(has_not_left).then(None).otherwise(c("discharge_status")).alias("discharge_status"),
        pl.when(is_ahead).then(_listed_until(at)).otherwise(c("stays")).alias("stays"),
        pl.when(is_ahead).then(pl.lit(at)).otherwise(c("enqueued_at")).alias("enqueued_at"),
        *(pl.when(is_ahead & (c(name) > at)).then(None).otherwise(c(name)).alias(name) for name in _NOT_YET),
    )


def _listed_until(at: datetime) -> pl.Expr:
    """The placements of ``stays`` that had begun, those that had not ended as open."""
    micros = int(at.timestamp() * 1_000_000)
    entry = pl.Struct({"department": pl.String, "bed_id": pl.String, "from": pl.Int64, "to": pl.Int64})
    element = pl.element()
    begun = c("stays").str.json_decode(pl.List(entry)).list.filter(element.struct.field("from") <= micros)
    cut = begun.list.eval(
        pl.struct(
            element.struct.field("department"),
            element.struct.field("bed_id"),
            element.struct.field("from"),
            pl.when(element.struct.field("to") <= micros).then(element.struct.field("to")).alias("to"),
        )
    )
    texts = cut.list.eval(element.struct.json_encode())
    return pl.when(c("stays").is_not_null()).then(pl.lit("[") + texts.list.join(",") + pl.lit("]"))


def touched_after(context: StepContext, silver: LakeTable, at: datetime) -> pl.DataFrame:
    """The links (:data:`clusters.LINKS`) of visits with an event, or a repeated snapshot, later than ``at``."""
    later = silver.scan().filter(c("enqueued_at") > at).select(LINKS).collect(engine="streaming")
    repeats = (
        context.lake.open(IGNORED)
        .scan()
        .filter(c("name") == events.ALREADY_RECEIVED, c("enqueued_at") > at, c("visit_hash").is_not_null())
    )
    hashes = repeats.select("visit_hash").unique().collect(engine="streaming")
    return pl.concat([later, hashes], how="diagonal").unique()


def is_complete(lake: Lake, at: datetime, *, with_files: bool = False) -> bool:
    """True when silver, and the facts made of it, have everything that bronze took from the hub by ``at``.

    With ``with_files`` they must also have all rows of files, whichever instants these state.
    """
    waits = c("enqueued_at") <= at
    if with_files:
        waits |= c("hub_created_at") == NO_HUB
    silver = lake.open(SILVER_EVENTS)
    pairs = (
        (lake.open(BRONZE_EVENTS), silver),
        (silver, lake.open(FACT_PATIENT_FLOW)),
        (silver, lake.open(FACT_ED_ATTENDANCE)),
    )
    return all(_has_consumed(source, target, waits) for source, target in pairs)


def _has_consumed(source: LakeTable, target: LakeTable, waits: pl.Expr) -> bool:
    version = consumed(target, source)
    if version == source.version:
        return True
    changes = source.changes_or_all(version, ["enqueued_at", "hub_created_at"])
    return changes.both.filter(waits).is_empty()
