"""Every table, declared once: columns, types, keys, partitions. Delta schemas, SQL DDL, docs and checks derive from it.

Suffixes: ``_id`` given by the outside; ``_key`` ours (63-bit, deterministic, 0 = unknown member); ``_at`` a UTC
instant; ``_date`` a date in the hospital's zone; ``_minutes``, ``_hours``, ``_beds`` units; ``is_``/``has_`` booleans;
``valid_from`` inclusive, ``valid_to`` exclusive, null = open.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from patient_flow.contracts import measures
from patient_flow.contracts.events import MAX_ID_LENGTH
from patient_flow.contracts.measure_types import Part

INSTANT = pl.Datetime("us", "UTC")
TEXTS = pl.List(pl.String)


@dataclass(frozen=True)
class Column:
    """One column. ``length`` bounds a text in the warehouse; ``lake_only`` keeps a column out of the warehouse."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    description: str
    nullable: bool = True
    length: int = MAX_ID_LENGTH
    lake_only: bool = False


@dataclass(frozen=True)
class Table:
    """One Delta table, and the warehouse table made from it when ``warehouse`` is set.

    ``key`` identifies a row. ``partition_by`` are columns whose value may change only together with a delete of the
    old row (``stores.lake`` emits both). Within a partition, rows are kept near others with a similar ``sort_by`` in
    files of about ``file_bytes`` (delta-rs's default where 0): what a change touches is found in few of them.
    """

    layer: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    sort_by: str = ""
    file_bytes: int = 0
    warehouse: bool = False
    configuration: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def path(self) -> str:
        """``<layer>/<table>``: the asset key and the place in the lake."""
        return f"{self.layer}/{self.name}"

    @property
    def warehouse_name(self) -> str:
        """CamelCase name in the warehouse."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def warehouse_columns(self) -> tuple[Column, ...]:
        """Columns that the warehouse table has."""
        return tuple(column for column in self.columns if not column.lake_only)

    @property
    def schema(self) -> pl.Schema:
        """Polars schema, columns in the order of the declaration."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def empty(self) -> pl.DataFrame:
        """A frame of this table without rows."""
        return pl.DataFrame(schema=self.schema)


def _id(name: str, description: str, *, nullable: bool = True) -> Column:
    return Column(name, pl.String(), description, nullable)


def _text(name: str, description: str, length: int) -> Column:
    return Column(name, pl.String(), description, length=length)


def _key(name: str, description: str) -> Column:
    return Column(name, pl.Int64(), description, nullable=False)


def _at(name: str, description: str, *, nullable: bool = True) -> Column:
    return Column(name, INSTANT, description, nullable)


def _count(name: str, description: str) -> Column:
    return Column(name, pl.Int64(), description, nullable=False)


def _number(name: str, description: str) -> Column:
    return Column(name, pl.Float64(), description)


def _flag(name: str, description: str) -> Column:
    return Column(name, pl.Boolean(), description, nullable=False)


def _month(name: str, of: str) -> Column:
    return Column(name, pl.String(), f"UTC month (YYYY-MM) of {of}: partition", nullable=False, lake_only=True)


HUB_COORDINATES = (
    _at("hub_created_at", "Creation time of the hub: tells its incarnations apart", nullable=False),
    _id("partition_id", "Partition of the hub", nullable=False),
    Column("sequence_number", pl.Int64(), "Number of the event in its partition", nullable=False),
)
"""Columns that identify one event of the hub; no two bronze rows share them."""
COORDINATES = tuple(column.name for column in HUB_COORDINATES)

BRONZE_EVENTS = Table(
    "bronze",
    "patient_events",
    "Every event of the hub, as received.",
    (
        *HUB_COORDINATES,
        Column("offset", pl.String(), "Opaque position in the partition, to resume from"),
        _at("enqueued_at", "When the hub accepted the event", nullable=False),
        Column("partition_key", pl.String(), "Key that the producer set"),
        Column("properties", pl.String(), "Application properties, as JSON"),
        Column("body", pl.Binary(), "The body, byte for byte"),
        _at("ingested_at", "When this pipeline read the event", nullable=False),
        Column("run_id", pl.String(), "Run that read the event"),
        Column("ingested_date", pl.Date(), "UTC date of ingested_at: partition", nullable=False),
    ),
    key=COORDINATES,
    partition_by=("ingested_date",),
)

