"""CSV: the header, the separator, and rows as JSON objects of their texts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import msgspec

from patient_flow.files.source import SEPARATOR_NAMES, FileRefused, Source
from patient_flow.files.text import not_in_encoding, opened
from patient_flow.wording import plural

_SAMPLE_LINES = 50
_LONGEST_FIELD = 1024 * 1024
_VALUE = re.compile(r"[+-]?\d+([.,]\d+)?|\d{4}-\d\d-\d\d.*|\d\d?[./]\d\d?[./]\d{2,4}.*")
"""A number or a date: no column has such a name."""

_encode = msgspec.json.Encoder().encode


def examined(source: Source, separator: str | None) -> Source:
    """``source`` with separator, header and number of rows. Raises :class:`FileRefused`."""
    path, notes = source.path, list(source.notes)
    if separator is None:
        separator = _guess_separator(source)
        notes.append(f"separator guessed as {SEPARATOR_NAMES[separator]} (--separator names another)")
    elif len(separator) != 1:
        raise FileRefused(path, "the separator must be one character, such as ';'; \\t is the tab")
    rows = _rows(replace(source, separator=separator))
    try:
        header = tuple(name.strip() for name in next(rows))
    except StopIteration:
        raise FileRefused(path, "the file is empty") from None
    _check_header(source, header, separator)
    count, odd, first_odd = 0, 0, 0
    for row in rows:
        if not row:
            continue
        count += 1
        if len(row) != len(header):
            odd, first_odd = odd + 1, first_odd or count
    if not count:
        raise FileRefused(path, "there is a header and no row below it")
    if odd == count:
        raise FileRefused(
            path,
            f"the header has {plural(len(header), 'column')} and no row has as many: the separator or the quotes are "
            "wrong",
        )
    if odd:
        some = plural(odd, "row has", "rows have")
        notes.append(f"{some} another number of columns than the header (first: row {first_odd:,}), to be quarantined")
    return replace(source, separator=separator, header=header, rows=count, notes=tuple(notes))


def bodies(source: Source, after: int) -> Iterator[tuple[int, bytes]]:
    """Rows after number ``after``; one that does not fit the header is a JSON list of its texts."""
    rows = _rows(source)
    next(rows)
    names = [name for name in source.header if name]
    positions = [place for place, name in enumerate(source.header) if name]
    is_whole = len(names) == len(source.header)
    numbered = enumerate((row for row in rows if row), start=1)
    for number, row in islice(numbered, after, None):
        if len(row) != len(source.header):
            yield number, _encode(row)
        elif is_whole:
            yield number, _encode(dict(zip(names, row, strict=True)))
        else:
            yield number, _encode({name: row[place] for name, place in zip(names, positions, strict=True)})


def _rows(source: Source) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_FIELD)
    with (
        opened(source.path, is_compressed=source.is_compressed) as file,
        io.TextIOWrapper(file, encoding=source.encoding, newline="") as text,
    ):
        reader = csv.reader(text, delimiter=source.separator)
        try:
            yield from reader
        except UnicodeDecodeError:
            raise not_in_encoding(source.path, source.encoding, reader.line_num) from None
        except csv.Error as error:
            raise FileRefused(
                source.path,
                f"the row near line {reader.line_num:,} cannot be read ({error}): a quote may lack its second one",
            ) from None


def _guess_separator(source: Source) -> str:
    """The separator that cuts the most lines like the header, into the most columns."""
    best, most = "", (0.0, 1)
    for candidate in SEPARATOR_NAMES:
        rows = [row for row in islice(_rows(replace(source, separator=candidate)), _SAMPLE_LINES) if row]
        if not rows or len(rows[0]) < 2:
            continue
        alike = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if (alike, len(rows[0])) > most:
            best, most = candidate, (alike, len(rows[0]))
    if not best:
        raise FileRefused(
            source.path,
            "this is neither JSON nor HL7 nor Parquet, and read as CSV it has one column only; name the separator "
            "with --separator if it is CSV",
        )
    return best


def _check_header(source: Source, header: tuple[str, ...], separator: str) -> None:
    path = source.path
    named = [name for name in header if name]
    if len(header) < 2:
        name = SEPARATOR_NAMES.get(separator, separator)
        raise FileRefused(path, f"the header has one column only: {name} is not its separator (--separator)")
    if any(_VALUE.fullmatch(name) for name in named):
        raise FileRefused(path, "the first line holds values and no names of columns; put a header above it")
    empty = next((place for place, name in enumerate(header, start=1) if not name), None)
    if empty is not None and any(header[empty:]):
        raise FileRefused(path, f"column {empty} of the header has no name; give it one")
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise FileRefused(path, f"the header names {', '.join(twice)} twice; rename one of the two")
