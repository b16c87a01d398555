"""Run workers: processes of a code server that have imported everything before a run needs them.

Dagster's code server starts a new Python process for each run, which imports for seconds before its first step. Here a
worker executes one run after another instead. It is still a process of its own: a crash fails its run, never the code
server. After a run that did not succeed, used much memory or was the hundredth, the worker ends and the next run gets a
new process. While no worker is idle (two jobs at once, the first run), a new one is started for the run.

A run is accepted at once. Dagster's own code server answers only when the new process has imported everything, and on
a machine with too little processor its clients gave up after 60 seconds.

The code server asks its multiprocessing context for a queue, an event and a process; :class:`RunWorkers` is such a
context. :func:`install` gives it to the code server that imports the definitions. Everything else (health, termination,
crashed runs, logs) stays Dagster's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from typing import Any

TERMINATE, READY = "terminate", "ready"
"""Messages to a worker (besides runs) and from it, after a run that it may follow with another."""


class Worker:
    """One worker process and the connection to it."""

    def __init__(self, module: str) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603  (our own module)
                [
                    *(sys.executable, *subprocess._args_from_interpreter_flags()),  # type: ignore[attr-defined]
                    *("-m", "patient_flow.orchestration.run_worker", str(theirs.fileno())),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.send((sys.path, module))

    def send(self, message: object) -> None:
        """Hands over a run, or asks the running one to end. A worker that has ended gets nothing."""
        try:
            self._connection.send(message)
        except OSError:
            self._connection.close()

    def is_ready(self) -> bool:
        """True when the worker has announced that its run is over and it can execute another."""
        try:
            return self._connection.poll() and self._connection.recv() == READY
        except (EOFError, OSError):
            return False

    def has_ended(self) -> bool:
        """True once the process is gone."""
        return self.process.poll() is not None

    def dismiss(self) -> None:
        """The worker ends when its run, if any, is over."""
        self._connection.close()


class RunWorkers:
    """The code server's multiprocessing context. The methods with capitals are those that it calls."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._workers: list[Worker] = []
        self._idle: Worker | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Starts a worker unless there is one, so that the next run finds everything imported."""
        with self._lock:
            self._workers = [worker for worker in self._workers if not worker.has_ended()]
            if not self._workers:
                self._idle = self._new()

    def take(self) -> Worker:
        """The idle worker, or a new one."""
        with self._lock:
            worker, self._idle = self._idle, None
            return self._new() if worker is None or worker.has_ended() else worker

    def give_back(self, worker: Worker) -> None:
        """Keeps a worker for the next run; a second one is not needed."""
        with self._lock:
            if self._idle is None or self._idle.has_ended():
                self._idle = worker
            else:
                worker.dismiss()

    def _new(self) -> Worker:
        worker = Worker(self._module)
        self._workers.append(worker)
        return worker

    def Queue(self) -> _Statuses:  # noqa: N802
        """Status messages of a run."""
        return _Statuses()

    def Event(self) -> _Termination:  # noqa: N802
        """The request to end a run."""
        return _Termination()

    def Process(self, target: Callable[..., None], args: Sequence[Any]) -> _RunProcess:  # noqa: N802, ARG002
        """The process of a run; the worker knows Dagster's ``target``."""
        serialized, job, _, termination = args
        return _RunProcess(self, (serialized, job), termination)


class _Statuses:
    """What ``StartRun`` polls: the run is accepted as soon as its worker has it."""

    def get_nowait(self) -> Any:
        from dagster._grpc.impl import StartRunInSubprocessSuccessful

        return StartRunInSubprocessSuccessful()


class _Termination:
    """Set when the run is asked to end."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        if self.worker is not None:
            self.worker.send(TERMINATE)

    def is_set(self) -> bool:
        return self._is_set


class _RunProcess:
    """One run as the code server sees it: alive until the run is over, whatever its worker does next."""

    def __init__(self, workers: RunWorkers, run: tuple[str, Any], termination: _Termination) -> None:
        self._workers = workers
        self._run = run
        self._termination = termination
        self._worker: Worker | None = None
        self._is_over = False

    def start(self) -> None:
        self._worker = self._termination.worker = self._workers.take()
        self._worker.send(self._run)

    def is_alive(self) -> bool:
        if self._is_over or self._worker is None:
            return False
        if self._worker.is_ready():
            self._is_over, self._termination.worker = True, None
            self._workers.give_back(self._worker)
        elif self._worker.has_ended():
            self._is_over = True
        return not self._is_over

    @property
    def exitcode(self) -> int | None:
        return self._worker.process.returncode if self._worker is not None and self._worker.has_ended() else 0


_installed: list[RunWorkers] = []


def install(module: str) -> None:
    """Gives the code server that imports ``module``, the definitions, its run workers.

    Does nothing in other processes (commands, runs, tests) and on Windows.
    """
    if sys.argv[1:3] != ["api", "grpc"] or os.name != "posix":
        return
    from dagster._grpc.server import DagsterApiServer

    workers = RunWorkers(module)
    _installed[:] = [workers]
    # A property of the class takes precedence over the context that the server has already given itself.
    DagsterApiServer._mp_ctx = property(lambda _: workers, lambda _, __: None)  # type: ignore[assignment]


def prepare() -> None:
    """Keeps a worker ready, if this process is a code server."""
    for workers in _installed:
        workers.prepare()
