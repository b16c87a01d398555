"""Bodies → candidates for silver, batch by batch: some are read while the caller commits the batch before."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import polars as pl

from patient_flow.transforms.accept import candidates, validate
from patient_flow.transforms.read import ParserConfig, read_events

ROWS_IN_SLICE = 15_000
"""Rows that a thread reads at once: while they are Python objects, statements take about a kilobyte each."""
READERS = 2
"""Threads that read. For two fifths of reading they hold the interpreter's lock (decoding, hashing)."""
SWITCH_SECONDS = 0.0005
"""Time after which a thread gives the lock to another. Polars takes it back after each of some hundred operations on a
slice: with the usual 5 ms most of the time would be spent waiting for a thread that hashes."""
USUAL_SECONDS = sys.getswitchinterval()
"""The same at other times."""


class HasRows(Protocol):
    """A batch of bronze rows."""

    @property
    def rows(self) -> pl.DataFrame:
        """Rows with the columns ``received.BODY_COLUMNS``."""


Batch = TypeVar("Batch", bound=HasRows)


def read(rows: pl.DataFrame, parser: ParserConfig) -> pl.DataFrame:
    """The candidates for silver among bronze ``rows``."""
    return pl.concat([candidates(some, parser.secret) for some in validated(rows, parser)])


def validated(rows: pl.DataFrame, parser: ParserConfig) -> Iterator[pl.DataFrame]:
    """Bronze ``rows`` as read and validated, some at once; at least one frame."""
    for some in _slices(rows):
        yield validate(read_events(some, parser))


def read_batches(batches: Iterable[Batch], parser: ParserConfig) -> Generator[tuple[Batch, pl.DataFrame], None, None]:
    """Each of ``batches`` with its candidates for silver, in order. Raises what reading raises.

    Threads read beside the caller, who commits: all but decoding and hashing is done without the interpreter's lock.
    Processes would need 300 MiB more.
    """
    threads = ThreadPoolExecutor(READERS, "reading")
    ahead: deque[tuple[Batch, list[Future[pl.DataFrame]]]] = deque()
    try:
        with _switching_often():
            for batch in batches:
                ahead.append((batch, [threads.submit(read, some, parser) for some in _slices(batch.rows)]))
                if len(ahead) > 1:
                    yield _finished(*ahead.popleft())
            while ahead:
                yield _finished(*ahead.popleft())
    finally:
        threads.shutdown(cancel_futures=True)


def _slices(rows: pl.DataFrame) -> Iterable[pl.DataFrame]:
    return rows.iter_slices(ROWS_IN_SLICE) if rows.height else [rows]


def _finished(batch: Batch, reading: list[Future[pl.DataFrame]]) -> tuple[Batch, pl.DataFrame]:
    return batch, pl.concat([slice_.result() for slice_ in reading])


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    sys.setswitchinterval(min(USUAL_SECONDS, SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(USUAL_SECONDS)
