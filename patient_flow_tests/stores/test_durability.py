"""Power loss and damage: what was reported is on disk, and a damaged file is refused by name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.stores.lake import durability
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import LakeDamaged, LakeMisconfigured
from patient_flow_tests.required import require_program


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake in a folder with two commits of two rows each."""
    made = Lake(f"{tmp_path}/{{layer}}")
    append(made, 0)
    append(made, 2)
    forget_process()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bronze" / "patient_events"


def forget_process() -> None:
    """As in a process that has not opened a table before."""
    durability._settled.clear()


def append(lake: Lake, first: int) -> None:
    rows = pl.DataFrame({"sequence_number": [first, first + 1], "partition_id": "0"}).with_columns(
        **{
            name: pl.lit(None, dtype)
            for name, dtype in BRONZE_EVENTS.schema.items()
            if name not in ("sequence_number", "partition_id")
        },
    )
    lake.open(BRONZE_EVENTS).append(rows, {"hub": first + 1})


def entry(folder: Path, version: int) -> Path:
    return folder / "_delta_log" / f"{version:020d}.json"


def newest_data_file(folder: Path) -> Path:
    return max(folder.rglob("part-*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def forget_report(folder: Path, version: int) -> None:
    """As if the power had failed before the commit was reported."""
    (folder / "_checksums" / f"{version:020d}.json").unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_before_the_end(path: Path) -> None:
    """At the end of a line: what is left is a commit of its own."""
    path.write_bytes(path.read_bytes().rpartition(b"\n")[0])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


TORN: tuple[Callable[[Path], None], ...] = (empty, zeros, cut, cut_before_the_end)


@pytest.mark.parametrize("damage", TORN)
@pytest.mark.parametrize("was_reported", [True, False])
def test_a_torn_last_commit_is_refused_by_name(
    lake: Lake, folder: Path, damage: Callable[[Path], None], was_reported: bool
) -> None:
    damage(entry(folder, 2))
    if not was_reported:
        forget_report(folder, 2)
    with pytest.raises(LakeDamaged, match=re.escape(str(entry(folder, 2)))):
        lake.open(BRONZE_EVENTS)


def test_a_changed_log_entry_is_refused_by_name(lake: Lake, folder: Path) -> None:
    path = entry(folder, 2)
    path.write_bytes(path.read_bytes().replace(b'\\"numRecords\\":2', b'\\"numRecords\\":3'))
    with pytest.raises(LakeDamaged, match=re.escape(str(path))):
        lake.open(BRONZE_EVENTS)


def test_a_reported_commit_that_is_missing_is_refused_so_its_number_is_never_used_again(
    lake: Lake, folder: Path
) -> None:
    entry(folder, 2).unlink()
    with pytest.raises(LakeDamaged, match=re.escape(str(entry(folder, 2)))):
        append(lake, 2)


def test_a_log_that_is_gone_is_no_new_table(lake: Lake, folder: Path) -> None:
    shutil.rmtree(folder / "_delta_log")
    with pytest.raises(LakeDamaged, match="_delta_log"):
        lake.open(BRONZE_EVENTS)
    assert newest_data_file(folder).exists()


@pytest.mark.parametrize("damage", [empty, cut, Path.unlink])
@pytest.mark.parametrize("was_reported", [True, False])
def test_an_unreadable_data_file_is_named_before_any_row_is_read(
    lake: Lake, folder: Path, damage: Callable[[Path], None], was_reported: bool
) -> None:
    path = newest_data_file(folder)
    damage(path)
    if not was_reported:
        forget_report(folder, 2)
    with pytest.raises(LakeDamaged, match=re.escape(str(path))):
        lake.open(BRONZE_EVENTS).scan().collect()


@pytest.mark.parametrize("damage", [empty, cut, zeros])
@pytest.mark.parametrize("name", ["00000000000000000002.checkpoint.parquet", "_last_checkpoint"])
def test_a_damaged_checkpoint_is_named(lake: Lake, folder: Path, name: str, damage: Callable[[Path], None]) -> None:
    lake.open(BRONZE_EVENTS).maintenance().write_checkpoint()
    path = folder / "_delta_log" / name
    damage(path)
    try:
        rows = lake.open(BRONZE_EVENTS).row_count()
    except LakeDamaged as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert rows == 4, "delta-rs reads the entries instead"


def test_rows_that_polars_leaves_out_in_silence_are_missed(lake: Lake, folder: Path) -> None:
    table = lake.open(BRONZE_EVENTS)
    table.scan()  # the files are there
    zeros(newest_data_file(folder))
    with pytest.raises(LakeDamaged, match="cannot be decoded"):
        list(table.batches(["sequence_number"], 10))


def test_an_older_lake_goes_on_and_gets_checksums(lake: Lake, folder: Path) -> None:
    shutil.rmtree(folder / "_checksums")
    assert lake.open(BRONZE_EVENTS).row_count() == 4
    assert (folder / "_checksums" / f"{2:020d}.json").exists()


def test_a_lake_that_may_only_be_read_can_be_read(lake: Lake, folder: Path) -> None:
    forget_report(folder, 2)
    (folder / "_checksums").chmod(0o500)
    assert lake.open(BRONZE_EVENTS).row_count() == 4


def test_checksums_of_live_files_outlive_their_log_entries(lake: Lake, folder: Path) -> None:
    before = durability.TableFolder("bronze", folder).file_checksums()
    lake.open(BRONZE_EVENTS).maintenance().write_checkpoint()
    for version in (0, 1):
        entry(folder, version).unlink()
    lake.open(BRONZE_EVENTS).maintenance().clean_up_log()
    assert not (folder / "_checksums" / f"{1:020d}.json").exists()
    assert durability.TableFolder("bronze", folder).file_checksums() == before
    assert len(before) == 2


def test_a_commit_is_reported_after_its_files_were_flushed(tmp_path: Path) -> None:
    """Seen from outside: the data file, its folder, the log entry, the log, and the checksums last."""
    strace = require_program("strace", "apt-get install strace")
    program = (
        "from patient_flow_tests.stores.test_durability import append, Lake; import sys;"
        "append(Lake(sys.argv[1] + '/{layer}'), 0); print('reported', flush=True)"
    )
    trace = tmp_path / "trace"
    subprocess.run(
        [strace, "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", trace, sys.executable, "-c", program, tmp_path],
        check=True,
        capture_output=True,
    )
    lines = trace.read_text().splitlines()
    reported = next(number for number, line in enumerate(lines) if '"reported' in line)
    flushed = [found[1] for line in lines[:reported] if (found := re.search(r"sync\(\d+<([^>]*)>", line))]
    table = tmp_path / "bronze" / "patient_events"
    order = [newest_data_file(table), newest_data_file(table).parent, entry(table, 1), table / "_delta_log"]
    found = [max(n for n, path in enumerate(flushed) if path == str(wanted)) for wanted in order]
    assert found == sorted(found)
    assert flushed[-1] == str(table)
    assert str(tmp_path / "bronze") in flushed


NAMES = ["My Project", "a#b", "50%", "a?b", "a&b", "x=y", "{x}", "naïve é 日", "it's", 'a"b', "a;b+c*d"]


@pytest.mark.parametrize("name", NAMES)
def test_a_lake_works_below_a_folder_with_any_usual_name(tmp_path: Path, name: str) -> None:
    lake = Lake(f"{tmp_path}/{name}/{{layer}}")
    append(lake, 0)
    append(lake, 2)
    table = lake.open(BRONZE_EVENTS)
    assert table.scan().collect()["sequence_number"].sort().to_list() == [0, 1, 2, 3]
    assert table.changes(1, ["sequence_number"]).after["sequence_number"].to_list() == [2, 3]
    assert table.at(1).collect().height == 2
    maintenance = table.maintenance()
    assert maintenance.compact() == 2
    assert maintenance.vacuum(0) >= 2
    maintenance.write_checkpoint()
    assert Lake((tmp_path / name).as_uri() + "/{layer}").open(BRONZE_EVENTS).scan().collect().height == 4
    assert (tmp_path / name / "bronze" / "patient_events").is_dir()


@pytest.mark.parametrize("name", ["a%20b", "a[b]", "a\\b"])
def test_a_path_that_delta_cannot_read_is_refused_with_what_to_change(tmp_path: Path, name: str) -> None:
    with pytest.raises(LakeMisconfigured, match="PATIENT_FLOW_LAKE_URI"):
        Lake(f"{tmp_path}/{name}/{{layer}}").open(BRONZE_EVENTS)
