"""The department list: its columns, and the one parser of its rows.

The list says which departments a hospital has, with how many beds and staff, from when on. Where it is stored is not
known here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from patient_flow.contracts.events import UNKNOWN
from patient_flow.errors import OperatorError

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
_NOT_NEGATIVE = ("staffed_beds", "expected_los_hours", "beds", "women_beds", "men_beds", "unconfirmed_days")


@dataclass(frozen=True)
class Fault:
    """A value of the list that cannot be used. The header is line 1."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def parse(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Department], list[Fault]]:
    """The departments of ``rows`` (column → text or value), and the faults of rows that are none.

    Raises :class:`DepartmentListError` when a row lacks a column.
    """
    departments: list[Department] = []
    faults: list[Fault] = []
    for line, row in enumerate(rows, start=2):
        missing = [name for name in COLUMNS if name not in row and name not in OPTIONAL]
        if missing:
            raise DepartmentListError(f"the list lacks the columns {', '.join(missing)}")
        values, wrong = _parse_row(line, row)
        faults += wrong
        if not wrong:
            departments.append(Department(*(values[name] for name in COLUMNS)))
    return departments, faults


def _parse_row(line: int, row: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for name in COLUMNS:
        given = _stripped(row.get(name))
        expected, read = _TYPES.get(name, ("text", str))
        values[name] = None if given is None else read(given)
        if values[name] is None and (given is not None or name in REQUIRED):
            faults.append(Fault(line, name, f"{name} is {given!r}, which is not a {expected}"))
        elif name in _NOT_NEGATIVE and (values[name] or 0) < 0:
            faults.append(Fault(line, name, f"{name} is {given!r}, which is negative"))
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
