"""Every table, declared once: columns with types and sources, keys, partitions.

Delta schemas, SQL DDL, column lineage, docs and checks derive from it. The order of the declarations is the order of a
micro-batch: a column can only have sources in tables that are declared above it. Each table's step is declared in
``pipeline.graph``. The module is long because it is one list of declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from patient_flow.contracts import events, measures
from patient_flow.contracts.columns import (
    DEPARTMENT_LIST,
    EVENT_HUB,
    INSTANT,
    TEXTS,
    Column,
    Sources,
    at,
    count,
    flag,
    generated,
    hashed,
    identifier,
    made_of,
    month,
    number,
    sources_of,
    surrogate,
    text,
)
from patient_flow.contracts.measure_types import (
    ATTENDANCES,
    CENSUS,
    DEPARTMENTS,
    HOURS,
    STAYS,
    HandWritten,
    Part,
    Percentile,
)


@dataclass(frozen=True)
class Table:
    """One Delta table, and the warehouse table made from it when ``warehouse`` is set.

    ``key`` identifies a row. ``partition_by`` are columns whose value may change only together with a delete of the
    old row (``stores.lake`` emits both). Within a partition, rows are sorted by ``sort_by`` into files of about
    ``file_bytes`` (0 for the default of delta-rs), so that a change touches few files. ``indexed`` are columns with
    hashes by which rows are looked up without reading every file. ``is_forecast`` tables are made hourly, outside
    micro-batches, and kept by a rebuild.
    """

    layer: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    sort_by: str = ""
    file_bytes: int = 0
    indexed: tuple[str, ...] = ()
    warehouse: bool = False
    is_forecast: bool = False
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
    def is_dimension(self) -> bool:
        """True for a dimension, false for a fact or an aggregate."""
        return self.name.startswith("dim_")

    @property
    def warehouse_columns(self) -> tuple[Column, ...]:
        """Columns that the warehouse table has."""
        return tuple(column for column in self.columns if not column.lake_only)

    @cached_property
    def schema(self) -> pl.Schema:
        """Polars schema, columns in the order of the declaration."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def of(self, *names: str) -> Sources:
        """Some of its columns, as sources of another table's column. Raises ``KeyError`` for an unknown one."""
        return sources_of(self.path, tuple(column.name for column in self.columns), names)

    def empty(self) -> pl.DataFrame:
        """A frame of this table without rows."""
        return pl.DataFrame(schema=self.schema)


COORDINATES = ("hub_created_at", "partition_id", "sequence_number")
"""Columns that identify one event of the hub; no two bronze rows share them."""
PART = "part"
EVENT_COORDINATES = (*COORDINATES, PART)
"""Columns that identify one event where a body may hold several; ``part`` is 0 where it holds one."""


def _coordinates(created_at: Sources, partition_id: Sources, sequence_number: Sources) -> tuple[Column, ...]:
    return (
        at("hub_created_at", "Creation time of the hub: tells its incarnations apart", created_at, nullable=False),
        identifier("partition_id", "Partition of the hub", partition_id, nullable=False),
        Column("sequence_number", pl.Int64(), "Number of the event in its partition", sequence_number, nullable=False),
    )


def _part(sources: Sources) -> tuple[Column, ...]:
    """An event within its body."""
    return made_of(
        sources,
        Column(PART, pl.Int32(), "Number of the event within its body, from 0"),
        Column("parts", pl.Int32(), "Number of events that the body held when it was first read"),
    )


_hub, _list = EVENT_HUB.of, DEPARTMENT_LIST.of

BRONZE_EVENTS = Table(
    "bronze",
    "patient_events",
    "Every event of the hub, as received.",
    (
        *_coordinates(*(_hub(name) for name in ("created_at", "partition_id", "sequence_number"))),
        Column("offset", pl.String(), "Opaque position in the partition, to resume from", _hub("offset")),
        at("enqueued_at", "When the hub accepted the event", _hub("enqueued_time"), nullable=False),
        Column("partition_key", pl.String(), "Key that the producer set", _hub("partition_key")),
        Column("properties", pl.String(), "Application properties, as JSON", _hub("properties")),
        Column("body", pl.Binary(), "The body, byte for byte", _hub(*events.FIELDS)),
        *generated(
            "the clock of the run that read the event",
            at("ingested_at", "When this pipeline read the event", nullable=False),
        ),
        *generated("the run that read the event", Column("run_id", pl.String(), "Run that read the event")),
        *generated(
            "the clock of the run that read the event",
            Column("ingested_date", pl.Date(), "UTC date of ingested_at: partition", nullable=False),
        ),
    ),
    key=COORDINATES,
    partition_by=("ingested_date",),
)

