"""The department list as the simulator needs it: the beds and the length of stay of each department over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from patient_flow.contracts import departments as contract
from patient_flow.contracts.departments import DepartmentListError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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

    Raises :class:`DepartmentListError`, also for a department without beds or length of stay to simulate.
    """
    try:
        table = _table(source)
        parsed, faults = contract.parse((row for _, row in table.rows), (line for line, _ in table.rows))
    except OSError as error:
        raise DepartmentListError(f"the department list {source!r} cannot be read: {error}") from error
    if faults := [*table.faults, *faults]:
        raise DepartmentListError(f"the department list {source!r}, {contract.describe(faults)}")
    found = [_department(line, department) for (line, _), department in zip(table.rows, parsed, strict=True)]
    if not any(department.staffed_beds for department in found):
        raise DepartmentListError(f"the department list {source!r} has no staffed bed")
    return found


def _table(source: str) -> contract.Table:
    if not source:
        return contract.read_csv((resources.files("patient_flow") / "contracts" / "departments.csv").read_bytes())
    if source.casefold().endswith(".csv"):
        return contract.read_csv(Path(source).read_bytes())
    import polars as pl  # only here: it takes longer to import than the whole simulator

    frame = pl.read_delta(source)
    return contract.Table(frame.columns, list(enumerate(frame.iter_rows(named=True), start=2)), ())


def _department(line: int, parsed: contract.Department) -> Department:
    if parsed.staffed_beds is None or not parsed.expected_los_hours:
        raise DepartmentListError(f"line {line} of the department list: staffed_beds and a length of stay are needed")
    return Department(
        hospital_id=int(parsed.hospital_id) if parsed.hospital_id.isdecimal() else parsed.hospital_id,
        name=parsed.department,
        staffed_beds=parsed.staffed_beds,
        expected_los_hours=parsed.expected_los_hours,
        valid_from=(parsed.valid_from - EPOCH) // timedelta(microseconds=1),
    )
