"""Segment files of a partition log: their format, checks and reading.

A segment file is a header and then records. A record is one group of events that were written and flushed together,
so an interrupted write can only leave a torn *last* record, which :func:`recover` truncates. Any other inconsistency
is damage: readers pass over a damaged record (:func:`next_record`), and a damaged header raises
:class:`CorruptLogError`. A segment's header repeats the end of the segment before it: the headers
alone give every segment's range of sequence numbers, offsets and times, so opening a log costs one small read per
closed segment and a scan of the last one, and no index is kept in memory.

Not here: the order of segments, appending and retention (``log``).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from patient_flow.local_hub.errors import CorruptLogError

READ_BYTES = 256 << 10
NO_TIME = 0

_MAGIC = b"PFLOG001"
# magic, first sequence, base offset; offset and time of the last event before; crc
_SEGMENT = struct.Struct(">8sqqqqI")
RECORD = struct.Struct(">IIqqII")  # length and crc of the body, first sequence, time, number of events; crc of these
CRC_BYTES = 4
_REPLACEMENT = ".replacement"
_PLACE = struct.Struct(">qI")  # position of the record, and its crc

Coordinate = Literal["sequence", "offset", "time"]


class LastEvent(NamedTuple):
    """Coordinates of the newest event ever written, kept after it has expired; (-1, -1, 0) before the first one."""

    sequence: int
    offset: int
    enqueued_at: int


@dataclass(slots=True)
class Segment:
    """One file of the log: its base offset, the last event before it, and the number of its published bytes.

    ``since`` is the time of its first event; it is known for the last segment only. ``damaged`` are the positions of
    records that were found to be damaged.
    """

    path: Path
    base_offset: int
    before: LastEvent
    size: int = _SEGMENT.size
    since: int = NO_TIME
    damaged: set[int] = field(default_factory=set, compare=False)

    @property
    def first_sequence(self) -> int:
        """Sequence number of the segment's first event, stored or future."""
        return self.before.sequence + 1

    @property
    def is_empty(self) -> bool:
        """True when the segment has no published event."""
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


@dataclass(frozen=True, slots=True)
class RecordHead:
    """The decoded head of the record at ``position`` of a segment file."""

    position: int
    body_length: int
    body_crc: int
    first_sequence: int
    enqueued_at: int
    count: int

    @property
    def end(self) -> int:
        """Position after the record."""
        return self.position + RECORD.size + self.body_length


def segment_path(folder: Path, before: LastEvent) -> Path:
    """Path of the segment after ``before``, named by its first sequence number, so that names sort like events."""
    return folder / f"{before.sequence + 1:020d}.log"


def create_segment(folder: Path, base_offset: int, before: LastEvent) -> Segment:
    """Create the file of a new segment atomically."""
    path = segment_path(folder, before)
    head = _SEGMENT.pack(_MAGIC, before.sequence + 1, base_offset, before.offset, before.enqueued_at, 0)[:-CRC_BYTES]
    replace_file(path, head + struct.pack(">I", zlib.crc32(head)))
    return Segment(path, base_offset, before)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file atomically: a crash leaves the old content or the new."""
    draft = path.with_suffix(".new")
    with FileIO(draft, "w") as file:
        write_all(file, content)
        os.fsync(file.fileno())
    draft.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened, and need not be flushed
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_all(file: FileIO, data: bytes) -> None:
    """Write all bytes to an unbuffered file. Raises ``OSError``."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def read_segment(path: Path) -> Segment:
    """The segment that the header of a file describes. Raises :class:`CorruptLogError`."""
    with path.open("rb") as file:
        data = file.read(_SEGMENT.size)
    if len(data) == _SEGMENT.size and data.startswith(_MAGIC):
        _, first_sequence, base_offset, last_offset, enqueued_at, crc = _SEGMENT.unpack(data)
        if crc == zlib.crc32(data[:-CRC_BYTES]):
            return Segment(path, base_offset, LastEvent(first_sequence - 1, last_offset, enqueued_at))
    raise Segment(path, 0, LastEvent(-1, -1, NO_TIME)).corrupt(0)


def recover(segment: Segment, acknowledged: int) -> LastEvent:
    """Check every record of the last segment, truncate a torn one and set the segment's size; returns its last event.

    Damaged records are passed over while a whole one follows. Raises :class:`CorruptLogError` for a damaged end that no
    interrupted write explains, unless it holds events up to the sequence number ``acknowledged``: see :func:`abandon`.
    """
    last = segment.before
    with segment.path.open("r+b") as file:
        file_size = os.fstat(file.fileno()).st_size
        while segment.size < file_size:
            head = _read_head(file, segment.size)
            body = file.read(head.body_length) if head else b""
            if head is None or head.end > file_size or zlib.crc32(body) != head.body_crc:
                following = next_record(segment, segment.size, file_size)
                if following < file_size:
                    segment.size = following
                    continue
                if not _is_torn(file, segment.size, head, file_size) and acknowledged <= last.sequence:
                    raise segment.corrupt(segment.size)
                file.truncate(segment.size)
                os.fsync(file.fileno())
                break
            events = split_events(segment, head, body)
            last_offset = segment.base_offset + head.end - len(events[-1])
            last = LastEvent(head.first_sequence + head.count - 1, last_offset, head.enqueued_at)
            segment.since = segment.since or head.enqueued_at
            segment.size = head.end
    return last


def _is_torn(file: BinaryIO, position: int, head: RecordHead | None, file_size: int) -> bool:
    """True when an interrupted write explains the bad record: it is the last one, or contains only zeros."""
    if head is not None:
        return head.end >= file_size
    if file_size - position < RECORD.size:
        return True
    file.seek(position)
    return not any(chunk.strip(b"\0") for chunk in iter(lambda: file.read(READ_BYTES), b""))


