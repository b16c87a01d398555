"""Damaged lakes: each file torn, emptied, changed or deleted ends in a named refusal or a full repair."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES, QUARANTINE, SILVER_EVENTS, Table
from patient_flow.local_hub.testing import HubThread
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.repair import repair
from patient_flow.stores.lake.errors import LakeDamaged
from patient_flow.stores.lake.inspection import check
from patient_flow_tests.builders import contents
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
