"""Where each column comes from: the columns of other tables that its value is made of.

Only what the value is made of counts, not what rows were found by. A column with no source is our own, and
:data:`GENERATED_COLUMNS` says what makes it. Warehouse tables take each column over as it is.
"""

from __future__ import annotations

from patient_flow.contracts import events, tables
from patient_flow.contracts.tables import Table

EVENT_HUB = "source/event_hub"
DEPARTMENT_LIST = "source/department_list"

HUB_FIELDS = ("created_at", "partition_id", "sequence_number", "offset", "enqueued_time", "partition_key", "properties")
"""What the hub says of an event; its body carries the fields of the contract."""

LIST_COLUMNS = (
    "hospital_id",
    "hospital_name",
    "department",
    "staffed_beds",
    "staff",
    "expected_los_hours",
    "valid_from",
)
"""Columns of the department list."""

_BRONZE, _SILVER, _QUARANTINE = (t.path for t in (tables.BRONZE_EVENTS, tables.SILVER_EVENTS, tables.QUARANTINE))
_PATIENT, _DEPARTMENT = tables.DIM_PATIENT.path, tables.DIM_DEPARTMENT.path
_FLOW, _CENSUS = tables.FACT_PATIENT_FLOW.path, tables.FACT_BED_CENSUS.path

Sources = tuple[tuple[str, str], ...]
"""(table, column) of each source."""


def _of(table: str, *columns: str) -> Sources:
    return tuple((table, column) for column in columns)


def _same(table: str, *columns: str) -> dict[str, Sources]:
    return {column: _of(table, column) for column in columns}


_BODY = _of(_BRONZE, "body")
_IDENTITY = _of(_SILVER, "visit_id")
_PLACED = _of(_SILVER, "event_type", "event_time", "hospital_id", "department")
_ADMITTED = _of(_SILVER, "event_type", "event_time", "admission_time")
_LEFT = _of(_SILVER, "event_type", "event_time", "discharge_time")
_ARRIVED = _of(_SILVER, "event_type", "event_time", "arrival_time")
_DATED = _of(_SILVER, "enqueued_at") + _of(_QUARANTINE, "enqueued_at")

