"""A lake with a long history, made fast: steady traffic, so a longer history means more days and not busier ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS, INSTANT
from patient_flow.pipeline import gold, silver
from patient_flow.stores.lake import Lake
from patient_flow.stores.reference import read_departments
from patient_flow.transforms.read import Reading

VISITS_A_DAY = 10_000
EVENTS_A_VISIT = 4
PATIENTS = 3_000_000
START = datetime(2023, 1, 1, tzinfo=UTC)
ZONE = "Europe/Paris"
DEPARTMENTS = read_departments()
READING = Reading(DEPARTMENTS, "benchmark")
NAMES = ("Emergency", "Surgery", "ICU", "Pediatrics", "Maternity", "Oncology", "Cardiology")

c = pl.col


def events(first_visit: int, visits: int) -> pl.DataFrame:
    """Bodies of ``visits`` visits in the order in which they happen: enqueued_at, body."""
    number = pl.int_range(first_visit, first_visit + visits, eager=True).alias("visit")
    scrambled = number * 2_654_435_761 % 2**31
    admitted = START + timedelta(days=1) * (number / VISITS_A_DAY)
    visit = pl.DataFrame({"visit": number, "s": scrambled, "at": admitted.cast(INSTANT)})
    hours = 6 + c("s") % 90
    kinds = pl.DataFrame(
        {"event_type": ["arrival", "admission", "transfer", "discharge"], "share": [0.0, 0.05, 0.5, 1.0]}
    )
    stated = visit.join(kinds, how="cross").with_columns(
        at=c("at") + pl.duration(seconds=(hours * c("share") * 3600).cast(pl.Int64)),
        department=pl.when(c("event_type") == "transfer")
        .then((c("s") % 7 + 1) % 7)
        .otherwise(c("s") % 7)
        .replace_strict(dict(enumerate(NAMES))),
    )
    body = pl.struct(
        event_id=pl.format("{}-{}", "visit", "event_type"),
        event_type="event_type",
        visit_id=pl.format("v{}", "visit"),
        event_time=c("at").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        patient_id=pl.format("p{}", c("s") % PATIENTS),
        hospital_id=c("s") % 7 + 1,
        department="department",
        gender=pl.when(c("s") % PATIENTS % 2 == 0).then(pl.lit("Female")).otherwise(pl.lit("Male")),
        age=c("s") % PATIENTS % 90,
    )
    return stated.sort("at").select(enqueued_at="at", body=body.struct.json_encode().cast(pl.Binary))


def append(lake: Lake, rows: pl.DataFrame) -> None:
    """One commit of bronze."""
    bronze = lake.open(BRONZE_EVENTS)
    start = (bronze.progress("benchmark") or 0) + 1
    coordinates = rows.with_columns(
        hub_created_at=pl.lit(START),
        partition_id=pl.lit("0"),
        sequence_number=pl.int_range(start, start + rows.height),
        offset=pl.lit("0"),
        partition_key=pl.lit(None, dtype=pl.String),
        properties=pl.lit(None, dtype=pl.String),
        ingested_at="enqueued_at",
        run_id=pl.lit("benchmark"),
        ingested_date=c("enqueued_at").dt.date(),
    )
    bronze.append(coordinates, {"benchmark": start + rows.height})


def run_steps(lake: Lake) -> None:
    """Everything after bronze, once."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    silver.accept_events(lake, READING, run_id="benchmark")
    silver.quarantine_events(lake, READING, now=now, run_id="benchmark")
    for _ in gold.all_steps(lake, DEPARTMENTS, ZONE, run_id="benchmark"):
        pass


def fill(lake: Lake, total: int, at_once: int = 500_000) -> int:
    """A lake with ``total`` events of history; gives the number of the next visit."""
    visits = total // EVENTS_A_VISIT
    for first in range(0, visits, at_once // EVENTS_A_VISIT):
        append(lake, events(first, min(at_once // EVENTS_A_VISIT, visits - first)))
        silver.accept_events(lake, READING, run_id="benchmark")
    run_steps(lake)
    return visits
