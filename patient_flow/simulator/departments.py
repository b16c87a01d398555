"""The reference list of departments, as the simulator needs it: who has how many beds, from when on.

Not here: the department dimension of the warehouse, which reads the same list for itself.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from patient_flow.errors import OperatorError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DepartmentListError(OperatorError):
    """The reference list cannot be read or makes no sense; the message says which line and why."""


@dataclass(frozen=True)
class Department:
    """One version of a department of a hospital; ``valid_from`` in microseconds since 1970 (UTC)."""

    hospital_id: int | str
    name: str
    staffed_beds: int
    expected_los_hours: float
    valid_from: int


def load(source: str = "") -> list[Department]:
    """Departments from a CSV file or a Delta table; the shipped list when ``source`` is empty.

    Raises :class:`DepartmentListError`.
    """
    try:
        if not source:
            text = (resources.files("patient_flow") / "contracts" / "departments.csv").read_text(encoding="utf-8")
            rows: Iterable[Mapping[str, Any]] = csv.DictReader(text.splitlines())
        elif source.casefold().endswith(".csv"):
            rows = csv.DictReader(Path(source).read_text(encoding="utf-8-sig").splitlines())
        else:
            import polars as pl  # only here: it takes longer to import than the whole simulator

            rows = pl.read_delta(source).iter_rows(named=True)
        return _checked([_department(line, row) for line, row in enumerate(rows, start=2)], source)
    except (OSError, UnicodeDecodeError) as error:
        raise DepartmentListError(f"the department list {source!r} cannot be read: {error}") from error


def _department(line: int, row: Mapping[str, Any]) -> Department:
    try:
        hospital = str(row["hospital_id"]).strip()
        department = Department(
            hospital_id=int(hospital) if hospital.isdecimal() else hospital,
            name=str(row["department"]).strip(),
            staffed_beds=int(row["staffed_beds"]),
            expected_los_hours=float(row["expected_los_hours"]),
            valid_from=_instant(row["valid_from"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DepartmentListError(f"line {line} of the department list: {error!r}") from error
    if department.staffed_beds < 0 or department.expected_los_hours <= 0:
        raise DepartmentListError(f"line {line} of the department list: beds below 0, or a length of stay not above 0")
    return department


def _instant(value: Any) -> int:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)


def _checked(departments: list[Department], source: str) -> list[Department]:
    if not any(department.staffed_beds for department in departments):
        raise DepartmentListError(f"the department list {source!r} has no staffed bed")
    return departments
