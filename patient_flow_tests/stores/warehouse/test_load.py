"""Loading: exactly once, whole or not at all, whatever dies and whoever races."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from patient_flow.contracts.figure_changes import CURRENT
from patient_flow.contracts.tables import (
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    FACT_BED_CENSUS,
    FACT_PATIENT_FLOW,
)
from patient_flow.stores.warehouse.errors import WarehouseConflict, WarehouseError, WarehouseNotInitialised
from patient_flow.stores.warehouse.reconciliation import verify
from patient_flow.stores.warehouse.schema import LOAD_LOG, TABLES
from patient_flow.stores.warehouse.warehouse import Batch, Warehouse
from patient_flow_tests.stores.warehouse.builders import census_of, changed, everything, hospital, whole
from patient_flow_tests.stores.warehouse.conftest import url_of
from patient_flow_tests.stores.warehouse.processes import ROWS

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HELPERS = Path(__file__).with_name("processes.py")


def load(warehouse: Warehouse, *batches: Batch) -> None:
    warehouse.load(batches, newest_event_at=NOW - timedelta(seconds=30), loaded_at=NOW, run_id="test")


def beds(warehouse: Warehouse) -> dict[int, int]:
    found = warehouse.query(sa.select(TABLES[FACT_BED_CENSUS.path]))
    return dict(zip(found["time_key"], found["occupied_beds"], strict=True))


def version(warehouse: Warehouse) -> int | None:
    return warehouse.loaded_versions()[FACT_BED_CENSUS.path]


def census_change(since: int | None, to: int, removed: dict[int, int], rows: dict[int, int]) -> Batch:
    return changed(FACT_BED_CENSUS, census_of(removed), census_of(rows), since=since, version=to)


def test_a_new_warehouse_has_loaded_nothing(warehouse: Warehouse) -> None:
    assert set(warehouse.loaded_versions().values()) == {None}
    assert set(warehouse.row_counts().values()) == {0}


def test_initialising_twice_changes_nothing(warehouse: Warehouse) -> None:
    load(warehouse, census_change(None, 3, {}, {1: 5}))
    warehouse.init()
    assert version(warehouse) == 3
    assert beds(warehouse) == {1: 5}


def test_two_processes_may_initialise_at_once(empty: Warehouse) -> None:
    commands = [[sys.executable, str(HELPERS), "init", url_of(empty), empty.kind] for _ in range(3)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for command in commands]
    for process in running:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error.decode()
    lines = empty.query(sa.select(LOAD_LOG))
    assert lines.height == lines["table_name"].n_unique() == len(TABLES)


def test_a_load_before_init_names_the_command(empty: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="patient-flow warehouse init"):
        load(empty, census_change(None, 1, {}, {1: 1}))


def test_a_batch_takes_out_what_it_removes_and_brings_its_rows(warehouse: Warehouse) -> None:
    load(warehouse, census_change(None, 1, {}, {1: 10, 2: 20, 3: 30}))
    load(warehouse, census_change(1, 2, {1: 10, 2: 20}, {2: 21, 4: 40}))
    assert beds(warehouse) == {2: 21, 3: 30, 4: 40}


def test_a_row_that_is_already_there_is_replaced_not_doubled(warehouse: Warehouse) -> None:
    load(warehouse, census_change(None, 1, {}, {1: 10}))
    load(warehouse, census_change(1, 2, {}, {1: 11}))
    assert beds(warehouse) == {1: 11}


def test_a_stay_that_begins_at_another_hour_than_before_is_replaced_not_doubled(warehouse: Warehouse) -> None:
    stays = hospital(NOW - timedelta(days=5), NOW, visits=20).frames()[FACT_PATIENT_FLOW.path]
    moved = stays.with_columns(admission_time_key=pl.col("admission_time_key") + 1)
    load(warehouse, whole(FACT_PATIENT_FLOW, stays, version=1))
    load(warehouse, changed(FACT_PATIENT_FLOW, stays, moved, since=1, version=2))
    assert verify(warehouse, {FACT_PATIENT_FLOW.path: moved.lazy()}) == []
    load(warehouse, changed(FACT_PATIENT_FLOW, moved, moved[:0], since=2, version=3))
    assert verify(warehouse, {FACT_PATIENT_FLOW.path: moved[:0].lazy()}) == []


def test_a_whole_table_replaces_everything(warehouse: Warehouse) -> None:
    load(warehouse, census_change(None, 1, {}, {1: 10, 2: 20}))
    load(warehouse, whole(FACT_BED_CENSUS, census_of({2: 22, 5: 50}), since=1, version=7))
    assert beds(warehouse) == {2: 22, 5: 50}
    assert version(warehouse) == 7


def test_values_survive_the_way(warehouse: Warehouse) -> None:
    frames = hospital(NOW - timedelta(days=5), NOW, visits=40).frames()
    load(warehouse, *everything(frames))
    for path, table in TABLES.items():
        found = warehouse.query(sa.select(table)).sort(table.primary_key.columns.keys())
        gold = frames[path].select(found.columns).sort(table.primary_key.columns.keys())
        gold = gold.with_columns(pl.selectors.list().list.join(","))
        assert found.equals(gold.cast(dict(found.schema))), path


def test_counts_are_of_rows_deleted_and_inserted(warehouse: Warehouse) -> None:
    load(warehouse, census_change(None, 1, {}, {1: 10, 2: 20}))
    batch = census_change(1, 2, {1: 10}, {1: 11, 3: 30})
    written = warehouse.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")[FACT_BED_CENSUS.path]
    assert (written.deleted, written.inserted, written.total) == (1, 2, 3)


def test_the_load_log_has_version_time_lag_rows_and_run(warehouse: Warehouse) -> None:
    load(warehouse, census_change(None, 4, {}, {1: 10, 2: 20}))
    lines = {line["table_name"]: line for line in warehouse.query(sa.select(LOAD_LOG)).to_dicts()}
    assert lines["FactBedCensus"] == {
        "table_name": "FactBedCensus",
        "gold_version": 4,
        "gold_table_id": None,
        "loaded_at": NOW,
        "newest_event_at": NOW - timedelta(seconds=30),
        "lag_seconds": 30.0,
        "rows_written": 2,
        "run_id": "test",
        "figures_version": CURRENT.version,
        "figures_changed_at": None,
    }
    assert lines["DimPatient"]["gold_version"] is None


def test_the_first_load_of_figures_by_other_rules_is_dated(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later loads leave the date."""
    dates = []
    for version, figures in ((1, 1), (2, 1), (3, 2), (4, 2)):
        monkeypatch.setattr("patient_flow.stores.warehouse.warehouse.CURRENT", CURRENT._replace(version=figures))
        batch = census_change(version - 1 or None, version, {}, {version: 1})
        at = NOW + timedelta(hours=version)
        warehouse.load([batch], newest_event_at=None, loaded_at=at, run_id="test")
        lines = warehouse.query(sa.select(LOAD_LOG).where(LOAD_LOG.c.table_name == "FactBedCensus"))
        dates.append(lines["figures_changed_at"].item())
    assert dates == [None, None, NOW + timedelta(hours=3), NOW + timedelta(hours=3)]


