"""HL7 v2: the messages of a file, out of their batches (FHS, BHS, BTS, FTS) and frames (MLLP)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from patient_flow.files.lines import lines
from patient_flow.files.source import FileRefused, Source
from patient_flow.wording import plural

_ENVELOPE = (b"FHS", b"BHS", b"BTS", b"FTS")
_FRAME = b"\x0b\x1c\r\n"


def examined(source: Source) -> Source:
    """``source`` with its number of messages. Raises :class:`FileRefused` for a file that is cut off."""
    count, stated, opened_batch, closed_batch = 0, 0, 0, 0
    for segment in _segments(source):
        name = segment[:3]
        count += name == b"MSH"
        opened_batch += name == b"BHS"
        if name == b"BTS":
            closed_batch += 1
            number = segment.split(segment[3:4])[1].strip() if len(segment) > 3 else b""
            stated += int(number) if number.isdigit() else 0
        elif not count and name not in _ENVELOPE:
            raise FileRefused(source.path, "an HL7 file begins with FHS, BHS or MSH; this one has another segment")
    if opened_batch > closed_batch:
        raise FileRefused(source.path, "the batch begins with BHS and has no BTS: the file is cut off; fetch it again")
    if stated > count:
        raise FileRefused(
            source.path,
            f"its batches state {plural(stated, 'message')} and hold {count:,}: the file is cut off; fetch it again",
        )
    if not count:
        raise FileRefused(source.path, "there is no message (MSH) in it")
    return replace(source, rows=count)


def bodies(source: Source, after: int) -> Iterator[tuple[int, bytes]]:
    """Messages after number ``after``, segments ended by carriage returns."""
    number, message = 0, bytearray()
    for segment in _segments(source):
        name = segment[:3]
        if name == b"MSH" or name in _ENVELOPE:
            if message and number > after:
                yield number, bytes(message)
            message = bytearray()
            number += name == b"MSH"
        if name not in _ENVELOPE:
            message += segment + b"\r"
    if message and number > after:
        yield number, bytes(message)


def _segments(source: Source) -> Iterator[bytes]:
    """Non-empty segments, in the bytes of the file: the message itself names its character set (MSH-18)."""
    for line in lines(source, ends=b"\r"):
        segment = line.removeprefix(b"\xef\xbb\xbf").strip(_FRAME)
        if segment:
            yield segment
