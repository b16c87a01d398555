"""Damaged lakes: each file torn, emptied, changed or deleted ends in a named refusal or a full repair."""

from __future__ import annotations

import errno
import fcntl
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from patient_flow.contracts.events import NO_HUB
from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES, QUARANTINE, SILVER_EVENTS, Table
from patient_flow.local_hub.testing import HubThread
from patient_flow.pipeline import imports
from patient_flow.pipeline import repair as repairs
from patient_flow.pipeline.checkpoints import imported_at
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.repair import repair
from patient_flow.stores.lake import exclusion
from patient_flow.stores.lake.errors import LakeDamaged
from patient_flow.stores.lake.inspection import check
from patient_flow.stores.lake.table import LakeTable
from patient_flow_tests.builders import NOW, contents
from patient_flow_tests.damage import DAMAGES, Made, empty, files_of, micro_batch, rows, table_folder, trials

SAMPLE = range(0, 200, 17)
"""Of the 200 lakes that ``benchmarks.damaged_lakes`` damages: another table, file and damage each."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, departments: pl.DataFrame) -> Iterator[Made]:
    with HubThread(tmp_path_factory.mktemp("hub"), partitions=2) as hub:
        yield Made(tmp_path_factory.mktemp("made"), hub, departments)


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    shutil.copytree(made.folder, tmp_path / "lake")
    return tmp_path / "lake"


def live_file(made: Made, folder: Path, table: Table) -> Path:
    return table_folder(folder, table) / next(iter(made.context(folder).lake.open(table).file_sizes()))


def test_a_whole_lake_has_no_damage_and_repair_changes_nothing(made: Made, folder: Path) -> None:
    context = made.context(folder)
    assert [damage for table in LAKE_TABLES for damage in check(context.lake, table)] == []
    before = {path: path.read_bytes() for path in files_of(folder)}
    assert list(repair(context)) == ["no table had to be computed again"]
    assert {path: path.read_bytes() for path in files_of(folder)} == before


def test_any_damaged_file_ends_in_a_named_refusal_or_a_full_repair(made: Made, tmp_path: Path) -> None:
    for number in SAMPLE:
        for trial in trials(made, tmp_path, range(number, number + 1)):
            assert not trial.fault, str(trial)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("table", [BRONZE_EVENTS, SILVER_EVENTS])
def test_a_damaged_data_file_is_named_by_the_check(
    made: Made, folder: Path, table: Table, damage: Callable[[Path], None]
) -> None:
    path = live_file(made, folder, table)
    damage(path)
    found = list(check(made.context(folder).lake, table))
    assert [item.path for item in found] == [str(path)]


def test_a_log_without_entries_is_named_once(made: Made, folder: Path) -> None:
    log = table_folder(folder, SILVER_EVENTS) / "_delta_log"
    for path in log.iterdir():
        path.unlink()
    for checksums in list(folder.rglob("_checksums")):
        shutil.rmtree(checksums)
    (found,) = check(made.context(folder).lake, SILVER_EVENTS)
    assert str(found) == f"{SILVER_EVENTS.path}: {log} has no entries, and there are data files beside it"


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


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_repair_that_cannot_write_bronze_leaves_the_damaged_table_where_it_is(
    made: Made, folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    live_file(made, folder, BRONZE_EVENTS).unlink()
    before = {path: path.read_bytes() for path in files_of(folder)}

    def fail(*_args: object, **_kwargs: object) -> int:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(LakeTable, "append", fail)
        with pytest.raises(type(error)):
            list(repair(made.context(folder)))
    assert {path: path.read_bytes() for path in files_of(folder)} == before
    require_repaired(made, folder)


def test_bronze_is_in_its_place_whenever_a_repair_states_something(made: Made, folder: Path) -> None:
    live_file(made, folder, BRONZE_EVENTS).unlink()
    log = table_folder(folder, BRONZE_EVENTS) / "_delta_log"
    for line in repair(made.context(folder)):
        assert any(log.iterdir()), line


def test_a_repair_that_died_between_its_two_moves_is_named_and_completed_by_the_next(
    made: Made, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_file(made, folder, BRONZE_EVENTS).unlink()

    def die(*_args: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(repairs, "_put_in_place", die)
        with pytest.raises(SystemExit):
            list(repair(made.context(folder)))
    with pytest.raises(LakeDamaged, match=f"{BRONZE_EVENTS.path} is damaged.*interrupted.*lake_repair"):
        micro_batch(made.context(folder))
    assert not (table_folder(folder, BRONZE_EVENTS) / "_delta_log").exists()
    (found,) = check(made.context(folder).lake, BRONZE_EVENTS)
    assert found.path == str(table_folder(folder, BRONZE_EVENTS))
    lines = require_repaired(made, folder)
    assert any("an interrupted repair had written it again" in line for line in lines)


def require_repaired(made: Made, folder: Path) -> list[str]:
    """The lines of a repair after which every table has the rows that it had before the damage."""
    lines = list(repair(made.context(folder)))
    assert lines[-1] == "every table is whole"
    micro_batch(made.context(folder))
    found = rows(made.context(folder).lake)
    assert [name for name in made.rows if not found[name].equals(made.rows[name])] == []
    return lines


def test_a_repair_waits_for_other_writers_and_holds_back_new_ones(made: Made, folder: Path) -> None:
    context = made.context(folder)
    assert context.lake.folder is not None
    entered, leave = threading.Event(), threading.Event()

    def write() -> None:
        with context.lake.writing():
            entered.set()
            leave.wait(60)

    writer = threading.Thread(target=write)
    writer.start()
    assert entered.wait(60)
    lines = repair(context, leave.set)
    next(lines)
    assert leave.is_set()
    with (context.lake.folder / exclusion.ROOM).open() as room, pytest.raises(BlockingIOError):
        fcntl.flock(room, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert list(lines) == []
    writer.join()


def test_rows_of_a_withdrawn_file_that_a_repair_brings_back_are_named_and_can_be_withdrawn_again(
    made: Made, folder: Path
) -> None:
    lake, sha256 = made.context(folder).lake, "ab" * 32
    bronze = lake.open(BRONZE_EVENTS)
    of_file = {"hub_created_at": pl.lit(NO_HUB), "partition_id": pl.lit(imports.partition_of(sha256))}
    imported = bronze.scan().head(1).collect().with_columns(**of_file)
    bronze.append(imported, imported_at(sha256).of(NOW))

    def withdraw() -> int:
        return list(imports.withdraw(lake, sha256, now=NOW, run_id="undo", progress=lambda _rows: None))[-1]

    assert withdraw() == 1
    live_file(made, folder, BRONZE_EVENTS).unlink()
    (line,) = [line for line in repair(made.context(folder)) if "file that was withdrawn" in line]
    assert line.startswith(f"{BRONZE_EVENTS.path}: 1 row of a file that was withdrawn is back")
    assert f"`patient-flow import --undo {sha256}`" in line
    assert withdraw() == 1
    assert imports.count(lake, sha256) == 0
