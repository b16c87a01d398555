"""The lake: rows and progress in one commit, net changes, and who wins a race."""

from __future__ import annotations

import itertools
import resource
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from patient_flow.contracts.columns import INSTANT, Column
from patient_flow.contracts.tables import BRONZE_EVENTS, SILVER_EVENTS, Table
from patient_flow.stores.lake import snapshot
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.errors import ChangeFeedExpired, CommitConflict, LakeError
from patient_flow.stores.lake.spans import MAX_MERGE_SPANS, MAX_SPANS, merge_predicate, spans_of, within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow_tests.builders import forget_log
from patient_flow_tests.stacks import Stack

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
    assert again.checkpoint("source") == 1
    assert again.checkpoint("other") is None
    assert again.row_count() == 3


@pytest.mark.embedded_only("looks into the files")
def test_files_have_dictionaries_only_where_values_repeat_and_bodies_are_compressed(lake: Lake) -> None:
    for table, compression in ((BRONZE_EVENTS, "SNAPPY"), (SILVER_EVENTS, "UNCOMPRESSED")):
        opened = lake.open(table)
        row = pl.DataFrame([{name: sample(dtype) for name, dtype in table.schema.items()}], schema=table.schema)
        opened.append(pl.concat([row] * 3), {"source": 1})
        (path,) = (Path(opened.uri.removeprefix("file://")) / name for name in opened.file_sizes())
        group = parquet.read_metadata(path).row_group(0)
        columns = [group.column(number) for number in range(group.num_columns)]
        has_dictionary = {column.path_in_schema: column.has_dictionary_page for column in columns}
        assert {column.compression for column in columns} == {compression}
        assert has_dictionary["partition_id"]
        assert not any(has_dictionary[name] for name in ("enqueued_at", "sequence_number"))
    assert has_dictionary["department"]
    assert not any(has_dictionary[name] for name in ("event_id", "visit_id", "patient_hash"))


def sample(dtype: pl.DataType) -> object:
    if isinstance(dtype, pl.Datetime):
        return datetime(2026, 1, 1, tzinfo=UTC)
    return {pl.String: "x", pl.Binary: b"x", pl.List: [], pl.Boolean: True}.get(
        type(dtype), 1 if dtype.is_numeric() else date(2026, 1, 1)
    )


def test_an_append_without_rows_still_records_progress(lake: Lake, stays: LakeTable) -> None:
    stays.append(rows(), {"source": 2})
    assert lake.open(STAYS).checkpoint("source") == 2


def test_replace_writes_only_what_differs(lake: Lake, stays: LakeTable) -> None:
    before = stays.scan().collect()
    written = stays.replace(before, rows((1, "a", 10), (2, "a", 21), (4, "b", 40)), {"source": 2})
    assert written == RowsWritten(inserted=1, updated=1, deleted=1)
    assert content(lake.open(STAYS)) == [(1, "a", 10), (2, "a", 21), (4, "b", 40)]
    assert lake.open(STAYS).checkpoint("source") == 2


def test_a_replacement_without_the_rows_that_stay_equal_is_the_same(stays: LakeTable) -> None:
    after = [(1, "a", 10), (2, "b", 20), (4, "b", 40)]
    left = stays.without_equal(stays.scan().collect(), rows(*after))
    assert [frame["key"].sort().to_list() for frame in left] == [[2, 3], [2, 4]]
    stays.replace(*left, {"source": 2})
    assert content(stays) == after


def test_a_row_that_the_table_holds_twice_does_not_stop_its_replacement(stays: LakeTable) -> None:
    stays.append(rows((1, "a", 10)), {"source": 2})
    before = stays.scan().filter(pl.col("key") == 1).collect()
    stays.replace(*stays.without_equal(before, rows((1, "a", 11))), {"source": 3})
    assert content(stays) == [(1, "a", 11), (1, "a", 11), (2, "a", 20), (3, "b", 30)]


