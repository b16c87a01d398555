"""The warehouse's tables for SQLAlchemy, derived from ``contracts.tables``, the load log and the access log.

The logical schema: names, types, keys, and the indexes that views and loads need. Not here: distribution, compression
and enforcement, which differ per database (``targets``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mssql, postgresql

from patient_flow.contracts import access_log
from patient_flow.contracts.columns import Column
from patient_flow.contracts.events import MAX_ID_LENGTH
from patient_flow.contracts.tables import WAREHOUSE_TABLES, Table

_INSTANT = (
    sa.DateTime()
    .with_variant(mssql.DATETIME2(6), "mssql")  # type: ignore[no-untyped-call]
    .with_variant(postgresql.TIMESTAMP(precision=6), "postgresql")
)
"""UTC without a zone, which every target can store, compare and index."""

# SQLite uses a single INTEGER key as the row id, which saves the separate index that BIGINT needs.
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_TYPES: Mapping[pl.DataType, sa.types.TypeEngine[Any]] = {
    pl.Int64(): _BIG,
    pl.Int32(): sa.Integer(),
    pl.Int16(): sa.SmallInteger(),
    pl.Float64(): sa.Float(53),
    pl.Boolean(): sa.Boolean(),
    pl.Date(): sa.DATE(),
    pl.Datetime("us", "UTC"): _INSTANT,
}

INDEXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "DimPatient": (("patient_id",),),
    "DimTime": (("date",),),
    "FactPatientFlow": (
        ("arrival_time_key", "visit_id"),
        ("patient_key",),
        ("department_key",),
        (
            "admission_time_key",
            "department_key",
            "from_department_key",
            "gender",
            "patient_key",
            "admission_at",
            "is_visit_start",
            "is_transfer",
            "is_day_case",
            "is_observation",
            "stay_kind",
            "wait_minutes",
        ),
        (
            "discharge_time_key",
            "department_key",
            "gender",
            "patient_key",
            "bed_id",
            "admission_at",
            "discharge_at",
            "length_of_stay_hours",
            "visit_length_of_stay_hours",
            "in_bed_hours",
            "nights",
            "is_visit_end",
            "is_day_case",
            "is_observation",
            "confirmed_until",
        ),
        ("discharge_at",),
    ),
    "FactBedCensus": (("department_key", "time_key"),),
    "FactEdAttendance": (
        ("patient_key",),
        ("department_key",),
        (
            "arrival_time_key",
            "department_key",
            "gender",
            "patient_key",
            "arrival_at",
            "departure_at",
            "outcome",
            "minutes_to_triage",
            "minutes_to_seen",
            "minutes_in_department",
            "boarding_minutes",
        ),
        ("departure_at",),
    ),
    # The newest forecast among those of 400 mornings.
    "ForecastBeds": (("made_at",),),
    "ForecastArrivals": (("made_at",),),
}
"""Indexed columns, for targets that have indexes.

The stays of a day are scattered (their key is a hash), so the two long indexes cover the queries of the dashboard.
An index that begins with a hash is written all over by each load. The stays of a visit share their arrival, by which
new ones are found and written side by side.
"""

FORMER_INDEXES = frozenset({"ix_FactPatientFlow_visit_id"})
"""Names of indexes that an earlier version declared: a migration drops them."""

KEY_LED_BY: Mapping[str, str] = {"FactPatientFlow": "admission_time_key", "FactEdAttendance": "arrival_time_key"}
"""Column before a hashed key in the primary key, so that new rows lie side by side in its index.

A load deletes a row by both: by the value of this column that it was loaded with.
"""

STORED_BY: Mapping[str, str] = {"FactPatientFlow": "admission_at", "FactEdAttendance": "arrival_at"}
"""Column by which rows are sorted when they are written, if not the key: queries of a period then read fewer pages."""

CASE_SENSITIVE_COLUMNS = ("hospital_id", "department")
"""Columns with names that hospitals choose: "H1" and "h1" differ, whatever the database's collation."""
CASE_SENSITIVE = "Latin1_General_100_BIN2"
"""The collation of these columns on SQL Server and Synapse, whose default ones ignore case."""
UNITS_PER_CHARACTER = 2
"""NVARCHAR counts UTF-16 code units; a character beyond the Basic Multilingual Plane has two."""

METADATA = sa.MetaData()