_bronze = BRONZE_EVENTS.of

_BODY = _bronze("body")
_FROM_BRONZE = tuple(_bronze(name) for name in COORDINATES)

SILVER_EVENTS = Table(
    "silver",
    "patient_events",
    "Accepted events: typed, pseudonymised, each identity once.",
    (
        *_coordinates(*_FROM_BRONZE),
        *_part(_BODY),
        at("enqueued_at", "When the hub accepted the event", _bronze("enqueued_at"), nullable=False),
        *made_of(
            _BODY,
            Column("schema_version", pl.String(), "Contract version that the event states", nullable=False),
            identifier("event_id", "Given by the sender, else SHA-256 of the canonical body", nullable=False),
            Column("event_type", pl.String(), "What happened", nullable=False),
            at("event_time", "When it happened", nullable=False),
            Column(
                "states_event_time",
                pl.Boolean(),
                "False for a snapshot without an event time of its own, which gets that of its admission",
            ),
            identifier("visit_id", "Pseudonym of the visit; null for a merge of patients"),
            identifier("patient_id", "Pseudonym of the patient", nullable=False),
            identifier("hospital_id", "Hospital", nullable=False),
        ),
        identifier(
            "department",
            "Department, in the spelling of the reference list where it has one",
            _BODY + _list("department"),
        ),
        *made_of(
            _BODY,
            Column("gender", pl.String(), "Null when the event states none"),
            Column("age", pl.Int16(), "Years; null when the event states none or an impossible one"),
            at("arrival_time", "Arrival at the hospital"),
            at("triage_time", "Triage"),
            at("admission_time", "Admission"),
            at("discharge_time", "Discharge; in a snapshot or update it may be planned"),
            number("wait_minutes", "Wait as the sender reports it"),
            identifier("bed_id", "Bed"),
            Column("discharge_status", pl.String(), "How the visit ended"),
            Column("extra", pl.String(), "Fields that the contract does not know, as JSON"),
        ),
        Column(
            "quality_flags",
            TEXTS,
            "Flag rules that the event breaks",
            _BODY + _list("hospital_id", "department"),
            nullable=False,
        ),
        *made_of(
            _BODY,
            hashed("body_hash", "Hash of the canonical body: tells redelivery from reuse", nullable=False),
            hashed("event_key", "Hash of (event_id, event_time): finds an identity fast", nullable=False),
            hashed("visit_hash", "Hash of visit_id: finds a visit fast"),
            hashed("patient_hash", "Hash of patient_id: finds a patient fast", nullable=False),
        ),
        # Delta keeps statistics of the first 32 columns: those that rows are found by stand before these.
        *made_of(
            _BODY,
            at("seen_time", "First treatment"),
            at("decision_time", "Decision to admit"),
            at("planned_discharge_time", "Expected discharge; ends no stay"),
            at("ready_time", "Medically ready to leave; ends no stay"),
            Column("visit_class", pl.String(), "Class of the visit, which decides about beds; null when unstated"),
            Column("admission_type", pl.String(), "Type of the admission; null when unstated"),
            identifier("merged_patient_id", "Pseudonym of the patient number that a merge gives up"),
            Column("source", pl.String(), "'reconciliation' marks a correction"),
            hashed("merged_patient_hash", "Hash of merged_patient_id: finds a merge fast"),
            hashed(
                "visit_number_hash",
                "Keyed hash of hospital and visit number without its scope; null where the sender gives no number",
            ),
        ),
        Column(
            "imported_at",
            INSTANT,
            "When the file of an imported row was imported; of a snapshot from the hub, when a file last repeated it",
            _bronze("ingested_at"),
        ),
        Column(
            "stays",
            pl.String(),
            "Placements of a snapshot that lists them, as JSON: department, bed_id, from, to (epoch microseconds)",
            _BODY + _list("department"),
        ),
        month("event_month", "event_time", _BODY),
    ),
    key=EVENT_COORDINATES,
    partition_by=("event_month",),
    file_bytes=16 * 1024 * 1024,
    indexed=("visit_hash", "visit_number_hash", "patient_hash", "merged_patient_hash"),
)

_silver = SILVER_EVENTS.of

ERASED = Table(
    "silver",
    "erased",
    "Parts of bodies that were about an erased person: that they existed, and nothing else.",
    (
        *_coordinates(*_FROM_BRONZE),
        *_part(_BODY),
        *generated("the erasure", at("erased_at", "When the person was erased", nullable=False)),
    ),
    key=EVENT_COORDINATES,
)