def test_two_new_rows_of_one_key_are_refused_and_none_is_lost(stays: LakeTable) -> None:
    before = stays.scan().collect()
    with pytest.raises(LakeError):
        stays.replace(before, rows((1, "a", 11), (1, "a", 12), (2, "a", 20), (3, "b", 30)), {"source": 2})
    assert content(stays) == [(1, "a", 10), (2, "a", 20), (3, "b", 30)]


def test_a_replacement_that_changes_nothing_records_its_progress(lake: Lake, stays: LakeTable) -> None:
    before = stays.scan().collect()
    assert stays.replace(before, before, {"source": 2}) == RowsWritten()
    assert lake.open(STAYS).checkpoint("source") == 2


def test_a_replacement_that_changes_nothing_at_all_commits_nothing(stays: LakeTable) -> None:
    before, version = stays.scan().collect(), stays.version
    stays.replace(before, before, {"source": 1})
    assert stays.version == version


def test_a_row_that_changes_its_partition_is_there_once(lake: Lake, stays: LakeTable) -> None:
    stays.replace(stays.scan().collect(), rows((1, "b", 10), (2, "a", 20), (3, "b", 30)), {"source": 2})
    assert content(lake.open(STAYS)) == [(1, "b", 10), (2, "a", 20), (3, "b", 30)]


def test_a_row_that_changes_its_partition_beside_new_rows_is_a_change_and_no_new_row(stays: LakeTable) -> None:
    since, before = stays.version, rows((1, "a", 10))
    written, others = stays.append_new(before, rows((1, "b", 10), (9, "b", 90)), {})
    assert (written.inserted, others["key"].to_list()) == (1, [1])
    stays.replace(before, others, {})
    changes = stays.changes(since)
    assert changes.before.select("key", "month").rows() == [(1, "a")]
    assert sorted(changes.after.select("key", "month").rows()) == [(1, "b"), (9, "b")]


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
    assert opened.versions_in_steps(1, rows=2, upto=4) == [3, 4]
    assert opened.versions_in_steps(1, rows=1000) == [7]
    assert opened.versions_in_steps(7, rows=2) == []


BODIES = Table(
    "bronze",
    "bodies",
    "Rows of any size.",
    (Column("key", pl.Int64(), "Key"), Column("body", pl.Binary(), "What makes them large")),
    key=("key",),
)


def with_bodies(lake: Lake, *sizes: int) -> LakeTable:
    """A table to which each commit added two rows with bodies of so many bytes."""
    for number, size in enumerate(sizes):
        added = pl.DataFrame({"key": [2 * number, 2 * number + 1], "body": [b"x" * size] * 2}, schema=BODIES.schema)
        lake.open(BODIES).append(added, {"source": number})
    return lake.open(BODIES)


def test_a_long_backlog_is_taken_in_steps_of_so_many_bytes_when_these_are_fewer_rows(lake: Lake) -> None:
    bodies = with_bodies(lake, 4, 4, 4, 30, 1, 1)
    assert bodies.versions_in_steps(0, rows=100, weighed="body", max_bytes=20) == [2, 3, 4, 6]
    assert bodies.versions_in_steps(0, rows=4, weighed="body", max_bytes=1000) == [2, 4, 6]
    assert bodies.versions_in_steps(3, rows=100, weighed="body", max_bytes=20, upto=4) == [4]


@pytest.mark.embedded_only("deletes a file of the lake")
def test_a_long_backlog_whose_files_were_deleted_cannot_be_measured_either(lake: Lake) -> None:
    bodies = with_bodies(lake, 1, 1, 1)
    for file in bodies._handle.file_uris():
        Path(file.removeprefix("file://")).unlink()
    with pytest.raises(ChangeFeedExpired):
        lake.open(BODIES).versions_in_steps(0, rows=1, weighed="body", max_bytes=1)


