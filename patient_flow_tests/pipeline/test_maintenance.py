"""Maintenance changes files and nothing else, never beside another one, and never ahead of a consumer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from patient_flow.contracts.tables import DIM_PATIENT, FACT_PATIENT_FLOW, LAKE_TABLES, QUARANTINE, SILVER_EVENTS, Table
from patient_flow.pipeline.checkpoints import LEASE
from patient_flow.pipeline.maintenance import maintain
from patient_flow.pipeline.replay import replay
from patient_flow.pipeline.silver import accept_events
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import LakeError
from patient_flow.stores.lake.log import STATISTICS, table_properties
from patient_flow.stores.lake.maintenance import TableMaintenance
from patient_flow.stores.lake.table import LakeTable
from patient_flow_tests.builders import (
    deliveries,
    event,
    receive,
    run_micro_batches,
    step_context,
)
from patient_flow_tests.stacks import Embedded, Stack

NOW = datetime.now(UTC)


def patients(number: int) -> pl.DataFrame:
    row = {"patient_key": number, "patient_id": str(number), "gender": "Female", "valid_from": NOW, "is_current": True}
    return pl.DataFrame({name: [row.get(name)] for name in DIM_PATIENT.schema}, schema=DIM_PATIENT.schema)


@pytest.fixture
def many_commits(lake: Lake) -> LakeTable:
    opened = lake.open(DIM_PATIENT)
    for number in range(1, 21):
        opened.append(patients(number), {SILVER_EVENTS.path: number})
    return opened


def test_small_files_become_one_and_the_rows_stay(lake: Lake, many_commits: LakeTable) -> None:
    before = many_commits.scan().sort("patient_key").collect()
    done = maintain(lake, DIM_PATIENT, {}, now=NOW)
    assert (done.files_joined, done.skip_reason) == (20, None)
    after = lake.open(DIM_PATIENT)
    assert after.scan().sort("patient_key").collect().equals(before)
    assert after.checkpoint(SILVER_EVENTS.path) == 20
    assert len(DeltaTable(after.uri).file_uris()) == 1


def test_a_consumer_sees_no_change(lake: Lake, many_commits: LakeTable) -> None:
    since = lake.open(DIM_PATIENT).version
    maintain(lake, DIM_PATIENT, {}, now=NOW)
    assert lake.open(DIM_PATIENT).changes(since).both.is_empty()


def test_files_that_readers_may_still_need_are_kept(stack: Stack, lake: Lake, many_commits: LakeTable) -> None:
    maintain(lake, DIM_PATIENT, {}, now=NOW)
    assert len(stack.data_files(many_commits.uri)) == 21


def test_unreferenced_files_are_deleted(
    stack: Stack, lake: Lake, many_commits: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patient_flow.pipeline.maintenance.KEEP_HOURS", {"gold": 0})
    done = maintain(lake, DIM_PATIENT, {}, now=NOW)
    assert done.files_deleted == 20
    assert len(stack.data_files(many_commits.uri)) == 1


@pytest.mark.parametrize("loaded", [{DIM_PATIENT.path: 19}, {DIM_PATIENT.path: None}, {}])
def test_nothing_is_deleted_that_a_consumer_has_not_read(
    lake: Lake, many_commits: LakeTable, loaded: dict[str, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patient_flow.pipeline.maintenance.KEEP_HOURS", {"gold": 0})
    done = maintain(lake, DIM_PATIENT, loaded, now=NOW)
    is_behind = loaded.get(DIM_PATIENT.path) == 19
    assert (done.files_deleted == 0) == is_behind
    assert ("warehouse" in (done.skip_reason or "")) == is_behind


@pytest.mark.embedded_only("a log is spoilt")
def test_a_consumer_that_cannot_be_opened_holds_up_no_compaction_and_loses_no_file(
    stack: Stack, lake: Lake, many_commits: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patient_flow.pipeline.maintenance.KEEP_HOURS", {"gold": 0})
    consumer = lake.open(FACT_PATIENT_FLOW)
    (log,) = Path(consumer.uri.removeprefix("file://")).glob("_delta_log/*.json")
    log.write_text("rubbish")
    done = maintain(lake, DIM_PATIENT, {}, now=NOW)
    assert (done.files_joined, done.files_deleted) == (20, 0)
    assert FACT_PATIENT_FLOW.path in (done.skip_reason or "")
    assert len(stack.data_files(many_commits.uri)) == 21
    with pytest.raises(LakeError, match=FACT_PATIENT_FLOW.path):
        maintain(lake, FACT_PATIENT_FLOW, {}, now=NOW)


@pytest.mark.embedded_only("files are made older than they are")
@pytest.mark.parametrize("behind", [True, False])
def test_the_log_is_kept_for_a_day_and_until_every_consumer_has_read_it(
    lake: Lake, many_commits: LakeTable, behind: bool
) -> None:
    since = many_commits.version
    for number in range(21, 81):  # delta-rs writes a checkpoint of its own on the way, in which all before it rest
        many_commits.append(patients(number), {SILVER_EVENTS.path: number})
    two_days_ago = (NOW - timedelta(days=2)).timestamp()
    log = Path(DeltaTable(many_commits.uri).table_uri.removeprefix("file://")) / "_delta_log"
    for file in log.iterdir():
        os.utime(file, (two_days_ago, two_days_ago))
    maintain(lake, DIM_PATIENT, {DIM_PATIENT.path: since} if behind else {}, now=NOW)
    assert (log / f"{1:020}.json").exists() == behind
    if behind:
        assert lake.open(DIM_PATIENT).changes(since).after.height == 60


@pytest.mark.parametrize("table", LAKE_TABLES, ids=lambda table: table.name)
def test_statistics_in_a_log_hold_no_text(table: Table) -> None:
    names = table_properties(table)[STATISTICS].split(",")
    assert [name for name in names if isinstance(table.schema[name], pl.String | pl.Binary | pl.List)] == []
    assert not table.sort_by or table.sort_by in names


def test_maintenance_takes_texts_of_senders_out_of_the_log_of_an_older_table(
    stack: Stack, lake: Lake, departments: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each checkpoint repeated the smallest and largest text of each file for as long as the file existed."""
    former = ",".join(name for name in SILVER_EVENTS.schema if name not in SILVER_EVENTS.partition_by)
    with monkeypatch.context() as patched:
        patched.setattr(
            "patient_flow.stores.lake.catalog.table_properties",
            lambda table: {**table_properties(table), STATISTICS: former},
        )
        lake.open(SILVER_EVENTS)
    planted = [event(visit_id=f"v{n}", bed_id="PLANTED", nickname="PLANTED") for n in range(3)]
    receive(lake, deliveries(planted))
    accept_events(step_context(lake, departments))
    before = lake.open(SILVER_EVENTS)
    rows, newest = before.scan().collect().sort("sequence_number"), before.newest("event_time")
    maintain(lake, SILVER_EVENTS, {}, now=NOW)
    after = lake.open(SILVER_EVENTS)
    assert after.changes(before.version).both.is_empty()
    assert after.scan().collect().sort("sequence_number").equals(rows)
    assert (after.row_count(), after.newest("event_time"), after.largest("part")) == (3, newest, 0)
    if isinstance(stack, Embedded):
        log = Path(after.uri.removeprefix("file://")) / "_delta_log"
        assert b"PLANTED" in b"".join(path.read_bytes() for path in log.glob("*.json"))
        stated = pl.read_parquet(max(log.glob("*.checkpoint.parquet")))["add"].drop_nulls().struct.field("stats")
        assert (stated.len(), stated.str.contains("PLANTED").sum()) == (1, 0)
        assert stated.str.contains("event_time").all()