IGNORED = Table(
    "silver",
    "ignored",
    "Events that are known and say nothing about patient flow, each with the name of what ignored it.",
    (
        *_coordinates(*_FROM_BRONZE),
        *_part(_BODY),
        at("enqueued_at", "When the hub accepted the event", _bronze("enqueued_at"), nullable=False),
        Column(
            "name",
            pl.String(),
            "What ignored it",
            _BODY + _silver("event_id", "event_time", "body_hash"),
            nullable=False,
        ),
        hashed("event_key", "Hash of (event_id, event_time) of an event that was received or imported before", _BODY),
        *made_of(
            _BODY,
            identifier("visit_id", "Pseudonym of the visit that a snapshot received again confirms"),
            identifier("hospital_id", "Hospital, where the body states one"),
            hashed("visit_hash", "Hash of visit_id: finds a visit fast"),
        ),
        month("enqueued_month", "enqueued_at", _bronze("enqueued_at")),
    ),
    key=EVENT_COORDINATES,
    partition_by=("enqueued_month",),
    indexed=("visit_hash",),
)

_ignored = IGNORED.of

QUARANTINE = Table(
    "silver",
    "quarantine",
    "Rejected events with every reason, replayable.",
    (
        *_coordinates(*_FROM_BRONZE),
        *_part(_BODY),
        at("enqueued_at", "When the hub accepted the event", _bronze("enqueued_at"), nullable=False),
        Column(
            "body",
            pl.Binary(),
            "The body, byte for byte; of an event that a mapping unwrapped beside others, its own part",
            _BODY,
        ),
        Column(
            "reasons",
            TEXTS,
            "Quarantine rules that the event breaks",
            _bronze("body", "enqueued_at") + _silver("event_id", "event_time", "body_hash"),
            nullable=False,
        ),
        Column("details", TEXTS, "For each reason, which field and which kind of value is wrong; never a value", _BODY),
        identifier("hospital_id", "Hospital, where the body states one", _BODY),
        *generated(
            "the clock of the run that rejected the event", at("rejected_at", "When it was rejected", nullable=False)
        ),
        hashed("event_key", "Hash of (event_id, event_time), where only its identity is wrong", _BODY),
        month("enqueued_month", "enqueued_at", _bronze("enqueued_at")),
    ),
    key=EVENT_COORDINATES,
    partition_by=("enqueued_month",),
)

_quarantine = QUARANTINE.of


def _validity(sources: Sources) -> tuple[Column, ...]:
    return made_of(
        sources,
        at("valid_from", "First instant of this version", nullable=False),
        at("valid_to", "First instant of the next version; null = open"),
        flag("is_current", "True for the open version"),
    )


DIM_TIME = Table(
    "gold",
    "dim_time",
    "Hours, with the hospital's local calendar.",
    generated(
        "the calendar of PATIENT_FLOW_TIMEZONE",
        surrogate("time_key", "UTC hour as YYYYMMDDHH"),
        at("hour_start_at", "First instant of the hour"),
        Column("date", pl.Date(), "Local date"),
        Column("hour", pl.Int16(), "Local hour, 0-23"),
        Column("is_day_start", pl.Boolean(), "First hour of the local date: its midnight, even where clocks skip 0:00"),
        text("day_name", "Local day of the week, in English", 16),
        Column("is_weekend", pl.Boolean(), "Saturday or Sunday"),
        Column("week", pl.Int16(), "ISO week"),
        Column("month", pl.Int16(), "Local month, 1-12"),
        text("month_name", "Local month, in English", 16),
        Column("quarter", pl.Int16(), "Local quarter, 1-4"),
        Column("year", pl.Int16(), "Local year"),
        text("shift", "night (22-6), day (6-14) or evening (14-22), local hours", 16),
    ),
    key=("time_key",),
    warehouse=True,
)

