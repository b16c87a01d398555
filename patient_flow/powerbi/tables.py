"""The model's tables: the warehouse's, and the small dimensions that Power BI needs besides them.

A filter reaches many tables only through a dimension whose column is unique. So the calendar days, hospitals and
genders that the warehouse keeps as columns become tables of their own here, each selected from a warehouse table; and
the department that a patient came from is a second copy of the departments.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from patient_flow.contracts import columns, events, tables, views
from patient_flow.contracts.columns import INSTANT, TEXTS
from patient_flow.powerbi.declarations import Column, DataType, Hierarchy, Table
from patient_flow.powerbi.queries import SECURITY_SCHEMA, query

_TYPES: Mapping[pl.DataType, tuple[DataType, str]] = {
    pl.Int64(): (DataType.INTEGER, "#,0"),
    pl.Int32(): (DataType.INTEGER, "0"),
    pl.Int16(): (DataType.INTEGER, "0"),
    pl.Float64(): (DataType.NUMBER, "#,0.0"),
    pl.Boolean(): (DataType.TRUTH, ""),
    pl.Date(): (DataType.MOMENT, "yyyy-mm-dd"),
    INSTANT: (DataType.MOMENT, "yyyy-mm-dd hh:nn"),
    pl.String(): (DataType.TEXT, ""),
    TEXTS: (DataType.TEXT, ""),
}
"""Type of a contract column → type and format in the model."""

_CALENDAR = ("date", "day_name", "is_weekend", "week", "month", "month_name", "quarter", "year")
"""Columns of DimTime that describe the day, not the hour."""


def _columns(
    declared: tuple[columns.Column, ...], *, shown: tuple[str, ...] = (), sorting: Mapping[str, str] | None = None
) -> tuple[Column, ...]:
    """Contract columns as model columns; what is not ``shown`` serves measures and relationships only."""
    return tuple(_column(column, is_shown=column.name in shown, sort_by=(sorting or {})) for column in declared)


def _column(column: columns.Column, *, is_shown: bool, sort_by: Mapping[str, str]) -> Column:
    dtype = column.dtype if isinstance(column.dtype, pl.DataType) else column.dtype()
    data_type, shape = _TYPES[dtype]
    return Column(
        column.name,
        data_type,
        column.description,
        format="0" if column.name.endswith("_key") else shape,
        folder=_folder(column.name),
        sort_by=sort_by.get(column.name, ""),
        is_hidden=not is_shown,
        is_date_only=dtype == pl.Date(),
    )


def _folder(name: str) -> str:
    if name in ("valid_from", "valid_to", "is_current"):
        return "Validity"
    return "Instants (UTC)" if name.endswith("_at") else ""


def _named(table: tables.Table, *names: str) -> tuple[columns.Column, ...]:
    return tuple(column for column in table.warehouse_columns if column.name in names)


def _names(columns: tuple[columns.Column, ...]) -> list[str]:
    return [column.name for column in columns]


def _warehouse(
    table: tables.Table,
    *,
    shown: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    sorting: Mapping[str, str] | None = None,
    calculated: tuple[Column, ...] = (),
    hierarchies: tuple[Hierarchy, ...] = (),
) -> Table:
    """A table of the warehouse as it is there, but for the columns ``without`` and the ``calculated`` ones."""
    declared = tuple(column for column in table.warehouse_columns if column.name not in without)
    return Table(
        table.warehouse_name,
        table.description,
        table.warehouse_name,
        (*_columns(declared, shown=shown, sorting=sorting), *calculated),
        query(table.warehouse_name, _names(declared)),
        hierarchies,
        is_fact=not table.is_dimension,
    )


def _age_band_order() -> str:
    bands = ", ".join(f'"{label}", {youngest}' for youngest, label in events.AGE_BANDS)
    return f"SWITCH(DimPatient[age_band], {bands})"


def _sorting_column(name: str, description: str, expression: str) -> Column:
    return Column(name, DataType.INTEGER, description, format="0", expression=expression, is_hidden=True)


_DAY_COLUMNS = _named(tables.DIM_TIME, *_CALENDAR)
_HOUR_COLUMNS = tuple(name for name in _CALENDAR if name != "date")
_HOSPITAL_COLUMNS = _named(tables.DIM_DEPARTMENT, "hospital_id", "hospital_name")
_GENDER_COLUMNS = _named(tables.DIM_PATIENT, "gender")
_ORIGIN_COLUMNS = _named(tables.DIM_DEPARTMENT, "department_key", "department")

DIM_DATE = Table(
    "DimDate",
    "Days of the hospital's local calendar, selected from DimTime.",
    "DimTime",
    (
        Column(
            "date",
            DataType.MOMENT,
            "Local date",
            format="yyyy-mm-dd",
            is_key=True,
            is_date_only=True,
        ),
        *_columns(
            tuple(column for column in _DAY_COLUMNS if column.name != "date"),
            shown=("day_name", "is_weekend", "week", "month_name", "quarter", "year"),
            sorting={"month_name": "month", "day_name": "weekday"},
        ),
        _sorting_column("weekday", "Day of the week, Monday = 1: sorts day_name", "WEEKDAY(DimDate[date], 2)"),
    ),
    query(
        "DimTime",
        _names(_DAY_COLUMNS),
        ("Known", "Table.SelectRows(Columns, each [date] <> null)"),
        ("Days", "Table.Distinct(Known)"),
    ),
    (
        Hierarchy(
            "Calendar",
            "Year, quarter, month, day",
            (("Year", "year"), ("Quarter", "quarter"), ("Month", "month_name"), ("Day", "date")),
        ),
    ),
    is_calendar=True,
)

DIM_HOSPITAL = Table(
    "DimHospital",
    "Hospitals, selected from DimDepartment.",
    "DimDepartment",
    _columns(_HOSPITAL_COLUMNS, shown=("hospital_id", "hospital_name")),
    query(
        "DimDepartment",
        _names(_HOSPITAL_COLUMNS),
        (
            "Hospitals",
            'Table.Group(Columns, {"hospital_id"}, {{"hospital_name", each List.Max([hospital_name]), type text}})',
        ),
    ),
)

DIM_GENDER = Table(
    "DimGender",
    "Genders, selected from DimPatient: one filter for stays, census and daily measures.",
    "DimPatient",
    _columns(_GENDER_COLUMNS, shown=("gender",)),
    query("DimPatient", _names(_GENDER_COLUMNS), ("Genders", "Table.Distinct(Columns)")),
)

DIM_ORIGIN = Table(
    "DimOrigin",
    "The department that a patient came from: DimDepartment in a second role.",
    "DimDepartment",
    _columns(_ORIGIN_COLUMNS, shown=("department",)),
    query("DimDepartment", _names(_ORIGIN_COLUMNS)),
)

_FRESHNESS_COLUMNS = tuple(column for column in views.DATA_FRESHNESS.columns if column.name != "age_seconds")

_EXPECTED_COLUMNS = tuple(column for column in views.BEDS_EXPECTED.columns if column.name != "hospital_name")

DATA_FRESHNESS = Table(
    "DataFreshness",
    # Without age_seconds: in an imported copy it would be the age at refresh; a measure computes it when a visual asks.
    views.DATA_FRESHNESS.description,
    views.DATA_FRESHNESS.name,
    _columns(_FRESHNESS_COLUMNS, shown=("table_name", "gold_version", "loaded_at", "newest_event_at")),
    query(views.DATA_FRESHNESS.name, _names(_FRESHNESS_COLUMNS)),
    is_fact=True,
)

BEDS_EXPECTED = Table(
    views.BEDS_EXPECTED.name,
    views.BEDS_EXPECTED.description,
    views.BEDS_EXPECTED.name,
    _columns(_EXPECTED_COLUMNS, shown=("department", "target_at", "horizon_hours", "source", "judged_days")),
    query(views.BEDS_EXPECTED.name, _names(_EXPECTED_COLUMNS)),
    is_fact=True,
)

READER_SCOPE = Table(
    "ReaderScope",
    "Whose rows a person sees in the role Reader scope; an empty hospital or department stands for all.",
    "ReaderScope",
    (
        Column("principal_name", DataType.TEXT, "Sign-in name (UPN) of the person", is_hidden=True),
        Column("hospital_id", DataType.TEXT, "Hospital, or empty for all", is_hidden=True),
        Column("department", DataType.TEXT, "Department, or empty for all", is_hidden=True),
    ),
    query("ReaderScope", ["principal_name", "hospital_id", "department"], schema=SECURITY_SCHEMA),
    is_hidden=True,
)

_ADAPTED: tuple[Table, ...] = (
    DIM_DATE,
    _warehouse(
        tables.DIM_TIME,
        shown=("hour", "shift", "hour_start_at"),
        without=_HOUR_COLUMNS,
        hierarchies=(Hierarchy("Day part", "Shift, then hour", (("Shift", "shift"), ("Hour", "hour"))),),
    ),
    DIM_HOSPITAL,
    _warehouse(
        tables.DIM_DEPARTMENT,
        shown=(
            "department",
            "class",
            "beds",
            "staffed_beds",
            "staff",
            "expected_los_hours",
            "is_inferred",
            "valid_from",
            "valid_to",
        ),
        hierarchies=(
            Hierarchy(
                "Hospital and department",
                "Hospital, then department",
                (("Hospital", "hospital_name"), ("Department", "department")),
            ),
        ),
    ),
    DIM_ORIGIN,
    DIM_GENDER,
    _warehouse(
        tables.DIM_PATIENT,
        shown=("age", "age_band"),
        sorting={"age_band": "age_band_order"},
        calculated=(_sorting_column("age_band_order", "Youngest age: sorts age_band", _age_band_order()),),
    ),
    _warehouse(
        tables.FACT_PATIENT_FLOW,
        shown=("wait_source", "discharge_status", "bed_id", "admission_at", "discharge_at", "quality_flags"),
        # A value of its own in nearly every row, and no measure needs it: in a copy it would take the most space.
        without=("arrival_at", "last_confirmed_at", "last_enqueued_at"),
    ),
    _warehouse(
        tables.FACT_ED_ATTENDANCE,
        shown=("outcome", "arrival_at", "departure_at", "quality_flags"),
        without=("last_confirmed_at", "last_enqueued_at"),
    ),
    _warehouse(tables.FACT_BED_CENSUS),
    _warehouse(tables.KPI_DEPARTMENT_DAY),
    _warehouse(tables.DATA_QUALITY_DAY, shown=("rule",)),
)


def _visible(table: tables.Table) -> tuple[str, ...]:
    """Columns of a table without an entry above: all but those that serve relationships."""
    hidden = {*table.key, *tables.references(table), "date", "hospital_id", "gender"}
    return tuple(column.name for column in table.warehouse_columns if column.name not in hidden)


TABLES: tuple[Table, ...] = (
    *_ADAPTED,
    *(
        _warehouse(table, shown=_visible(table))
        for table in tables.WAREHOUSE_TABLES
        if table.warehouse_name not in {adapted.name for adapted in _ADAPTED}
    ),
    BEDS_EXPECTED,
    DATA_FRESHNESS,
    READER_SCOPE,
)
"""In the order of the field list."""
