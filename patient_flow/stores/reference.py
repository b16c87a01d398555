"""The department list: the shipped CSV file, or the CSV file or Delta table that the settings name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, write_deltalake
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

_NO_TEXT = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1")
"""How a workbook (new or old), an archive and a Parquet file begin."""


def read_departments(place: str = "") -> pl.DataFrame:
    """The department list at ``place`` (a CSV file or a Delta table) with :data:`COLUMNS`; the shipped one if empty.

    Columns that a list may leave out (``contracts.departments``) are null where it does.
    Raises :class:`DepartmentListError` when it cannot be read, with all faults of the list.
    """
    return _checked(_fetch(place), f"PATIENT_FLOW_DEPARTMENTS: {place or 'the shipped list'}")


def read_department_file(file: Path) -> pl.DataFrame:
    """The department list in a CSV file of any name, with :data:`COLUMNS`. Raises :class:`DepartmentListError`."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DepartmentListError(f"{file} cannot be read ({error.strerror})") from error
    if content.startswith(_NO_TEXT):
        raise DepartmentListError(f"{file} is a workbook, an archive or a Parquet file: save the list as CSV (UTF-8)")
    return _checked(departments.read_csv(content), str(file))


def _checked(table: departments.Table, name: str) -> pl.DataFrame:
    missing = [column for column in COLUMNS if column not in table.columns and column not in departments.OPTIONAL]
    if missing:
        raise DepartmentListError(f"{name} lacks the columns {', '.join(missing)}")
    rows, faults = departments.parse((row for _, row in table.rows), (line for line, _ in table.rows))
    if faults := [*table.faults, *faults]:
        raise DepartmentListError(f"{name}, {departments.describe(faults)}")
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def write_departments(listed: pl.DataFrame, place: str) -> None:
    """Replace the Delta table at ``place`` with a list (:data:`COLUMNS`). Raises :class:`DepartmentListError`."""
    try:
        if "://" not in place:
            Path(place).mkdir(parents=True, exist_ok=True)
        write_deltalake(place, listed.select(COLUMNS.names()), mode="overwrite", schema_mode="overwrite")
    except (OSError, DeltaError) as error:
        raise DepartmentListError(f"PATIENT_FLOW_DEPARTMENTS: {place} cannot be written ({error})") from error


def _fetch(place: str) -> departments.Table:
    try:
        if not place:
            shipped = resources.files("patient_flow.contracts") / "departments.csv"
            return departments.read_csv(shipped.read_bytes())
        if place.casefold().endswith(".csv"):
            return departments.read_csv(_bytes_of(place))
        # Opened like the lake's own tables: Polars finds credentials in other places than delta-rs.
        frame = pl.scan_delta(DeltaTable(place)).collect()
        return departments.Table(frame.columns, list(enumerate(frame.iter_rows(named=True), start=2)), ())
    except (OSError, DeltaError, pl.exceptions.PolarsError) as error:
        # Without the query plan that Polars appends, which does not help the author of the list.
        reason = " ".join(str(error).partition("This error occurred with")[0].split())
        raise DepartmentListError(
            f"PATIENT_FLOW_DEPARTMENTS: {place} cannot be read ({reason}); give a CSV file or a Delta table"
        ) from error


def _bytes_of(place: str) -> bytes:
    """The content of a CSV file, in a folder or in a store that Polars reads."""
    if "://" not in place:
        return Path(place).read_bytes()
    lines = pl.scan_csv(place, has_header=False, separator="\x01", quote_char=None, infer_schema=False)
    return "\n".join(lines.collect().to_series().fill_null("").to_list()).encode()
