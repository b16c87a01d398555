"""SIGKILL at random moments, to every process on the way of an event: nothing is lost, nothing is doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
    KPI_DEPARTMENT_DAY,
    LAKE_TABLES,
    QUARANTINE,
    SILVER_EVENTS,
    Table,
)
from patient_flow.operations import step_context
from patient_flow.pipeline import bronze
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.builders import contents
from patient_flow_tests.e2e.numbered import NumberedProducer, held
from patient_flow_tests.e2e.processes import Machine, Program
from patient_flow_tests.e2e.refine import STEPS
from patient_flow_tests.e2e.warehouse import ask, stars

HUB_KILLS = DRAIN_KILLS = 10

pytestmark = pytest.mark.long


@pytest.mark.embedded_only("twenty kills a second or so apart: what it costs on the slower stack buys little")
def test_an_acknowledged_event_is_in_bronze_once_whatever_dies(machine: Machine) -> None:
    """Hub and drain are killed twenty times in all while a producer sends."""
    rng = Random(20_261_123)
    victims = ["hub"] * HUB_KILLS + ["drain"] * DRAIN_KILLS
    rng.shuffle(victims)
    hub, drain = start_hub(machine), start_drain(machine)
    with NumberedProducer(machine.connection) as producer:
        for victim in victims:
            producer.wait_for_more()
            if victim == "hub":
                time.sleep(rng.uniform(0.0, 0.5))
                hub.kill()
                hub = start_hub(machine)
            else:
                drain.wait_for("took [1-9]")
                time.sleep(rng.uniform(0.0, 1.0))
                drain.kill()
                drain = start_drain(machine)
    drain.kill()
    ingest_the_rest(machine)

    in_hub = held(machine.connection)
    in_bronze = Lake(machine.lake_uri).open(BRONZE_EVENTS).scan().collect()
    numbers = [int(body) for body in in_hub.values()]
    assert set(producer.acknowledged) <= set(numbers), "the hub lost what it had acknowledged"
    on_their_way = HUB_KILLS * producer.batch
    assert len(repeated(numbers)) <= on_their_way, "more is there twice than was on its way when the hub died"
    assert in_bronze["ingested_at"].n_unique() > DRAIN_KILLS, "bronze grew between the kills"
    assert without_gaps(in_bronze)
    assert in_bronze.select(COORDINATES).is_unique().all()
    assert in_bronze["hub_created_at"].n_unique() == 1
    coordinates = in_bronze.select("partition_id", "sequence_number").iter_rows()
    assert dict(zip(coordinates, in_bronze["body"], strict=True)) == in_hub


@dataclass(frozen=True)
class Twins:
    """Two machines whose pipelines took in the same bronze: one was killed all the way, the other never."""

    killed: Machine
    undisturbed: Machine

    def each(self) -> tuple[Machine, Machine]:
        """Both."""
        return self.killed, self.undisturbed


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """Bronze grows in four batches; on each the rest of the pipeline is killed twice before it may finish."""
    rng = Random(11)
    folder = tmp_path_factory.mktemp("twins")
    bronze_rows = bronze_of_a_hospital(folder / "source")
    with Machine(folder / "killed") as killed, Machine(folder / "undisturbed") as undisturbed:
        for batch in bronze_rows.iter_slices(bronze_rows.height // 4 + 1):
            Lake(killed.lake_uri).open(BRONZE_EVENTS).append(batch, {})
            for step in rng.sample(STEPS, 2):
                dying = killed.start("refine", "python", "-m", "patient_flow_tests.e2e.refine")
                dying.wait_for(f"step {step}\n")
                time.sleep(rng.uniform(0.0, 0.15))
                dying.kill()
            refine(killed)
        Lake(undisturbed.lake_uri).open(BRONZE_EVENTS).append(bronze_rows, {})
        refine(undisturbed)
        yield Twins(killed, undisturbed)


@pytest.mark.parametrize("table", LAKE_TABLES, ids=lambda table: table.path)
def test_a_pipeline_that_dies_at_any_step_ends_as_one_that_never_did(twins: Twins, table: Table) -> None:
    killed, expected = (contents(Lake(machine.lake_uri), table) for machine in twins.each())
    assert_frame_equal(killed, expected, rel_tol=1e-9, abs_tol=0)


def test_its_warehouse_ends_the_same_too(twins: Twins) -> None:
    killed, expected = (stars(machine.warehouse_url, digits=6) for machine in twins.each())
    assert killed == expected


def test_sums_are_the_same_to_the_last_digit(twins: Twins) -> None:
    """Guarantee 2 knows no tolerance: a rebuild must not change a figure, nor write a row for a rounding error."""
    killed, expected = (contents(Lake(machine.lake_uri), KPI_DEPARTMENT_DAY) for machine in twins.each())
    assert_frame_equal(killed, expected, check_exact=True)


def test_killed_pipelines_lose_no_event(twins: Twins) -> None:
    lake = Lake(twins.killed.lake_uri)
    rows = {table.path: lake.open(table).row_count() for table in LAKE_TABLES}
    assert rows[BRONZE_EVENTS.path] == rows[SILVER_EVENTS.path] + rows[QUARANTINE.path]
    assert ask(twins.killed.warehouse_url, 'SELECT COUNT(*) FROM "FactPatientFlow"') == [
        (rows[FACT_PATIENT_FLOW.path],)
    ]


def start_hub(machine: Machine) -> Program:
    """Two partitions: the client needs half a second to open each."""
    return machine.start_hub("--partitions", "2")


def start_drain(machine: Machine) -> Program:
    """A drain that is at work."""
    program = machine.start("drain", "python", "-m", "patient_flow_tests.e2e.drain", "1000")
    program.wait_for("drain 0")
    return program


def ingest_the_rest(machine: Machine) -> None:
    with machine.services() as services:
        context = replace(step_context(services, run_id="rest", now=datetime.now(UTC)), max_events=1_000_000)
        while bronze.ingest(context).written.inserted:
            pass


def bronze_of_a_hospital(folder: Path) -> pl.DataFrame:
    """Bronze rows of a day of simulated lifecycle events, a fifth of them spoilt, in the order of the hub."""
    with Machine(folder) as machine:
        start_hub(machine)
        machine.run("patient-flow", "simulate", "--days", "1", "--dirty", "0.2").assert_success()
        ingest_the_rest(machine)
        return Lake(machine.lake_uri).open(BRONZE_EVENTS).scan().sort("enqueued_at", "partition_id").collect()


def refine(machine: Machine) -> None:
    machine.run("python", "-m", "patient_flow_tests.e2e.refine").assert_success()


def repeated(numbers: list[int]) -> set[int]:
    counts = pl.Series(numbers).value_counts()
    return set(counts.filter(pl.col("count") > 1).to_series())


def without_gaps(rows: pl.DataFrame) -> bool:
    """True when the sequence numbers of each partition run from 0 up, each once."""
    partitions = rows.sort("sequence_number").partition_by("partition_id")
    return all(part["sequence_number"].to_list() == list(range(part.height)) for part in partitions)
