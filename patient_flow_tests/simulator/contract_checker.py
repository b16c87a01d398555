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
}
STATUSES = {"home", "transferred", "deceased", "left_against_advice", "left_without_being_seen", "other"}
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
    assert set(event) <= LIFECYCLE_FIELDS
    assert event["schema_version"] == "1.0"
    assert kind in TYPES
    own_time = {TIME_OF[kind]: event["event_time"]} if kind in TIME_OF else {}
    assert {name: event[name] for name in TIME_OF.values() if name in event} == own_time
    assert event["event_time"].endswith("Z")
    datetime.fromisoformat(event["event_time"])
    for field in ("event_id", "visit_id", "patient_id"):
        assert 0 < len(event[field]) <= 64
    _check_patient(event)
    if kind in {"admission", "transfer", "cancel_transfer", "cancel_discharge"}:
        assert isinstance(event["bed_id"], int)
    assert ("discharge_status" in event) == (kind == "discharge")
    assert event.get("discharge_status", "other") in STATUSES
    return event


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
    assert event["department"] in {
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