UPLOAD = """
import polars as pl, sys
from patient_flow.contracts.tables import DIM_PATIENT
from patient_flow.stores.lake.catalog import Lake
keys = pl.int_range(0, 3_000_000, eager=True).alias("patient_key")
rows = DIM_PATIENT.empty().join(keys.to_frame().cast(pl.Int64), on="patient_key", how="right")
lake = Lake(sys.argv[1]).open(DIM_PATIENT)
lake.append(rows.with_columns(patient_id=pl.col("patient_key").cast(pl.String)).select(DIM_PATIENT.schema.names()), {})
"""


def kill_during_upload(table: Path, lake: Lake) -> None:
    """Leaves an unfinished Parquet file in ``table``: a writer whose upload ended before it was seen starts again."""
    while not list(table.glob("*#*")):
        writer = subprocess.Popen([sys.executable, "-c", UPLOAD, str(lake._uri)])
        while writer.poll() is None and not list(table.glob("*#*")):  # stopped, so that it cannot rename the file
            writer.send_signal(signal.SIGCONT)
            time.sleep(0.01)
            writer.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, writer.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # a signal takes effect later
        writer.kill()
        writer.wait()


@pytest.mark.embedded_only("a folder lake")
def test_maintenance_removes_what_a_killed_process_left_once_it_is_old(lake: Lake, many_commits: LakeTable) -> None:
    table = Path(many_commits.uri.removeprefix("file://"))
    kill_during_upload(table, lake)
    (table / "_checksums" / f".{0:032x}").write_text("{")
    for name in ("_rebuild/run/validated", "_damaged/run/dim_patient"):
        (table.parent / name).mkdir(parents=True)
        (table.parent / name / "part.parquet").write_text("")
    now = datetime.now(UTC)
    before = lake.open(DIM_PATIENT).scan().collect()
    assert list(lake.remove_leftovers(now)) == []
    unfinished = {Path(path).name for path in lake.remove_leftovers(now + timedelta(days=2))}
    assert {name.partition("#")[0][-8:] for name in unfinished} == {".parquet", f"{0:08x}"}
    assert list(lake.remove_leftovers(now + timedelta(days=4))) == [str(table.parent / "_rebuild" / "run")]
    assert list(lake.remove_leftovers(now + timedelta(days=31))) == [str(table.parent / "_damaged" / "run")]
    assert not list(table.glob("*#*"))
    assert lake.open(DIM_PATIENT).scan().collect().equals(before)


