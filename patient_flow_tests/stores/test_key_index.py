"""Look-ups through the index of a table: the rows that a scan of everything finds, from few files."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from patient_flow.contracts.columns import Column
from patient_flow.contracts.tables import Table
from patient_flow.stores.lake import key_index
from patient_flow.stores.lake import table as lake_table
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.folders import INDEX, index_folder
from patient_flow.stores.lake.key_index import MANIFEST, KeyIndex
from patient_flow.stores.lake.snapshot import Snapshot
from patient_flow.stores.lake.table import LakeTable

VISITS = Table(
    "silver",
    "visits",
    "A table to look things up in.",
    (
        Column("key", pl.Int64(), "Key"),
        Column("month", pl.String(), "Partition"),
        Column("visit_hash", pl.Int64(), "One hash"),
        Column("patient_hash", pl.Int64(), "Another one"),
    ),
    key=("key",),
    partition_by=("month",),
    indexed=("visit_hash", "patient_hash"),
)
HASHES = [(number * 0x9E3779B97F4A7C15 + 5) % 2**64 - 2**63 for number in range(30)]
"""Some spread over all 64-bit integers, as hashes are."""


@pytest.fixture(autouse=True)
def every_file_is_indexed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_index, "MAX_UNKNOWN_ROWS", 0)
    monkeypatch.setattr(key_index, "ROWS_AT_ONCE", 7)


def rows(dice: random.Random, keys: Sequence[int]) -> pl.DataFrame:
    values = [(key, dice.choice("ab"), dice.choice([*HASHES, None]), dice.choice(HASHES)) for key in keys]
    return pl.DataFrame(values, schema=VISITS.schema, orient="row")


def assert_finds_what_a_scan_finds(table: Snapshot, sought: dict[str, pl.Series]) -> None:
    is_sought = [pl.col(column).is_in(values.implode()) for column, values in sought.items()]
    everything = table.scan().filter(pl.any_horizontal(pl.lit(value=False), *is_sought)).collect()
    assert table.having(sought).collect().sort("key").equals(everything.sort("key"))


def hashes(dice: random.Random) -> pl.Series:
    return pl.Series(dice.choices([*HASHES, 7, None], k=dice.randrange(4)), dtype=pl.Int64)


def append(dice: random.Random, lake: Lake) -> None:
    opened = lake.open(VISITS)
    first = opened.row_count() + dice.randrange(1_000_000)
    opened.append(rows(dice, range(first, first + dice.randrange(1, 12))), {})


def withdraw(dice: random.Random, lake: Lake) -> None:
    opened = lake.open(VISITS)
    before = opened.scan().collect()
    some = before.filter(pl.Series([dice.random() < 0.2 for _ in range(before.height)], dtype=pl.Boolean))
    opened.replace(some, rows(dice, some["key"].to_list()[::2]), {})


def compact(_: random.Random, lake: Lake) -> None:
    lake.open(VISITS).maintenance().compact()
    lake.open(VISITS).maintenance().vacuum(0)


def replace_table(dice: random.Random, lake: Lake) -> None:
    opened = lake.open(VISITS)
    opened.overwrite(rows(dice, range(9)), {})


def purge(_: random.Random, lake: Lake) -> None:
    lake.open(VISITS).purge()


def forget(_: random.Random, lake: Lake) -> None:
    """What another process does, which has read nothing yet."""
    key_index._opened.clear()


def lose(dice: random.Random, lake: Lake) -> None:
    """Some files of the index are gone, cut off or rubbish, as whatever wrote there left them."""
    key_index._opened.clear()
    for path in sorted((Path(lake.uri(VISITS)) / INDEX).glob("*")):
        damage = dice.randrange(4)
        if damage == 0:
            path.unlink()
        elif damage == 1:
            path.write_bytes(path.read_bytes()[:-3])
        elif damage == 2 and path.name == MANIFEST:
            path.write_text('{"layout": 1, "columns": ["visit_hash", "patient_hash"], "files": [], "arrays": 5}')


@pytest.mark.parametrize("seed", [0, 2])
def test_whatever_happens_to_table_and_index_a_look_up_finds_what_a_scan_finds(tmp_path: Path, seed: int) -> None:
    dice, lake = random.Random(seed), Lake(f"{tmp_path}/{{layer}}")
    append(dice, lake)
    for _ in range(10):
        before = lake.open(VISITS)
        change = dice.choice((append, append, append, withdraw, withdraw, compact, replace_table, purge, forget, lose))
        change(dice, lake)
        for table in (lake.open(VISITS), *([before] if change in (append, withdraw) else [])):
            assert_finds_what_a_scan_finds(table, {"visit_hash": hashes(dice), "patient_hash": hashes(dice)})
            assert_finds_what_a_scan_finds(table, {"patient_hash": hashes(dice)})
            assert_finds_what_a_scan_finds(table, {"patient_hash": hashes(dice), "key": hashes(dice)})


def test_processes_that_extend_the_index_side_by_side_lose_no_key(tmp_path: Path) -> None:
    dice, lake = random.Random(0), Lake(f"{tmp_path}/{{layer}}")
    with ThreadPoolExecutor(3) as processes:
        for _ in range(3):
            append(dice, lake)
            opened = [lake.open(VISITS) for _ in range(3)]
            sought = [{"visit_hash": hashes(dice), "patient_hash": hashes(dice)} for _ in opened]
            list(processes.map(assert_finds_what_a_scan_finds, opened, sought))


def test_an_earlier_version_is_looked_up_without_becoming_part_of_the_index(tmp_path: Path) -> None:
    dice, lake = random.Random(1), Lake(f"{tmp_path}/{{layer}}")
    append(dice, lake)
    former = lake.open(VISITS).version
    replace_table(dice, lake)
    newest = lake.open(VISITS)
    for table in (newest, newest.as_of(former), newest):
        assert_finds_what_a_scan_finds(table, {"visit_hash": pl.Series(HASHES)})


def test_a_folder_that_cannot_be_written_costs_no_row(tmp_path: Path) -> None:
    dice, lake = random.Random(2), Lake(f"{tmp_path}/{{layer}}")
    append(dice, lake)
    (Path(lake.uri(VISITS)) / INDEX).write_text("a file where the folder should be")
    assert_finds_what_a_scan_finds(lake.open(VISITS), {"visit_hash": pl.Series(HASHES)})


def test_a_full_disk_leaves_no_part_of_an_index_and_the_next_look_up_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, lake = random.Random(4), Lake(f"{tmp_path}/{{layer}}")
    folder, sought = Path(lake.uri(VISITS)) / INDEX, {"visit_hash": pl.Series(HASHES)}
    append(dice, lake)
    assert_finds_what_a_scan_finds(lake.open(VISITS), sought)
    append(dice, lake)
    kept = {path.name for path in folder.iterdir()}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(key_index, "_flush", full)
        for _ in range(3):
            assert_finds_what_a_scan_finds(lake.open(VISITS), sought)
            assert {path.name for path in folder.iterdir()} == kept
    (folder / "left by a process that died.keys").touch()
    assert_finds_what_a_scan_finds(lake.open(VISITS), sought)
    assert not (folder / "left by a process that died.keys").exists()


def test_nothing_of_the_index_is_left_after_the_history_of_a_table_is_deleted(tmp_path: Path) -> None:
    dice, lake = random.Random(3), Lake(f"{tmp_path}/{{layer}}")
    append(dice, lake)
    lake.open(VISITS).having({"visit_hash": pl.Series(HASHES)}).collect()
    folder = Path(lake.uri(VISITS)) / INDEX
    assert {path.suffix for path in folder.iterdir()} >= {".keys", ".json"}
    lake.open(VISITS).purge()
    assert not [path for path in folder.rglob("*") if path.name != "lock"]


def test_a_look_up_beside_the_deletion_of_a_history_leaves_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, lake = random.Random(5), Lake(f"{tmp_path}/{{layer}}")
    append(dice, lake)
    opened = lake.open(VISITS)

    def look_up_meanwhile(*_: object) -> int:
        opened.having({"visit_hash": pl.Series(HASHES)}).collect()
        return 0

    monkeypatch.setattr(lake_table, "purge", look_up_meanwhile)
    opened.purge()
    assert not list((Path(lake.uri(VISITS)) / INDEX).glob("*.keys"))


class Files:
    """Data files with one key each, and which of them were read."""

    def __init__(self, keys: Sequence[int]) -> None:
        self.keys = {f"file {number}": key for number, key in enumerate(keys)}
        self.read: list[str] = []

    @property
    def rows(self) -> dict[str, int]:
        return dict.fromkeys(self.keys, 1)

    def __call__(self, paths: Sequence[str]) -> pl.DataFrame:
        self.read += paths
        return pl.DataFrame({"file": paths, "hash": [self.keys[path] for path in paths]})


def test_each_file_is_read_once_and_only_those_with_a_key_are_candidates(tmp_path: Path) -> None:
    files = Files(HASHES)
    index = KeyIndex(tmp_path / INDEX, ["hash"])
    for count in (5, 6, 20, 30):
        known = dict(list(files.rows.items())[:count])
        for number in (0, count - 1):
            assert index.candidates(known, [pl.Series([HASHES[number]])], files) == {f"file {number}"}
    assert sorted(files.read) == sorted(files.keys)
    assert index.candidates(files.rows, [pl.Series([7])], files) == set()
    arrays = [path.stat().st_size for path in (tmp_path / INDEX).glob("*.keys")]
    assert sum(arrays) == 8 * len(HASHES)
    assert len(arrays) <= 5, "every array is at least twice as large as the next"


def test_files_with_few_rows_are_candidates_until_they_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_index, "MAX_UNKNOWN_ROWS", 10)
    files, index = Files(HASHES), KeyIndex(tmp_path / INDEX, ["hash"])
    few = dict(list(files.rows.items())[:10])
    assert index.candidates(few, [pl.Series([7])], files) == few.keys()
    assert not files.read
    assert index.candidates(files.rows, [pl.Series([7])], files) == set()


def test_a_remote_table_has_its_index_among_the_temporary_files_of_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = index_folder("abfss://silver@account.dfs.core.windows.net/patient_events")
    assert folder is not None
    assert folder.is_relative_to(tmp_path)
    assert folder.parents[1].stat().st_mode & 0o077 == 0
    folder.parents[1].chmod(0o755)
    assert index_folder("abfss://silver@account.dfs.core.windows.net/patient_events") is None


def test_a_table_without_indexed_columns_is_scanned(tmp_path: Path) -> None:
    lake, plain = Lake(f"{tmp_path}/{{layer}}"), replace(VISITS, name="plain", indexed=())
    opened: LakeTable = lake.open(plain)
    opened.append(rows(random.Random(4), range(20)), {})
    assert_finds_what_a_scan_finds(opened, {"visit_hash": pl.Series(HASHES[:5])})
    assert not (Path(opened.uri) / INDEX).exists()


def test_data_files_with_the_same_name_in_two_partitions_are_all_read(tmp_path: Path) -> None:
    """Spark names them so; an index would not know them apart."""
    dice, lake = random.Random(5), Lake(f"{tmp_path}/{{layer}}")
    lake.open(VISITS).append(rows(dice, range(9)).with_columns(month=pl.lit("a")), {})
    opened = lake.open(VISITS)
    folder, ((stated, size),) = Path(opened.uri.removeprefix("file://")), opened.file_sizes().items()
    twin = stated.replace("month=a", "month=b")
    (folder / twin).parent.mkdir()
    shutil.copy(folder / stated, folder / twin)
    action = AddAction(twin, size, {"month": "b"}, 0, True, '{"numRecords": 9}')
    handle = DeltaTable(str(folder))
    handle.create_write_transaction([action], "append", handle.schema(), ["month"])
    doubled = lake.open(VISITS)
    assert doubled.row_count() == 18
    assert_finds_what_a_scan_finds(doubled, {"patient_hash": pl.Series(HASHES[:9])})
