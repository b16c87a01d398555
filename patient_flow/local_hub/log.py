"""One partition on disk: an append-only log of events in segment files.

A segment file is a header and then records. A record is one group of events that were written and flushed together,
so an interrupted write can only ever leave a torn *last* record, which :meth:`PartitionLog.open` cuts off; anything
else that does not add up is damage and raises :class:`CorruptLogError`. A segment's header repeats where the one
before it ended: reading the headers alone tells every segment's range of sequence numbers, offsets and times, so
opening a log costs one small read per closed segment and a scan of the last one, and no index is kept in memory.

An event is opaque bytes here, made by a :class:`Draft` once its coordinates are known. Its offset is its position in
the concatenation of all segments ever written: it never repeats and never falls.

Writing is three steps, so that the slow one can run on another thread: ``prepare`` (coordinates), ``write`` (disk,
the only step that may run elsewhere) and ``publish`` (readers see it). The steps of two records must not overlap.

Not here: asyncio, networks, AMQP.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Protocol

from patient_flow.local_hub.errors import CorruptLogError

SEGMENT_BYTES = 16 << 20
READ_BYTES = 256 << 10
NEVER = 0

_MAGIC = b"PFLOG001"
_SEGMENT = struct.Struct(
    ">8sqqqqI"
)  # magic, first sequence, base offset; offset and time of the last event before; crc
_RECORD = struct.Struct(">IIqqII")  # length and crc of the body, first sequence, time, number of events; crc of these
_CRC_BYTES = 4

_flush: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)

Coordinate = Literal["sequence", "offset", "time"]


class Draft(Protocol):
    """Makes the stored bytes of an event, once it is known where the event will be."""

    def __call__(self, sequence: int, offset: int, enqueued_at: int) -> bytes:
        """The event's bytes; ``enqueued_at`` is in milliseconds since 1970-01-01 UTC."""


class Last(NamedTuple):
    """Coordinates of the newest event ever written, kept after it has expired; (-1, -1, 0) before the first one."""

    sequence: int
    offset: int
    enqueued_at: int


@dataclass(frozen=True, slots=True)
class Record:
    """A group of events ready to be written, and what the log's end will be afterwards."""

    data: bytes
    last: Last


@dataclass(slots=True)
class Segment:
    """One file of the log: where it starts, what came before it, and how many of its bytes are published.

    ``since`` is the time of its first event; it is known of the last segment only.
    """

    path: Path
    base_offset: int
    before: Last
    size: int = _SEGMENT.size
    since: int = NEVER

    @property
    def first_sequence(self) -> int:
        """Sequence number of the segment's first event, there or yet to come."""
        return self.before.sequence + 1

    @property
    def is_empty(self) -> bool:
        """True when no event is published in it."""
        return self.size == _SEGMENT.size

    @property
    def end_offset(self) -> int:
        """Offset at which the next segment starts, above that of every event in this one."""
        return self.base_offset + self.size

    def corrupt(self, position: int) -> CorruptLogError:
        """The error for damage at ``position`` of this file."""
        return CorruptLogError(
            f"{self.path} is damaged at byte {position}: restore it from a copy, "
            "or move the hub's folder away to start an empty hub"
        )


class Place(NamedTuple):
    """Where a reader is: the start of a record."""

    segment: Segment
    position: int


@dataclass(frozen=True, slots=True)
class _RecordHead:
    position: int
    body_length: int
    body_crc: int
    first_sequence: int
    enqueued_at: int
    count: int

    @property
    def end(self) -> int:
        return self.position + _RECORD.size + self.body_length