def test_every_consumer_is_written_after_what_it_reads(lake: Lake, departments: pl.DataFrame) -> None:
    """So maintenance knows where to look for those that a table must wait for."""
    run_micro_batches(lake, [deliveries([event(), b"rubbish"])], departments)
    opened = lake.open_all(LAKE_TABLES).values()
    for place, consumer in enumerate(opened):
        assert not [source for source in LAKE_TABLES[place:] if consumer.checkpoint(source.path) is not None]


def test_a_quarantine_that_was_replayed_once_is_still_vacuumed(lake: Lake, departments: pl.DataFrame) -> None:
    first, second = deliveries([b"rubbish", b"more rubbish"])
    run_micro_batches(lake, [[first]], departments)
    replay(step_context(lake, departments), reason=None)
    run_micro_batches(lake, [[second]], departments)
    assert maintain(lake, QUARANTINE, {}, now=NOW).skip_reason is None


def test_two_maintenances_never_run_side_by_side(lake: Lake, many_commits: LakeTable) -> None:
    many_commits.record(LEASE.of(int((NOW + timedelta(hours=1)).timestamp())))
    assert maintain(lake, DIM_PATIENT, {}, now=NOW).skip_reason == "another maintenance is running"
    assert maintain(lake, DIM_PATIENT, {}, now=NOW + timedelta(hours=2)).skip_reason is None  # that one must have died


def test_a_lease_from_a_clock_years_ahead_does_not_block_maintenance(lake: Lake, many_commits: LakeTable) -> None:
    many_commits.record(LEASE.of(int((NOW + timedelta(days=3650)).timestamp())))
    assert maintain(lake, DIM_PATIENT, {}, now=NOW).skip_reason is None


def test_a_lease_claimed_by_another_at_the_same_moment_is_respected(lake: Lake, many_commits: LakeTable) -> None:
    late = lake.open(DIM_PATIENT)
    maintain(lake, DIM_PATIENT, {}, now=NOW)
    opened = Lake.open
    try:
        Lake.open = lambda self, table: late if table is DIM_PATIENT else opened(self, table)  # type: ignore[method-assign]
        done = maintain(lake, DIM_PATIENT, {}, now=NOW)
    finally:
        Lake.open = opened  # type: ignore[method-assign]
    assert "a writer was active" in (done.skip_reason or "")


def test_after_a_writer_that_was_faster_the_next_maintenance_does_not_wait(
    lake: Lake, many_commits: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    compact = TableMaintenance.compact

    def overtaken(maintenance: TableMaintenance) -> int:
        lake.open(DIM_PATIENT).replace(patients(1), patients(1).with_columns(gender=pl.lit("Male")), {})
        return compact(maintenance)

    monkeypatch.setattr(TableMaintenance, "compact", overtaken)
    assert "a writer was active" in (maintain(lake, DIM_PATIENT, {}, now=NOW).skip_reason or "")
    monkeypatch.undo()
    assert maintain(lake, DIM_PATIENT, {}, now=NOW).skip_reason is None
