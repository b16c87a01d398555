"""The department list: its columns, and the one parser of its rows.

The list says which departments a hospital has, with how many beds and staff, from when on. Where it is stored is not
known here.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from patient_flow.contracts.events import MAX_ID_LENGTH, UNKNOWN
from patient_flow.errors import OperatorError
from patient_flow.wording import plural

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?))?")
_LARGEST = 2**63 - 1


class DepartmentListError(OperatorError):
    """The department list cannot be used; the message names the line or column, and the reason."""


class Department(NamedTuple):
    """One version of a department of a hospital, valid from an instant in UTC; None where the list is silent."""

    hospital_id: str
    hospital_name: str | None
    department: str
    staffed_beds: int | None
    staff: int | None
    expected_los_hours: float | None
    valid_from: datetime
    class_: str | None = None
    beds: int | None = None
    women_beds: int | None = None
    men_beds: int | None = None
    unconfirmed_days: int | None = None
    valid_to: datetime | None = None


CLASSES = ("emergency", "inpatient", "critical_care", "maternity", "newborn", "day_case", "other")
"""Classes of a department; blank is not stated (flow F13)."""
COLUMNS = tuple(name.removesuffix("_") for name in Department._fields)
OPTIONAL = tuple(name.removesuffix("_") for name in Department._field_defaults)
"""Columns that a list may leave out."""
REQUIRED = ("hospital_id", "department", "valid_from")
MAX_LENGTHS = {"hospital_id": MAX_ID_LENGTH, "department": MAX_ID_LENGTH, "hospital_name": 128}
"""Characters that the warehouse has room for."""
MAX_FAULTS = 50
"""Faults that a message names."""
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_NOT_NEGATIVE = ("staffed_beds", "expected_los_hours", "beds", "women_beds", "men_beds", "unconfirmed_days")


@dataclass(frozen=True)
class Fault:
    """A value of the list that cannot be used. The header is line 1."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class Table(NamedTuple):
    """A list as it is written: its columns, and lines with their values by column."""

    columns: Sequence[str]
    rows: Sequence[tuple[int, Mapping[str, Any]]]
    faults: Sequence[Fault]
    """Lines with another number of values than the header."""


def read_csv(data: bytes) -> Table:
    """A CSV file in UTF-8 or Windows-1252, with ``,`` ``;`` or tabs between columns.

    Where it is not ``,``, a decimal comma is read like a decimal point.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    separator = max(",;\t", key=lines[0].count)
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator)
    columns = [name.strip().lower() for name in next(reader, [])]
    rows: list[tuple[int, Mapping[str, Any]]] = []
    faults: list[Fault] = []
    for values in reader:
        given = [value if separator == "," else _with_decimal_point(value) for value in values]
        if not any(value.strip() for value in given):
            continue
        if len(given) == len(columns):
            rows.append((reader.line_num, dict(zip(columns, given, strict=True))))
        else:
            faults.append(
                Fault(reader.line_num, "", f"{plural(len(given), 'value')} for {plural(len(columns), 'column')}")
            )
    return Table(columns, rows, faults)


def _with_decimal_point(value: str) -> str:
    text = value.strip()
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else value


def describe(faults: Iterable[Fault]) -> str:
    """All ``faults`` by line; of more than :data:`MAX_FAULTS` the first ones and the number of the others."""
    ordered = sorted(faults, key=lambda fault: fault.line)
    named = "; ".join(map(str, ordered[:MAX_FAULTS]))
    return named if len(ordered) <= MAX_FAULTS else f"{named}; and {plural(len(ordered) - MAX_FAULTS, 'more fault')}"


def parse(
    rows: Iterable[Mapping[str, Any]], lines: Iterable[int] | None = None
) -> tuple[list[Department], list[Fault]]:
    """The departments of ``rows`` (column → text or value), and the faults of rows that are none.

    ``lines`` are the numbers of their lines, from 2 on where they are not given. Raises :class:`DepartmentListError`
    when a row lacks a column.
    """
    departments: list[Department] = []
    faults: list[Fault] = []
    known: dict[tuple[str, str, datetime], int] = {}
    for line, row in zip(lines or itertools.count(2), rows, strict=False):
        missing = [name for name in COLUMNS if name not in row and name not in OPTIONAL]
        if missing:
            raise DepartmentListError(f"the list lacks the columns {', '.join(missing)}")
        values, wrong = _parse_row(line, row)
        faults += wrong
        if wrong:
            continue
        department = Department(*(values[name] for name in COLUMNS))
        key = department.hospital_id, department.department, department.valid_from
        first = known.setdefault(key, line)
        if first != line:
            reason = f"department {department.department!r} of hospital {department.hospital_id!r} has two lines that "
            faults.append(Fault(line, "valid_from", f"{reason}are valid from the same instant: line {first} too"))
            continue
        departments.append(department)
    return departments, faults


def _parse_row(line: int, row: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for name in COLUMNS:
        given = _stripped(row.get(name))
        expected, read = _TYPES.get(name, ("text", str))
        values[name] = None if given is None else read(given)
        if values[name] is None and (given is not None or name in REQUIRED):
            wrong = f"{given!r}, which is not a {expected}" if given is not None else "empty"
            faults.append(Fault(line, name, f"{name} is {wrong}"))
        elif name in _NOT_NEGATIVE and (values[name] or 0) < 0:
            faults.append(Fault(line, name, f"{name} is {given!r}, which is negative"))
        elif len(str(given or "")) > (limit := MAX_LENGTHS.get(name, _LARGEST)):
            characters = plural(len(str(given)), "character")
            faults.append(Fault(line, name, f"{name} has {characters}, of {limit} at most"))
    if values["valid_from"] and values["valid_to"] and values["valid_to"] <= values["valid_from"]:
        faults.append(Fault(line, "valid_to", "valid_to is not later than valid_from"))
    if (values["hospital_id"], values["department"]) == (UNKNOWN, UNKNOWN):
        reason = f"names {UNKNOWN} in {UNKNOWN}, which stands for events that name no department: delete the line"
        faults.append(Fault(line, "department", reason))
    return values, faults


def _stripped(value: object) -> object:
    return (value.strip() or None) if isinstance(value, str) else value


def _whole_number(value: object) -> int | None:
    text = str(value)
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) and abs(int(text)) <= _LARGEST else None


def _number(value: object) -> float | None:
    text = str(value)
    number = float(text) if re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text) and text.count(".") <= 1 else math.nan
    return number if math.isfinite(number) else None


def _instant(value: object) -> datetime | None:
    """A date alone is midnight in UTC; an instant needs its offset."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else None
    text = value.isoformat() if isinstance(value, date) else str(value)
    if not _INSTANT.fullmatch(text):
        return None
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _class(value: object) -> str | None:
    name = str(value).lower()
    return name if name in CLASSES else None


_TYPES: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    "staffed_beds": ("whole number", _whole_number),
    "staff": ("whole number", _whole_number),
    "expected_los_hours": ("number", _number),
    "valid_from": ("date or an instant with its offset", _instant),
    "class": (f"class of a department ({', '.join(CLASSES)})", _class),
    "beds": ("whole number", _whole_number),
    "women_beds": ("whole number", _whole_number),
    "men_beds": ("whole number", _whole_number),
    "unconfirmed_days": ("whole number", _whole_number),
    "valid_to": ("date or an instant with its offset", _instant),
}
"""Column → what its values are, for messages, and how they are read; the others are texts."""
