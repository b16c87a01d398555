"""MLLP frames, HL7 v2 messages in them, and acknowledgements (HL7 v2, chapter 2, original mode)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

START, END = b"\x0b", b"\x1c\r"
MAX_MESSAGE_BYTES = 1_000_000
"""A longer message fits into no event of a standard Event Hub."""

_HEADS = re.compile(rb"[\r\n]+(?=(?:FHS|BHS|MSH|BTS|FTS))")
_HEADER_FIELDS = 12


@dataclass(frozen=True)
class Header:
    """Fields of a message's header (MSH, or FHS and BHS of a batch) that an acknowledgement needs, as bytes."""

    separator: bytes
    encoding: bytes
    sender: tuple[bytes, bytes]
    receiver: tuple[bytes, bytes]
    trigger: bytes
    control_id: bytes
    processing_id: bytes
    version: bytes


@dataclass(frozen=True)
class Received:
    """One frame: its header, and the messages to forward, each with its bytes unchanged."""

    header: Header
    messages: list[bytes]


def read(content: bytes) -> Received | None:
    """The messages of a frame: one, or those of a batch (FHS, BHS). None where it is no HL7 v2 message."""
    content = content.strip(b"\r\n")
    header = _header(content)
    if header is None:
        return None
    messages = [segment for segment in _HEADS.split(content) if segment.startswith(b"MSH")]
    return Received(header, messages) if messages or not content.startswith(b"MSH") else None


def _header(content: bytes) -> Header | None:
    if not content.startswith((b"MSH", b"BHS", b"FHS")) or len(content) < 8:
        return None
    line = re.split(rb"[\r\n]", content, maxsplit=1)[0]
    separator = line[3:4]
    fields = line.split(separator)
    if len(fields) < 2 or not separator.strip():
        return None
    fields += [b""] * (_HEADER_FIELDS - len(fields))
    if content.startswith(b"MSH"):
        component = fields[1][:1] or b"^"
        trigger = fields[8].split(component)[1] if component in fields[8] else b""
        control_id, processing_id, version = fields[9], fields[10], fields[11]
    else:
        trigger, control_id, processing_id, version = b"", fields[10], b"P", b""
    return Header(
        separator,
        fields[1],
        (fields[2], fields[3]),
        (fields[4], fields[5]),
        trigger,
        control_id,
        processing_id or b"P",
        version or b"2.5.1",
    )


def acknowledgement(header: Header | None, code: str, text: str, now: datetime) -> bytes:
    """An ACK in its frame: ``code`` is AA (accepted), AE (error, send again) or AR (rejected), ``text`` is MSA-3."""
    header = header or Header(b"|", b"^~\\&", (b"", b""), (b"", b""), b"", b"", b"P", b"2.5.1")
    stamp = now.strftime("%Y%m%d%H%M%S%z").encode()
    kind = b"ACK" + (header.encoding[:1] + header.trigger if header.trigger else b"")
    own_id = now.strftime("%Y%m%d%H%M%S%f").encode()
    fields = (
        *(b"MSH", header.encoding, *header.receiver, *header.sender, stamp, b"", kind),
        *(own_id, header.processing_id, header.version),
    )
    statement = (b"MSA", code.encode(), header.control_id, *([_escaped(text, header)] if text else []))
    lines = (header.separator.join(fields), header.separator.join(statement))
    return START + b"\r".join(lines) + b"\r" + END


def _escaped(text: str, header: Header) -> bytes:
    """``text`` without characters that the message uses as separators."""
    used = set(header.separator + header.encoding)
    return bytes(byte if byte not in used and byte >= 0x20 else 0x20 for byte in text.encode("ascii", "replace"))


class Frames:
    """Cuts a stream of bytes into frames. What stands between frames is skipped, as MLLP says."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes. Raises :class:`ValueError` for one longer than the limit."""
        self._buffer += data
        found: list[bytes] = []
        while True:
            begin = self._buffer.find(START)
            if begin < 0:
                self._buffer.clear()
                return found
            end = self._buffer.find(END, begin)
            if end < 0:
                del self._buffer[:begin]
                if len(self._buffer) > MAX_MESSAGE_BYTES:
                    self._buffer.clear()
                    raise ValueError(f"a message is longer than {MAX_MESSAGE_BYTES:,} bytes")
                return found
            found.append(bytes(self._buffer[begin + 1 : end]))
            del self._buffer[: end + len(END)]
