"""Guarantee 4: a micro-batch reads what its events concern, not the history."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pytest

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    DIM_PATIENT,
    FACT_PATIENT_FLOW,
    SILVER_EVENTS,
    Table,
)
from patient_flow.pipeline import key_inspection
from patient_flow.pipeline.received import at_coordinates
from patient_flow.stores.lake import key_index
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.builders import (
    ENQUEUED,
    EVENT_STEPS,
    HUB_CREATED,
    Delivery,
    at,
    bronze,
    contents,
    deliveries,
    event,
    run_micro_batches,
)
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS


def make_unreadable(lake: Lake, table: Table) -> None:
    """The data files of ``table`` keep their size; whoever reads one fails."""
    opened = lake.open(table)
    folder = Path(unquote(opened.uri.removeprefix("file://")))
    for path, size in opened.file_sizes().items():
        (folder / unquote(path)).write_bytes(b"\0" * size)


@pytest.mark.embedded_only("looks into the files")
def test_a_batch_of_new_patients_reads_no_earlier_file_of_events_and_patients(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_index, "MAX_UNKNOWN_ROWS", 0)
    long_ago = [event(visit_id=f"v{n}", patient_id=f"p{n}", event_time=at(f"1{n}:00 -200")) for n in range(4)]
    now = [event(visit_id=f"w{n}", patient_id=f"q{n}", event_time=at(f"1{n}:00")) for n in range(4)]
    received = deliveries([*long_ago, *now])
    run_micro_batches(lake, [received[:4]], DEPARTMENTS, steps=EVENT_STEPS)
    patients, flow = lake.open(DIM_PATIENT).version, lake.open(FACT_PATIENT_FLOW).version
    for table in (SILVER_EVENTS, DIM_PATIENT):  # whoever looks something up first makes the index
        lake.open(table).having({"patient_hash": pl.Series([1])}).collect()
        make_unreadable(lake, table)
    run_micro_batches(lake, [received[4:]], DEPARTMENTS, steps=EVENT_STEPS)
    stays = contents(lake, FACT_PATIENT_FLOW)
    assert stays["patient_key"].n_unique() == 8
    added = lake.open(DIM_PATIENT).changes(patients)
    versions = key_inspection.member_versions(lake, added, DIM_PATIENT, ("patient_hash",))
    assert versions.height == 4
    loaded = {DIM_PATIENT.path: patients}
    changed = lake.open(FACT_PATIENT_FLOW).changes(flow)
    keys = key_inspection.foreign_keys(lake, changed, FACT_PATIENT_FLOW, {"patient_key": DIM_PATIENT}, loaded)
    assert set(keys.rows["patient_key"]) == set(keys.known["patient_key"])


@pytest.mark.embedded_only("how many rows a step reads, on any storage")
@pytest.mark.parametrize(
    "other", [{"partition_id": pl.lit("1")}, {"hub_created_at": pl.lit(HUB_CREATED - timedelta(days=1))}]
)
def test_bronze_rows_are_looked_up_without_those_that_only_share_their_numbers(
    lake: Lake, other: dict[str, pl.Expr], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = bronze(Delivery(event(), ENQUEUED, "0", number) for number in range(3))
    opened = lake.open(BRONZE_EVENTS)
    opened.append(pl.concat([rows, rows.with_columns(**other)]), {})
    collect, read = pl.LazyFrame.collect, []

    def noting_collect(self: pl.LazyFrame, *arguments: Any, **named: Any) -> Any:
        found = collect(self, *arguments, **named)
        read.append(found.height)
        return found

    monkeypatch.setattr(pl.LazyFrame, "collect", noting_collect)
    sought = rows.select(COORDINATES)[1:]
    assert at_coordinates(opened, sought, COORDINATES).sort(COORDINATES).equals(sought)
    assert max(read) == 2
