"""Who may write a folder lake: many writers beside one another, or one alone.

Two lock files beside bronze's tables, which the operating system releases when a process dies. A writer passes the gate
and then shares the room; whoever wants to be alone closes the gate, so that no new writer enters, and waits until the
room is empty. Outside POSIX there is no such lock; remote storage has another form (``remote_exclusion``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]

_HAS_LOCKS = fcntl is not None
GATE, ROOM = "_writers.gate", "_writers.lock"
_entered: ContextVar[frozenset[Path]] = ContextVar("_entered", default=frozenset())
"""Folders whose room this thread, or the one that gave it its context, is in. A step of theirs is already inside."""


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Waits while another process works alone on the lake in ``folder``; until the end none can begin to.

    Who may not write there, or has no room left to, enters without a lock: nothing can be committed either.
    """
    with contextlib.ExitStack() as held:
        if _HAS_LOCKS and folder not in _entered.get():
            with contextlib.suppress(OSError):
                gate, room = held.enter_context(_opened(folder))
                fcntl.flock(gate, fcntl.LOCK_SH)
                fcntl.flock(room, fcntl.LOCK_SH)
                fcntl.flock(gate, fcntl.LOCK_UN)
                held.enter_context(_inside(folder))
        yield


@contextlib.contextmanager
def alone(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Waits until no other process writes the lake in ``folder``, and holds back new ones until the end.

    ``on_wait`` is called once where it has to wait.
    """
    if not _HAS_LOCKS:
        yield
        return
    with _opened(folder) as (gate, room):
        for lock in (gate, room):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
        with _inside(folder):
            yield


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Waits until nobody else has this lock, and keeps it until the end. Outside POSIX it does neither."""
    number = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if _HAS_LOCKS:
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    _entered.set(_entered.get() | {folder})
    try:
        yield
    finally:
        _entered.set(_entered.get() - {folder})


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[tuple[int, int]]:
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as files:
        numbers = []
        for name in (GATE, ROOM):
            number = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o666)
            files.callback(os.close, number)
            numbers.append(number)
        yield numbers[0], numbers[1]
