"""``patient-flow demo`` in an empty folder without any setting, as on a fresh machine; twice, the second goes on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from patient_flow.contracts.tables import BRONZE_EVENTS, IGNORED, QUARANTINE, SILVER_EVENTS, WAREHOUSE_TABLES
from patient_flow.demo import DEMAND, DIRTY, RESERVE
from patient_flow.settings import load
from patient_flow.simulator.feed import Pace, messages
from patient_flow.simulator.run import Options, plan
from patient_flow_tests.e2e.numbered import held
from patient_flow_tests.e2e.processes import Machine, Program, free_port, micro_batch

pytestmark = pytest.mark.long

DAYS, SPEED = 0.2, 300.0
MICRO_BATCH = (
    r"micro-batch 1: (?P<received>[\d,]+) events received = "
    r"(?P<accepted>[\d,]+) accepted \+ (?P<quarantined>[\d,]+) quarantined(?: \+ (?P<ignored>[\d,]+) ignored)?;"
)


@dataclass(frozen=True)
class Session:
    """One demo from its start to Ctrl-C: what it said and left, and what the journal of its simulator says then."""

    output: str
    exit_code: int
    counts: dict[str, int]
    journal: dict[str, Any]


@dataclass(frozen=True)
class Demo:
    """Two demos, one after the other, in one folder."""

    machine: Machine
    first: Session
    second: Session


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Both are stopped once their first line of a micro-batch is there; no process may be left either time."""
    with Machine(tmp_path_factory.mktemp("demo") / "machine", has_settings=False) as machine:
        yield Demo(machine, session(machine), session(machine))


def session(machine: Machine) -> Session:
    program = start_demo(machine)
    line = program.wait_for(MICRO_BATCH, seconds=240)
    counts = {name: int((number or "0").replace(",", "")) for name, number in line.groupdict().items()}
    exit_code = program.interrupt()
    machine.wait_for_silence()
    return Session(program.output, exit_code, counts, journal_of(machine))


def start_demo(machine: Machine) -> Program:
    ports = ("--hub-port", str(machine.hub_port), "--ui-port", str(free_port()), "--dashboard-port", str(free_port()))
    return machine.start("demo", "patient-flow", "demo", "--days", str(DAYS), "--speed", str(SPEED), *ports)


def journal_of(machine: Machine) -> dict[str, Any]:
    return json.loads((machine.folder / "data" / "simulator.json").read_text())


@pytest.mark.parametrize("name", ["first", "second"])
def test_ctrl_c_ends_it_cleanly(demo: Demo, name: str) -> None:
    ended: Session = getattr(demo, name)
    assert ended.exit_code == 0, ended.output[-3000:]
    assert "Traceback" not in ended.output
    assert "Stopped. The data stays in data/" in ended.output


def test_it_prints_the_addresses(demo: Demo) -> None:
    assert f"sb://127.0.0.1:{demo.machine.hub_port};" in demo.first.output
    assert "http://127.0.0.1:" in demo.first.output
    assert str(Path("data/warehouse.db")) in demo.first.output


def test_the_first_line_adds_up(demo: Demo) -> None:
    counts = demo.first.counts
    assert counts["received"] == counts["accepted"] + counts["quarantined"] + counts["ignored"] > 0


def test_started_again_it_goes_on_where_it_stopped(demo: Demo) -> None:
    """The same hospital, further on; and the first line already knows what the demo before took in."""
    assert demo.second.journal["began"] == demo.first.journal["began"]
    assert demo.second.journal["sent"] > demo.first.journal["sent"]
    assert demo.second.counts["received"] >= demo.first.counts["received"]


def test_counts_agree_from_the_hub_to_the_warehouse(demo: Demo) -> None:
    """After one more micro-batch, for the demo was stopped in the middle of things."""
    machine = demo.machine
    machine.start_hub("--data", "data/hub")
    connection = {"PATIENT_FLOW_EVENTHUB_CONNECTION": machine.connection}
    machine.run(*micro_batch(), **connection).assert_success()
    in_hub = held(machine.connection)
    history = [
        body
        for path in sorted((machine.folder / "data" / "history").glob("*.jsonl"))
        for body in path.read_bytes().splitlines()
    ]
    with machine.services() as services:
        bronze = services.lake.open(BRONZE_EVENTS).scan().select("partition_id", "sequence_number").collect()
        is_imported = pl.col("partition_id").str.starts_with("import-")
        rows = {table.path: services.lake.open(table).row_count() for table in (SILVER_EVENTS, IGNORED, QUARANTINE)}
        in_lake = {table.path: services.lake.open(table).row_count() for table in WAREHOUSE_TABLES}
        assert services.warehouse.row_counts() == in_lake
    assert sorted(bronze.filter(~is_imported).iter_rows()) == sorted(in_hub)
    assert bronze.filter(is_imported).height == len(history) > 0
    assert sum(rows.values()) == bronze.height

    feed = Counter(acknowledged(demo.second.journal))
    assert not feed - Counter([*history, *in_hub.values()]), "the simulator left out what it noted as sent"
    assert demo.first.journal["sent"] < feed.total() == demo.second.journal["sent"] <= len(history) + len(in_hub)


def acknowledged(journal: dict[str, Any]) -> Iterator[bytes]:
    """Bodies that the simulator of the demo has sent, by its journal: a feed is a function of its plan."""
    options = Options(days=DAYS, speed=SPEED, dirty=DIRTY, spares_moves=True, demand=DEMAND, reserve=RESERVE)
    paces = [Pace(*pace) for pace in journal["paces"]]
    whole = plan(load({}, environ={}), options, journal["began"], paces)
    return (message.body for message in islice(messages(whole), journal["sent"]))