SOURCES: dict[str, dict[str, Sources]] = {
    _BRONZE: {
        "hub_created_at": _of(EVENT_HUB, "created_at"),
        **_same(EVENT_HUB, "partition_id", "sequence_number", "offset", "partition_key", "properties"),
        "enqueued_at": _of(EVENT_HUB, "enqueued_time"),
        "body": _of(EVENT_HUB, *events.FIELDS),
    },
    _SILVER: {
        **_same(_BRONZE, *tables.COORDINATES, "enqueued_at"),
        **dict.fromkeys((*events.FIELDS, "extra", "body_hash", "event_key", "event_month"), _BODY),
        "department": _BODY + _of(DEPARTMENT_LIST, "department"),
        "quality_flags": _BODY + _of(DEPARTMENT_LIST, "hospital_id", "department"),
        "visit_hash": _BODY,
        "patient_hash": _BODY,
    },
    _QUARANTINE: {
        **_same(_BRONZE, *tables.COORDINATES, "enqueued_at", "body"),
        "reasons": _BODY + _of(_BRONZE, "enqueued_at") + _of(_SILVER, "event_id", "event_time", "body_hash"),
        "hospital_id": _BODY,
        "event_key": _BODY,
        "enqueued_month": _of(_BRONZE, "enqueued_at"),
    },
    _PATIENT: {
        "patient_key": _of(_SILVER, "patient_id", "event_time"),
        **_same(_SILVER, "patient_id", "gender", "age"),
        "age_band": _of(_SILVER, "age"),
        **dict.fromkeys(("valid_from", "valid_to", "is_current"), _of(_SILVER, "event_time")),
        "patient_hash": _of(_SILVER, "patient_id"),
    },
    _DEPARTMENT: {
        "department_key": _of(DEPARTMENT_LIST, "hospital_id", "department", "valid_from")
        + _of(_SILVER, "hospital_id", "department"),
        "hospital_id": _of(DEPARTMENT_LIST, "hospital_id") + _of(_SILVER, "hospital_id"),
        "department": _of(DEPARTMENT_LIST, "department") + _of(_SILVER, "department"),
        **_same(DEPARTMENT_LIST, "hospital_name", "staffed_beds", "staff", "expected_los_hours"),
        "is_inferred": _of(DEPARTMENT_LIST, "hospital_id", "department") + _of(_SILVER, "hospital_id", "department"),
        **dict.fromkeys(("valid_from", "valid_to", "is_current"), _of(DEPARTMENT_LIST, "valid_from")),
    },
    tables.DIM_TIME.path: {},
    _FLOW: {
        "stay_key": _of(_SILVER, "visit_id", "event_type", "event_time"),
        "visit_id": _IDENTITY,
        "stay_number": _PLACED,
        "patient_key": _of(_PATIENT, "patient_key"),
        "department_key": _of(_DEPARTMENT, "department_key"),
        "from_department_key": _of(_DEPARTMENT, "department_key"),
        "gender": _of(_PATIENT, "gender"),
        "arrival_time_key": _ARRIVED,
        "admission_time_key": _ADMITTED,
        "discharge_time_key": _LEFT,
        "arrival_at": _ARRIVED,
        "admission_at": _ADMITTED,
        "discharge_at": _LEFT,
        "wait_minutes": _of(_SILVER, "wait_minutes", "arrival_time", "admission_time", "event_time"),
        "wait_source": _of(_SILVER, "wait_minutes"),
        "length_of_stay_hours": _of(_SILVER, "admission_time", "discharge_time", "event_time"),
        "visit_length_of_stay_hours": _of(_SILVER, "admission_time", "discharge_time", "event_time"),
        "is_visit_start": _of(_SILVER, "event_type", "event_time"),
        "is_visit_end": _LEFT,
        **_same(_SILVER, "bed_id", "discharge_status", "quality_flags", "visit_hash"),
        "last_enqueued_at": _of(_SILVER, "enqueued_at"),
        "admission_month": _ADMITTED,
    },
    _CENSUS: {
        "time_key": _of(_FLOW, "admission_at", "discharge_at") + _of(_SILVER, "event_time"),
        "department_key": _of(_FLOW, "department_key") + _of(_DEPARTMENT, "department_key"),
        "gender": _of(_FLOW, "gender"),
        "occupied_beds": _of(_FLOW, "admission_at", "discharge_at"),
        "census_month": _of(_FLOW, "admission_at", "discharge_at"),
    },
    tables.KPI_DEPARTMENT_DAY.path: {
        "date": _of(_FLOW, "admission_at", "discharge_at") + _of(_CENSUS, "time_key"),
        "department_key": _of(_FLOW, "department_key", "from_department_key") + _of(_CENSUS, "department_key"),
        "gender": _of(_FLOW, "gender") + _of(_CENSUS, "gender"),
        "admissions": _of(_FLOW, "is_visit_start"),
        "transfers_in": _of(_FLOW, "from_department_key"),
        "discharges": _of(_FLOW, "is_visit_end", "discharge_at"),
        **dict.fromkeys(
            ("waits", "wait_minutes_sum", "wait_minutes_p50", "wait_minutes_p90", "waits_within_240"),
            _of(_FLOW, "wait_minutes"),
        ),
        "length_of_stay_hours_sum": _of(_FLOW, "visit_length_of_stay_hours"),
        "length_of_stay_hours_median": _of(_FLOW, "visit_length_of_stay_hours"),
        "overstays": _of(_FLOW, "length_of_stay_hours") + _of(_DEPARTMENT, "expected_los_hours"),
        "occupied_bed_hours": _of(_CENSUS, "occupied_beds"),
        "midnight_beds": _of(_CENSUS, "time_key", "occupied_beds"),
        "staffed_bed_hours": _of(_DEPARTMENT, "staffed_beds"),
    },
    tables.DATA_QUALITY_DAY.path: {
        "date": _DATED,
        "hospital_id": _of(_SILVER, "hospital_id") + _of(_QUARANTINE, "hospital_id"),
        "rule": _of(_SILVER, "quality_flags") + _of(_QUARANTINE, "reasons"),
        "accepted": _of(_SILVER, "enqueued_at"),
        "flagged": _of(_SILVER, "quality_flags"),
        "quarantined": _of(_QUARANTINE, "reasons"),
    },
}

GENERATED_COLUMNS: dict[str, dict[str, str]] = {
    _BRONZE: {
        "ingested_at": "the clock of the run that read the event",
        "run_id": "the run that read the event",
        "ingested_date": "the clock of the run that read the event",
    },
    _QUARANTINE: {"rejected_at": "the clock of the run that rejected the event"},
    tables.DIM_TIME.path: dict.fromkeys(tables.DIM_TIME.schema, "the calendar of PATIENT_FLOW_TIMEZONE"),
}


def sources(table: Table) -> dict[str, Sources]:
    """Column of a table of the lake → its sources."""
    return SOURCES[table.path]


def warehouse_sources(table: Table) -> dict[str, Sources]:
    """Column of the warehouse's table → the same column in gold."""
    return {column.name: _of(table.path, column.name) for column in table.warehouse_columns}