class PartitionLog:
    """The events of one partition, oldest retained to newest. Use from one thread, ``write`` excepted."""

    def __init__(
        self, folder: Path, segments: list[Segment], segment_bytes: int, clock: Callable[[], int], last: Last
    ) -> None:
        self._folder = folder
        self._segments = segments
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._last = last
        self._file = FileIO(self._active.path, "r+")
        self._has_leftovers = False

    @classmethod
    def create(cls, folder: Path) -> None:
        """Make an empty log in ``folder``; a log that is already there stays as it is."""
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.glob("*.log")):
            _create_segment(folder, 0, Last(-1, -1, NEVER))

    @classmethod
    def open(
        cls, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, clock: Callable[[], int] | None = None
    ) -> PartitionLog:
        """Open the log in ``folder`` and cut off a torn last record.

        ``clock`` gives milliseconds since 1970-01-01 UTC. Raises :class:`CorruptLogError` for damage.
        """
        segments = [_read_segment(path) for path in sorted(folder.glob("*.log"))]
        if not segments:
            raise CorruptLogError(f"{folder} has lost its log files: restore them, or move the hub's folder away")
        for segment, following in pairwise(segments):
            segment.size = segment.path.stat().st_size
            if segment.end_offset != following.base_offset:
                raise segment.corrupt(segment.size)
        last = _recover(segments[-1])
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
    def last(self) -> Last:
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
        """Give the events their coordinates and make one record of them: all of it gets stored, or nothing."""
        enqueued_at = max(self._last.enqueued_at, self._clock())
        lengths_size = 4 * len(drafts)
        offset = last_offset = self._active.end_offset + _RECORD.size + lengths_size
        events: list[bytes] = []
        for sequence, draft in enumerate(drafts, self.next_sequence):
            event = draft(sequence, offset, enqueued_at)
            events.append(event)
            last_offset, offset = offset, offset + len(event)
        body = struct.pack(f">{len(events)}I", *map(len, events)) + b"".join(events)
        head = _RECORD.pack(len(body), zlib.crc32(body), self.next_sequence, enqueued_at, len(events), 0)[:-_CRC_BYTES]
        data = head + struct.pack(">I", zlib.crc32(head)) + body
        return Record(data, Last(self._last.sequence + len(events), last_offset, enqueued_at))

    def write(self, record: Record) -> None:
        """Put a record on disk and wait until it is safe there. May run on another thread.

        Raises ``OSError`` when the disk refuses; the log then is as it was before.
        """
        try:
            if self._has_leftovers:
                self._file.truncate(self._active.size)
            self._has_leftovers = True
            self._file.seek(self._active.size)
            _write_all(self._file, record.data)
            _flush(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # else the next write tries again, and a restart cuts the tail off
                self._file.truncate(self._active.size)
                self._has_leftovers = False
            raise
        self._has_leftovers = False

    def publish(self, record: Record) -> None:
        """Let readers see a record that has been written."""
        if self._active.is_empty:
            self._active.since = record.last.enqueued_at
        self._active.size += len(record.data)
        self._last = record.last
        if self._active.size >= self._segment_bytes:
            with contextlib.suppress(OSError):  # the record is stored all the same; the next one tries again
                self._roll()

    def expire(self, before: int, max_bytes: int | None = None) -> None:
        """Drop whole segments whose newest event is older than ``before`` (ms), and the oldest above ``max_bytes``.

        The segment in use is closed once its oldest event has expired. So events stay for at least the retention
        time, and for at most twice as long.
        """
        if not self._active.is_empty and self._active.since < before:
            self._roll()
        while len(self._segments) > 1 and (
            self._segments[1].before.enqueued_at < before or (max_bytes is not None and self.size > max_bytes)
        ):
            self._segments[0].path.unlink(missing_ok=True)
            del self._segments[0]

    def close(self) -> None:
        """Close the file in use; everything published is on disk already."""
        self._file.close()

    def _roll(self) -> None:
        path = _segment_path(self._folder, self._last)
        try:
            segment = _create_segment(self._folder, self._active.end_offset, self._last)
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

        It is :attr:`next_sequence` (or beyond, for a sequence number) when there is none yet.
        """
        if by == "sequence":
            return max(self.begin_sequence, after + 1)
        ends = [*(s.before for s in self._segments[1:]), self._last]
        for segment, end in zip(self._segments, ends, strict=True):
            if (end.offset if by == "offset" else end.enqueued_at) > after and not segment.is_empty:
                return _seek_in_segment(segment, by, after)
        return self.next_sequence

    def read(self, sequence: int, place: Place | None = None) -> tuple[list[bytes], Place | None]:
        """Some of the events from ``sequence`` on (none at the end), and the place to go on reading at.

        Give back the place with the sequence number after the last event; without one the log searches.
        ``sequence`` must be retained or the next one. Raises :class:`CorruptLogError` for damage.
        """
        if sequence >= self.next_sequence:
            return [], place
        if place is None or place.position == place.segment.size:
            place = self._locate(sequence)
        events: list[bytes] = []
        position = place.position
        for head, body in _read_records(place.segment, place.position):
            events += _split(place.segment, head, body)[max(0, sequence - head.first_sequence) :]
            position = head.end
        return events, Place(place.segment, position)

    def _locate(self, sequence: int) -> Place:
        index = bisect_right(self._segments, sequence, key=lambda segment: segment.first_sequence) - 1
        segment = self._segments[index]
        for head in _heads(segment):
            if sequence < head.first_sequence + head.count:
                return Place(segment, head.position)
        raise segment.corrupt(segment.size)


class Cursor:
    """Reads a log from a sequence number on. Retention may overtake it: it then goes on at the oldest event."""

    def __init__(self, log: PartitionLog, sequence: int) -> None:
        self._log = log
        self._sequence = sequence
        self._place: Place | None = None

    def read(self) -> list[bytes]:
        """The next events, a few hundred kilobytes or one record at a time; empty when there are none yet."""
        if self._sequence < self._log.begin_sequence:
            self._sequence, self._place = self._log.begin_sequence, None
        events, self._place = self._log.read(self._sequence, self._place)
        self._sequence += len(events)
        return events


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000


def _segment_path(folder: Path, before: Last) -> Path:
    """Segments are named by their first sequence number, so that names sort like events."""
    return folder / f"{before.sequence + 1:020d}.log"


def _create_segment(folder: Path, base_offset: int, before: Last) -> Segment:
    """Make the file of a new segment, complete or not at all."""
    path = _segment_path(folder, before)
    head = _SEGMENT.pack(_MAGIC, before.sequence + 1, base_offset, before.offset, before.enqueued_at, 0)[:-_CRC_BYTES]
    replace_file(path, head + struct.pack(">I", zlib.crc32(head)))
    return Segment(path, base_offset, before)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file so that a crash leaves the old one or the new one."""
    draft = path.with_suffix(".new")
    with FileIO(draft, "w") as file:
        _write_all(file, content)
        os.fsync(file.fileno())
    draft.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened, and need not be flushed
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _read_segment(path: Path) -> Segment:
    with path.open("rb") as file:
        data = file.read(_SEGMENT.size)
    if len(data) == _SEGMENT.size and data.startswith(_MAGIC):
        _, first_sequence, base_offset, last_offset, enqueued_at, crc = _SEGMENT.unpack(data)
        if crc == zlib.crc32(data[:-_CRC_BYTES]):
            return Segment(path, base_offset, Last(first_sequence - 1, last_offset, enqueued_at))
    raise Segment(path, 0, Last(-1, -1, NEVER)).corrupt(0)


def _recover(segment: Segment) -> Last:
    """Check every record of the last segment, cut off a torn one, and set the segment's size. Returns its end."""
    last = segment.before
    with segment.path.open("r+b") as file:
        file_size = os.fstat(file.fileno()).st_size
        while segment.size < file_size:
            head = _read_head(file, segment.size)
            body = file.read(head.body_length) if head else b""
            if head is None or head.end > file_size or zlib.crc32(body) != head.body_crc:
                if not _is_torn(file, segment.size, head, file_size):
                    raise segment.corrupt(segment.size)
                file.truncate(segment.size)
                os.fsync(file.fileno())
                break
            events = _split(segment, head, body)
            last_offset = segment.base_offset + head.end - len(events[-1])
            last = Last(head.first_sequence + head.count - 1, last_offset, head.enqueued_at)
            segment.since = segment.since or head.enqueued_at
            segment.size = head.end
    return last


def _is_torn(file: BinaryIO, position: int, head: _RecordHead | None, file_size: int) -> bool:
    """True when an interrupted write explains the bad record: it is the last one, or was never more than zeros."""
    if head is not None:
        return head.end >= file_size
    if file_size - position < _RECORD.size:
        return True
    file.seek(position)
    return not any(chunk.strip(b"\0") for chunk in iter(lambda: file.read(READ_BYTES), b""))


def _read_head(file: BinaryIO, position: int) -> _RecordHead | None:
    """The record head at ``position``, or None when it is cut off or damaged. Leaves the file at the record's body."""
    file.seek(position)
    return _parse_head(file.read(_RECORD.size), position)


def _parse_head(data: bytes, position: int) -> _RecordHead | None:
    if len(data) < _RECORD.size:
        return None
    length, body_crc, first_sequence, enqueued_at, count, crc = _RECORD.unpack(data)
    if crc != zlib.crc32(data[:-_CRC_BYTES]):
        return None
    return _RecordHead(position, length, body_crc, first_sequence, enqueued_at, count)


def _heads(segment: Segment) -> Iterator[_RecordHead]:
    """The heads of all published records; their bodies are skipped, not read."""
    position = _SEGMENT.size
    with segment.path.open("rb") as file:
        while position < segment.size:
            head = _read_head(file, position)
            if head is None or head.end > segment.size:
                raise segment.corrupt(position)
            yield head
            position = head.end


def _read_records(segment: Segment, position: int) -> Iterator[tuple[_RecordHead, bytes]]:
    """The published records from ``position`` on, as many as one read brings, at least one."""
    with segment.path.open("rb") as file:
        file.seek(position)
        data = file.read(min(READ_BYTES, segment.size - position))
        head = _parse_head(data[: _RECORD.size], position)
        if head is None or head.end > segment.size:
            raise segment.corrupt(position)
        data += file.read(max(0, head.end - position - len(data)))
    while head is not None and head.end <= position + len(data):
        start, end = head.position - position, head.end - position
        body = data[start + _RECORD.size : end]
        if zlib.crc32(body) != head.body_crc:
            if start:  # first hand out what is sound
                return
            raise segment.corrupt(position)
        yield head, body
        head = _parse_head(data[end : end + _RECORD.size], head.end)


def _split(segment: Segment, head: _RecordHead, body: bytes) -> list[bytes]:
    """The events of a record's body."""
    lengths_size = 4 * head.count
    if head.count == 0 or lengths_size > len(body):
        raise segment.corrupt(head.position)
    events: list[bytes] = []
    start = lengths_size
    for length in struct.unpack_from(f">{head.count}I", body):
        events.append(body[start : start + length])
        start += length
    return events


def _seek_in_segment(segment: Segment, by: Coordinate, after: int) -> int:
    """Sequence number of the segment's first event beyond ``after``; the caller knows that there is one."""
    for head in _heads(segment):
        if by == "time" and head.enqueued_at > after:
            return head.first_sequence
        if by == "offset" and segment.base_offset + head.end > after:
            _, body = next(_read_records(segment, head.position))
            offset = segment.base_offset + head.position + _RECORD.size + 4 * head.count
            for sequence, event in enumerate(_split(segment, head, body), head.first_sequence):
                if offset > after:
                    return sequence
                offset += len(event)
    raise segment.corrupt(segment.size)
