"""The event contract, sections 3.1 to 3.3, restated in plain Python: independent of the package on purpose."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

TYPES = {
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
    "merge_patient",
}
CLASSES = {"inpatient", "emergency", "day_case", "observation", "outpatient", "virtual", "home", "preadmission"}
WITHOUT_BED = {"outpatient", "virtual", "home", "preadmission"}
ADMISSION_TYPES = {"emergency", "elective", "maternity", "newborn", "transfer", "other"}
STATUSES = {
    "home",
    "care_facility",
    "transferred",
    "deceased",
    "left_against_advice",
    "left_without_being_seen",
    "other",
}
MERGE_FIELDS = {
    "schema_version",
    "event_id",
    "event_type",
    "event_time",
    "patient_id",
    "merged_patient_id",
    "hospital_id",
}
LIFECYCLE_FIELDS = {
    "schema_version",
    "event_id",
    "event_type",
    "visit_id",
    "event_time",
    "patient_id",
    "hospital_id",
    "department",
    "gender",
    "age",
    "arrival_time",
    "triage_time",
    "admission_time",
    "discharge_time",
    "bed_id",
    "discharge_status",
    "visit_class",
    "admission_type",
    "seen_time",
    "decision_time",
    "planned_discharge_time",
    "ready_time",
}
TIME_OF = {
    "arrival": "arrival_time",
    "triage": "triage_time",
    "admission": "admission_time",
    "discharge": "discharge_time",
}
REFERENCE_FIELDS = [
    "patient_id",
    "gender",
    "age",
    "department",
    "admission_time",
    "discharge_time",
    "bed_id",
    "hospital_id",
    "wait_minutes",
    "discharge_status",
]


def check_lifecycle(body: bytes) -> dict[str, Any]:
    """The decoded event; fails on anything that section 3.3 would reject, repair or flag."""
    event: dict[str, Any] = json.loads(body)
    kind = event["event_type"]
    assert event["schema_version"] == "1.0"
    assert kind in TYPES
    assert event["event_time"].endswith("Z")
    assert 0 < len(event["event_id"]) <= 64
    if kind == "merge_patient":
        _check_merge(event)
        return event
    assert set(event) <= LIFECYCLE_FIELDS
    assert 0 < len(event["visit_id"]) <= 64
    _check_times(event)
    _check_patient(event)
    assert event["visit_class"] in CLASSES
    assert event.get("admission_type", "other") in ADMISSION_TYPES
    if kind in {"admission", "transfer", "cancel_transfer", "cancel_discharge"}:
        assert isinstance(event["bed_id"], int)
    assert event["visit_class"] not in WITHOUT_BED or "bed_id" not in event
    assert ("discharge_status" in event) == (kind == "discharge")
    assert event.get("discharge_status", "other") in STATUSES
    return event


def _check_merge(event: dict[str, Any]) -> None:
    assert set(event) == MERGE_FIELDS
    datetime.fromisoformat(event["event_time"])
    assert len(event["patient_id"]) == len(event["merged_patient_id"]) == 36
    assert event["patient_id"] != event["merged_patient_id"]


def _check_times(event: dict[str, Any]) -> None:
    """What has happened lies at the event's time, a late discharge before it, a plan after it."""
    kind, at = event["event_type"], datetime.fromisoformat(event["event_time"])
    own = {TIME_OF[kind]} if kind in TIME_OF else set()
    assert {name for name in TIME_OF.values() if name in event} == own
    for name in own:
        stated = datetime.fromisoformat(event[name])
        assert stated <= at if kind == "discharge" else stated == at
    for name in {"seen_time", "decision_time", "ready_time"} & set(event):
        assert event[name] == event["event_time"]
    if "planned_discharge_time" in event:
        assert datetime.fromisoformat(event["planned_discharge_time"]) > at


def check_reference(body: bytes) -> dict[str, Any]:
    """The decoded flat event; fails unless it has exactly the shape of section 3.2."""
    event: dict[str, Any] = json.loads(body)
    assert list(event) == REFERENCE_FIELDS
    admission, discharge = (datetime.fromisoformat(event[name]) for name in ("admission_time", "discharge_time"))
    assert admission.tzinfo is None
    assert discharge.tzinfo is None
    assert admission < discharge
    assert isinstance(event["bed_id"], int)
    assert 0 <= event["wait_minutes"] <= 10080
    assert event["discharge_status"] in STATUSES
    _check_patient(event)
    return event


def _check_patient(event: dict[str, Any]) -> None:
    assert len(event["patient_id"]) == 36
    assert event["hospital_id"] in range(1, 8)
    assert "department" in event or event["visit_class"] in WITHOUT_BED
    assert event.get("department", "Emergency") in {
        "Emergency",
        "Surgery",
        "ICU",
        "Pediatrics",
        "Maternity",
        "Oncology",
        "Cardiology",
    }
    assert event["gender"] in {"Female", "Male", "Other", "Unknown"}
    assert type(event["age"]) is int
    assert 0 <= event["age"] <= 120
