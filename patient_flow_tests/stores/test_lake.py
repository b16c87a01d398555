"""The lake: rows and progress in one commit, net changes, and who wins a race."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from patient_flow.contracts.tables import Column, Table
from patient_flow.stores.lake import Conflict, HistoryGone, Lake, LakeError, LakeTable, RowsWritten

STAYS = Table(
    "gold",
    "stays",
    "A table to try things on.",
    (
        Column("key", pl.Int64(), "Key"),
        Column("month", pl.String(), "Partition"),
        Column("beds", pl.Int64(), "A value"),
        Column("flags", pl.List(pl.String), "A list"),
    ),
    key=("key",),
    partition_by=("month",),
)


def rows(*values: tuple[int, str, int | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [(key, month, beds, [] if beds is None else [str(beds)]) for key, month, beds in values],
        schema=STAYS.schema,
        orient="row",
    )


def content(table: LakeTable) -> list[tuple[int, str, int | None]]:
    return table.scan().sort("key").select("key", "month", "beds").collect().rows()


@pytest.fixture
def stays(lake: Lake) -> LakeTable:
    opened = lake.open(STAYS)
    opened.append(rows((1, "a", 10), (2, "a", 20), (3, "b", 30)), {"source": 1})
    return opened


def test_a_commit_carries_rows_and_progress_together(lake: Lake, stays: LakeTable) -> None:
    again = lake.open(STAYS)
    assert again.progress("source") == 1
    assert again.progress("other") is None
    assert again.row_count() == 3


def test_an_append_without_rows_still_records_progress(lake: Lake, stays: LakeTable) -> None:
    stays.append(rows(), {"source": 2})
    assert lake.open(STAYS).progress("source") == 2


def test_replace_writes_only_what_differs(lake: Lake, stays: LakeTable) -> None:
    before = stays.scan().collect()
    written = stays.replace(before, rows((1, "a", 10), (2, "a", 21), (4, "b", 40)), {"source": 2})
    assert written == RowsWritten(inserted=1, updated=1, deleted=1)
    assert content(lake.open(STAYS)) == [(1, "a", 10), (2, "a", 21), (4, "b", 40)]
    assert lake.open(STAYS).progress("source") == 2


def test_a_replacement_that_changes_nothing_records_its_progress(lake: Lake, stays: LakeTable) -> None:
    before = stays.scan().collect()
    assert stays.replace(before, before, {"source": 2}) == RowsWritten()
    assert lake.open(STAYS).progress("source") == 2


def test_a_replacement_that_changes_nothing_at_all_commits_nothing(stays: LakeTable) -> None:
    before, version = stays.scan().collect(), stays.version
    stays.replace(before, before, {"source": 1})
    assert stays.version == version


def test_a_row_that_changes_its_partition_is_there_once(lake: Lake, stays: LakeTable) -> None:
    stays.replace(stays.scan().collect(), rows((1, "b", 10), (2, "a", 20), (3, "b", 30)), {"source": 2})
    assert content(lake.open(STAYS)) == [(1, "b", 10), (2, "a", 20), (3, "b", 30)]


def test_changes_are_net_over_several_commits(lake: Lake, stays: LakeTable) -> None:
    since = stays.version
    stays.replace(stays.scan().collect(), rows((1, "a", 11), (2, "a", 20), (5, "b", 50)), {"source": 2})
    stays.replace(stays.scan().collect(), rows((1, "a", 12), (2, "a", 20), (3, "b", 30)), {"source": 3})
    changes = lake.open(STAYS).changes(since)
    assert changes.before.select("key", "beds").rows() == [(1, 10)]
    assert changes.after.select("key", "beds").rows() == [(1, 12)]  # 3 went and came back, 5 came and went


def test_without_a_version_to_start_from_the_whole_table_has_changed(stays: LakeTable) -> None:
    changes = stays.changes(None, ["beds"])
    assert changes.is_whole_table
    assert sorted(changes.after["beds"]) == [10, 20, 30]
    assert changes.before.is_empty()


def test_changes_can_stop_at_an_earlier_version(lake: Lake, stays: LakeTable) -> None:
    stays.append(rows((4, "a", 40)), {"source": 2})
    stays.append(rows((5, "a", 50)), {"source": 3})
    opened = lake.open(STAYS)
    assert opened.changes(1, upto=2).after["key"].to_list() == [4]
    assert sorted(opened.changes(None, upto=2).after["key"]) == [1, 2, 3, 4]


def test_a_long_backlog_is_taken_in_steps_of_about_so_many_rows(lake: Lake, stays: LakeTable) -> None:
    for number in range(4, 10):
        stays.append(rows((number, "a", number)), {"source": number})
    opened = lake.open(STAYS)
    assert opened.versions_in_steps(1, rows=2) == [3, 5, 7]
    assert opened.versions_in_steps(None, rows=1000) == [7]


def test_changes_that_are_no_longer_kept_are_a_named_error(stays: LakeTable) -> None:
    with pytest.raises(HistoryGone, match="older than 99"):
        stays.changes(99)


def test_of_two_writers_with_the_same_source_the_second_is_refused(lake: Lake, stays: LakeTable) -> None:
    first, second = lake.open(STAYS), lake.open(STAYS)
    first.append(rows((4, "a", 40)), {"source": 2})
    with pytest.raises(Conflict):
        second.append(rows((4, "a", 40)), {"source": 2})
    assert lake.open(STAYS).row_count() == 4


def test_a_replacement_computed_on_an_old_state_is_refused(lake: Lake, stays: LakeTable) -> None:
    first, second = lake.open(STAYS), lake.open(STAYS)
    before = second.scan().collect()
    first.append(rows((4, "a", 40)), {"source": 2})
    with pytest.raises(Conflict):
        second.replace(before, rows((1, "a", 99)), {"source": 2})
    assert lake.open(STAYS).row_count() == 4


def test_two_processes_may_create_a_table_at_once(tmp_path: Path) -> None:
    lakes = [Lake(f"{tmp_path}/{{layer}}") for _ in range(2)]
    assert [lake.open(STAYS).version for lake in lakes] == [0, 0]


def test_a_lake_that_cannot_be_reached_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "gold").write_text("a file, not a folder")
    with pytest.raises(LakeError, match="gold/stays"):
        Lake(f"{tmp_path}/{{layer}}").open(STAYS)


def test_delta_rs_still_corrupts_when_two_compactions_race(lake: Lake, stays: LakeTable) -> None:
    """Why maintenance runs in the writer's own slot. When this fails delta-rs has mended it, and the rule may go."""
    stays.append(rows((4, "a", 40)), {"source": 2})
    first, second = DeltaTable(stays.uri), DeltaTable(stays.uri)
    first.optimize.compact()
    second.optimize.compact()
    assert pl.scan_delta(DeltaTable(stays.uri)).collect().height > 4


def test_compaction_and_vacuum_are_no_changes_to_a_consumer(lake: Lake, stays: LakeTable) -> None:
    stays.append(rows((4, "a", 40)), {"source": 2})
    since = lake.open(STAYS).version
    DeltaTable(stays.uri).optimize.compact()
    write_deltalake(DeltaTable(stays.uri), rows((5, "a", 50)), mode="append")
    assert lake.open(STAYS).changes(since).after["key"].to_list() == [5]
