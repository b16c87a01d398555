"""What the department list says: class and confirmation days of a department at an instant (F13, F20)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol


class Departments(Protocol):
    """What the rules ask of a department list."""

    def class_of(self, hospital: str, department: str | None, at: datetime) -> str | None:
        """F13: the class in force at ``at``; blank is not stated."""

    def days(self, hospital: str, department: str | None, at: datetime) -> int | None:
        """F20: days for which an event confirms, where the list states them."""


class DepartmentList:
    """Versions of the departments of hospitals; before the first version, the first holds."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.rows = sorted(rows, key=lambda row: row["valid_from"])

    def version(self, hospital: str, department: str | None, at: datetime) -> Mapping[str, Any]:
        """The line in force at ``at``, or an empty one."""
        lines = [row for row in self.rows if (row["hospital_id"], row["department"]) == (hospital, department)]
        begun = [row for row in lines if row["valid_from"] <= at]
        return begun[-1] if begun else lines[0] if lines else {}

    def class_of(self, hospital: str, department: str | None, at: datetime) -> str | None:
        return self.version(hospital, department, at).get("class") or None

    def days(self, hospital: str, department: str | None, at: datetime) -> int | None:
        return self.version(hospital, department, at).get("unconfirmed_days")
