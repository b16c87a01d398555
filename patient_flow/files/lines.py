"""Lines of a file: JSON lines (FHIR's NDJSON too), and the segments of HL7."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from patient_flow.files.source import FileRefused, Source
from patient_flow.files.text import not_in_encoding, opened

_BUFFER = 1024 * 1024
_LONGEST_LINE = 64 * 1024 * 1024
_LARGEST_DOCUMENT = 256 * 1024 * 1024
UTF8 = ("utf-8", "utf-8-sig")

_decode, _encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


def lines(source: Source, ends: bytes = b"") -> Iterator[bytes]:
    """Lines without their ends, blank ones too; ``ends`` are further bytes that end a line. UTF-8 but for HL7."""
    with opened(source.path, is_compressed=source.is_compressed) as file:
        if source.encoding not in UTF8 and not ends:
            yield from _decoded(source, io.TextIOWrapper(file, encoding=source.encoding, newline="\n"))
            return
        rest = b""
        while chunk := file.read(_BUFFER):
            parts = (rest + (chunk.replace(ends, b"\n") if ends else chunk)).split(b"\n")
            rest = parts.pop()
            if len(rest) > _LONGEST_LINE:
                raise FileRefused(source.path, "a line is longer than 64 MiB: this is no file of lines")
            yield from parts
        if rest:
            yield rest


def _decoded(source: Source, text: io.TextIOWrapper) -> Iterator[bytes]:
    number = 0
    with text:
        try:
            for number, line in enumerate(text, start=1):  # noqa: B007 (the error names it)
                yield line.rstrip("\n").encode()
        except UnicodeDecodeError:
            raise not_in_encoding(source.path, source.encoding, number) from None


def examined(source: Source) -> Source:
    """``source`` with its number of lines. Raises :class:`FileRefused` where it ends within a line."""
    count, last = 0, b""
    for line in lines(source):
        if line.strip():
            count, last = count + 1, line
    if count > 1 and not _is_json(last):
        raise FileRefused(
            source.path,
            f"the last line ({count:,}) is no JSON: the file is cut off; fetch it again, or delete the line",
        )
    return replace(source, rows=count)


def bodies(source: Source, after: int) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, after number ``after``."""
    number = 0
    for line in lines(source):
        body = line.strip()
        if body:
            number += 1
            if number > after:
                yield number, body


def is_lines(source: Source, beginning: bytes) -> bool:
    """True when the first line is a whole JSON value of its own."""
    if source.encoding not in UTF8:
        beginning = beginning.decode(source.encoding, errors="replace").encode()
    first, newline, more = beginning.removeprefix(b"\xef\xbb\xbf").strip().partition(b"\n")
    if not newline:
        return first[:1] == b"{" and (len(beginning) >= _BUFFER or _is_json(first))
    return _is_json(first) and first[:1] == b"{" and bool(more.strip())


def document(source: Source) -> list[bytes]:
    """The items of a JSON list, or the one object. Raises :class:`FileRefused`."""
    with opened(source.path, is_compressed=source.is_compressed) as file:
        content = file.read(_LARGEST_DOCUMENT + 1)
    if len(content) > _LARGEST_DOCUMENT:
        raise FileRefused(
            source.path, "a JSON document of more than 256 MiB; write one object per line (JSON lines) instead"
        )
    try:
        value = _decode(content.decode(source.encoding).removeprefix("\ufeff"))
    except UnicodeDecodeError:
        raise not_in_encoding(source.path, source.encoding, 0) from None
    except msgspec.DecodeError as error:
        raise FileRefused(
            source.path, f"this begins like JSON and is none ({error}); it may be cut off, or lack a bracket"
        ) from None
    items = value if isinstance(value, list) else [value]
    if not items:
        raise FileRefused(source.path, "the JSON list is empty")
    return [_encode(item) for item in items]


def _is_json(text: bytes) -> bool:
    try:
        _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