def test_a_table_is_read_from_its_first_partition_on_whatever_was_written_first(stays: LakeTable) -> None:
    stays.append(rows((4, "c", 40), (5, "0", 50), (6, "b", 60)), {"source": 2})
    read = [[sorted(part["month"]) for part in stays.batches(["month"], count)] for count in (3, 2)]
    assert read == [[["0", "a", "a"], ["b", "b", "c"]], [["0"], ["a", "a"], ["b", "b"], ["c"]]]
    assert sorted(key for part in stays.batches(["key"], 1, version=1) for key in part["key"]) == [1, 2, 3]


def test_a_whole_table_is_read_so_many_bytes_at_a_time(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "READ_ROWS", 2)
    bodies = with_bodies(lake, 1, 1, 1, 1, 1, 30, 1)
    parts = list(bodies.batches(["key", "body"], 6, weighed="body", max_bytes=20))
    assert sorted(pl.concat(parts)["key"]) == list(range(14))
    assert max(part.height for part in parts) == 6
    assert sorted(part["body"].bin.size().sum() for part in parts)[-2:] == [6, 60]


def test_changes_that_are_no_longer_kept_are_a_named_error(stays: LakeTable) -> None:
    with pytest.raises(ChangeFeedExpired, match="older than 99"):
        stays.changes(99)


def test_changes_whose_log_was_cleaned_up_are_an_error_and_not_nothing(lake: Lake, stays: LakeTable) -> None:
    stays.append(rows((4, "a", 40)), {"source": 2})
    forget_log(stays)
    stays = lake.open(STAYS)
    stays.append(rows((5, "a", 50)), {"source": 3})
    assert stays.changes(stays.version - 1).after["key"].to_list() == [5]
    for look in (lambda: stays.changes(1), lambda: stays.versions_in_steps(1, rows=2)):
        with pytest.raises(ChangeFeedExpired, match=r"no longer kept: the changes of .* since version 1"):
            look()


def test_all_rows_are_returned_on_request_where_the_change_feed_expired(lake: Lake, stays: LakeTable) -> None:
    stays.append(rows((4, "a", 40)), {"source": 2})
    assert stays.changes_or_all(1).after["key"].to_list() == [4]
    forget_log(stays)
    everything = lake.open(STAYS).changes_or_all(1, ["beds"])
    assert everything.is_whole_table
    assert sorted(everything.after.rows()) == [(1, 10), (2, 20), (3, 30), (4, 40)]


def test_changes_whose_files_were_deleted_are_a_named_error(lake: Lake, stays: LakeTable) -> None:
    stays.append(rows((4, "a", 40)), {"source": 2})
    stays.maintenance().compact()
    assert stays.maintenance().vacuum(0)
    with pytest.raises(ChangeFeedExpired, match=r"no longer kept: the changes of .* since version 1"):
        stays.changes(1)


def test_a_failure_to_read_changes_does_not_pass_for_their_absence(
    stays: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told that they are gone reads the whole table instead."""

    def fail(*_args: object, **_options: object) -> None:
        raise OSError("Generic MicrosoftAzure error: operation timed out")

    monkeypatch.setattr(DeltaTable, "load_cdf", fail)
    with pytest.raises(LakeError, match="timed out") as raised:
        stays.changes(0)
    assert not isinstance(raised.value, ChangeFeedExpired)


def test_an_earlier_version_is_gone_when_its_log_is_and_not_when_the_network_fails(
    lake: Lake, stays: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told that it is gone judges without it."""
    stays.append(rows((4, "a", 40)), {"source": 2})
    forget_log(stays)
    stays = lake.open(STAYS)
    for version in (*range(stays.version), stays.version + 1):  # before, without and after what is kept
        with pytest.raises(ChangeFeedExpired, match=f"no longer kept: version {version} of"):
            stays.at(version)

    def fail(*_args: object, **_options: object) -> None:
        raise OSError("Generic MicrosoftAzure error: operation timed out")

    monkeypatch.setattr("patient_flow.stores.lake.snapshot.open_table", fail)
    with pytest.raises(LakeError, match=r"cannot read version 0 of .* timed out") as raised:
        stays.at(0)
    assert not isinstance(raised.value, ChangeFeedExpired)


def test_of_two_writers_with_the_same_source_the_second_is_refused(lake: Lake, stays: LakeTable) -> None:
    first, second = lake.open(STAYS), lake.open(STAYS)
    first.append(rows((4, "a", 40)), {"source": 2})
    with pytest.raises(CommitConflict):
        second.append(rows((4, "a", 40)), {"source": 2})
    assert lake.open(STAYS).row_count() == 4


def test_a_replacement_computed_on_an_old_state_is_refused(lake: Lake, stays: LakeTable) -> None:
    first, second = lake.open(STAYS), lake.open(STAYS)
    before = second.scan().collect()
    first.append(rows((4, "a", 40)), {"source": 2})
    with pytest.raises(CommitConflict):
        second.replace(before, rows((1, "a", 99)), {"source": 2})
    assert lake.open(STAYS).row_count() == 4


def test_two_processes_may_create_a_table_at_once(stack: Stack) -> None:
    uri = stack.lake_uri()
    lakes = [Lake(uri) for _ in range(2)]
    assert [lake.open(STAYS).version for lake in lakes] == [0, 0]


def test_a_lake_that_cannot_be_reached_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "gold").write_text("a file, not a folder")
    with pytest.raises(LakeError, match="gold/stays"):
        Lake(f"{tmp_path}/{{layer}}").open(STAYS)


