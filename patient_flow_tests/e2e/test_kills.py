"""SIGKILL at random moments, to every process on the way of an event: nothing is lost, nothing is doubled."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    FACT_PATIENT_FLOW,
    LAKE_TABLES,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.pipeline import bronze
from patient_flow.stores.lake import Lake
from patient_flow_tests.builders import contents
from patient_flow_tests.e2e.numbered import NumberedProducer, held
from patient_flow_tests.e2e.processes import Machine, Program
from patient_flow_tests.e2e.refine import STEPS
from patient_flow_tests.e2e.warehouse import ask, stars

KILLS = 20

pytestmark = pytest.mark.slow


def drain(machine: Machine, max_events: int = 1000) -> Program:
    """A drain that is at work."""
    program = machine.start("drain", "python", "-m", "patient_flow_tests.e2e.drain", str(max_events))
    program.wait_for("drain 0")
    return program


def ingest_the_rest(machine: Machine) -> None:
    with machine.services() as services:
        while bronze.ingest(
            services.lake, services.hub, now=datetime.now(UTC), run_id="rest", max_events=1_000_000
        ).written.inserted:
            pass


def test_an_acknowledged_event_is_in_bronze_once_whatever_dies(machine: Machine) -> None:
    """Hub and drain are killed twenty times while a producer sends."""
    rng = Random(20_261_123)
    hub, draining = machine.start_hub("--partitions", "2"), drain(machine)
    with NumberedProducer(machine.connection) as producer:
        for _ in range(KILLS):
            producer.wait_for_more()
            if rng.random() < 0.5:
                time.sleep(rng.uniform(0.0, 0.5))
                hub.kill()
                hub = machine.start_hub("--partitions", "2")
            else:
                draining.wait_for("took [1-9]")
                time.sleep(rng.uniform(0.0, 1.0))
                draining.kill()
                draining = drain(machine)
    draining.kill()
    ingest_the_rest(machine)

    in_hub = held(machine.connection)
    in_bronze = Lake(machine.lake_uri).open(BRONZE_EVENTS).scan().collect()
    numbers = [int(body) for body in in_hub.values()]
    assert len(in_hub) > 1000
    assert in_bronze["ingested_at"].n_unique() > KILLS // 4, "bronze was written while things died"
    assert set(producer.acknowledged) <= set(numbers), "the hub lost what it had acknowledged"
    assert repeated(numbers) <= producer.uncertain, "the hub stored twice what it was sent once"
    assert without_gaps(in_bronze)
    assert in_bronze.select(COORDINATES).is_unique().all()
    assert in_bronze["hub_created_at"].n_unique() == 1
    coordinates = in_bronze.select("partition_id", "sequence_number").iter_rows()
    assert dict(zip(coordinates, map(bytes.decode, in_bronze["body"]), strict=True)) == in_hub


def test_a_pipeline_that_dies_at_any_step_ends_as_one_that_never_did(machine: Machine, tmp_path: Path) -> None:
    """Bronze grows in five batches; on each the rest of the pipeline is killed twice before it may finish."""
    rng = Random(11)
    source = bronze_of_a_hospital(machine, tmp_path / "source")
    batches = source.with_row_index().with_columns(pl.col("index") // (source.height // 5 + 1)).partition_by("index")
    for number, batch in enumerate(batches):
        take_in(Lake(machine.lake_uri), batch.drop("index"), number)
        for step in rng.sample(STEPS, 2):
            dying = machine.start("refine", "python", "-m", "patient_flow_tests.e2e.refine")
            dying.wait_for(f"step {step}\n")
            time.sleep(rng.uniform(0.0, 0.15))
            dying.kill()
        refine(machine)

    with Machine(tmp_path / "undisturbed") as undisturbed:
        shutil.copytree(machine.folder / "data" / "bronze", undisturbed.folder / "data" / "bronze")
        refine(undisturbed)
        disturbed, expected = Lake(machine.lake_uri), Lake(undisturbed.lake_uri)
        for table in LAKE_TABLES:
            assert_frame_equal(contents(disturbed, table), contents(expected, table))
        assert stars(machine.warehouse) == stars(undisturbed.warehouse)

    rows = {table.path: disturbed.open(table).row_count() for table in LAKE_TABLES}
    assert rows[BRONZE_EVENTS.path] == rows[SILVER_EVENTS.path] + rows[QUARANTINE.path] == source.height
    assert ask(machine.warehouse, "SELECT COUNT(*) FROM FactPatientFlow") == [(rows[FACT_PATIENT_FLOW.path],)]


def refine(machine: Machine) -> None:
    outcome = machine.run("python", "-m", "patient_flow_tests.e2e.refine")
    assert outcome.exit_code == 0, outcome.said


def bronze_of_a_hospital(machine: Machine, folder: Path) -> pl.DataFrame:
    """Bronze rows of a day of simulated lifecycle events, a fifth of them spoilt, in the order of the hub."""
    with Machine(folder) as other:
        hub = other.start_hub()
        simulated = other.run("patient-flow", "simulate", "--days", "1", "--dirty", "0.2")
        assert simulated.exit_code == 0, simulated.said
        ingest_the_rest(other)
        assert hub.interrupt() == 0
        return Lake(other.lake_uri).open(BRONZE_EVENTS).scan().sort("enqueued_at", "partition_id").collect()


def take_in(lake: Lake, rows: pl.DataFrame, number: int) -> None:
    lake.open(BRONZE_EVENTS).append(rows, {"batch": number})


def repeated(numbers: list[int]) -> set[int]:
    counts = pl.Series(numbers).value_counts()
    return set(counts.filter(pl.col("count") > 1).to_series())


def without_gaps(rows: pl.DataFrame) -> bool:
    """True when the sequence numbers of each partition run from 0 up, each once."""
    partitions = rows.sort("sequence_number").partition_by("partition_id")
    return all(part["sequence_number"].to_list() == list(range(part.height)) for part in partitions)
