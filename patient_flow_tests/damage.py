"""Lakes with one damaged file: made, damaged, refused or repaired, and compared with the undamaged one.

Used by the tests of ``pipeline.repair`` and by ``benchmarks.damaged_lakes``, which damages hundreds.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from azure.eventhub import EventData, EventHubProducerClient

from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES, SILVER_EVENTS, Table
from patient_flow.local_hub.testing import HubThread
from patient_flow.pipeline import graph
from patient_flow.pipeline.repair import repair
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake import durability
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import LakeError
from patient_flow.stores.lake.inspection import check
from patient_flow_tests.builders import NOW, _wire, contents, event, snapshot, step_context

GENERATED = ("run_id", "ingested_at", "ingested_date", "rejected_at")
"""Columns that a repair writes with its own clock and name."""
BODIES = [*(snapshot(patient_id=f"p{number}") for number in range(9)), b"no JSON", event(patient_id=None)]


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
            for table in (BRONZE_EVENTS, SILVER_EVENTS) if first == 6 else ():
                maintenance = Lake(f"{folder}/{{layer}}").open(table).maintenance()
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


def table_folder(folder: Path, table: Table) -> Path:
    return folder / table.layer / table.name


def files_of(folder: Path) -> list[Path]:
    """Every file below ``folder``, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Trial:
    """The outcome of one damaged lake. ``fault`` says what went wrong; empty when nothing did."""

    number: int
    path: Path
    damage: str
    was_refused: bool
    fault: str

    def __str__(self) -> str:
        ending = self.fault or ("refused by name, then repaired" if self.was_refused else "repaired, or harmless")
        return f"{self.number}: {self.damage} {'/'.join(self.path.parts[-4:])}: {ending}"


def kind_of(path: Path) -> str:
    """The kind of a table's file."""
    if "_delta_log" in path.parts:
        return "checkpoint" if path.suffix == ".parquet" else path.name.lstrip("0123456789.")
    return next((part for part in path.parts if part in ("_checksums", "_change_data")), "data file")


def trials(made: Made, folder: Path, numbers: range) -> Iterator[Trial]:
    """One damaged lake per number: tables, kinds of files and damages in turn, the file of a kind at random."""
    for number in numbers:
        copy = folder / str(number)
        shutil.copytree(made.folder, copy)
        yield _trial(made, copy, number)
        shutil.rmtree(copy)


def _trial(made: Made, folder: Path, number: int) -> Trial:
    random_ = random.Random(number)
    table = LAKE_TABLES[number % len(LAKE_TABLES)]
    files = files_of(table_folder(folder, table))
    kinds = sorted({kind_of(path) for path in files})
    turn = number // len(LAKE_TABLES)
    kind, damage = kinds[turn % len(kinds)], DAMAGES[turn // len(kinds) % len(DAMAGES)]
    path = random_.choice([path for path in files if kind_of(path) == kind])
    damage(path)
    return Trial(number, path, damage.__name__, *_outcome(made, folder, table))


def _outcome(made: Made, folder: Path, table: Table) -> tuple[bool, str]:
    """True when the damage was refused, and what went wrong."""
    was_refused = False
    try:
        micro_batch(made.context(folder))
    except LakeError as error:
        was_refused = True
        if str(table_folder(folder, table)) not in str(error):
            return True, f"the refusal does not name the table's folder: {error}"
    except BaseException as error:  # noqa: BLE001
        return True, f"an unnamed failure of the micro-batch: {type(error).__name__}: {error}"
    try:
        list(repair(made.context(folder)))
        context = made.context(folder)
        left = [damage for known in LAKE_TABLES for damage in check(context.lake, known)]
        micro_batch(context)
        found = rows(context.lake)
    except BaseException as error:  # noqa: BLE001
        return was_refused, f"an unnamed failure of the repair: {type(error).__name__}: {error}"
    different = [name for name in made.rows if not found[name].equals(made.rows[name])]
    if left or different:
        return was_refused, f"still damaged: {left}; wrong figures in: {different}"
    return was_refused, ""
