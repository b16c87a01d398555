"""Files of Event Hubs Capture: events of one partition as Avro, enqueued times in whole seconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import fastavro

from patient_flow.errors import OperatorError
from patient_flow.stores.hub import properties_as_json

_TIME = r"\d{4}[/_]\d{1,2}[/_]\d{1,2}[/_]\d{1,2}[/_]\d{1,2}[/_]\d{1,2}"
_PARTITION = (re.compile(rf"[/_](\d+)[/_]{_TIME}\.avro$"), re.compile(rf"[/_]{_TIME}[/_](\d+)\.avro$"))
"""Where a path names the partition: before its time, as Azure's default format does, or after it, as ours does."""
_FORMATS = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S")
_KEY = "x-opt-partition-key"
_DAMAGE = (EOFError, ValueError, IndexError, KeyError, TypeError, OSError, AssertionError, UnicodeDecodeError)


class CaptureRefused(OperatorError):
    """Files of Capture cannot be restored as they are; the message says what to do."""


class Captured(NamedTuple):
    """One event of a file."""

    sequence_number: int
    offset: str | None
    enqueued_at: datetime
    partition_key: str | None
    properties: str | None
    body: bytes


def partition_of(path: Path) -> str | None:
    """The partition that the path of a file names; None where it has neither of the known forms."""
    for pattern in _PARTITION:
        if found := pattern.search(path.as_posix()):
            return found[1]
    return None


def events(path: Path, cut_off: Callable[[Path], None]) -> Iterator[Captured]:
    """The events of a file. Where it ends within one, ``cut_off`` is called with its path, and the events end.

    Raises :class:`CaptureRefused` for a file that is none of Capture's.
    """
    with path.open("rb") as file:
        try:
            reader = iter(fastavro.reader(file))
        except _DAMAGE:
            cut_off(path)
            return
        while True:
            try:
                record = next(reader)
            except StopIteration:
                return
            except _DAMAGE:
                cut_off(path)
                return
            yield _captured(record, path)


def _captured(record: Any, path: Path) -> Captured:
    try:
        number, body = int(record["SequenceNumber"]), record["Body"]
        enqueued_at = _instant(record["EnqueuedTimeUtc"])
        system, properties = record.get("SystemProperties") or {}, record.get("Properties")
        offset = record.get("Offset")
    except (KeyError, TypeError, ValueError) as error:
        raise CaptureRefused(f"{path.name}: this is no file of Event Hubs Capture: its records lack {error}") from error
    key = system.get(_KEY)
    return Captured(
        number,
        None if offset is None else str(offset),
        enqueued_at,
        key.decode() if isinstance(key, bytes) else None if key is None else str(key),
        properties_as_json(properties),
        bytes(body or b""),
    )


def _instant(text: str) -> datetime:
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    stated = datetime.fromisoformat(text)
    return stated if stated.tzinfo else stated.replace(tzinfo=UTC)
