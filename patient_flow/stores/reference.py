"""The list of departments: the shipped CSV, or the CSV or Delta table that the settings name."""

from __future__ import annotations

from importlib import resources

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.events import UNKNOWN
from patient_flow.errors import OperatorError

COLUMNS = pl.Schema(
    {
        "hospital_id": pl.String(),
        "hospital_name": pl.String(),
        "department": pl.String(),
        "staffed_beds": pl.Int64(),
        "staff": pl.Int64(),
        "expected_los_hours": pl.Float64(),
        "valid_from": INSTANT,
    }
)


class DepartmentsError(OperatorError):
    """The department list cannot be used; the message says which line or column, and why."""


def read_departments(place: str = "") -> pl.DataFrame:
    """The department list at ``place`` (a CSV file or a Delta table); the shipped one when empty.

    Raises :class:`DepartmentsError` for a missing column, an empty name, a bad number or time, and for a line that
    names the unknown department, which every list has.
    """
    try:
        if not place:
            shipped = resources.files("patient_flow.contracts") / "departments.csv"
            raw = pl.read_csv(shipped.read_bytes(), infer_schema=False)
        elif place.endswith(".csv"):
            raw = pl.read_csv(place, infer_schema=False)
        else:
            # Opened as the lake's own tables are: Polars would look for credentials elsewhere than delta-rs does.
            raw = pl.scan_delta(DeltaTable(place)).collect().cast(pl.String)
    except (OSError, DeltaError, pl.exceptions.PolarsError) as error:
        # without the place in Polars' own plan, which says nothing to who wrote the list
        said = " ".join(str(error).partition("This error occurred with")[0].split())
        raise DepartmentsError(
            f"PATIENT_FLOW_DEPARTMENTS: {place} cannot be read ({said}); give a CSV file or a Delta table"
        ) from error
    missing = [name for name in COLUMNS if name not in raw.columns]
    if missing:
        raise DepartmentsError(f"PATIENT_FLOW_DEPARTMENTS: {place} lacks the columns {', '.join(missing)}")
    return _typed(raw.select(pl.col(COLUMNS.names()).str.strip_chars()), place or "the shipped list")


def _typed(raw: pl.DataFrame, place: str) -> pl.DataFrame:
    texts = raw.with_columns(pl.col(pl.String).replace("", None))
    instant = pl.col("valid_from").str.replace(r"Z$", "+00:00")
    typed = texts.with_columns(
        *(pl.col(name).cast(dtype, strict=False) for name, dtype in COLUMNS.items() if name != "valid_from"),
        valid_from=pl.coalesce(
            instant.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", strict=False, time_unit="us").dt.convert_time_zone(
                "UTC"
            ),
            instant.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", strict=False, time_unit="us").dt.convert_time_zone(
                "UTC"
            ),
            instant.str.to_datetime("%Y-%m-%d", strict=False, time_unit="us").dt.replace_time_zone("UTC"),
        ),
    )
    required = ("hospital_id", "department", "valid_from")
    for name in COLUMNS:
        unusable = (texts[name].is_not_null() & typed[name].is_null()) | (typed[name].is_null() & (name in required))
        if unusable.any():
            line = (unusable.arg_max() or 0) + 2
            raise DepartmentsError(
                f"PATIENT_FLOW_DEPARTMENTS: {place}, line {line}: {name} is {texts[name][line - 2]!r}, "
                f"which is no {COLUMNS[name]}"
            )
    negative = typed.filter((pl.col("staffed_beds") < 0) | (pl.col("expected_los_hours") < 0))
    if not negative.is_empty():
        raise DepartmentsError(f"PATIENT_FLOW_DEPARTMENTS: {place} has negative beds or hours: {negative.row(0)}")
    if typed.select(((pl.col("hospital_id") == UNKNOWN) & (pl.col("department") == UNKNOWN)).any()).item():
        raise DepartmentsError(
            f"PATIENT_FLOW_DEPARTMENTS: {place} names {UNKNOWN} in {UNKNOWN}, which stands for events that name no "
            "department: delete the line"
        )
    return typed
