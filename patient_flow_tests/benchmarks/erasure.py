"""The erasure of one person: a lake of snapshots of many patients, one of whom has 40 visits and is erased."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.dialects import fhir, hl7
from patient_flow.pipeline import graph
from patient_flow.pipeline.erasure.erase import Erasure
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.reference import read_departments
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.benchmarks import report
from patient_flow_tests.benchmarks.sizes import Size

TITLE = "Erasure"

ROWS_PER_COMMIT = 100_000
PERSON = "PERSON-4711"
VISITS = 40


def run(folder: Path, size: Size) -> report.Section:
    """Makes the lake, erases once."""
    parser = ParserConfig(
        read_departments(), "a key", formats=(hl7.interpret, fhir.interpret), erasure_key="another key"
    )
    lake = Lake(f"{folder}/{{layer}}")
    warehouse = Warehouse(f"sqlite:///{folder}/warehouse.db", "sqlite")
    now = datetime.now(UTC)
    context = StepContext(lake, parser, "Europe/Paris", now, "benchmark")
    for start in range(0, size.events, ROWS_PER_COMMIT):
        end = min(size.events, start + ROWS_PER_COMMIT)
        lake.open(BRONZE_EVENTS).append(_rows(start, end, size.events, now), {})
    for step in graph.STEPS[1:]:
        step.run(context)
    wall, cpu = time.perf_counter(), time.process_time()
    Erasure(context, warehouse, PERSON, None, lambda line: None).run()
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    warehouse.dispose()
    return report.Section(
        f"A person with {VISITS} visits, {size.events:,} events in the lake: {seconds:.1f} s, {cpu_seconds:.1f} CPU s.",
        f"{seconds:.1f} s for a person with {VISITS} visits of {size.events:,} events",
    )


def _rows(start: int, end: int, events: int, now: datetime) -> pl.DataFrame:
    chosen = random.Random(7)
    mine = set(chosen.sample(range(events), VISITS))
    rows = []
    for number in range(start, end):
        admitted = now - timedelta(days=30) + timedelta(seconds=30 * 24 * 3600 * number / events)
        patient = PERSON if number in mine else f"{number % (events // 3 + 1):08x}-patient"
        body = {
            "patient_id": patient,
            "gender": "Female",
            "age": number % 90,
            "department": ("ICU", "Surgery", "Emergency", "Maternity")[number % 4],
            "admission_time": admitted.isoformat(),
            "discharge_time": (admitted + timedelta(hours=1 + number % 90)).isoformat(),
            "bed_id": number % 400,
            "hospital_id": 1 + number % 7,
        }
        rows.append((admitted + timedelta(minutes=1), number, json.dumps(body).encode()))
    frame = pl.DataFrame(rows, schema=["enqueued_at", "sequence_number", "body"], orient="row")
    return frame.with_columns(
        hub_created_at=pl.lit(now),
        partition_id=pl.lit("0"),
        offset=pl.col("sequence_number").cast(pl.String),
        partition_key=pl.lit(None, pl.String),
        properties=pl.lit(None, pl.String),
        ingested_at="enqueued_at",
        run_id=pl.lit("benchmark"),
        ingested_date=pl.col("enqueued_at").dt.date(),
    ).select(BRONZE_EVENTS.schema.names())
