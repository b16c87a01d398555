"""Damaged lakes: each file torn, emptied, changed or deleted ends in a named refusal or a full repair."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from azure.eventhub import EventData, EventHubProducerClient

from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES, QUARANTINE, SILVER_EVENTS, Table
from patient_flow.local_hub.testing import HubThread
from patient_flow.pipeline import graph
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.repair import repair
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake import durability
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import LakeDamaged, LakeError
from patient_flow.stores.lake.inspection import check
from patient_flow_tests.builders import NOW, contents, event, snapshot, step_context
from patient_flow_tests.examples import scaled

GENERATED = ("run_id", "ingested_at", "ingested_date", "rejected_at")
"""Columns that a repair writes with its own clock and name."""
BODIES = [*(snapshot(patient_id=f"p{number}") for number in range(9)), b"no JSON", event(patient_id=None)]
DAMAGED_LAKES = scaled(200) // 2


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(data)


DAMAGES: tuple[Callable[[Path], None], ...] = (empty, cut, flip, Path.unlink)


class Made:
    """A hub, and a lake with everything that it holds, to be copied."""

    def __init__(self, folder: Path, hub: HubThread, departments: pl.DataFrame) -> None:
        self.folder, self.departments = folder, departments
        self.hub = Hub(connection=hub.connection, host="127.0.0.1", name="patient-flow", consumer_group="$Default")
        for first in range(0, len(BODIES), 3):
            send(hub, BODIES[first : first + 3])
            micro_batch(self.context(folder))
        maintenance = Lake(f"{folder}/{{layer}}").open(BRONZE_EVENTS).maintenance()
        maintenance.compact()
        maintenance.write_checkpoint()
        self.rows = rows(self.context(folder).lake)

    def context(self, folder: Path, *, hub: bool = True) -> StepContext:
        """Of a lake in ``folder``, in a process that has not seen it before."""
        durability._settled.clear()
        lake = Lake(f"{folder}/{{layer}}")
        context = step_context(lake, self.departments, now=NOW, max_events=1000)
        return StepContext(lake, context.parser, context.timezone, NOW, "repair", self.hub if hub else None, 1000)


def send(hub: HubThread, bodies: list[object]) -> None:
    import json

    from patient_flow_tests.builders import _wire

    with EventHubProducerClient.from_connection_string(hub.connection, eventhub_name="patient-flow") as producer:
        for number, body in enumerate(bodies):
            batch = producer.create_batch(partition_id=str(number % 2))
            batch.add(EventData(body if isinstance(body, bytes) else json.dumps(_wire(body)).encode()))  # type: ignore[arg-type]
            producer.send_batch(batch)


def micro_batch(context: StepContext) -> None:
    for step in graph.STEPS:
        step.run(context)


def rows(lake: Lake) -> dict[str, pl.DataFrame]:
    return {table.path: contents(lake, table).drop(GENERATED, strict=False) for table in LAKE_TABLES}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, departments: pl.DataFrame) -> Iterator[Made]:
    with HubThread(tmp_path_factory.mktemp("hub"), partitions=2) as hub:
        yield Made(tmp_path_factory.mktemp("made"), hub, departments)


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    shutil.copytree(made.folder, tmp_path / "lake")
    return tmp_path / "lake"


def table_folder(folder: Path, table: Table) -> Path:
    return folder / table.layer / table.name


def files_of(folder: Path) -> list[Path]:
    """Everything that a table needs, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "_checksums" not in path.parts)


def live_file(made: Made, folder: Path, table: Table) -> Path:
    return table_folder(folder, table) / next(iter(made.context(folder).lake.open(table).file_sizes()))


def test_a_whole_lake_has_no_damage_and_repair_changes_nothing(made: Made, folder: Path) -> None:
    context = made.context(folder)
    assert [damage for table in LAKE_TABLES for damage in check(context.lake, table)] == []
    before = {path: path.read_bytes() for path in files_of(folder)}
    assert list(repair(context)) == ["no table had to be computed again"]
    assert {path: path.read_bytes() for path in files_of(folder)} == before


@pytest.mark.parametrize("number", range(DAMAGED_LAKES))
def test_any_damaged_file_ends_in_a_named_refusal_or_a_full_repair(made: Made, folder: Path, number: int) -> None:
    random_ = random.Random(number)
    table = LAKE_TABLES[number % len(LAKE_TABLES)]
    path = random_.choice(files_of(table_folder(folder, table)))
    random_.choice(DAMAGES)(path)
    try:
        micro_batch(made.context(folder))
    except LakeError as error:
        assert str(table_folder(folder, table)) in str(error)  # noqa: PT017
    list(repair(made.context(folder)))
    context = made.context(folder)
    assert [damage for known in LAKE_TABLES for damage in check(context.lake, known)] == []
    micro_batch(context)
    assert rows(context.lake).keys() == made.rows.keys()
    for name, found in rows(context.lake).items():
        assert found.equals(made.rows[name]), f"{name} after damage to {path}"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("table", [BRONZE_EVENTS, SILVER_EVENTS])
def test_a_damaged_data_file_is_named_by_the_check(
    made: Made, folder: Path, table: Table, damage: Callable[[Path], None]
) -> None:
    path = live_file(made, folder, table)
    damage(path)
    found = list(check(made.context(folder).lake, table))
    assert [item.path for item in found] == [str(path)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_rebuild_that_cannot_read_bronze_leaves_silver_as_it_is(
    made: Made, folder: Path, damage: Callable[[Path], None]
) -> None:
    path = live_file(made, folder, BRONZE_EVENTS)
    damage(path)
    context = made.context(folder)
    with pytest.raises(LakeDamaged, match=path.name):
        list(rebuild(context))
    assert (
        contents(context.lake, SILVER_EVENTS).drop("run_id", strict=False).height
        == made.rows[SILVER_EVENTS.path].height
    )


def test_unrecoverable_events_are_reported_as_lost(made: Made, folder: Path) -> None:
    for path in table_folder(folder, BRONZE_EVENTS).rglob("part-*.parquet"):
        path.unlink()
    lines = list(repair(made.context(folder, hub=False)))
    lost = [line for line in lines if line.startswith("lost for good")]
    assert lost
    rejected = made.rows[QUARANTINE.path].height
    context = made.context(folder, hub=False)
    assert context.lake.open(BRONZE_EVENTS).row_count() == rejected
    assert context.lake.open(SILVER_EVENTS).row_count() == made.rows[SILVER_EVENTS.path].height
    assert list(check(context.lake, BRONZE_EVENTS)) == []


def test_a_torn_commit_that_was_not_reported_is_made_again(made: Made, folder: Path) -> None:
    log = table_folder(folder, SILVER_EVENTS) / "_delta_log"
    newest = max(log.glob("*.json"))
    empty(newest)
    (log.parent / "_checksums" / newest.name).unlink()
    with pytest.raises(LakeDamaged, match=newest.name):
        micro_batch(made.context(folder))
    assert any(newest.name in line for line in repair(made.context(folder)))
    micro_batch(made.context(folder))
    found = rows(made.context(folder).lake)
    assert all(found[name].equals(made.rows[name]) for name in made.rows)
