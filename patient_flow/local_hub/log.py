"""One partition on disk: an append-only log of events in segment files.

An event is opaque bytes here, made by a :class:`Draft` once its coordinates are known. Its offset is its position in
the concatenation of all segments ever written: offsets are never reused and never decrease.

Writing has three steps, so that the slow one can run on another thread: ``prepare`` (coordinates), ``write`` (disk,
the only step that may run elsewhere) and ``publish`` (visible to readers). The steps of two records must not overlap.

Not here: the format of the files (``segments``), asyncio, networks, AMQP.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

from patient_flow.local_hub.errors import CorruptLogError
from patient_flow.local_hub.segments import (
    CRC_BYTES,
    NO_TIME,
    RECORD,
    Coordinate,
    LastEvent,
    Segment,
    abandon,
    create_segment,
    finish_replacing,
    next_record,
    read_records,
    read_segment,
    record_heads,
    recover,
    replace_event,
    seek_in_segment,
    segment_path,
    split_events,
    write_all,
)

SEGMENT_BYTES = 16 << 20

_ACKNOWLEDGED = struct.Struct(">qqqqI")  # of the last record on disk: sequence, offset, time, end offset; crc
_ACKNOWLEDGED_FILE = "acknowledged"

_logger = logging.getLogger(__name__)
_flush: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class Draft(Protocol):
    """Encodes the stored bytes of an event once its coordinates are known."""

    def __call__(self, sequence: int, offset: int, enqueued_at: int) -> bytes:
        """The event's bytes; ``enqueued_at`` is in milliseconds since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Record:
    """A group of events ready to be written, and the last event of the log afterwards."""

    data: bytes
    last: LastEvent


class ReadPosition(NamedTuple):
    """Position of a reader: the start of a record, ``offset`` bytes into the file of a segment."""

    segment: Segment
    offset: int