SILVER_EVENTS = Table(
    "silver",
    "patient_events",
    "Accepted events: typed, pseudonymised, each identity once.",
    (
        *HUB_COORDINATES,
        _at("enqueued_at", "When the hub accepted the event", nullable=False),
        Column("schema_version", pl.String(), "Contract version that the event states", nullable=False),
        _id("event_id", "Given by the sender, else SHA-256 of the canonical body", nullable=False),
        Column("event_type", pl.String(), "What happened", nullable=False),
        _at("event_time", "When it happened", nullable=False),
        _id("visit_id", "Pseudonym of the visit", nullable=False),
        _id("patient_id", "Pseudonym of the patient", nullable=False),
        _id("hospital_id", "Hospital", nullable=False),
        _id("department", "Department, in the spelling of the reference list where it has one"),
        Column("gender", pl.String(), "Null when the event states none"),
        Column("age", pl.Int16(), "Years; null when the event states none or an impossible one"),
        _at("arrival_time", "Arrival at the hospital"),
        _at("triage_time", "Triage"),
        _at("admission_time", "Admission"),
        _at("discharge_time", "Discharge; in a snapshot or update it may be planned"),
        _number("wait_minutes", "Wait as the sender reports it"),
        _id("bed_id", "Bed"),
        Column("discharge_status", pl.String(), "How the visit ended"),
        Column("extra", pl.String(), "Fields that the contract does not know, as JSON"),
        Column("quality_flags", TEXTS, "Flag rules that the event breaks", nullable=False),
        Column("body_hash", pl.Int64(), "Hash of the canonical body: tells redelivery from reuse", nullable=False),
        Column("event_key", pl.Int64(), "Hash of (event_id, event_time): finds an identity fast", nullable=False),
        Column("visit_hash", pl.Int64(), "Hash of visit_id: finds a visit fast", nullable=False),
        Column("patient_hash", pl.Int64(), "Hash of patient_id: finds a patient fast", nullable=False),
        _month("event_month", "event_time"),
    ),
    key=COORDINATES,
    partition_by=("event_month",),
)

QUARANTINE = Table(
    "silver",
    "quarantine",
    "Rejected events with every reason, replayable.",
    (
        *HUB_COORDINATES,
        _at("enqueued_at", "When the hub accepted the event", nullable=False),
        Column("body", pl.Binary(), "The body, byte for byte"),
        Column("reasons", TEXTS, "Quarantine rules that the event breaks", nullable=False),
        _id("hospital_id", "Hospital, where the body states one"),
        _at("rejected_at", "When it was rejected", nullable=False),
        Column("event_key", pl.Int64(), "Hash of (event_id, event_time), where only its identity is wrong"),
        _month("enqueued_month", "enqueued_at"),
    ),
    key=COORDINATES,
    partition_by=("enqueued_month",),
)

_VALIDITY = (
    _at("valid_from", "First instant of this version", nullable=False),
    _at("valid_to", "First instant of the next version; null = open"),
    _flag("is_current", "True for the open version"),
)

DIM_PATIENT = Table(
    "gold",
    "dim_patient",
    "Patients over time (SCD2), from what accepted events state of them.",
    (
        _key("patient_key", "Surrogate key of the version"),
        _id("patient_id", "Pseudonym", nullable=False),
        _text("gender", "Female, Male, Other or Unknown", 16),
        Column("age", pl.Int16(), "Years"),
        _text("age_band", "Age group", 16),
        *_VALIDITY,
        Column("patient_hash", pl.Int64(), "Hash of patient_id: finds a patient fast", lake_only=True),
    ),
    key=("patient_key",),
    # Who comes back may have come first at any time: rows that a batch changes lie anywhere in a table that only grows.
    sort_by="patient_hash",
    file_bytes=512 * 1024,
    warehouse=True,
)

DIM_DEPARTMENT = Table(
    "gold",
    "dim_department",
    "Departments of hospitals over time (SCD2), from the reference list; inferred where events name one it lacks.",
    (
        _key("department_key", "Surrogate key of the version"),
        _id("hospital_id", "Hospital", nullable=False),
        _text("hospital_name", "Hospital", 128),
        _id("department", "Department", nullable=False),
        Column("staffed_beds", pl.Int64(), "Beds open and staffed"),
        Column("staff", pl.Int64(), "Staff on the books"),
        _number("expected_los_hours", "Stay beyond which a patient overstays"),
        _flag("is_inferred", "True when only events name it"),
        *_VALIDITY,
    ),
    key=("department_key",),
    warehouse=True,
)

DIM_TIME = Table(
    "gold",
    "dim_time",
    "Hours, with the hospital's local calendar.",
    (
        _key("time_key", "UTC hour as YYYYMMDDHH"),
        _at("hour_start_at", "First instant of the hour"),
        Column("date", pl.Date(), "Local date"),
        Column("hour", pl.Int16(), "Local hour, 0-23"),
        Column("is_day_start", pl.Boolean(), "First hour of the local date: its midnight, even where clocks skip 0:00"),
        _text("day_name", "Local day of the week, in English", 16),
        Column("is_weekend", pl.Boolean(), "Saturday or Sunday"),
        Column("week", pl.Int16(), "ISO week"),
        Column("month", pl.Int16(), "Local month, 1-12"),
        _text("month_name", "Local month, in English", 16),
        Column("quarter", pl.Int16(), "Local quarter, 1-4"),
        Column("year", pl.Int16(), "Local year"),
        _text("shift", "night (22-6), day (6-14) or evening (14-22), local hours", 16),
    ),
    key=("time_key",),
    warehouse=True,
)