DIM_DEPARTMENT = Table(
    "gold",
    "dim_department",
    "Departments of hospitals over time (SCD2), from the reference list; inferred where events name one it lacks.",
    (
        surrogate(
            "department_key",
            "Surrogate key of the version",
            _list("hospital_id", "department", "valid_from") + _silver("hospital_id", "department"),
        ),
        identifier("hospital_id", "Hospital", _list("hospital_id") + _silver("hospital_id"), nullable=False),
        text("hospital_name", "Hospital", 128, _list("hospital_name")),
        identifier("department", "Department", _list("department") + _silver("department"), nullable=False),
        text("class", "emergency, inpatient, critical_care, maternity, newborn, day_case, other", 16, _list("class")),
        Column("beds", pl.Int64(), "Physical beds; closed beds are beds less staffed beds", _list("beds")),
        Column("staffed_beds", pl.Int64(), "Beds open and staffed", _list("staffed_beds")),
        Column("women_beds", pl.Int64(), "Staffed beds for women", _list("women_beds")),
        Column("men_beds", pl.Int64(), "Staffed beds for men", _list("men_beds")),
        Column("staff", pl.Int64(), "Staff on the books", _list("staff")),
        number("expected_los_hours", "Stay beyond which a patient overstays", _list("expected_los_hours")),
        Column(
            "unconfirmed_days",
            pl.Int64(),
            "Days for which an event confirms an open stay",
            _list("unconfirmed_days"),
        ),
        flag(
            "is_inferred",
            "True when only events name it",
            _list("hospital_id", "department") + _silver("hospital_id", "department"),
        ),
        *_validity(_list("valid_from", "valid_to")),
    ),
    key=("department_key",),
    warehouse=True,
)

_department = DIM_DEPARTMENT.of

DIM_PATIENT = Table(
    "gold",
    "dim_patient",
    "Patients over time (SCD2), from what accepted events state of them.",
    (
        surrogate("patient_key", "Surrogate key of the version", _silver("patient_id", "event_time")),
        identifier("patient_id", "Pseudonym", _silver("patient_id", "merged_patient_id"), nullable=False),
        text("gender", "Female, Male, Other or Unknown", 16, _silver("gender")),
        Column("age", pl.Int16(), "Years", _silver("age")),
        text("age_band", "Age group", 16, _silver("age")),
        *_validity(_silver("event_time")),
        hashed("patient_hash", "Hash of patient_id: finds a patient fast", _silver("patient_id"), lake_only=True),
    ),
    key=("patient_key",),
    # A returning patient may have come first at any time: a batch changes rows anywhere in a growing table.
    sort_by="patient_hash",
    file_bytes=128 * 1024,
    indexed=("patient_hash", "patient_key"),
    warehouse=True,
)

_patient = DIM_PATIENT.of

_ADMITTED = _silver("event_type", "event_time", "admission_time")
_DISCHARGED = _silver("event_type", "event_time", "discharge_time")
_ARRIVED = _silver("event_type", "event_time", "arrival_time")
_PLANNED = _silver("planned_discharge_time", "discharge_time", "event_time", "enqueued_at")
_CONFIRMED = _silver("event_type", "event_time", "enqueued_at")
_KINDS = _department("class") + _silver("visit_class")