def sql_type(column: Column) -> sa.types.TypeEngine[Any]:
    """SQL type of ``column``. Texts have their declared length, as columnstores do not support unbounded ones."""
    if column.dtype in (pl.String(), pl.List(pl.String())):
        return _text(column.length, CASE_SENSITIVE if column.name in CASE_SENSITIVE_COLUMNS else None)
    return _TYPES[column.dtype if isinstance(column.dtype, pl.DataType) else column.dtype()]


def _text(length: int, collation: str | None = None) -> sa.types.TypeEngine[Any]:
    """A text of ``length`` characters; in SQL Server and its family in code units, with a ``collation``."""
    in_units = sa.Unicode(UNITS_PER_CHARACTER * length, collation=collation)
    return sa.Unicode(length).with_variant(in_units, "mssql")


def _table(table: Table) -> sa.Table:
    name = table.warehouse_name
    key = (KEY_LED_BY[name], *table.key) if name in KEY_LED_BY else table.key
    return sa.Table(
        name,
        METADATA,
        *(
            sa.Column(
                column.name,
                # A row id in the order of a hashed key would scatter over the file what the other order keeps together.
                sa.BigInteger() if name in STORED_BY and column.name in table.key else sql_type(column),
                autoincrement=False,
                nullable=column.nullable and column.name not in table.key,
                comment=column.description,
            )
            for column in table.warehouse_columns
        ),
        sa.PrimaryKeyConstraint(*key),
        *(sa.Index(f"ix_{name}_{columns[0]}", *columns) for columns in INDEXES.get(name, ())),
        # SQLite: a composite key then is the table's only tree.
        sqlite_with_rowid=len(table.key) == 1,
    )


TABLES: Mapping[str, sa.Table] = {table.path: _table(table) for table in WAREHOUSE_TABLES}
"""Path of the gold table → warehouse table."""

LOAD_LOG = sa.Table(
    "LoadLog",
    METADATA,
    sa.Column("table_name", _text(MAX_ID_LENGTH), primary_key=True, comment="Warehouse table"),
    sa.Column("gold_version", sa.BigInteger(), comment="Delta version of the gold table; null = nothing loaded"),
    sa.Column("gold_table_id", sa.BigInteger(), comment="Identity of the gold table; null = recorded by no load yet"),
    sa.Column("loaded_at", _INSTANT, comment="When it was loaded"),
    sa.Column("newest_event_at", _INSTANT, comment="When the hub accepted the newest event that is loaded"),
    sa.Column("lag_seconds", sa.Float(53), comment="newest_event_at to loaded_at"),
    sa.Column("rows_written", sa.BigInteger(), comment="Rows deleted and inserted by the last load"),
    sa.Column("run_id", _text(MAX_ID_LENGTH), comment="Run that loaded it"),
    sa.Column("figures_version", sa.BigInteger(), comment="Version of the rules of the loaded figures"),
    sa.Column("figures_changed_at", _INSTANT, comment="When it changed; null = its first figures are of this version"),
)
"""One row per table, inserted when the table is created: a load only updates rows."""

_ACCESS_LOG_NAME = _text(access_log.MAX_NAME)

ACCESS_LOG = sa.Table(
    "AccessLog",
    METADATA,
    sa.Column("at", _INSTANT, nullable=False, comment="When"),
    sa.Column("viewer", _text(access_log.MAX_VIEWER), nullable=False, comment="Who, as the proxy names them"),
    sa.Column("what", _text(access_log.MAX_WHAT), nullable=False, comment="Page or export and its filters; no patient"),
    sa.Column("scope", _text(access_log.MAX_SCOPE), nullable=False, comment="Hospitals and departments they may see"),
    sa.Column("kind", _ACCESS_LOG_NAME, nullable=False, comment="page, refresh, export; heads, anchors, end"),
    sa.Column("request_id", _ACCESS_LOG_NAME, nullable=False, comment="The answer's header X-Request-ID"),
    sa.Column("chain", _ACCESS_LOG_NAME, primary_key=True, comment="Process that wrote the line"),
    sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False, comment="Place in the chain, from 1"),
    sa.Column(
        "previous_hash", _ACCESS_LOG_NAME, nullable=False, comment="Hash of the line before; empty for the first"
    ),
    sa.Column("hash", _ACCESS_LOG_NAME, nullable=False, comment="HMAC-SHA256 of all other columns"),
)
"""Who looked: no load touches it. ``contracts.access_log`` explains the chains."""
_HEAD = ("chain", "number", "hash")

