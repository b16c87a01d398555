"""Who may write a lake on remote storage: many writers beside one another, or one alone.

Object storage has no locks, so each side announces itself by an object and then checks for the other side's: a process
that writes by ``_writers/<id>``, one that works alone by ``_alone``. Both rewrite theirs while they are at work. An
object that nobody has rewritten for a lease belongs to a dead process and counts no more. Each process measures that by
its own monotonic clock, so clocks need not agree.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from patient_flow.stores.lake.errors import LakeUnavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

ALONE, WRITERS = "_alone", "_writers"
LEASE = timedelta(seconds=60)
RENEW_EVERY = timedelta(seconds=15)
POLL_SECONDS = 1.0
_CLIENT_OPTIONS: ClientConfig = {"timeout": "10s", "connect_timeout": "5s"}
_RETRIES: RetryConfig = {"max_retries": 1}
_ERRORS = (BaseError, OSError)
_entered: ContextVar[frozenset[str]] = ContextVar("_entered", default=frozenset())
"""Rooms (by their own object) that this thread, or the one that gave it its context, is in."""


@functools.cache
def room_at(address: str) -> Room:
    """The room of the lake layer at ``address``; one per process."""
    room = Room(from_url(address, client_options=_CLIENT_OPTIONS, retry_config=_RETRIES))
    atexit.register(room.withdraw)
    return room


class Room:
    """One process's view of who writes a lake; safe to use from many threads."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._own = f"{WRITERS}/{uuid.uuid4().hex}"
        self._lock = threading.Lock()
        self._inside = 0
        self._announced_at: float | None = None

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Waits while another process works alone; until the end none can begin to.

        Who may not write there, or cannot reach the storage, enters at once: nothing can be committed either.
        """
        if self._own in _entered.get() or not self._enter():
            yield
            return
        try:
            with self._nesting(), _repeated(self._announce):
                yield
        finally:
            self._leave()

    @contextlib.contextmanager
    def alone(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Waits until no other process writes, and holds back new ones until the end.

        ``on_wait`` is called once where it has to wait. Raises :class:`LakeUnavailable`.
        """
        notify = functools.cache(on_wait)
        with contextlib.ExitStack() as held:
            try:
                self._claim(notify)
                held.callback(self._give_up_claim)
                held.enter_context(_repeated(self._renew_claim))
                self._wait_for_writers(notify)
            except _ERRORS as error:
                reason = " ".join(str(error).split())[:300]
                raise LakeUnavailable(f"cannot hold back other writers of the lake: {reason}") from error
            held.enter_context(self._nesting())
            yield

    @contextlib.contextmanager
    def _nesting(self) -> Iterator[None]:
        """What this thread writes until the end is part of what it is inside for already."""
        _entered.set(_entered.get() | {self._own})
        try:
            yield
        finally:
            _entered.set(_entered.get() - {self._own})

    def withdraw(self) -> None:
        """Deletes the announcement of this process, unless it writes."""
        with self._lock, contextlib.suppress(*_ERRORS):
            if self._announced_at is not None and not self._inside:
                obstore.delete(self._store, self._own)
                self._announced_at = None

    # --- a writer

    def _enter(self) -> bool:
        """True once this process is inside; False where the storage refuses the announcement."""
        watch = _Watch()
        while True:
            with self._lock:
                try:
                    self._announce_if_old()
                except _ERRORS:
                    return False
                self._inside += 1
            try:
                changed_at = self._changed_at(ALONE)
            except _ERRORS:
                self._leave()
                return False
            if changed_at is None:
                return True
            self._leave()
            self.withdraw()
            if watch.is_dead(ALONE, changed_at):
                obstore.delete(self._store, ALONE)
            else:
                time.sleep(POLL_SECONDS)

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1

    def _announce_if_old(self) -> None:
        if self._announced_at is None or time.monotonic() - self._announced_at > RENEW_EVERY.total_seconds():
            self._announce()

    def _announce(self) -> None:
        obstore.put(self._store, self._own, b"")
        self._announced_at = time.monotonic()

    # --- one that works alone

    def _claim(self, on_wait: Callable[[], None]) -> None:
        watch = _Watch()
        while True:
            try:
                obstore.put(self._store, ALONE, self._own.encode(), mode="create")
            except AlreadyExistsError:
                on_wait()
                changed_at = self._changed_at(ALONE)
                if changed_at is not None and watch.is_dead(ALONE, changed_at):
                    obstore.delete(self._store, ALONE)
                else:
                    time.sleep(POLL_SECONDS)
            else:
                return

    def _renew_claim(self) -> None:
        obstore.put(self._store, ALONE, self._own.encode())

    def _give_up_claim(self) -> None:
        with contextlib.suppress(*_ERRORS):
            if self._content(ALONE) == self._own.encode():  # another may have taken it for a dead process's
                obstore.delete(self._store, ALONE)

    def _wait_for_writers(self, on_wait: Callable[[], None]) -> None:
        self.withdraw()
        watch = _Watch()
        while True:
            found = [meta for batch in obstore.list(self._store, prefix=WRITERS) for meta in batch]
            dead = [meta["path"] for meta in found if watch.is_dead(meta["path"], meta["last_modified"])]
            if len(dead) == len(found):
                for path in dead:
                    with contextlib.suppress(FileNotFoundError):
                        obstore.delete(self._store, path)
                return
            on_wait()
            time.sleep(POLL_SECONDS)

    # --- objects

    def _changed_at(self, path: str) -> datetime | None:
        try:
            return obstore.head(self._store, path)["last_modified"]
        except FileNotFoundError:
            return None

    def _content(self, path: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            return None


class _Watch:
    """Since when which object has been unchanged, by this process's monotonic clock."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[datetime, float]] = {}

    def is_dead(self, path: str, changed_at: datetime) -> bool:
        """True once ``path`` has been unchanged for a lease."""
        before, since = self._seen.get(path, (None, 0.0))
        if before != changed_at:
            self._seen[path] = (changed_at, time.monotonic())
            return False
        return time.monotonic() - since > LEASE.total_seconds()


@contextlib.contextmanager
def _repeated(action: Callable[[], None]) -> Iterator[None]:
    """Repeats ``action`` in a thread, so that others see that this process lives; a failed one is tried again."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(RENEW_EVERY.total_seconds()):
            with contextlib.suppress(*_ERRORS):
                action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