class PartitionLog:
    """The events of one partition, oldest retained to newest. Use from one thread, ``write`` excepted."""

    def __init__(
        self, folder: Path, segments: list[Segment], segment_bytes: int, clock: Callable[[], int], last: LastEvent
    ) -> None:
        self._folder = folder
        self._segments = segments
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._last = last
        self._file = FileIO(self._active.path, "r+")
        self._has_partial_record = False
        self._acknowledged = os.open(folder / _ACKNOWLEDGED_FILE, os.O_RDWR | os.O_CREAT)

    @classmethod
    def create(cls, folder: Path) -> None:
        """Create an empty log in ``folder``; an existing log is not changed."""
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.glob("*.log")):
            create_segment(folder, 0, LastEvent(-1, -1, NO_TIME))

    @classmethod
    def open(
        cls, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, clock: Callable[[], int] | None = None
    ) -> PartitionLog:
        """Open the log in ``folder`` and truncate a torn last record.

        Where acknowledged events at the end are lost, they are named in the log of the process, and their numbers and
        offsets are not used again. ``clock`` gives milliseconds since 1970-01-01 UTC. Raises :class:`CorruptLogError`
        for a segment that is missing, shortened or has a damaged header.
        """
        finish_replacing(folder)
        segments = [read_segment(path) for path in sorted(folder.glob("*.log"))]
        if not segments:
            raise CorruptLogError(f"{folder} contains no log file: restore the files, or move the hub's folder away")
        for segment, following in pairwise(segments):
            segment.size = segment.path.stat().st_size
            if segment.end_offset != following.base_offset:
                raise segment.corrupt(segment.size)
        acknowledged, end_offset = _read_acknowledged(folder)
        last = recover(segments[-1], acknowledged.sequence)
        if acknowledged.sequence > last.sequence:
            path, size = segments[-1].path, segments[-1].size
            abandon(segments[-1], end_offset)
            segments.append(create_segment(folder, segments[-1].end_offset, acknowledged))
            _logger.error(
                "%s is damaged at byte %d: the acknowledged events %d to %d are lost; send them again",
                *(path, size, last.sequence + 1, acknowledged.sequence),
            )
            last = acknowledged
        return cls(folder, segments, segment_bytes, clock or _wall_clock, last)

    @property
    def begin_sequence(self) -> int:
        """Sequence number of the oldest retained event; one above the newest when nothing is retained."""
        return self._segments[0].first_sequence

    @property
    def next_sequence(self) -> int:
        """Sequence number of the next event to be published."""
        return self._last.sequence + 1

    @property
    def last(self) -> LastEvent:
        """Coordinates of the newest event ever published."""
        return self._last

    @property
    def is_empty(self) -> bool:
        """True when no event is retained."""
        return self.begin_sequence == self.next_sequence

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self._segments)

    @property
    def _active(self) -> Segment:
        return self._segments[-1]

    # --- writing

    def prepare(self, drafts: Sequence[Draft]) -> Record:
        """Assign coordinates to the events and encode them as one record, which is stored atomically."""
        enqueued_at = max(self._last.enqueued_at, self._clock())
        lengths_size = 4 * len(drafts)
        offset = last_offset = self._active.end_offset + RECORD.size + lengths_size
        events: list[bytes] = []
        for sequence, draft in enumerate(drafts, self.next_sequence):
            event = draft(sequence, offset, enqueued_at)
            events.append(event)
            last_offset, offset = offset, offset + len(event)
        body = struct.pack(f">{len(events)}I", *map(len, events)) + b"".join(events)
        head = RECORD.pack(len(body), zlib.crc32(body), self.next_sequence, enqueued_at, len(events), 0)[:-CRC_BYTES]
        data = head + struct.pack(">I", zlib.crc32(head)) + body
        return Record(data, LastEvent(self._last.sequence + len(events), last_offset, enqueued_at))

    def write(self, record: Record) -> None:
        """Write a record and flush it to disk. May run on another thread.

        Raises ``OSError`` when writing fails; the log is then unchanged.
        """
        try:
            if self._has_partial_record:
                self._file.truncate(self._active.size)
            self._has_partial_record = True
            self._file.seek(self._active.size)
            write_all(self._file, record.data)
            _flush(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # else the next write truncates the file, or a restart does
                self._file.truncate(self._active.size)
                self._has_partial_record = False
            raise
        self._has_partial_record = False
        end_offset = self._active.end_offset + len(record.data)
        data = _ACKNOWLEDGED.pack(*record.last, end_offset, 0)[:-CRC_BYTES]
        with contextlib.suppress(OSError):  # a restart then knows less about damage
            os.pwrite(self._acknowledged, data + struct.pack(">I", zlib.crc32(data)), 0)

    def publish(self, record: Record) -> None:
        """Make a written record visible to readers."""
        if self._active.is_empty:
            self._active.since = record.last.enqueued_at
        self._active.size += len(record.data)
        self._last = record.last
        if self._active.size >= self._segment_bytes:
            with contextlib.suppress(OSError):  # the record is stored; the next one retries
                self._roll()

    def expire(self, before: int, max_bytes: int | None = None) -> None:
        """Delete whole segments whose newest event is older than ``before`` (ms), and the oldest above ``max_bytes``.

        The active segment is closed once its oldest event has expired. Events are therefore retained for at least the
        retention time, and for at most twice as long.
        """
        if not self._active.is_empty and self._active.since < before:
            self._roll()
        while len(self._segments) > 1 and (
            self._segments[1].before.enqueued_at < before or (max_bytes is not None and self.size > max_bytes)
        ):
            self._segments[0].path.unlink(missing_ok=True)
            del self._segments[0]

    def replace(self, sequences: Iterable[int], change: Callable[[bytes], bytes]) -> int:
        """Overwrite retained events by what ``change`` makes of them, of the same length; returns how many.

        Coordinates stay. Events in damaged records are left: they cannot be read either.
        """
        replaced = 0
        for sequence in sorted(sequences):
            if not self.begin_sequence <= sequence < self.next_sequence:
                continue
            start = self._locate(sequence)
            if start is None:
                continue
            with contextlib.suppress(CorruptLogError):
                head, body = next(read_records(start.segment, start.offset))
                number = sequence - head.first_sequence
                if number >= 0:
                    event = split_events(start.segment, head, body)[number]
                    replace_event(start.segment, head, number, change(event))
                    replaced += 1
        return replaced

    def close(self) -> None:
        """Close the active file; everything published is on disk already."""
        self._file.close()
        os.close(self._acknowledged)

    def _roll(self) -> None:
        path = segment_path(self._folder, self._last)
        try:
            segment = create_segment(self._folder, self._active.end_offset, self._last)
            file = FileIO(path, "r+")
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._file.close()
        self._file = file
        self._segments.append(segment)

    # --- reading

    def seek(self, by: Coordinate, after: int) -> int:
        """Sequence number of the first retained event whose ``by`` is greater than ``after``.

        Without such an event: :attr:`next_sequence` (or beyond, for a sequence number).
        """
        if by == "sequence":
            return max(self.begin_sequence, after + 1)
        ends = [*(s.before for s in self._segments[1:]), self._last]
        for segment, end in zip(self._segments, ends, strict=True):
            if (end.offset if by == "offset" else end.enqueued_at) > after and not segment.is_empty:
                found = seek_in_segment(segment, by, after)
                if found is not None:
                    return found
        return self.next_sequence

    def read(self, sequence: int, start: ReadPosition | None = None) -> tuple[int, list[bytes], ReadPosition | None]:
        """Some events from ``sequence`` on (none at the end): the number of the first, the events, the position after.

        Pass that position with the next sequence number; without a position the log searches. ``sequence`` must be
        retained or the next one. Damaged records are named in the log of the process and passed over.
        """
        while sequence < self.next_sequence:
            if start is None or start.offset >= start.segment.size:
                start = self._locate(sequence)
                if start is None:
                    return self.next_sequence, [], None
            try:
                return self._read_at(sequence, start)
            except CorruptLogError as damage:
                position = next_record(start.segment, start.offset, start.segment.size)
                if start.offset not in start.segment.damaged:
                    start.segment.damaged.add(start.offset)
                    _logger.warning("%s; the events up to byte %d are lost", damage, position)
                start = ReadPosition(start.segment, position)
                if position == start.segment.size:
                    sequence, start = self._after(start.segment)
        return sequence, [], start

    def _read_at(self, sequence: int, start: ReadPosition) -> tuple[int, list[bytes], ReadPosition]:
        events: list[bytes] = []
        offset = start.offset
        for head, body in read_records(start.segment, start.offset):
            if head.first_sequence > sequence + len(events):  # damaged records between
                if events:
                    break
                sequence = head.first_sequence
            events += split_events(start.segment, head, body)[max(0, sequence - head.first_sequence) :]
            offset = head.end
        return sequence, events, ReadPosition(start.segment, offset)

    def _locate(self, sequence: int) -> ReadPosition | None:
        """The first record with an event numbered ``sequence`` or higher."""
        index = bisect_right(self._segments, sequence, key=lambda segment: segment.first_sequence) - 1
        for segment in self._segments[index:]:
            for head in record_heads(segment):
                if sequence < head.first_sequence + head.count:
                    return ReadPosition(segment, head.position)
        return None

    def _after(self, segment: Segment) -> tuple[int, None]:
        """The number of the first event after ``segment``."""
        index = self._segments.index(segment) + 1
        return (self._segments[index].first_sequence if index < len(self._segments) else self.next_sequence), None


class Cursor:
    """Reads a log from a sequence number on. If retention overtakes it, it continues at the oldest event."""

    def __init__(self, log: PartitionLog, sequence: int) -> None:
        self._log = log
        self._sequence = sequence
        self._position: ReadPosition | None = None

    def read(self) -> list[bytes]:
        """The next events, a few hundred kilobytes or one record at a time; empty at the end."""
        if self._sequence < self._log.begin_sequence:
            self._sequence, self._position = self._log.begin_sequence, None
        self._sequence, events, self._position = self._log.read(self._sequence, self._position)
        self._sequence += len(events)
        return events


def _read_acknowledged(folder: Path) -> tuple[LastEvent, int]:
    """The last event that was acknowledged, and the offset after its record, as far as the folder states it."""
    with contextlib.suppress(OSError):
        data = (folder / _ACKNOWLEDGED_FILE).read_bytes()
        if len(data) == _ACKNOWLEDGED.size:
            sequence, offset, enqueued_at, end_offset, crc = _ACKNOWLEDGED.unpack(data)
            if crc == zlib.crc32(data[:-CRC_BYTES]):
                return LastEvent(sequence, offset, enqueued_at), end_offset
    return LastEvent(-1, -1, NO_TIME), 0


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000
