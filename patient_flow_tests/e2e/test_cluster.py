"""The rebuild on a cluster, through the real command and a real Spark Connect server (Sail) on loopback."""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from patient_flow.contracts import tables
from patient_flow.pipeline import distributed, incremental, workers
from patient_flow.stores.cluster import Cluster, ClusterError
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.stores.staging import Staged, Staging, StagingExpired
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import (
    EVENT_STEPS,
    SECRET,
    STEPS,
    Delivery,
    at,
    contents,
    event,
    receive,
    run_micro_batches,
    run_step,
    step_context,
)
from patient_flow_tests.e2e.processes import Machine, free_port
from patient_flow_tests.required import require_module
from patient_flow_tests.scenarios.agreement import assert_same, everything
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS
from patient_flow_tests.scenarios.test_invariance import DAY, shuffled, split
from patient_flow_tests.stacks import Stack

require_module("pysail", "uv sync --all-groups")

pytestmark = pytest.mark.long

EMBEDDED_ONLY = pytest.mark.embedded_only(
    "that workers reach the lake's store and this process their results, others show"
)


@pytest.fixture(autouse=True)
def _as_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client takes a process without a main file, as xdist's are, for a run of its own tests."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)


@pytest.fixture(scope="module")
def remote(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running Sail server that reads and writes the lakes of the stack."""
    port = free_port()
    with Machine(tmp_path_factory.mktemp("sail") / "machine") as machine:
        server = machine.start(
            "sail", "sail", "spark", "server", "--ip", "127.0.0.1", "--port", str(port), **stack.environment
        )
        wait_until(lambda: server.has_ended or answers(port))
        assert not server.has_ended, server.output
        yield f"sc://127.0.0.1:{port}"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(happens: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def days() -> list[Delivery]:
    """One of everything, in disorder: redelivered, reused, displaced, late, unreadable, without a patient."""
    received = shuffled(0)
    last = received[-1].enqueued_at
    first = received[0]
    bodies: list[Any] = [
        b"no JSON",
        event(patient_id=None, visit_id="v9"),
        event(visit_id="v8", event_id="x" * 64, patient_id="p8", event_time=at("01:00 -40"), note="unknown field"),
        {**DAY[0], "note": "of the same name as an event that it precedes at the hub"},
    ]
    return [
        *received,
        *(Delivery(body, last + timedelta(minutes=turn), "9", turn) for turn, body in enumerate(bodies[:-1], start=2)),
        # read last, but the first at the hub: it displaces whoever has its identity
        Delivery(bodies[-1], first.enqueued_at - timedelta(minutes=1), "8", 0),
    ]


def taken_in_by_micro_batches(lake: Lake, received: Sequence[Delivery], seed: int = 0) -> dict[str, pl.DataFrame]:
    """What ``lake`` holds after some micro-batches."""
    *others, displacing = received
    run_micro_batches(lake, [*split(others, seed), [displacing]], DEPARTMENTS, steps=STEPS)
    return {**everything(lake), tables.DIM_TIME.path: contents(lake, tables.DIM_TIME)}


def held(lake: Lake) -> dict[str, pl.DataFrame]:
    return {**everything(lake), tables.DIM_TIME.path: contents(lake, tables.DIM_TIME)}


@pytest.fixture
def settings(machine: Machine) -> dict[str, str]:
    """The key and the departments of the tests, for commands."""
    departments = machine.folder / "departments.csv"
    DEPARTMENTS.with_columns(pl.col("valid_from").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")).write_csv(departments)
    return {"PATIENT_FLOW_PSEUDONYM_KEY": SECRET, "PATIENT_FLOW_DEPARTMENTS": str(departments)}


def command(remote: str) -> tuple[str, ...]:
    return ("patient-flow", "rebuild", "--engine", "spark", "--remote", remote)


def staged(lake_uri: str) -> list[Path]:
    """Staging places in a folder; those on Blob Storage are looked at in ``infra/test_lake_on_azurite``."""
    return list(Path(lake_uri.format(layer="x")).parent.glob("*/_rebuild"))


def test_a_cluster_makes_what_the_micro_batches_made(
    machine: Machine, remote: str, settings: dict[str, str], tmp_path: Path
) -> None:
    expected = taken_in_by_micro_batches(Lake(f"{tmp_path}/other/{{layer}}"), days())
    assert expected[tables.QUARANTINE.path].height >= 4
    assert expected[tables.IGNORED.path].height >= 1
    lake = Lake(machine.lake_uri)
    receive(lake, days())
    machine.run(*command(remote), **settings).assert_success()
    assert_same(held(lake), expected)
    assert staged(machine.lake_uri) == []


@EMBEDDED_ONLY
def test_where_nothing_differs_gold_and_warehouse_are_left_alone(
    machine: Machine, remote: str, settings: dict[str, str]
) -> None:
    lake = Lake(machine.lake_uri)
    expected = taken_in_by_micro_batches(lake, days())
    machine.run("patient-flow", "rebuild", **settings).assert_success()
    outcome = machine.run(*command(remote), **settings)
    outcome.assert_success()
    assert_same(held(lake), expected)
    *later, last = [line for line in outcome.out.splitlines() if not line.startswith("silver/")]
    assert last == "lake and warehouse agree"
    made = [table for table in tables.WAREHOUSE_TABLES if not table.is_forecast]
    assert len(later) == len(made) + len(tables.WAREHOUSE_TABLES), later
    assert all(line.endswith(": 0 rows inserted, 0 updated, 0 deleted") for line in later), outcome.out


@EMBEDDED_ONLY
def test_micro_batches_go_on_where_a_rebuild_on_a_cluster_ended(
    machine: Machine, remote: str, settings: dict[str, str], tmp_path: Path
) -> None:
    received = days()
    expected = taken_in_by_micro_batches(Lake(f"{tmp_path}/other/{{layer}}"), received)
    lake = Lake(machine.lake_uri)
    receive(lake, received[: len(received) // 2])
    machine.run(*command(remote), **settings).assert_success()
    run_micro_batches(lake, [received[len(received) // 2 :]], DEPARTMENTS)
    assert_same(held(lake), expected)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_rebuild_that_was_killed_is_simply_started_again(
    machine: Machine, remote: str, settings: dict[str, str], tmp_path: Path
) -> None:
    expected = taken_in_by_micro_batches(Lake(f"{tmp_path}/other/{{layer}}"), days())
    lake = Lake(machine.lake_uri)
    receive(lake, days())
    dying = machine.start("rebuild", *command(remote), **settings)
    dying.wait_for("gold/dim_department: ")
    dying.kill()
    machine.run(*command(remote), **settings).assert_success()
    assert_same(held(lake), expected)
    assert staged(machine.lake_uri) == [], "nor is anything left of the one that died"


def rebuilt(lake: Lake, remote: str, run_id: str = "test") -> None:
    """In this process."""
    with Cluster(remote) as cluster:
        for _ in distributed.rebuild(step_context(lake, DEPARTMENTS, run_id=run_id), cluster):
            pass


@EMBEDDED_ONLY
def test_tables_taken_in_part_by_part_are_the_same(
    remote: str, tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = taken_in_by_micro_batches(Lake(f"{tmp_path}/other/{{layer}}"), days())
    receive(lake, days())
    monkeypatch.setattr(incremental, "EVENTS_AT_ONCE", 4)
    rebuilt(lake, remote)
    assert_same(held(lake), expected)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_an_empty_bronze_makes_empty_tables(remote: str, lake: Lake) -> None:
    lake.open(tables.BRONZE_EVENTS)
    rebuilt(lake, remote)
    assert {path: frame.height for path, frame in everything(lake).items() if frame.height > 1} == {
        tables.DIM_DEPARTMENT.path: DEPARTMENTS.height + 1
    }


class Killed(Exception):
    """The process died here."""


@EMBEDDED_ONLY
@pytest.mark.parametrize("dies", ["before its commit", "after its commit"])
def test_whichever_write_it_dies_at_the_next_run_ends_the_same(
    dies: str, remote: str, tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write of the tables that the cluster made dies once; micro-batches go on before the next run."""
    received = days()
    expected = taken_in_by_micro_batches(Lake(f"{tmp_path}/other/{{layer}}"), received)
    receive(lake, received)
    survived: set[tuple[str, str]] = set()
    is_rebuilding = False

    def deadly(name: str) -> None:
        write = getattr(LakeTable, name)

        def wrapped(table: LakeTable, *args: Any, **kwargs: Any) -> Any:
            moment = (table.table.path, name)
            if not is_rebuilding or moment in survived:
                return write(table, *args, **kwargs)
            survived.add(moment)
            if dies == "after its commit":
                write(table, *args, **kwargs)
            raise Killed

        monkeypatch.setattr(LakeTable, name, wrapped)

    deadly("overwrite_from")
    monkeypatch.setattr(incremental, "EVENTS_AT_ONCE", 10)
    dice = random.Random(1)
    for name in ("first", "second"):
        is_rebuilding = True
        with pytest.raises(Killed):
            rebuilt(lake, remote, name)
        is_rebuilding = False
        run_step(dice.choice(EVENT_STEPS), lake, DEPARTMENTS)
    deadly("replace")
    is_rebuilding = True
    with pytest.raises(Killed):
        rebuilt(lake, remote, "third")
    survived |= {(table.path, "replace") for table in tables.LAKE_TABLES if table is not tables.FACT_PATIENT_FLOW}
    with pytest.raises(Killed):
        rebuilt(lake, remote, "fourth")
    is_rebuilding = False
    for step in STEPS:
        run_step(step, lake, DEPARTMENTS)
    assert_same(held(lake), expected)


@EMBEDDED_ONLY
def test_a_micro_batch_in_the_middle_of_a_rebuild_loses_nothing(
    remote: str, tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New events come, and all steps run, before the results are taken in and between two parts of them."""
    received = days()
    expected = taken_in_by_micro_batches(Lake(f"{tmp_path}/other/{{layer}}"), received)
    third = len(received) // 3
    receive(lake, received[:third])
    waiting = {"overwrite_from": received[third : 2 * third], "replace": received[2 * third :]}

    def interrupted(name: str) -> None:
        write = getattr(LakeTable, name)

        def wrapped(table: LakeTable, *args: Any, **kwargs: Any) -> Any:
            is_the_moment = table.table in (tables.SILVER_EVENTS, tables.DIM_PATIENT)
            if is_the_moment and name in waiting:
                run_micro_batches(lake, [waiting.pop(name)], DEPARTMENTS)
            return write(table, *args, **kwargs)

        monkeypatch.setattr(LakeTable, name, wrapped)

    interrupted("overwrite_from")
    interrupted("replace")
    rebuilt(lake, remote)
    assert not waiting
    for step in STEPS:
        run_step(step, lake, DEPARTMENTS)
    assert_same(held(lake), expected)


def test_the_key_of_the_pseudonyms_does_not_go_to_the_cluster() -> None:
    from pyspark import cloudpickle

    parser = ParserConfig(DEPARTMENTS, SECRET)
    sent = cloudpickle.dumps(workers.Validator(parser.departments, parser.mappings, parser.formats))
    assert SECRET.encode() not in sent


def test_workers_with_another_build_are_refused_before_anything_is_done(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would judge by other rules, and nobody would notice."""
    other = tmp_path / "patient_flow"
    (other / "transforms").mkdir(parents=True)
    (other / "transforms" / "accept.py").write_text("# last week's")
    real = resources.files
    monkeypatch.setattr(resources, "files", lambda name: other if name == "patient_flow" else real(name))
    with pytest.raises(ClusterError, match="another build"):
        Cluster(remote)


def test_workers_with_another_version_are_refused_before_anything_is_done(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", lambda package: "0.0.7")
    with pytest.raises(ClusterError, match=r"in this process 0\.0\.7: install the same version on the cluster"):
        Cluster(remote)


@pytest.mark.parametrize("table", [tables.SILVER_EVENTS, tables.DIM_PATIENT], ids=lambda table: table.path)
def test_of_two_concurrent_rebuilds_the_earlier_one_fails_with_a_message(
    table: tables.Table, remote: str, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(lake, days())
    opened = Staging.open

    def overtaken(staging: Staging, name: str) -> Staged:
        staged = opened(staging, name)
        if name == ("validated" if table is tables.SILVER_EVENTS else table.name):
            lake.staging(table.layer if table.layer == "gold" else "bronze", "later").clear()
        return staged

    monkeypatch.setattr(Staging, "open", overtaken)
    before = contents(lake, table)
    with pytest.raises(StagingExpired, match="another rebuild has started"):
        rebuilt(lake, remote)
    assert contents(lake, table).equals(before)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("sc://127.0.0.1:1/;token=hush", "no Spark Connect server answers at sc://127.0.0.1:1 "),
        ("http://127.0.0.1:1/;token=hush", "is not a Spark Connect address: write sc://HOST"),
        ("sc://127.0.0.1:1/path?token=hush", "is not a Spark Connect address: write sc://HOST"),
    ],
)
def test_a_wrong_address_is_one_line(tmp_path: Path, address: str, says: str) -> None:
    with Machine(tmp_path) as machine:
        outcome = machine.run("patient-flow", "rebuild", "--engine", "spark", SPARK_REMOTE=address)
    assert outcome.exit_code == 1
    [line] = outcome.err.splitlines()
    assert line.startswith("patient-flow: ")
    assert says in line
    assert "hush" not in outcome.said


def test_a_missing_client_is_reported_on_one_line_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql.connect.session", None)
    with pytest.raises(ClusterError, match=r"pip install 'patient-flow\[spark\]'"):
        Cluster("sc://127.0.0.1:1")


@pytest.mark.embedded_only("what is printed, on any storage")
def test_a_workers_error_text_with_row_values_is_not_printed(remote: str, lake: Lake) -> None:
    receive(lake, days())
    with Cluster(remote) as cluster:
        bodies = cluster.rows(lake.open(tables.BRONZE_EVENTS), ("body",))
        read = bodies.each(indiscreet, pl.Schema({"body": pl.Binary()}))
        with pytest.raises(ClusterError) as failed:
            read.write(lake.staging("gold", "x").uri("never"), ())
    assert "ValueError" in str(failed.value)
    assert "p1" not in str(failed.value)
    assert "\n" not in str(failed.value)


def indiscreet(rows: pl.DataFrame) -> pl.DataFrame:
    raise ValueError(f"Error: cannot read {rows['body'].to_list()}")
