"""The rows of an examined file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from patient_flow.files import columnar, lines, messages, tables
from patient_flow.files.source import CSV, HL7, JSON_LINES, PARQUET, Source

_READERS: dict[str, Callable[[Source, int], Iterator[tuple[int, bytes]]]] = {
    CSV: tables.bodies,
    JSON_LINES: lines.bodies,
    HL7: messages.bodies,
    PARQUET: columnar.bodies,
}


def bodies(source: Source, after: int = 0) -> Iterator[tuple[int, bytes]]:
    """(row number from 1, body) of each row after number ``after``, in the order of the file."""
    reader = _READERS.get(source.format)
    if reader is not None:
        return reader(source, after)
    return islice(enumerate(lines.document(source), start=1), after, None)