FACT_PATIENT_FLOW = Table(
    "gold",
    "fact_patient_flow",
    "Stays of visits in departments (accumulating snapshot).",
    (
        surrogate("stay_key", "Surrogate key of the stay", _silver("visit_id", "event_type", "event_time")),
        identifier("visit_id", "Pseudonym of the visit", _silver("visit_id"), nullable=False),
        Column(
            "stay_number",
            pl.Int32(),
            "1 for the visit's first stay",
            _silver("event_type", "event_time", "hospital_id", "department"),
            nullable=False,
        ),
        surrogate("patient_key", "Patient version valid at the stay's admission", _patient("patient_key")),
        surrogate("department_key", "Department version valid at the stay's admission", _department("department_key")),
        surrogate(
            "from_department_key",
            "Department that the patient came from; 0 at the start of a visit",
            _department("department_key"),
        ),
        text("gender", "Gender of the patient version", 16, _patient("gender")),
        surrogate("arrival_time_key", "Hour of arrival_at", _ARRIVED),
        surrogate("admission_time_key", "Hour of admission_at", _ADMITTED),
        surrogate("discharge_time_key", "Hour of discharge_at", _DISCHARGED),
        at("arrival_at", "Arrival of the visit at the hospital", _ARRIVED),
        at("admission_at", "Start of the stay", _ADMITTED, nullable=False),
        at("discharge_at", "End of the stay, by move or discharge; may be planned; null = open", _DISCHARGED),
        text("stay_kind", "emergency, ward, or side where the department's class is other", 16, _KINDS),
        text("visit_class", "Class of the visit in force when the stay began", 16, _silver("visit_class")),
        text("admission_type", "How the patient comes to be admitted", 16, _silver("admission_type")),
        at("planned_discharge_at", "Expected discharge; last stay of a visit only", _PLANNED),
        at("ready_at", "Medically ready to leave; last stay of a visit only", _silver("ready_time")),
        number(
            "wait_minutes",
            "Arrival to admission; first ward stay of a visit only",
            _silver("wait_minutes", "arrival_time", "admission_time", "event_time"),
        ),
        text("wait_source", "reported or derived", 16, _silver("wait_minutes")),
        number(
            "length_of_stay_hours",
            "admission_at to discharge_at",
            _silver("admission_time", "discharge_time", "event_time"),
        ),
        number(
            "visit_length_of_stay_hours",
            "First ward stay to discharge; last ward stay of an ended visit only",
            _silver("admission_time", "discharge_time", "event_time"),
        ),
        number(
            "in_bed_hours",
            "Sum of the visit's ward stays; last ward stay of an ended visit only",
            _silver("admission_time", "discharge_time", "event_time"),
        ),
        Column(
            "nights",
            pl.Int64(),
            "Local midnights in the visit's ward stays; last ward stay of an ended visit only",
            _silver("admission_time", "discharge_time", "event_time"),
        ),
        flag("is_visit_start", "True for the first ward stay of an admitted visit", _ADMITTED + _KINDS),
        flag(
            "is_visit_end", "True for the last ward stay of a visit that has a discharge (maybe planned)", _DISCHARGED
        ),
        flag("is_transfer", "True for a ward stay that follows one in another department", _ADMITTED + _KINDS),
        flag("is_day_case", "True for the stays of a day case, which is counted beside admissions", _KINDS),
        flag("is_observation", "True for stays of a visit that stays observation, counted beside admissions", _KINDS),
        identifier("bed_id", "Last bed of the stay", _silver("bed_id")),
        text("discharge_status", "How the visit ended; last ward stay only", 32, _silver("discharge_status")),
        Column(
            "quality_flags", TEXTS, "Flags of the visit's events", _silver("quality_flags"), nullable=False, length=1000
        ),
        at("last_confirmed_at", "Latest instant at which an event confirmed the visit", _CONFIRMED),
        at("confirmed_until", "Until when an open stay is confirmed; null where a fact ended it", _CONFIRMED),
        at("last_enqueued_at", "Newest event of the visit at the hub", _silver("enqueued_at"), nullable=False),
        hashed(
            "visit_hash", "Hash of visit_id: finds a visit fast", _silver("visit_hash"), nullable=False, lake_only=True
        ),
        Column(
            "confirmed_spans",
            pl.List(INSTANT),
            "Beginnings and ends of what is confirmed of an open stay; null where a fact ended it",
            _CONFIRMED + _department("unconfirmed_days"),
            lake_only=True,
        ),
        month("admission_month", "admission_at", _ADMITTED),
    ),
    key=("stay_key",),
    partition_by=("admission_month",),
    # Corrections reach stays of any age, and each rewrites the file that its stay lies in.
    sort_by="admission_at",
    file_bytes=128 * 1024,
    warehouse=True,
)

_flow = FACT_PATIENT_FLOW.of

FACT_ED_ATTENDANCE = Table(
    "gold",
    "fact_ed_attendance",
    "Attendances of emergency departments (accumulating snapshot).",
    (
        surrogate("attendance_key", "Surrogate key of the attendance", _silver("visit_id")),
        identifier("visit_id", "Pseudonym of the visit", _silver("visit_id"), nullable=False),
        surrogate("patient_key", "Patient version valid at the arrival", _patient("patient_key")),
        surrogate("department_key", "Department version valid at the arrival", _department("department_key")),
        text("gender", "Gender of the patient version", 16, _patient("gender")),
        surrogate("arrival_time_key", "Hour of arrival_at", _ARRIVED),
        surrogate("departure_time_key", "Hour of departure_at", _ADMITTED + _silver("discharge_time")),
        at("arrival_at", "Arrival at the emergency department", _ARRIVED, nullable=False),
        at("triage_at", "Triage", _silver("event_type", "event_time", "triage_time")),
        at("seen_at", "First treatment", _silver("seen_time")),
        at("decision_at", "Decision to admit", _silver("decision_time")),
        at(
            "departure_at",
            "Departure, to a ward or by discharge; may be planned; null = no end stated",
            _ADMITTED + _silver("discharge_time"),
        ),
        text(
            "outcome",
            "admitted, discharged, transferred, deceased, left_without_being_seen, left_against_advice",
            32,
            _silver("event_type", "discharge_status") + _KINDS,
        ),
        number("minutes_to_triage", "arrival_at to triage_at", _ARRIVED + _silver("triage_time")),
        number("minutes_to_seen", "arrival_at to seen_at", _ARRIVED + _silver("seen_time")),
        number(
            "minutes_in_department",
            "arrival_at to departure_at",
            _ARRIVED + _silver("admission_time", "discharge_time"),
        ),
        number(
            "boarding_minutes",
            "decision_at to departure_at, of the admitted",
            _ADMITTED + _silver("decision_time"),
        ),
        Column(
            "quality_flags", TEXTS, "Flags of the visit's events", _silver("quality_flags"), nullable=False, length=1000
        ),
        at("last_confirmed_at", "Latest instant at which an event confirmed the visit", _CONFIRMED),
        at("confirmed_until", "Until when an open attendance is confirmed; null where a fact ended it", _CONFIRMED),
        at("last_enqueued_at", "Newest event of the visit at the hub", _silver("enqueued_at"), nullable=False),
        hashed(
            "visit_hash", "Hash of visit_id: finds a visit fast", _silver("visit_hash"), nullable=False, lake_only=True
        ),
        month("arrival_month", "arrival_at", _ARRIVED),
    ),
    key=("attendance_key",),
    partition_by=("arrival_month",),
    # As with stays: each correction rewrites the file that its attendance lies in.
    sort_by="arrival_at",
    file_bytes=128 * 1024,
    warehouse=True,
)