AGGREGATE_DAY = sa.Table(
    "AggregateDay",
    METADATA,
    sa.Column("date", sa.DATE(), primary_key=True, comment="Local date, closed"),
    sa.Column("hospital_id", _text(MAX_ID_LENGTH, CASE_SENSITIVE), primary_key=True, comment="Hospital"),
    sa.Column("department", _text(MAX_ID_LENGTH, CASE_SENSITIVE), primary_key=True, comment="Empty: whole hospital"),
    sa.Column("gender", _text(MAX_ID_LENGTH), primary_key=True, comment="Empty: all; only admissions are split by it"),
    sa.Column("month", sa.DATE(), nullable=False, comment="First day of its month"),
    sa.Column("is_month_end", sa.Boolean(), nullable=False, comment="Last day of its month"),
    sa.Column("admissions", sa.BigInteger(), comment="Ward stays that start a visit; null = hidden"),
    sa.Column("discharges", sa.BigInteger(), comment="Visits that ended; null = hidden, or a row of a department"),
    sa.Column("patients_at_midnight", sa.BigInteger(), comment="In beds at the end of the date; null = hidden"),
    sa.Column("staffed_beds", sa.BigInteger(), comment="At the end of the date; null = not stated"),
    sa.Column("attendances", sa.BigInteger(), comment="Of emergency departments, by arrival; null = hidden"),
    sa.Column("departures", sa.BigInteger(), comment="Of these attendances, by now; null = hidden"),
    sa.Column("within_240", sa.BigInteger(), comment="Of these departures, within 240 minutes; null = hidden"),
    sa.Column("waits", sa.BigInteger(), comment="Of the admissions, with a known time to first bed; null = hidden"),
    sa.Column("wait_minutes_sum", sa.BigInteger(), comment="Sum of these times; null = hidden"),
    sa.Column("threshold", sa.Integer(), nullable=False, comment="Counts from 1 to this minus 1 are hidden"),
    sa.Column("published_at", _INSTANT, nullable=False, comment="When; a row is never changed"),
)
"""What aggregate readers see: written once (``pipeline.publication``), touched by no load."""
KEPT_TABLES = (ACCESS_LOG, AGGREGATE_DAY)
"""Tables that only this warehouse has: nothing recomputes them."""

ACCESS_LOG_HEADS = sa.table("AccessLogHeads", *(sa.column(c.name, c.type) for c in ACCESS_LOG.c if c.name in _HEAD))
"""View: the newest line of each chain, all that the dashboard may read of the access log."""

AGGREGATE_COUNTS = (
    *("admissions", "discharges", "patients_at_midnight", "attendances", "departures", "within_240"),
    *("waits", "wait_minutes_sum"),
)
AGGREGATE_MONTH = sa.table(
    "AggregateMonth",
    *(sa.column(name, AGGREGATE_DAY.c[name].type) for name in ("month", "hospital_id", "department", "gender")),
    *(sa.column(name + end, sa.BigInteger()) for name in AGGREGATE_COUNTS for end in ("", "_days")),
)
"""View: closed months, as sums of published days."""

LOADED_TABLES = (*TABLES.values(), LOAD_LOG)
"""The tables that a load needs."""
ALL_TABLES = (*TABLES.values(), *KEPT_TABLES, LOAD_LOG)
"""In the order in which they are created: where the load log exists, an interrupted set-up got that far."""


def seed(table: sa.Table) -> sa.Insert:
    """Inserts the row of ``table`` into the load log, unless it exists."""
    line = sa.exists().where(LOAD_LOG.c.table_name == table.name)
    return sa.insert(LOAD_LOG).from_select(
        ["table_name"], sa.select(sa.literal(table.name, LOAD_LOG.c.table_name.type).label("table_name")).where(~line)
    )


def forget(table: sa.Table) -> sa.Update:
    """Makes the next load replace all rows of ``table``."""
    return sa.update(LOAD_LOG).where(LOAD_LOG.c.table_name == table.name).values(gold_version=None)


IS_PRESENT = "is_present"
"""Column of staging tables: false where only a key is staged, whose row is deleted."""


def staging_table(table: sa.Table, name: str, **options: Any) -> sa.Table:
    """An unconstrained copy of ``table`` called ``name``, with the column :data:`IS_PRESENT`."""
    columns = [sa.Column(column.name, column.type, nullable=True, autoincrement=False) for column in table.columns]
    return sa.Table(name, sa.MetaData(), *columns, sa.Column(IS_PRESENT, sa.Boolean(), nullable=True), **options)
