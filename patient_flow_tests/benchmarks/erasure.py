"""Seconds to erase one person from a lake of N events: ``python -m patient_flow_tests.benchmarks.erasure N``.

The lake is made of snapshots of many patients, one of whom has 40 visits; then that one is erased.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
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

ROWS_PER_COMMIT = 100_000
PERSON = "PERSON-4711"
VISITS = 40


def main(events: int) -> None:
    """Makes the lake, erases, prints seconds."""
    with tempfile.TemporaryDirectory() as folder:
        parser = ParserConfig(
            read_departments(), "a key", formats=(hl7.interpret, fhir.interpret), erasure_key="another key"
        )
        lake = Lake(f"{folder}/{{layer}}")
        warehouse = Warehouse(f"sqlite:///{Path(folder)}/warehouse.db", "sqlite")
        now = datetime.now(UTC)
        context = StepContext(lake, parser, "Europe/Paris", now, "benchmark")
        for start in range(0, events, ROWS_PER_COMMIT):
            lake.open(BRONZE_EVENTS).append(_rows(start, min(events, start + ROWS_PER_COMMIT), events, now), {})
        began = time.monotonic()
        for step in graph.STEPS[1:]:
            step.run(context)
        print(f"made {events:,} events: {time.monotonic() - began:.0f} s")
        began = time.monotonic()

        def log(line: str) -> None:
            print(f"{time.monotonic() - began:7.1f} s  {line}")

        receipt = Erasure(context, warehouse, PERSON, None, log).run()
        log("done")
        print("\n".join(receipt.lines()))


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


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
