"""Bodies → candidates for silver, slice by slice: in this process, or in several where a machine has the cores.

Reading needs one body at a time and nothing else, so slices of many rows are read side by side. The other processes
(``reading_process``) get bronze rows and return silver rows, as Arrow through pipes; they open no table.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol, TypeVar

import polars as pl

from patient_flow.errors import TransientError
from patient_flow.pipeline import reading_process
from patient_flow.pipeline.reading_process import read, receive, send
from patient_flow.transforms.read import ParserConfig

ROWS_IN_SLICE = 25_000
"""Rows that are read at once: while they are Python objects, statements take about a kilobyte each."""
MIN_ROWS = 100_000
"""Fewer rows are read by this process before others have started."""
MAX_PROCESSES = 4
"""One process commits what the others read: with more of them it would be the slowest."""
_PIPE_BYTES = 1024 * 1024
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class HasRows(Protocol):
    """A batch of bronze rows."""

    @property
    def rows(self) -> pl.DataFrame:
        """Rows with the columns ``received.BODY_COLUMNS``."""


Batch = TypeVar("Batch", bound=HasRows)
_Submit = Callable[[pl.DataFrame], "Future[pl.DataFrame]"]


class ReaderDied(TransientError):
    """A process that reads bodies ended before it answered."""


def processes_for(rows: int) -> int:
    """How many processes read that many ``rows`` beside this one: one per core, or none."""
    cores = min(usable_cores(), MAX_PROCESSES)
    return cores if cores > 1 and rows >= MIN_ROWS else 0


def usable_cores() -> int:
    """Cores that this process may use: those that it is bound to, or fewer where its container has a quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such file, or "max"
        quota, period = map(int, _QUOTA.read_text().split())
        cores = min(cores, max(1, math.floor(quota / period)))
    return cores


def read_batches(
    batches: Iterable[Batch], parser: ParserConfig, *, waiting: int = 0, processes: int | None = None
) -> Generator[tuple[Batch, pl.DataFrame], None, None]:
    """Each of ``batches`` with its candidates for silver, in order.

    Where at least :data:`MIN_ROWS` rows are ``waiting``, or in the first batch, other ``processes`` read a batch while
    the caller commits the one before. Close the iterator to end them. Raises what reading raises, and
    :class:`ReaderDied`.
    """
    count = processes_for(waiting) if processes is None else processes
    rest = iter(batches)
    first = [] if count else list(islice(rest, 1))
    if processes is None and first:
        count = processes_for(first[0].rows.height)
    if not count:
        for batch in chain(first, rest):
            yield batch, pl.concat([read(rows, parser) for rows in _slices(batch.rows)])
        return
    with _started(parser, count) as submit:
        ahead: deque[tuple[Batch, list[Future[pl.DataFrame]]]] = deque()
        for batch in chain(first, rest):
            ahead.append((batch, [submit(rows) for rows in _slices(batch.rows)]))
            if len(ahead) > 1:
                yield _finished(*ahead.popleft())
        while ahead:
            yield _finished(*ahead.popleft())


def _slices(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return rows.iter_slices(ROWS_IN_SLICE) if rows.height else iter([rows])


def _finished(batch: Batch, parts: list[Future[pl.DataFrame]]) -> tuple[Batch, pl.DataFrame]:
    return batch, pl.concat([part.result() for part in parts])


@contextmanager
def _started(parser: ParserConfig, count: int) -> Iterator[_Submit]:
    """Starts ``count`` processes, and gives what lets the next idle one read some rows; ends them at once."""
    idle: SimpleQueue[_Reader] = SimpleQueue()

    def ask(rows: pl.DataFrame) -> pl.DataFrame:
        reader = idle.get()
        try:
            return reader.ask(rows)
        finally:
            idle.put(reader)

    with ExitStack() as running:
        readers = [_Reader(running) for _ in range(count)]
        threads = running.enter_context(ThreadPoolExecutor(count, "reading"))
        for reader in readers:
            running.callback(reader.kill)
            idle.put(reader)
        running.callback(threads.shutdown, wait=False, cancel_futures=True)
        for reader in readers:
            threads.submit(reader.prepare, parser)
        yield lambda rows: threads.submit(ask, rows)


class _Reader:
    """A process that reads bodies, as the one that started it sees it."""

    def __init__(self, running: ExitStack) -> None:
        self._process = subprocess.Popen(  # noqa: S603  (our own module)
            [sys.executable, "-m", reading_process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pipesize=_PIPE_BYTES,
        )
        running.callback(self._close)
        assert self._process.stdin is not None  # noqa: S101  (a pipe)
        assert self._process.stdout is not None  # noqa: S101  (a pipe)
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def prepare(self, parser: ParserConfig) -> None:
        """Sends what reading needs besides the bodies. The keys in it stand in no argument and no environment."""
        with suppress(OSError):  # whoever asks it will see that it died
            send(parser, self._requests)

    def ask(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The candidates among ``rows``."""
        try:
            send(rows, self._requests)
            answer: pl.DataFrame | BaseException = receive(self._answers)
        except (EOFError, OSError) as error:
            raise ReaderDied(
                f"A process that reads bodies ended with {self._process.wait()} before it had read its rows (-9 is "
                "how the system ends one when memory runs out). Nothing of them was committed"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def kill(self) -> None:
        """Ends the process: it has nothing that could be lost."""
        self._process.kill()
        self._process.wait()

    def _close(self) -> None:
        self.kill()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