_attendance = FACT_ED_ATTENDANCE.of

_OCCUPIED = _flow("admission_at", "discharge_at", "confirmed_spans")

FACT_BED_CENSUS = Table(
    "gold",
    "fact_bed_census",
    "Occupied beds at the start of each hour, up to the newest event.",
    (
        surrogate("time_key", "Hour", _OCCUPIED + _silver("event_time")),
        surrogate(
            "department_key",
            "Department version valid at the hour",
            _flow("department_key") + _department("department_key"),
        ),
        Column("gender", pl.String(), "Gender", _flow("gender"), nullable=False, length=16),
        Column(
            "occupied_beds",
            pl.Int64(),
            "Confirmed stays with admission_at <= hour < discharge_at",
            _OCCUPIED,
            nullable=False,
        ),
        month("census_month", "the hour", _OCCUPIED),
    ),
    key=("time_key", "department_key", "gender"),
    partition_by=("census_month",),
    warehouse=True,
)

_census = FACT_BED_CENSUS.of


def _daily(quantity: measures.Daily) -> Column:
    """Column of the daily table: a count, or a number that is null where there is nothing to sum."""
    is_count = isinstance(quantity, Part) and quantity.is_whole
    return (count if is_count else number)(quantity.name, quantity.description, _daily_sources(quantity))


def _daily_sources(quantity: measures.Daily) -> Sources:
    """Sources of a measure. The local calendar of a census hour depends on its key only."""
    if isinstance(quantity, HandWritten):
        return _department("staffed_beds")
    read = ((quantity.rows.table, quantity.column),) if isinstance(quantity, Percentile) else quantity.columns
    part = quantity.rows if isinstance(quantity, Percentile) else quantity
    of = {STAYS: _flow, ATTENDANCES: _attendance, CENSUS: _census, DEPARTMENTS: _department}
    hour = _census("time_key") if part.table == CENSUS else of[part.table](part.dated_by)
    sources = (source for table, name in read for source in (hour if table == HOURS else of[table](name)))
    return tuple(dict.fromkeys(sources)) or of[part.table](part.dated_by)


KPI_DEPARTMENT_DAY = Table(
    "gold",
    "kpi_department_day",
    "Measures by local date, department and gender. Sums may be added; percentages and medians may not.",
    (
        Column(
            "date",
            pl.Date(),
            "Local date",
            _OCCUPIED + _attendance("arrival_at") + _census("time_key"),
            nullable=False,
        ),
        surrogate(
            "department_key",
            "Department version",
            _flow("department_key") + _attendance("department_key") + _census("department_key"),
        ),
        Column(
            "gender",
            pl.String(),
            "Gender",
            _flow("gender") + _attendance("gender") + _census("gender"),
            nullable=False,
            length=16,
        ),
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
        Column(
            "date",
            pl.Date(),
            "Local date of enqueued_at",
            _silver("enqueued_at") + _ignored("enqueued_at") + _quarantine("enqueued_at"),
            nullable=False,
        ),
        Column(
            "hospital_id",
            pl.String(),
            "Hospital, or Unknown",
            _silver("hospital_id") + _ignored("hospital_id") + _quarantine("hospital_id"),
            nullable=False,
        ),
        Column(
            "rule",
            pl.String(),
            "Quality rule, or the name of what ignored events, or all",
            _silver("quality_flags") + _ignored("name") + _quarantine("reasons"),
            nullable=False,
        ),
        count("accepted", "Accepted events (rule all only)", _silver("enqueued_at")),
        count("flagged", "Accepted events that break the rule", _silver("quality_flags")),
        count("quarantined", "Quarantined events that break the rule", _quarantine("reasons")),
        count("ignored", "Ignored events, in all or by the name of what ignored them", _ignored("name")),
    ),
    key=("date", "hospital_id", "rule"),
    sort_by="date",
    file_bytes=256 * 1024,
    warehouse=True,
)