FACT_PATIENT_FLOW = Table(
    "gold",
    "fact_patient_flow",
    "Stays of visits in departments (accumulating snapshot).",
    (
        _key("stay_key", "Surrogate key of the stay"),
        _id("visit_id", "Pseudonym of the visit", nullable=False),
        Column("stay_number", pl.Int32(), "1 for the visit's first stay", nullable=False),
        _key("patient_key", "Patient version valid at the stay's admission"),
        _key("department_key", "Department version valid at the stay's admission"),
        _key("from_department_key", "Department that the patient came from; 0 at the start of a visit"),
        _text("gender", "Gender of the patient version", 16),
        _key("arrival_time_key", "Hour of arrival_at"),
        _key("admission_time_key", "Hour of admission_at"),
        _key("discharge_time_key", "Hour of discharge_at"),
        _at("arrival_at", "Arrival of the visit at the hospital"),
        _at("admission_at", "Start of the stay", nullable=False),
        _at("discharge_at", "End of the stay, by move or discharge; may be planned; null = open"),
        _number("wait_minutes", "Arrival to admission; first stay of a visit only"),
        _text("wait_source", "reported or derived", 16),
        _number("length_of_stay_hours", "admission_at to discharge_at"),
        _number("visit_length_of_stay_hours", "First admission to discharge; last stay of an ended visit only"),
        _flag("is_visit_start", "True for the stay that an admission opened"),
        _flag("is_visit_end", "True for the last stay of a visit that has a discharge (maybe planned)"),
        _id("bed_id", "Last bed of the stay"),
        _text("discharge_status", "How the visit ended; last stay only", 32),
        Column("quality_flags", TEXTS, "Flags of the visit's events", nullable=False, length=1000),
        _at("last_enqueued_at", "Newest event of the visit at the hub", nullable=False),
        Column("visit_hash", pl.Int64(), "Hash of visit_id: finds a visit fast", nullable=False, lake_only=True),
        _month("admission_month", "admission_at"),
    ),
    key=("stay_key",),
    partition_by=("admission_month",),
    # Corrections reach stays of any age, and each rewrites the file that its stay lies in.
    sort_by="admission_at",
    file_bytes=512 * 1024,
    warehouse=True,
)

FACT_BED_CENSUS = Table(
    "gold",
    "fact_bed_census",
    "Occupied beds at the start of each hour, up to the newest event.",
    (
        _key("time_key", "Hour"),
        _key("department_key", "Department version valid at the hour"),
        Column("gender", pl.String(), "Gender", nullable=False, length=16),
        Column("occupied_beds", pl.Int64(), "Stays with admission_at <= hour < discharge_at", nullable=False),
        _month("census_month", "the hour"),
    ),
    key=("time_key", "department_key", "gender"),
    partition_by=("census_month",),
    warehouse=True,
)


def _daily(quantity: measures.Daily) -> Column:
    """Column of the daily table: a count, or a number that is unknown where there is nothing to sum."""
    is_count = isinstance(quantity, Part) and quantity.is_whole
    return (_count if is_count else _number)(quantity.name, quantity.description)


KPI_DEPARTMENT_DAY = Table(
    "gold",
    "kpi_department_day",
    "Measures by local date, department and gender. Sums may be added; percentages and medians may not.",
    (
        Column("date", pl.Date(), "Local date", nullable=False),
        _key("department_key", "Department version"),
        Column("gender", pl.String(), "Gender", nullable=False, length=16),
        *(_daily(quantity) for quantity in measures.DAILY),
    ),
    key=("date", "department_key", "gender"),
    sort_by="date",
    file_bytes=256 * 1024,
    warehouse=True,
)

DATA_QUALITY_DAY = Table(
    "gold",
    "data_quality_day",
    "Events by rule, hospital and local date of arrival at the hub; rule 'all' counts events, not violations.",
    (
        Column("date", pl.Date(), "Local date of enqueued_at", nullable=False),
        Column("hospital_id", pl.String(), "Hospital, or Unknown", nullable=False),
        Column("rule", pl.String(), "Quality rule, or all", nullable=False),
        _count("accepted", "Accepted events (rule all only)"),
        _count("flagged", "Accepted events that break the rule"),
        _count("quarantined", "Quarantined events that break the rule"),
    ),
    key=("date", "hospital_id", "rule"),
    sort_by="date",
    file_bytes=256 * 1024,
    warehouse=True,
)

LAKE_TABLES = (
    BRONZE_EVENTS,
    SILVER_EVENTS,
    QUARANTINE,
    DIM_TIME,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    FACT_PATIENT_FLOW,
    FACT_BED_CENSUS,
    KPI_DEPARTMENT_DAY,
    DATA_QUALITY_DAY,
)
"""In the order in which a micro-batch writes them."""

WAREHOUSE_TABLES = tuple(table for table in LAKE_TABLES if table.warehouse)
