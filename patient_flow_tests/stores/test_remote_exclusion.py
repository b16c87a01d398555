"""On object storage: many writers share a lake, one at a time works alone, and a dead process holds nobody back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta

import obstore
import pytest
from obstore.store import MemoryStore

from patient_flow.stores.lake import remote_exclusion
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.remote_exclusion import ALONE, WRITERS, Room
from patient_flow_tests.stacks import Production, Servers


@pytest.fixture(autouse=True)
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_exclusion, "LEASE", timedelta(seconds=0.5))
    monkeypatch.setattr(remote_exclusion, "RENEW_EVERY", timedelta(seconds=0.1))
    monkeypatch.setattr(remote_exclusion, "POLL_SECONDS", 0.05)


class Entered:
    """A thread that is inside a room until it is released; ``waited`` counts how often it was told to wait."""

    def __init__(self, room: Room, kind: str) -> None:
        self.inside, self._release, self.waited = threading.Event(), threading.Event(), 0
        held = room.shared() if kind == "shared" else room.alone(self._on_wait)

        def stay() -> None:
            with held:
                self.inside.set()
                self._release.wait(60)

        self._thread = threading.Thread(target=stay)
        self._thread.start()

    def _on_wait(self) -> None:
        self.waited += 1

    def release(self) -> None:
        self._release.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def names(store: MemoryStore) -> list[str]:
    return [meta["path"] for batch in obstore.list(store) for meta in batch]


def test_one_that_works_alone_waits_for_a_writer_and_holds_back_the_next(store: MemoryStore) -> None:
    writing, erasing, late = Room(store), Room(store), Room(store)
    writer = Entered(writing, "shared")
    assert writer.inside.wait(60)
    alone = Entered(erasing, "alone")
    assert not alone.inside.wait(1)  # longer than the lease, which the writer renews
    held_back = Entered(late, "shared")
    writer.release()
    writing.withdraw()
    assert alone.inside.wait(60)
    assert not held_back.inside.wait(1)
    assert alone.waited == 1
    alone.release()
    assert held_back.inside.wait(60)
    held_back.release()
    assert names(store) == [late._own]


def entered(room: Room, alone: Entered) -> bool:
    with room.shared():
        return not alone.inside.is_set()


def test_a_step_inside_another_enters_while_somebody_waits_to_be_alone(store: MemoryStore) -> None:
    room = Room(store)
    with room.shared():
        alone = Entered(Room(store), "alone")
        while ALONE not in names(store):
            time.sleep(0.01)
        with room.shared():
            assert not alone.inside.is_set()
        with ThreadPoolExecutor(1) as thread:  # a step beside others
            assert thread.submit(copy_context().run, lambda: entered(room, alone)).result(timeout=60)
    room.withdraw()
    assert alone.inside.wait(60)
    alone.release()


def test_what_dead_processes_announced_counts_no_more_and_is_removed(store: MemoryStore) -> None:
    obstore.put(store, ALONE, b"dead")
    obstore.put(store, f"{WRITERS}/dead", b"")
    with Room(store).shared():
        assert ALONE not in names(store)
    obstore.put(store, ALONE, b"dead")
    with Room(store).alone(lambda: None):
        assert names(store) == [ALONE]


@pytest.fixture
def remote(running: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with Production(tmp_path_factory.mktemp("stack"), running).lakes(1) as (lake,):
        yield lake


def test_a_lake_on_blob_storage_is_held_by_one_and_writers_wait(remote: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_exclusion, "LEASE", timedelta(seconds=5))  # its times are whole seconds
    begun, entered = threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        with remote.writing():
            entered.set()

    with remote.alone(lambda: None), remote.writing():
        writer = threading.Thread(target=write)
        writer.start()
        assert begun.wait(60)
        assert not entered.wait(1)
    assert entered.wait(60)
    writer.join()


def test_storage_that_refuses_or_is_away_holds_no_reader_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
    monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", "http://127.0.0.1:9")
    away = Lake("abfss://{layer}@devstoreaccount1.dfs.core.windows.net/away")
    with away.writing():
        pass
