"""Work behind the page's back: one thing at a time, in a thread that never keeps the process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Runs what it is given, in order."""

    def __init__(self, name: str) -> None:
        self._waiting: queue.SimpleQueue[tuple[Callable[[], T], Future[T]] | None] = queue.SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """The future outcome of ``work``; cancelled when it has been closed."""
        outcome: Future[T] = Future()
        with self._lock:
            if self._is_closed:
                outcome.cancel()
                return outcome
            self._waiting.put((work, outcome))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return outcome

    def close(self, timeout: float) -> None:
        """Starts no more tasks, and waits ``timeout`` seconds for the running one."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            asked = self._waiting.get()
            if asked is None or self._is_closed:
                return
            work, outcome = asked
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001  (raised again by Future.result)
                outcome.set_exception(error)
