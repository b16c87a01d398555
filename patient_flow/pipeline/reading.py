"""Bodies → candidates for silver, batch by batch: one is read while the caller commits the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import polars as pl

from patient_flow.transforms.accept import candidates, validate
from patient_flow.transforms.read import ParserConfig, read_events

ROWS_IN_SLICE = 25_000
"""Rows that are read at once: while they are Python objects, statements take about a kilobyte each."""


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
    for some in rows.iter_slices(ROWS_IN_SLICE) if rows.height else [rows]:
        yield validate(read_events(some, parser))


def read_batches(batches: Iterable[Batch], parser: ParserConfig) -> Generator[tuple[Batch, pl.DataFrame], None, None]:
    """Each of ``batches`` with its candidates for silver, in order. Raises what reading raises.

    Reading is Python, committing is not: a thread does the first beside the second on another core. Processes would
    need 300 MiB more for the same gain.
    """
    with ThreadPoolExecutor(1, "reading") as thread:
        ahead: deque[tuple[Batch, Future[pl.DataFrame]]] = deque()
        for batch in batches:
            ahead.append((batch, thread.submit(read, batch.rows, parser)))
            if len(ahead) > 1:
                yield _finished(*ahead.popleft())
        while ahead:
            yield _finished(*ahead.popleft())


def _finished(batch: Batch, reading: Future[pl.DataFrame]) -> tuple[Batch, pl.DataFrame]:
    return batch, reading.result()
