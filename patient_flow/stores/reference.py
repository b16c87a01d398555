"""Reads the department list: the shipped CSV file, or the CSV file or Delta table that the settings name."""

from __future__ import annotations

from importlib import resources

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from patient_flow.contracts import departments
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.departments import DepartmentListError

COLUMNS = pl.Schema(
    {
        "hospital_id": pl.String(),
        "hospital_name": pl.String(),
        "department": pl.String(),
        "staffed_beds": pl.Int64(),
        "staff": pl.Int64(),
        "expected_los_hours": pl.Float64(),
        "valid_from": INSTANT,
        "class": pl.String(),
        "beds": pl.Int64(),
        "women_beds": pl.Int64(),
        "men_beds": pl.Int64(),
        "unconfirmed_days": pl.Int64(),
        "valid_to": INSTANT,
    }
)


def read_departments(place: str = "") -> pl.DataFrame:
    """The department list at ``place`` (a CSV file or a Delta table) with :data:`COLUMNS`; the shipped one if empty.

    Columns that a list may leave out (``contracts.departments``) are null where it does.
    Raises :class:`DepartmentListError` when it cannot be read, and for the first fault of the list.
    """
    raw = _fetch(place)
    missing = [name for name in COLUMNS if name not in raw.columns and name not in departments.OPTIONAL]
    if missing:
        raise DepartmentListError(f"PATIENT_FLOW_DEPARTMENTS: {place} lacks the columns {', '.join(missing)}")
    rows, faults = departments.parse(raw.select(name for name in COLUMNS if name in raw.columns).iter_rows(named=True))
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise DepartmentListError(f"PATIENT_FLOW_DEPARTMENTS: {place or 'the shipped list'}, {faults[0]}{more}")
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def _fetch(place: str) -> pl.DataFrame:
    try:
        if not place:
            shipped = resources.files("patient_flow.contracts") / "departments.csv"
            return pl.read_csv(shipped.read_bytes(), infer_schema=False)
        if place.endswith(".csv"):
            return pl.read_csv(place, infer_schema=False)
        # Opened like the lake's own tables: Polars finds credentials in other places than delta-rs.
        return pl.scan_delta(DeltaTable(place)).collect()
    except (OSError, DeltaError, pl.exceptions.PolarsError) as error:
        # Without the query plan that Polars appends, which does not help the author of the list.
        reason = " ".join(str(error).partition("This error occurred with")[0].split())
        raise DepartmentListError(
            f"PATIENT_FLOW_DEPARTMENTS: {place} cannot be read ({reason}); give a CSV file or a Delta table"
        ) from error
