"""Handles that a process keeps: a table opened again is the newest, and what was read through a former handle stays."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake

from patient_flow.stores.lake import handles
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import CommitConflict, LakeDamaged
from patient_flow_tests.builders import forget_log
from patient_flow_tests.stores.test_lake import STAYS, content, rows


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(f"{tmp_path}/{{layer}}")


def folder(lake: Lake) -> Path:
    return Path(lake.uri(STAYS))


def filled(lake: Lake, *beds: int) -> None:
    """A commit for each of ``beds``; nothing refers to its handle afterwards."""
    for number, value in enumerate(beds):
        lake.open(STAYS).append(rows((value, "a", value)), {"source": number})


def test_a_table_that_nothing_was_committed_to_is_not_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(lake, 1)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the log was read again")

    monkeypatch.setattr(handles, "open_table", fail)
    monkeypatch.setattr(DeltaTable, "update_incremental", fail)
    assert content(lake.open(STAYS)) == [(1, "a", 1)]
    assert lake.open(STAYS).checkpoint("source") == 0


def test_commits_of_other_processes_are_seen(lake: Lake) -> None:
    filled(lake, 1)
    script = (
        "import sys, deltalake, polars; table = deltalake.DeltaTable(sys.argv[1]);"
        "deltalake.write_deltalake(table, polars.scan_delta(table).collect(), mode='append')"
    )
    subprocess.run([sys.executable, "-c", script, lake.uri(STAYS)], check=True)
    assert content(lake.open(STAYS)) == [(1, "a", 1), (1, "a", 1)]


def test_a_handle_in_use_is_lent_to_nobody_else(lake: Lake) -> None:
    filled(lake, 1)
    first = lake.open(STAYS)
    lazy = lake.open(STAYS).scan()  # nothing but the frame refers to this handle
    filled(lake, 2)
    assert lake.open(STAYS).version == first.version + 1
    assert lazy.collect().height == 1, "a frame reads the version at which its table was opened"
    with pytest.raises(CommitConflict):
        first.append(rows((3, "a", 3)), {"source": 5})


def test_a_table_that_was_made_again_is_not_mistaken_for_the_former_one(lake: Lake) -> None:
    filled(lake, 1, 2, 3)
    former = lake.open(STAYS).identity
    shutil.rmtree(folder(lake))
    other = Lake(str(folder(lake).parents[1] / "other" / "{layer}"))
    filled(other, 4, 5, 6, 7, 8)  # as far as the former one, and further
    folder(other).rename(folder(lake))
    again = lake.open(STAYS)
    assert again.identity != former
    assert [beds for _, _, beds in content(again)] == [4, 5, 6, 7, 8]


def test_a_handle_whose_entries_left_the_log_is_read_from_the_checkpoint(lake: Lake) -> None:
    filled(lake, 1, 2)
    writer = DeltaTable(lake.uri(STAYS))
    write_deltalake(writer, rows((3, "a", 3)), mode="append")
    forget_log(lake.open(STAYS))
    assert [beds for _, _, beds in content(lake.open(STAYS))] == [1, 2, 3]
    assert lake.open(STAYS).checkpoint("source") == 1


def test_a_handle_whose_history_was_purged_is_read_from_the_checkpoint(lake: Lake) -> None:
    filled(lake, 1, 2)
    lake.open(STAYS).purge()
    again = lake.open(STAYS)
    assert (again.checkpoint("source"), content(again)) == (1, [(1, "a", 1), (2, "a", 2)])


def test_an_entry_that_changed_on_disk_is_reported_although_a_handle_was_kept(lake: Lake) -> None:
    filled(lake, 1, 2)
    newest = folder(lake) / "_delta_log" / f"{lake.open(STAYS).version:020d}.json"
    newest.write_bytes(newest.read_bytes().replace(b'"size":', b'"size":9'))
    with pytest.raises(LakeDamaged):
        lake.open(STAYS)


def test_few_handles_are_kept(lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(handles, "MAX_KEPT", 2)
    for number in range(4):
        filled(Lake(f"{tmp_path}/{number}/{{layer}}"), 1)
    assert len(handles._kept) <= 2
