"""Which format a file has, by what is in it and not by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from patient_flow.files import columnar, lines, messages, tables
from patient_flow.files.source import CSV, HL7, JSON, JSON_LINES, PARQUET, FileRefused, FilesRefused, Source, state_of
from patient_flow.files.text import encoding_of, scan


def examine_all(paths: Sequence[Path], *, encoding: str | None = None, separator: str | None = None) -> list[Source]:
    """Examines each of ``paths``. Raises :class:`FilesRefused` with the faults of all files that cannot be read."""
    sources, faults = [], []
    for path in paths:
        try:
            sources.append(examine(path, encoding=encoding, separator=separator))
        except FileRefused as refused:
            faults.append(str(refused))
        except OSError as error:
            faults.append(f"{path.name}: the file cannot be opened ({error.strerror or error})")
    if faults:
        raise FilesRefused(faults, len(paths))
    return sources


def examine(path: Path, *, encoding: str | None = None, separator: str | None = None) -> Source:
    """Reads ``path`` once and recognises it. Raises :class:`FileRefused`, and ``OSError`` where it cannot be opened.

    ``encoding`` and ``separator`` (of CSV) are guessed where they are not given, and the notes say so.
    """
    if not path.is_file():
        raise FileRefused(path, "there is no such file")
    state = state_of(path)
    return replace(_recognised(path, encoding, separator), state=state)


def _recognised(path: Path, encoding: str | None, separator: str | None) -> Source:
    scanned = scan(path)
    if scanned.beginning.startswith(b"PAR1"):
        return columnar.examined(Source(path, PARQUET, scanned.sha256, 0))
    codec, note = encoding_of(path, scanned, encoding)
    source = Source(path, CSV, scanned.sha256, 0, codec, is_compressed=scanned.is_compressed)
    text = scanned.beginning.decode(codec, errors="replace").lstrip("\ufeff\x0b\r\n\t ")
    if text.startswith(("MSH", "FHS", "BHS")) and not text[3:4].isalnum():
        if codec.startswith("utf-16"):
            raise FileRefused(path, "HL7 in UTF-16; save the file as UTF-8")
        return messages.examined(replace(source, format=HL7))  # its character set is each message's own matter (MSH-18)
    source = replace(source, notes=() if note is None else (note,))
    if not text.startswith(("{", "[")):
        return tables.examined(source, "\t" if separator == "\\t" else separator)
    if lines.is_lines(source, scanned.beginning):
        return lines.examined(replace(source, format=JSON_LINES))
    source = replace(source, format=JSON)
    return replace(source, rows=len(lines.document(source)))