READS: dict[str, Callable[[LakeTable], object]] = {
    "changes": lambda stays: stays.changes(None),
    "find": lambda stays: stays.find("key", pl.Series([1]), "month"),
    "batches": lambda stays: list(stays.batches(["key"], rows=1)),
    "compact": lambda stays: stays.maintenance().compact(),
    "replace": lambda stays: stays.replace(rows((1, "a", 10)), rows((1, "a", 99)), {"source": 2}),
}


@pytest.mark.embedded_only("a file is deleted")
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_file_that_is_missing_is_a_named_error_whatever_needs_it(
    lake: Lake, stays: LakeTable, read: Callable[[LakeTable], object]
) -> None:
    stays.append(rows((4, "a", 40)), {"source": 2})  # a second file: something to compact
    for file in DeltaTable(stays.uri).file_uris():
        Path(file.removeprefix("file://")).unlink()
    named = r"cannot \w+ gold/stays at .*: .*No such file|gold/stays is damaged: .*\.parquet is missing"
    with pytest.raises(LakeError, match=named) as raised:
        read(lake.open(STAYS))
    assert "\n" not in str(raised.value)


WRITES: dict[str, Callable[[LakeTable], object]] = {
    "append": lambda stays: stays.append(rows((4, "a", 40)), {"source": 2}),
    "overwrite": lambda stays: stays.overwrite(rows((4, "a", 40)), {"source": 2}),
    "replace": lambda stays: stays.replace(rows((1, "a", 10)), rows((1, "a", 99)), {"source": 2}),
    "checkpoint": lambda stays: stays.maintenance().write_checkpoint(),
}


