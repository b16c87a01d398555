"""``python -m patient_flow.orchestration.run_worker DESCRIPTOR``: executes the runs that a code server sends it.

The process imports everything, then waits. The main thread executes runs (Dagster interrupts them by signals, which
only the main thread receives); another thread reads the messages of the code server. When the code server is gone, the
worker ends as soon as its run is over.
"""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import signal
import sys
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

from patient_flow.orchestration.run_workers import READY, TERMINATE

MAX_RUNS = 100
MAX_MIB = 1024
"""Peak memory of a worker that may execute another run. Above it, the process ends and returns its memory."""

LOADED_LATE = ("azure.eventhub", "dagster._core.storage.event_log", "numpy", "sqlalchemy.dialects.sqlite")
"""Libraries that code of a run imports where it uses them."""


class Messages:
    """The messages of the code server, read as they come."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._runs: SimpleQueue[tuple[str, Any] | None] = SimpleQueue()
        self.termination: Any = None

    def read(self) -> None:
        """Reads until the code server is gone."""
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                self._runs.put(None)
                return
            if message != TERMINATE:
                self.termination = multiprocessing.get_context("spawn").Event()
                self._runs.put(message)
            elif self.termination is not None:
                self.termination.set()

    def next_run(self) -> tuple[str, Any] | None:
        """The next run; None when there will be none."""
        return self._runs.get()


def preload(module: str) -> None:
    """Loads the definitions and what a run of them imports on first use."""
    definitions = importlib.import_module(module).defs
    (definitions() if callable(definitions) else definitions).get_repository_def()
    for library in LOADED_LATE:
        importlib.import_module(library)


def execute(run: tuple[str, Any], termination: Any) -> bool:
    """Executes a run as the code server's own process would; True when it succeeded."""
    from dagster import DagsterEvent, DagsterEventType
    from dagster._grpc.impl import IPCErrorMessage, _run_in_subprocess
    from dagster._utils.interrupts import capture_interrupts

    serialized, job = run
    succeeded = False

    def note_event(event: DagsterEvent) -> None:
        nonlocal succeeded
        succeeded = succeeded or event.event_type is DagsterEventType.RUN_SUCCESS

    def note_status(status: object) -> None:
        if isinstance(status, IPCErrorMessage):
            raise SystemExit(status.message)

    with capture_interrupts():
        _run_in_subprocess(serialized, job, termination, note_status, note_event)
    return succeeded


def peak_mib() -> float:
    """The most memory that this process has had (MiB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main(descriptor: int) -> None:
    """Runs until the code server is gone, a run has not succeeded, or a limit is reached."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the code server; a run in progress handles it itself
    connection = Connection(descriptor)
    try:
        sys.path[:], module = connection.recv()
    except EOFError:
        return
    preload(module)
    messages = Messages(connection)
    Thread(target=messages.read, daemon=True).start()
    for number in range(1, MAX_RUNS + 1):
        run = messages.next_run()
        if run is None or not execute(run, messages.termination) or number == MAX_RUNS or peak_mib() > MAX_MIB:
            return
        connection.send(READY)


if __name__ == "__main__":
    main(int(sys.argv[1]))
