"""The wire contract, version 1: the fields of one event and the values they may take.

Not here: how a body is read (``transforms.bodies``) and what makes an event acceptable (``contracts.rules``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SUPPORTED_MAJOR_VERSION = "1"
MAX_ID_LENGTH = 64
MAX_AGE = 120
MAX_WAIT_MINUTES = 10_080
CLOCK_TOLERANCE = timedelta(minutes=5)
"""How much later than its arrival at the hub an event may say that something has happened."""

EARLIEST_TIME = datetime(1990, 1, 1, tzinfo=UTC)
"""A time before this is taken for a default that nobody filled in: it is no usable time."""

LONGEST_PLAN = timedelta(days=3653)
"""A discharge planned further ahead of the event's arrival at the hub (9999-12-31, 2099-12-31) is a sender's way to
write "open": it is no usable time."""

EVENT_TYPES = (
    "arrival",
    "triage",
    "admission",
    "transfer",
    "discharge",
    "update",
    "cancel_admission",
    "cancel_transfer",
    "cancel_discharge",
    "visit_snapshot",
)
"""In the order in which events of one instant are applied."""

SNAPSHOT = "visit_snapshot"
LIFECYCLE_TYPES = tuple(t for t in EVENT_TYPES if t != SNAPSHOT)
TYPES_WITH_DEPARTMENT = ("arrival", "admission", "transfer", SNAPSHOT)

GENDERS = ("Female", "Male", "Other", "Unknown")
GENDER_SPELLINGS = {"f": "Female", "m": "Male", **{g.lower(): g for g in GENDERS}}
"""Accepted spellings, case-folded, and what they stand for."""

DISCHARGE_STATUSES = (
    "home",
    "transferred",
    "deceased",
    "left_against_advice",
    "left_without_being_seen",
    "other",
)

TEXT_FIELDS = (
    "schema_version",
    "event_id",
    "event_type",
    "visit_id",
    "patient_id",
    "hospital_id",
    "department",
    "gender",
    "bed_id",
    "discharge_status",
)
TIME_FIELDS = ("event_time", "arrival_time", "triage_time", "admission_time", "discharge_time")
NUMBER_FIELDS = ("age", "wait_minutes")
FIELDS = (*TEXT_FIELDS, *TIME_FIELDS, *NUMBER_FIELDS)
"""Every field of the contract; whatever else a body carries is kept as ``extra``."""

UNKNOWN_KEY = 0
"""Surrogate key of the unknown member that every dimension has."""

UNKNOWN = "Unknown"

AGE_BANDS = ((0, "0-4"), (5, "5-17"), (18, "18-39"), (40, "40-64"), (65, "65-79"), (80, "80+"))
"""(youngest age in years, label) of each band, ascending."""

CALENDAR_YEARS = range(2020, 2036)
"""Years that DimTime always covers; years outside are added when the data mentions them."""