_QUANTILES = ("p025", "p05", "p10", "p25", "p50", "p75", "p90", "p95", "p975")
_FORECAST_OF_BEDS = (
    _flow("department_key", "gender", "admission_at", "discharge_at", "planned_discharge_at", "confirmed_until")
    + _flow("is_visit_start", "is_visit_end")
    + _department("staffed_beds", "class")
    + _silver("enqueued_at")
)
_FORECAST_OF_ARRIVALS = _attendance("department_key", "arrival_at") + _silver("enqueued_at")


def _forecast(sources: Sources, department: str) -> tuple[Column, ...]:
    """Columns that say which forecast a row belongs to, and of what."""
    return made_of(
        sources,
        surrogate("forecast_key", "Hash of made_at, target_at, hospital, department and gender"),
        at("made_at", "Instant up to which the forecast knows what the hub had accepted", nullable=False),
        at("target_at", "Hour that is forecast", nullable=False),
        count("horizon_hours", "Hours from made_at to target_at"),
        Column("hospital_id", pl.String(), "Hospital", nullable=False),
        surrogate("department_key", department),
    )


def _quantiles(sources: Sources, noun: str) -> tuple[Column, ...]:
    names = (f"0.{name[1:]}" for name in _QUANTILES)
    return made_of(
        sources,
        *(number(name, f"{noun}: the {level} quantile") for name, level in zip(_QUANTILES, names, strict=True)),
    )


def _of_forecasts(sources: Sources) -> tuple[Column, ...]:
    return made_of(
        sources,
        flag("is_morning", "True for the forecast of 06:00 local, which is kept and scored"),
        flag("is_backcast", "True where the forecast was made later than made_at, from what was known then"),
    )


FORECAST_BEDS = Table(
    "gold",
    "forecast_beds",
    "Occupied beds ahead: the newest forecast, and those of 06:00 local for 400 days.",
    (
        *_forecast(_FORECAST_OF_BEDS, "Department version valid at target_at; 0 = the whole hospital"),
        Column("gender", pl.String(), "Gender, or All", _FORECAST_OF_BEDS, nullable=False, length=16),
        number("expected_beds", "Expected occupied beds", _FORECAST_OF_BEDS),
        *_quantiles(_FORECAST_OF_BEDS, "Occupied beds"),
        *made_of(
            _FORECAST_OF_BEDS,
            number(
                "expected_admissions",
                "Expected arrivals from made_at to target_at; of a hospital without transfers",
            ),
            number(
                "expected_discharges",
                "Expected departures from made_at to target_at; of a hospital without transfers",
            ),
            number("probability_full", "Probability that staffed beds are reached at some hour up to target_at"),
        ),
        *_of_forecasts(_FORECAST_OF_BEDS),
    ),
    key=("forecast_key",),
    sort_by="made_at",
    warehouse=True,
    is_forecast=True,
)

FORECAST_ARRIVALS = Table(
    "gold",
    "forecast_arrivals",
    "Arrivals at emergency departments in the hour from target_at on, of the same forecasts.",
    (
        *_forecast(_FORECAST_OF_ARRIVALS, "Department version valid at target_at"),
        number("expected", "Expected arrivals", _FORECAST_OF_ARRIVALS),
        *_quantiles(_FORECAST_OF_ARRIVALS, "Arrivals"),
        *_of_forecasts(_FORECAST_OF_ARRIVALS),
    ),
    key=("forecast_key",),
    sort_by="made_at",
    warehouse=True,
    is_forecast=True,
)

_SCORED = (
    FORECAST_BEDS.of("made_at", "target_at", "hospital_id", "department_key", "gender", "expected_beds", *_QUANTILES)
    + _census("time_key", "department_key", "gender", "occupied_beds")
    + DATA_QUALITY_DAY.of("date", "hospital_id", "accepted")
)


def _baseline(name: str, value: str) -> tuple[Column, ...]:
    """Scores of the simple forecast that occupied beds will be ``value``, with the spread of its latest errors."""
    return (
        number(f"{name}_absolute_error", f"Distance of {value} from occupied_beds"),
        number(f"{name}_pinball_loss", f"pinball_loss of {value} with the errors of the 28 days before"),
        number(f"{name}_covered_80", f"covered_80 of {value} with the errors of the 28 days before"),
        number(f"{name}_covered_95", f"covered_95 of {value} with the errors of the 28 days before"),
    )