def _read_head(file: BinaryIO, position: int) -> RecordHead | None:
    """The record head at ``position``, None when it is truncated or damaged. Leaves the file at the record's body."""
    file.seek(position)
    return _parse_head(file.read(RECORD.size), position)


def _parse_head(data: bytes, position: int) -> RecordHead | None:
    if len(data) < RECORD.size:
        return None
    length, body_crc, first_sequence, enqueued_at, count, crc = RECORD.unpack(data)
    if crc != zlib.crc32(data[:-CRC_BYTES]):
        return None
    return RecordHead(position, length, body_crc, first_sequence, enqueued_at, count)


def abandon(segment: Segment, end_offset: int) -> None:
    """Let the last segment end at ``end_offset``, with zeros in the place of records that are lost.

    Offsets after them are as if they were there, so none is used twice.
    """
    segment.size = max(segment.size, end_offset - segment.base_offset)
    with segment.path.open("r+b") as file:
        file.truncate(segment.size)
        os.fsync(file.fileno())


def replace_event(segment: Segment, head: RecordHead, number: int, event: bytes) -> None:
    """Overwrite an event with one of the same length; ``number`` counts from 0 within the record.

    The whole record is written beside the segment first: after a crash in between, :func:`finish_replacing` writes it.
    Raises :class:`CorruptLogError` for a damaged record.
    """
    _, body = next(read_records(segment, head.position))
    events = split_events(segment, head, body)
    start = len(body) - sum(map(len, events[number:]))
    body = body[:start] + event + body[start + len(event) :]
    packed = RECORD.pack(len(body), zlib.crc32(body), head.first_sequence, head.enqueued_at, head.count, 0)[:-CRC_BYTES]
    record = packed + struct.pack(">I", zlib.crc32(packed)) + body
    draft = segment.path.with_suffix(_REPLACEMENT)
    replace_file(draft, _PLACE.pack(head.position, zlib.crc32(record)) + record)
    _write_at(segment.path, head.position, record)
    draft.unlink()


def finish_replacing(folder: Path) -> None:
    """Write the records that a crash left beside the segments of ``folder``."""
    for draft in folder.glob(f"*{_REPLACEMENT}"):
        position, crc = _PLACE.unpack_from(draft.read_bytes())
        record, path = draft.read_bytes()[_PLACE.size :], draft.with_suffix(".log")
        if zlib.crc32(record) == crc and path.exists():
            _write_at(path, position, record)
        draft.unlink()


def _write_at(path: Path, position: int, record: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(record)
        file.flush()
        os.fsync(file.fileno())


def next_record(segment: Segment, position: int, size: int) -> int:
    """Position of the first whole record after a damaged one at ``position``; ``size`` (of the file) without one."""
    with segment.path.open("rb") as file:
        file.seek(position)
        data = file.read(size - position)
    for start in range(1, len(data) - RECORD.size + 1):
        head = _parse_head(data[start : start + RECORD.size], position + start)
        if head is None or head.count == 0 or head.end > size:
            continue
        if zlib.crc32(data[start + RECORD.size : head.end - position]) == head.body_crc:
            return head.position
    return size


def record_heads(segment: Segment) -> Iterator[RecordHead]:
    """The heads of all published records that can be read, without reading their bodies."""
    position = _SEGMENT.size
    with segment.path.open("rb") as file:
        while position < segment.size:
            head = _read_head(file, position)
            if head is None or head.end > segment.size:
                position = next_record(segment, position, segment.size)
                continue
            yield head
            position = head.end


def read_records(segment: Segment, position: int) -> Iterator[tuple[RecordHead, bytes]]:
    """The published records from ``position`` on: those of one read, at least one. Raises :class:`CorruptLogError`."""
    with segment.path.open("rb") as file:
        file.seek(position)
        data = file.read(min(READ_BYTES, segment.size - position))
        head = _parse_head(data[: RECORD.size], position)
        if head is None or head.end > segment.size:
            raise segment.corrupt(position)
        data += file.read(max(0, head.end - position - len(data)))
    while head is not None and head.end <= position + len(data):
        start, end = head.position - position, head.end - position
        body = data[start + RECORD.size : end]
        if zlib.crc32(body) != head.body_crc:
            if start:  # the records before the damage are returned first
                return
            raise segment.corrupt(position)
        yield head, body
        head = _parse_head(data[end : end + RECORD.size], head.end)


def split_events(segment: Segment, head: RecordHead, body: bytes) -> list[bytes]:
    """The events of a record's body. Raises :class:`CorruptLogError`."""
    lengths_size = 4 * head.count
    if head.count == 0 or lengths_size > len(body):
        raise segment.corrupt(head.position)
    events: list[bytes] = []
    start = lengths_size
    for length in struct.unpack_from(f">{head.count}I", body):
        events.append(body[start : start + length])
        start += length
    return events


def seek_in_segment(segment: Segment, by: Coordinate, after: int) -> int | None:
    """Sequence number of the segment's first readable event beyond ``after``; None without one."""
    for head in record_heads(segment):
        if by == "time" and head.enqueued_at > after:
            return head.first_sequence
        if by == "offset" and segment.base_offset + head.end > after:
            try:
                _, body = next(read_records(segment, head.position))
            except CorruptLogError:
                continue
            offset = segment.base_offset + head.position + RECORD.size + 4 * head.count
            for sequence, event in enumerate(split_events(segment, head, body), head.first_sequence):
                if offset > after:
                    return sequence
                offset += len(event)
    return None
