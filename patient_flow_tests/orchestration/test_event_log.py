"""Dagster's event log with connections that stay open: others read what it writes, and files may go at any time."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from patient_flow.orchestration import event_log
from patient_flow.orchestration.launching import WatchfulRunLauncher
from patient_flow.orchestration.local import prepare_home


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setattr(SqliteEventLogStorage, "_connect", SqliteEventLogStorage._connect)
    event_log.install()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def test_whoever_launches_runs_keeps_its_connections_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.DagsterInstance.from_config(str(prepare_home(tmp_path / "home"))) as instance:
        monkeypatch.setattr(SqliteEventLogStorage, "_connect", None)
        assert isinstance(instance.run_launcher, WatchfulRunLauncher)
        assert events_in(instance, run_with_event(instance)) == 1


def test_a_storage_that_is_gone_has_closed_its_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqliteEventLogStorage, "_connect", SqliteEventLogStorage._connect)
    event_log.install()
    storage = SqliteEventLogStorage(str(tmp_path))
    with storage.index_connection():
        pass
    (engine,) = storage._kept_engines.values()  # type: ignore[attr-defined]
    assert engine.pool.checkedin() == 1
    del storage
    gc.collect()
    assert engine.pool.checkedin() == 0


def run_with_event(instance: dg.DagsterInstance) -> dg.DagsterRun:
    run = instance.add_run(dg.DagsterRun("job", str(uuid.uuid4())))
    instance.report_engine_event("first", run)
    return run


def events_in(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    """As another process counts them."""
    with contextlib.closing(sqlite3.connect(file_of(instance, run))) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM event_logs")
    return int(count)


def file_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Path:
    storage = instance.event_log_storage
    assert isinstance(storage, SqliteEventLogStorage)
    return Path(storage.path_for_shard(run.run_id))


def test_another_process_reads_what_is_written_at_once(instance: dg.DagsterInstance) -> None:
    run = run_with_event(instance)
    instance.report_engine_event("second", run)
    assert events_in(instance, run) == 2


def test_only_the_newest_run_and_the_index_stay_open(instance: dg.DagsterInstance) -> None:
    runs = [run_with_event(instance) for _ in range(3)]
    assert [path.name for path in file_of(instance, runs[0]).parent.glob("*-wal") if "index" not in path.name] == [
        f"{runs[-1].run_id}.db-wal"
    ]
    instance.report_engine_event("again", runs[0])
    assert events_in(instance, runs[0]) == 2


def test_a_file_that_was_deleted_is_made_again(instance: dg.DagsterInstance) -> None:
    run = run_with_event(instance)
    instance.event_log_storage.wipe()
    instance.report_engine_event("after", run)
    assert events_in(instance, run) == 1