FORECAST_SCORE = Table(
    "gold",
    "forecast_score",
    "The 06:00 forecasts of occupied beds against the census, beside persistence and the same hour a week before.",
    made_of(
        _SCORED,
        Column("date", pl.Date(), "Local date of made_at", nullable=False),
        Column(
            "horizon", pl.String(), "Hours ahead (1h to 72h), or local midnight ahead (midnight 1 to 7)", nullable=False
        ),
        Column("hospital_id", pl.String(), "Hospital", nullable=False),
        surrogate("department_key", "Department version valid at target_at; 0 = the whole hospital"),
        at("target_at", "Hour that was forecast", nullable=False),
        number("occupied_beds", "Occupied beds at target_at"),
        number("absolute_error", "Distance of the median from occupied_beds"),
        number("pinball_loss", "Mean pinball loss of the nine quantiles"),
        number("covered_80", "Share of the count, spread evenly over half a bed either side, within p10 to p90"),
        number("covered_95", "The same within p025 to p975"),
        *_baseline("persistence", "the beds occupied at made_at"),
        *_baseline("week_ago", "the beds occupied a week before target_at"),
    ),
    key=("date", "horizon", "hospital_id", "department_key"),
    sort_by="date",
    warehouse=True,
    is_forecast=True,
)

_JUDGED = FORECAST_SCORE.of(
    *("date", "horizon", "hospital_id", "department_key", "pinball_loss", "covered_80", "covered_95"),
    *("persistence_pinball_loss", "week_ago_pinball_loss"),
)
_SHOWN = (
    FORECAST_BEDS.of("made_at", "target_at", "horizon_hours", "hospital_id", "department_key", "gender")
    + FORECAST_BEDS.of("expected_beds", *_QUANTILES, "expected_admissions", "expected_discharges", "probability_full")
    + _census("time_key", "department_key", "gender", "occupied_beds")
    + _JUDGED
)

FORECAST_SHOWN = Table(
    "gold",
    "forecast_shown",
    "The newest forecast of occupied beds as pages, reports and alerts show it: the model, after a bad week the better "
    "baseline, and nothing before 28 days are judged.",
    (
        *_forecast(_SHOWN, "Department version valid at target_at; 0 = the whole hospital"),
        Column("gender", pl.String(), "Gender, or All; baselines have only All", _SHOWN, nullable=False, length=16),
        Column(
            "staffed_beds",
            pl.Int64(),
            "Staffed beds at target_at; of a hospital null unless all departments state them",
            _department("staffed_beds"),
        ),
        *made_of(
            _JUDGED,
            text("source", "model, persistence or week_ago; null where nothing may be shown", 16),
            count("judged_days", "Days of the last weeks whose forecast was compared with what happened"),
            number("covered_80_pct", "Outcomes of the last week within the model's p10 to p90, percent"),
            number("covered_95_pct", "Outcomes of the last week within the model's p025 to p975, percent"),
            flag("covers_too_little", "True where the last week's intervals covered less than chance explains"),
            flag("loses", "True where a baseline was better than the model in the last week"),
        ),
        number("expected_beds", "Expected occupied beds", _SHOWN),
        *_quantiles(_SHOWN, "Occupied beds"),
        *made_of(
            _SHOWN,
            number(
                "expected_admissions",
                "Expected arrivals from made_at to target_at; of a hospital without transfers; of the model only",
            ),
            number(
                "expected_discharges",
                "Expected departures from made_at to target_at; of a hospital without transfers; of the model only",
            ),
            number(
                "probability_full",
                "Probability that staffed beds are reached at some hour up to target_at; of the model only",
            ),
        ),
    ),
    key=("forecast_key",),
    sort_by="target_at",
    warehouse=True,
    is_forecast=True,
)

LAKE_TABLES = tuple(table for table in list(globals().values()) if isinstance(table, Table))
"""In the order of their declaration."""

WAREHOUSE_TABLES = tuple(table for table in LAKE_TABLES if table.warehouse)


def references(table: Table) -> dict[str, Table]:
    """Foreign keys of ``table``: a column with the name of a dimension's key, or ending in it → the dimension."""
    dimensions = {other.key[0]: other for other in WAREHOUSE_TABLES if other.is_dimension and other is not table}
    return {
        column.name: dimension
        for column in table.columns
        for key, dimension in dimensions.items()
        if column.name == key or column.name.endswith(f"_{key}")
    }


def has_totals(table: Table) -> bool:
    """True where ``department_key`` 0 stands for a whole hospital, which the row names.

    Who may read all departments of a hospital may read its total.
    """
    return {"hospital_id", "department_key"} <= table.schema.keys() and table is not DIM_DEPARTMENT