def test_a_load_without_new_events_keeps_the_newest_known(warehouse: Warehouse) -> None:
    load(warehouse, census_change(None, 1, {}, {1: 10}))
    warehouse.load([census_change(1, 2, {}, {})], newest_event_at=None, loaded_at=NOW, run_id="test")
    lines = warehouse.query(sa.select(LOAD_LOG).where(LOAD_LOG.c.table_name == "FactBedCensus"))
    assert lines["newest_event_at"].item() == NOW - timedelta(seconds=30)
    assert lines["gold_version"].item() == 2


def test_a_replay_is_refused_and_changes_nothing(warehouse: Warehouse) -> None:
    batch = census_change(None, 1, {}, {1: 10})
    load(warehouse, batch)
    with pytest.raises(WarehouseConflict, match="FactBedCensus"):
        load(warehouse, batch)
    assert beds(warehouse) == {1: 10}


def test_when_one_table_is_out_of_step_nothing_of_the_load_is_written(
    warehouse: Warehouse, twin: Callable[[], Warehouse], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other loader commits between our look at the log and our transaction: the update of the log sees it."""
    late = twin()
    stale = late.loaded_versions()
    load(warehouse, census_change(None, 1, {}, {1: 10}))
    monkeypatch.setattr(late, "loaded_versions", lambda: stale)
    department = hospital(NOW - timedelta(days=1), NOW, visits=1).frames()[DIM_DEPARTMENT.path]
    with pytest.raises(WarehouseConflict):
        load(late, whole(DIM_DEPARTMENT, department), census_change(None, 2, {}, {1: 99}))
    assert beds(warehouse) == {1: 10}
    assert warehouse.row_counts()[DIM_DEPARTMENT.path] == 0


def test_of_two_loaders_at_once_one_wins(warehouse: Warehouse, twin: Callable[[], Warehouse]) -> None:
    loaders = [twin() for _ in range(4)]

    def attempt(number: int) -> bool:
        try:
            load(loaders[number], census_change(None, number + 1, {}, dict.fromkeys(range(300), number)))
        except WarehouseConflict:
            return False
        return True

    with ThreadPoolExecutor(len(loaders)) as pool:
        won = list(pool.map(attempt, range(len(loaders))))
    assert won.count(True) == 1
    winner = won.index(True)
    assert version(warehouse) == winner + 1
    assert set(beds(warehouse).values()) == {winner}


@pytest.mark.parametrize(
    "statement", ["UPDATE", "CREATE TEMPORARY TABLE", "DELETE FROM", 'INSERT INTO "FactBedCensus"', "COMMIT"]
)
def test_a_crash_at_any_statement_leaves_the_old_numbers(warehouse: Warehouse, statement: str) -> None:
    load(warehouse, census_change(None, 1, {}, {1: 10, 2: 20}))
    batch = census_change(1, 2, {1: 10}, {2: 21, 3: 30})

    def crash(*arguments: object) -> None:
        if statement == "COMMIT" or str(arguments[2]).strip().startswith(statement):
            raise ConnectionAbortedError("pulled the plug")

    event = "commit" if statement == "COMMIT" else "before_cursor_execute"
    sa.event.listen(warehouse._engine, event, crash)
    with pytest.raises(ConnectionAbortedError):
        load(warehouse, batch)
    sa.event.remove(warehouse._engine, event, crash)
    assert beds(warehouse) == {1: 10, 2: 20}
    assert version(warehouse) == 1
    load(warehouse, batch)
    assert beds(warehouse) == {2: 21, 3: 30}


def test_killed_at_random_the_numbers_agree(warehouse: Warehouse) -> None:
    """A loader that counts upwards is killed again and again; version and rows always tell the same number."""
    load(warehouse, whole(FACT_BED_CENSUS, census_of(dict.fromkeys(range(ROWS), 0))))
    chance = random.Random(5)
    reached = 0
    for _ in range(6):
        with subprocess.Popen([sys.executable, str(HELPERS), "count", url_of(warehouse), warehouse.kind]) as process:
            before = version(warehouse)
            deadline = time.monotonic() + 20
            while version(warehouse) == before and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(chance.random() * 0.15)
            process.send_signal(signal.SIGKILL)
        reached = version(warehouse) or 0
        found = beds(warehouse)
        assert len(found) == ROWS
        assert set(found.values()) == {reached}
    assert reached > 6


def test_a_reader_never_sees_half_a_batch(warehouse: Warehouse) -> None:
    """A separate process reads while batches and rebuilds are loaded; each read shows one version, whole."""
    load(warehouse, whole(FACT_BED_CENSUS, census_of(dict.fromkeys(range(ROWS), 0))))
    command = [sys.executable, str(HELPERS), "watch", url_of(warehouse), warehouse.kind]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as reader:
        number = 0
        while reader.poll() is None and number < 1000:
            number += 1
            rows = dict.fromkeys(range(ROWS), number)
            if number % 3:
                load(warehouse, census_change(number - 1, number, rows, rows))
            else:
                load(warehouse, whole(FACT_BED_CENSUS, census_of(rows), since=number - 1, version=number))
        reader.terminate()
        assert reader.stderr
        assert (reader.returncode or reader.wait(), reader.stderr.read()) == (0, "")


def test_what_was_loaded_in_changes_equals_what_is_loaded_at_once(
    warehouse: Warehouse, twin: Callable[[], Warehouse]
) -> None:
    start, end = NOW - timedelta(days=6), NOW
    frames = hospital(start, end, visits=80).frames()
    facts = frames[FACT_PATIENT_FLOW.path].sort("admission_at")
    load(warehouse, *(batch for batch in everything(frames) if batch.table is not FACT_PATIENT_FLOW))
    cuts = [0, 10, 11, 40, facts.height]
    for number, (first, after) in enumerate(pairwise(cuts)):
        overlap = facts[max(0, first - 5) : after]
        wrong = overlap.with_columns(bed_id=pl.lit("wrong"))
        load(
            warehouse,
            changed(
                FACT_PATIENT_FLOW, overlap[:0], wrong, since=number * 2 - 1 if number else None, version=number * 2
            ),
        )
        load(warehouse, changed(FACT_PATIENT_FLOW, wrong, overlap, since=number * 2, version=number * 2 + 1))
    assert verify(twin(), {path: frame.lazy() for path, frame in frames.items()}) == []


def test_an_unreferenced_warehouse_has_closed_its_connections(database: str) -> None:
    """Assets and checks make one each and let it go; a server counts every session that is left open."""
    watching = sa.create_engine(database.rpartition("/")[0] + "/postgres")
    sessions = sa.text("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = :name")
    with watching.connect() as connection:
        name = {"name": database.rpartition("/")[2]}
        warehouse = Warehouse(database, "postgresql")
        warehouse.init()
        assert connection.execute(sessions, name).scalar() == 1
        del warehouse
        deadline = time.monotonic() + 20
        while connection.execute(sessions, name).scalar() and time.monotonic() < deadline:
            connection.rollback()  # statistics stand still within a transaction
            time.sleep(0.02)
        assert connection.execute(sessions, name).scalar() == 0
    watching.dispose()


def test_a_server_that_vanishes_without_a_word_is_given_up_within_a_minute(database: str) -> None:
    """Else whoever waits for its answer holds the slot of the micro-batch for hours."""
    warehouse = Warehouse(database, "postgresql")
    with (
        warehouse._engine.connect() as connection,
        socket.socket(fileno=os.dup(connection.connection.driver_connection.fileno())) as wire,
    ):
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        asked = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        idle, interval, count, unanswered = (wire.getsockopt(socket.IPPROTO_TCP, option) for option in asked)
    assert idle + count * interval <= 60
    assert unanswered == 30_000
    warehouse.dispose()


def test_batches_need_the_declared_columns(warehouse: Warehouse) -> None:
    lacking = census_of({1: 1}).drop("occupied_beds")
    with pytest.raises(WarehouseError, match="gold/fact_bed_census has no column occupied_beds"):
        load(warehouse, changed(FACT_BED_CENSUS, lacking, lacking, since=None, version=1))


def test_the_last_of_two_rows_with_one_key_counts(warehouse: Warehouse) -> None:
    twice = pl.concat([census_of({1: 1}), census_of({1: 2})])
    load(warehouse, changed(FACT_BED_CENSUS, twice, twice, since=None, version=1))
    assert beds(warehouse) == {1: 2}


def test_two_hospitals_whose_names_differ_only_in_case_are_two(warehouse: Warehouse) -> None:
    def counted(accepted: int, *hospitals: str) -> pl.DataFrame:
        found = [[NOW.date(), hospital, "all", accepted, 0, 0, 0] for hospital in hospitals]
        return pl.DataFrame(found, schema=DATA_QUALITY_DAY.schema, orient="row")

    load(warehouse, whole(DATA_QUALITY_DAY, counted(1, "H1", "h1")))
    load(warehouse, changed(DATA_QUALITY_DAY, counted(1, "h1"), counted(2, "h1"), since=0, version=1))
    found = warehouse.query(TABLES[DATA_QUALITY_DAY.path].select()).select("hospital_id", "accepted")
    assert sorted(found.rows()) == [("H1", 1), ("h1", 2)]


def test_texts_with_separators_and_quotes_survive(warehouse: Warehouse) -> None:
    patients = hospital(NOW - timedelta(days=1), NOW, visits=2).frames()[DIM_PATIENT.path]
    odd = patients.with_columns(gender=pl.lit('a,"b'), age_band=pl.lit("")).with_columns(
        patient_id=pl.lit("\\N é 'x'\n;") + pl.col("patient_key").cast(pl.String)
    )
    load(warehouse, whole(DIM_PATIENT, odd))
    found = warehouse.query(sa.select(TABLES[DIM_PATIENT.path])).sort("patient_key")
    assert found["patient_id"].to_list() == odd.sort("patient_key")["patient_id"].to_list()
    assert set(found["age_band"]) == {""}


def test_rows_that_the_database_refuses_are_an_error_of_the_warehouse_that_quotes_none(warehouse: Warehouse) -> None:
    patients = hospital(NOW - timedelta(days=1), NOW, visits=2).frames()[DIM_PATIENT.path]
    impossible = {"sqlite": pl.lit(None, pl.Boolean).alias("is_current"), "postgresql": pl.col("patient_id") + "\x00"}
    for refused in (patients.with_columns(is_current=None), patients.with_columns(impossible[warehouse.kind])):
        with pytest.raises(WarehouseError) as raised:
            load(warehouse, whole(DIM_PATIENT, refused))
        assert not any(str(patient) in str(raised.value) for patient in patients["patient_id"])
    assert warehouse.row_counts()[DIM_PATIENT.path] == 0
    load(warehouse, whole(DIM_PATIENT, patients))


def test_a_dead_server_is_named_without_the_password() -> None:
    warehouse = Warehouse("postgresql+psycopg://me:s3cret@127.0.0.1:1/nowhere", "postgresql")
    with pytest.raises(WarehouseError) as raised:
        warehouse.loaded_versions()
    assert "127.0.0.1:1" in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in repr(warehouse)
    assert "\n" not in str(raised.value)
    assert os.linesep not in str(raised.value)


def test_a_file_that_cannot_be_opened_or_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "warehouse.db"
    warehouse = Warehouse(f"sqlite:///{file}", "sqlite")
    warehouse.init()
    warehouse.dispose()
    file.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 99)
    with pytest.raises(WarehouseError, match=r"the file is damaged\. Move it away .* the next load makes a new one"):
        version(warehouse)
    warehouse.dispose()
    for path in file.parent.iterdir():
        path.unlink()
    file.parent.rmdir()
    with pytest.raises(WarehouseError, match=r"unable to open database file: .*/folder: it does not exist"):
        version(warehouse)
    file.mkdir(parents=True)
    with pytest.raises(WarehouseError, match=r"unable to open database file: .*/warehouse\.db is a folder"):
        version(warehouse)


@pytest.mark.parametrize("moved", ["deleted", "replaced"])
def test_a_reader_follows_the_file_when_another_takes_its_place(moved: str, tmp_path: Path) -> None:
    """Kept connections would read the deleted file for ever, while loads fill the new one."""
    file = tmp_path / "warehouse.db"
    reader, loader = (Warehouse(f"sqlite:///{file}", "sqlite") for _ in range(2))
    loader.init()
    load(loader, census_change(None, 1, {}, {1: 10}))
    assert beds(reader) == {1: 10}
    loader.dispose()
    if moved == "deleted":
        file.unlink()
    else:
        file.rename(tmp_path / "earlier.db")
    with pytest.raises(WarehouseNotInitialised):
        version(reader)
    loader.init()
    load(loader, census_change(None, 2, {}, {1: 12}))
    assert beds(reader) == {1: 12}
    for used in (reader, loader):
        used.dispose()


def test_a_file_that_is_deleted_while_another_process_has_it_open_is_made_again(tmp_path: Path) -> None:
    """The other process keeps ``-shm``, which is not that of the new file."""
    file = tmp_path / "warehouse.db"
    url = f"sqlite:///{file}"
    loader = Warehouse(url, "sqlite")
    loader.init()
    load(loader, census_change(None, 1, {}, {1: 10}))
    command = [sys.executable, str(HELPERS), "keep", url, "sqlite"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"open\n"
            loader.dispose()
            file.unlink()
            assert file.with_name("warehouse.db-shm").exists()
            loader.init()
            load(loader, census_change(None, 2, {}, {1: 12}))
            assert beds(loader) == {1: 12}
        finally:
            other.kill()
    loader.dispose()