@pytest.mark.embedded_only("a disk is full")
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_disk_that_takes_no_more_is_a_named_error_and_the_table_stays_as_it_was(
    lake: Lake, stays: LakeTable, write: Callable[[LakeTable], object]
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(LakeError, match=r"cannot \w+ gold/stays at .*: .*File too large") as raised:
            write(stays)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not isinstance(raised.value, CommitConflict)
    assert "\n" not in str(raised.value)
    assert content(lake.open(STAYS)) == [(1, "a", 10), (2, "a", 20), (3, "b", 30)]


def test_an_unreachable_store_is_a_named_error() -> None:
    storage = {"account_key": "AAAA", "azure_storage_endpoint": "http://127.0.0.1:1", "allow_http": "true"}
    away = Lake("abfss://{layer}@nobody.dfs.core.windows.net", {**storage, "max_retries": "0"})
    with pytest.raises(LakeError, match="cannot look for gold/stays at abfss://gold@nobody"):
        away.exists(STAYS)


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


BEDS = Table(
    "gold",
    "beds",
    "A table that only grows, whose rows change anywhere.",
    (
        Column("key", pl.Int64(), "Key"),
        Column("place", pl.Int64(), "What its files are sorted by"),
        Column("seen_at", INSTANT, "When"),
        Column("beds", pl.Int64(), "A value"),
    ),
    key=("key",),
    sort_by="place",
    file_bytes=64 * 1024,
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def beds(first: int, last: int, beds: int = 1) -> pl.DataFrame:
    """Rows that come hour by hour, each at a place that has nothing to do with the hour."""
    key = pl.int_range(first, last, eager=True)
    seen = START + key * timedelta(hours=1)
    return pl.DataFrame({"key": key, "place": key * 7919 % 10_007, "seen_at": seen, "beds": beds}, schema=BEDS.schema)


@pytest.fixture
def sorted_beds(lake: Lake) -> LakeTable:
    """Ten thousand rows in commits of a thousand, sorted by maintenance into many files."""
    opened = lake.open(BEDS)
    for number in range(10):
        opened.append(beds(1_000 * number, 1_000 * (number + 1)), {"source": number})
    opened.maintenance().compact()
    return opened


def files(opened: LakeTable) -> pl.DataFrame:
    added = pl.DataFrame(DeltaTable(opened.uri).get_add_actions(flatten=True))
    return added.select("num_records", first="min.place", last="max.place").sort("first")


def test_maintenance_sorts_a_table_that_is_out_of_order(sorted_beds: LakeTable) -> None:
    lying = files(sorted_beds)
    assert lying.height > 3
    assert (lying["last"].shift() < lying["first"]).drop_nulls().all()
    assert sorted_beds.scan().sort("key").collect().equals(beds(0, 10_000))


def test_a_table_of_an_earlier_version_takes_up_order_and_file_size(lake: Lake) -> None:
    opened = lake.open(replace(BEDS, sort_by="", file_bytes=0))
    for number in range(3):
        opened.append(beds(10_000 * number, 10_000 * (number + 1)), {"source": number})
    opened.maintenance().compact()
    assert files(opened).height == 1
    today = lake.open(BEDS)
    today.maintenance().compact()
    lying = files(today)
    assert lying.height > 3
    assert (lying["last"].shift() <= lying["first"]).drop_nulls().all()
    assert today.maintenance().compact() == 0
    assert today.checkpoint("source") == 2


def test_files_of_past_months_are_large_and_those_of_the_newest_two_small(lake: Lake) -> None:
    by_month = replace(
        BEDS,
        columns=(*BEDS.columns, Column("month", pl.String(), "Its partition")),
        partition_by=("month",),
        file_bytes=16 * 1024,
    )
    opened = lake.open(by_month)
    for number, month in enumerate(("2026-01", "2026-02", "2026-03", "2026-04")):
        rows = beds(40_000 * number, 40_000 * (number + 1)).with_columns(month=pl.lit(month))
        for half in range(2):
            opened.append(rows.slice(20_000 * half, 20_000), {"source": 2 * number + half})
    opened.maintenance().compact()
    added = pl.DataFrame(DeltaTable(opened.uri).get_add_actions(flatten=True))
    sizes = added.group_by(month="partition.month").agg(files=pl.len(), bytes=pl.col("size_bytes").median())
    old, recent = sizes.filter(pl.col("month") <= "2026-02"), sizes.filter(pl.col("month") > "2026-02")
    assert old["bytes"].min() > 2 * recent["bytes"].max()
    assert 2 * old["files"].max() < recent["files"].min()
    opened.append(beds(160_000, 160_001).with_columns(month=pl.lit("2026-05")), {"source": 8})
    opened.maintenance().compact()
    assert opened.maintenance().compact() == 0
    assert opened.scan().drop("month").sort("key").collect().equals(beds(0, 160_001))


def test_a_table_in_order_is_not_sorted_again(sorted_beds: LakeTable) -> None:
    lying = files(sorted_beds)
    sorted_beds.append(beds(10_000, 10_100), {"source": 10})
    sorted_beds.append(beds(10_100, 10_200), {"source": 11})
    assert sorted_beds.maintenance().compact() == 2
    assert files(sorted_beds).join(lying, on=["first", "last"], how="semi").height == lying.height


def test_a_change_of_a_few_rows_rewrites_only_the_files_they_lie_in(lake: Lake, sorted_beds: LakeTable) -> None:
    lying = files(sorted_beds)
    before = sorted_beds.scan().filter(pl.col("key").is_in([17, 9_000])).collect()
    after = before.with_columns(beds=pl.lit(2, dtype=pl.Int64))
    assert sorted_beds.replace(before, pl.concat([after, beds(10_000, 10_001)]), {"source": 10}) == RowsWritten(1, 2)
    kept = files(sorted_beds).join(lying, on=["first", "last", "num_records"], how="semi").height
    assert kept >= lying.height - 2
    expected = beds(0, 10_001).with_columns(
        beds=pl.when(pl.col("key").is_in([17, 9_000])).then(2).otherwise(1).cast(pl.Int64)
    )
    assert lake.open(BEDS).scan().sort("key").collect().equals(expected)


def test_rows_that_lie_far_apart_are_found(sorted_beds: LakeTable) -> None:
    wanted = [3, 4, 5_000, 9_999]
    places = pl.Series([key * 7919 % 10_007 for key in wanted])
    assert sorted(sorted_beds.find("place", places, "seen_at")["key"]) == wanted
    since = START + timedelta(hours=5_000)
    assert sorted(sorted_beds.find("place", places, "seen_at", ["key"], since=since)["key"]) == [5_000, 9_999]
    assert sorted_beds.find("place", pl.Series([-1]), "seen_at").is_empty()


@given(st.lists(st.integers(0, 10_000), max_size=200))
def test_spans_cover_every_instant_and_no_gap_that_could_be_left_out(hours: list[int]) -> None:
    instants = pl.Series([START + timedelta(hours=hour) for hour in hours], dtype=INSTANT)
    spans = spans_of(instants)
    covered = pl.DataFrame({"at": instants}).filter(within_spans("at", spans)).height
    assert covered == len(hours)
    assert len(spans) <= MAX_SPANS
    assert all(one[1] < other[0] for one, other in itertools.pairwise(spans))


def test_a_merge_names_instants_that_lie_minutes_apart_and_joins_days_that_follow_each_other() -> None:
    apart = pl.Series("seen_at", [START, START + timedelta(minutes=5), START + timedelta(minutes=30)])
    assert merge_predicate(["key"], pl.DataFrame(), apart).count("BETWEEN") == 2
    days = pl.Series("date", [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 4)])
    first, last = "DATE '2026-01-01' AND DATE '2026-01-02'", "DATE '2026-01-04' AND DATE '2026-01-04'"
    assert f"(t.`date` BETWEEN {first} OR t.`date` BETWEEN {last})" in merge_predicate(["key"], pl.DataFrame(), days)
    many = pl.Series("seen_at", [START + timedelta(hours=number) for number in range(2 * MAX_MERGE_SPANS)])
    assert merge_predicate(["key"], pl.DataFrame(), many).count("BETWEEN") == MAX_MERGE_SPANS


def test_the_newest_and_the_oldest_instant_are_exact(lake: Lake, sorted_beds: LakeTable) -> None:
    assert lake.open(STAYS).newest("key") is None
    assert lake.open(STAYS).oldest("key") is None
    late = beds(10_000, 10_001).with_columns(pl.col("seen_at") + timedelta(microseconds=7))
    sorted_beds.append(late, {"source": 10})
    assert sorted_beds.newest("seen_at") == START + timedelta(hours=10_000, microseconds=7)
    early = beds(20_000, 20_001).with_columns(seen_at=pl.lit(START - timedelta(microseconds=7)))
    sorted_beds.append(early, {"source": 11})
    assert sorted_beds.oldest("seen_at") == START - timedelta(microseconds=7)
