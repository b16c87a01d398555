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
"""A time before this is a default that nobody filled in, or too old to be of use: it is no usable time."""

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
    "void_visit",
    "visit_snapshot",
    "merge_patient",
)
"""In the order in which events of one instant are applied."""

SNAPSHOT = "visit_snapshot"
MERGE = "merge_patient"
LIFECYCLE_TYPES = tuple(t for t in EVENT_TYPES if t != SNAPSHOT)
TYPES_WITH_VISIT = tuple(t for t in LIFECYCLE_TYPES if t != MERGE)
TYPES_WITH_DEPARTMENT = ("arrival", "admission", "transfer", SNAPSHOT)

VISIT_CLASSES = (
    "inpatient",
    "emergency",
    "day_case",
    "observation",
    "outpatient",
    "virtual",
    "home",
    "preadmission",
)
CLASSES_WITHOUT_BED = ("outpatient", "virtual", "home", "preadmission")
"""Classes of a visit that takes no bed (flow F5); an event that states one of them may lack its department."""

ADMISSION_TYPES = ("emergency", "elective", "maternity", "newborn", "transfer", "other")

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
    "care_facility",
)

SCOPES = ("assigner", "hospital", "network")
"""Policies for the scope of a number (flow F2). Any other text is itself the scope: of sources that share numbers."""

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
    "visit_class",
    "admission_type",
    "merged_patient_id",
    "patient_assigner",
    "visit_assigner",
    "merged_patient_assigner",
    "source",
)
TIME_FIELDS = (
    "event_time",
    "arrival_time",
    "triage_time",
    "admission_time",
    "discharge_time",
    "seen_time",
    "decision_time",
    "planned_discharge_time",
    "ready_time",
)
TIMES_NOT_AHEAD = ("seen_time", "decision_time", "ready_time")
"""Optional times of what has happened: null where they lie ahead of the hub by more than the tolerance."""
NUMBER_FIELDS = ("age", "wait_minutes")
STAYS = "stays"
FIELDS = (*TEXT_FIELDS, *TIME_FIELDS, *NUMBER_FIELDS, STAYS)
"""Every field of the contract; whatever else a body carries is kept as ``extra``."""

NO_HUB = datetime(1970, 1, 1, tzinfo=UTC)
"""``hub_created_at`` of rows that came to bronze past the hub: from files, or as corrections."""
IMPORTED = "import-"
"""Beginning of the ``partition_id`` of imported rows; the SHA-256 of their file follows."""
RECONCILIATION = "reconciliation"
"""``source`` of corrections from a second source, and the ``partition_id`` of those that this product makes."""

ALREADY_RECEIVED = "already_received"
IMPORT_CONTRADICTS = "import_contradicts"
IMPORT_SUPERSEDED = "import_superseded"
EMPTY_BODY = "body_is_empty"
NO_ADT = "message_is_not_adt"
PERSON_RECORD = "message_updates_person_record"
NO_ENCOUNTER = "resource_is_not_an_encounter"
IGNORED_AS = {
    ALREADY_RECEIVED: "A snapshot or an imported row that repeats an accepted event; it confirms the visit (flow F8).",
    IMPORT_CONTRADICTS: "An imported row whose identity an event of the hub has with another body (flow F8).",
    IMPORT_SUPERSEDED: "An imported row that a later import states in another way (flow F8).",
    EMPTY_BODY: "A body that a mapping unwraps into several events, and that holds none.",
    NO_ADT: "An HL7 v2 message other than ADT.",
    PERSON_RECORD: "An HL7 v2 message that adds or updates a person's record (A28, A31).",
    NO_ENCOUNTER: "A FHIR resource, or a Bundle of resources, without an Encounter.",
}
"""Why events are ignored by themselves: they are known, and state nothing about patient flow."""

UNKNOWN_KEY = 0
"""Surrogate key of the unknown member that every dimension has."""

UNKNOWN = "Unknown"

AGE_BANDS = ((0, "0-4"), (5, "5-17"), (18, "18-39"), (40, "40-64"), (65, "65-79"), (80, "80+"))
"""(youngest age in years, label) of each band, ascending."""

CALENDAR_YEARS = range(2020, 2036)
"""Years that DimTime always covers; years outside are added when the data mentions them."""
