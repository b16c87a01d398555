"""Bytes of a file: opened with or without gzip, identified, and their encoding."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from patient_flow.files.source import FileRefused

_CHUNK = 1024 * 1024
_GZIP = b"\x1f\x8b"
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
FALLBACK = "windows-1252"
"""Every hospital system of Western Europe that does not write UTF-8 writes this, or its subset ISO 8859-1."""

_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; save the sheet as CSV (UTF-8), or unpack the archive",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word document; save the sheet as CSV (UTF-8)",
    b"%PDF": "a PDF document; export the data as CSV",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"Obj\x01": "an Avro file; `patient-flow import --capture` reads those of Event Hubs Capture",
    b"ORC": "an ORC file; export it as Parquet or CSV",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it first",
    b"\xfd7zXZ": "an xz archive; unpack it first, or use gzip",
    b"BZh": "a bzip2 archive; unpack it first, or use gzip",
    b"\x28\xb5\x2f\xfd": "a zstandard archive; unpack it first, or use gzip",
    b"<?xml": "XML; FHIR and HL7 are read as JSON and as ER7 (vertical bars)",
}


@dataclass(frozen=True)
class Scanned:
    """What one pass over the bytes of a file found."""

    sha256: str
    beginning: bytes
    is_compressed: bool
    is_utf8: bool
    has_zeros: bool


def opened(path: Path, *, is_compressed: bool) -> BinaryIO:
    """The bytes of ``path``, unpacked where they are compressed."""
    return gzip.open(path, "rb") if is_compressed else path.open("rb")  # type: ignore[return-value]


def scan(path: Path) -> Scanned:
    """Reads all bytes once. Raises :class:`FileRefused` for an empty, damaged or unknown file."""
    sha256, utf8 = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    is_utf8, has_zeros, beginning = True, False, b""
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP
    try:
        for raw, content in _chunks(path, is_compressed=is_compressed):
            sha256.update(raw)
            if not beginning:
                beginning = content
            has_zeros = has_zeros or b"\0" in content
            if is_utf8:
                try:
                    utf8.decode(content)
                except UnicodeDecodeError:
                    is_utf8 = False
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise FileRefused(path, "the gzip file is damaged or cut off; fetch it again") from None
    if is_utf8:
        try:
            utf8.decode(b"", final=True)
        except UnicodeDecodeError:
            is_utf8 = False
    if not beginning.strip():
        raise FileRefused(path, "the file is empty")
    for magic, kind in _FOREIGN.items():
        if beginning.startswith(magic):
            raise FileRefused(path, f"this is {kind}")
    return Scanned(sha256.hexdigest(), beginning, is_compressed, is_utf8, has_zeros)


def identify(path: Path) -> str:
    """SHA-256 of the file, in hexadecimal digits. Raises :class:`FileRefused` where there is none."""
    if not path.is_file():
        raise FileRefused(path, "there is no such file; name the SHA-256 that the import stated")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _chunks(path: Path, *, is_compressed: bool) -> Iterator[tuple[bytes, bytes]]:
    """Bytes as they lie on disk, and unpacked."""
    unpack = zlib.decompressobj(wbits=31) if is_compressed else None
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if unpack is None:
                yield chunk, chunk
                continue
            content = unpack.decompress(chunk)
            while unpack.eof and unpack.unused_data:  # a file of several members
                rest, unpack = unpack.unused_data, zlib.decompressobj(wbits=31)
                content += unpack.decompress(rest)
            yield chunk, content
    if unpack is not None and not unpack.eof:
        raise EOFError


def encoding_of(path: Path, scanned: Scanned, given: str | None) -> tuple[str, str | None]:
    """The encoding, and a note where it was guessed. Raises :class:`FileRefused`."""
    if given is not None:
        try:
            "".encode(given)  # codecs.lookup also knows codecs that are no encodings of text, such as base64
            return codecs.lookup(given).name, None
        except (LookupError, ValueError):
            raise FileRefused(
                path, f"there is no encoding {given!r}; use utf-8, windows-1252, iso-8859-15 or utf-16"
            ) from None
    for mark, name in _MARKS.items():
        if scanned.beginning.startswith(mark):
            return name, None
    if scanned.has_zeros:
        if scanned.beginning[1:2] == b"\0" or scanned.beginning[:1] == b"\0":
            name = "utf-16-le" if scanned.beginning[1:2] == b"\0" else "utf-16-be"
            return name, f"encoding guessed as {name} (--encoding names another)"
        raise FileRefused(path, "the file has zero bytes and is no text; name the encoding with --encoding if it is")
    if scanned.is_utf8:
        return "utf-8", None
    return FALLBACK, f"not UTF-8: read as {FALLBACK} (--encoding names another)"


def not_in_encoding(path: Path, encoding: str, line: int) -> FileRefused:
    """The error of a text that is not in ``encoding``."""
    return FileRefused(path, f"the text after line {line:,} is not {encoding}; name the right one with --encoding")
