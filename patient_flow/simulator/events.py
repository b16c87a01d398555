"""Conversion of a simulated event to an event body, in either format of the contract (sections 3.1 and 3.2).

Not here: corrupted events (``corruption``) and the mapping of simulated time to real time (``feed``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zlib import crc32

import msgspec

from .demand import MINUTE
from .units import SimEvent

Format = Literal["reference", "lifecycle"]
Event = dict[str, Any]

SCHEMA_VERSION = "1.0"

# Events of a patient share a partition key, so they keep their order; patients share keys, so batches fill up.
PARTITION_KEYS = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Event types that state a time of the visit.
_TIME_FIELD = {
    "arrival": "arrival_time",
    "triage": "triage_time",
    "admission": "admission_time",
    "discharge": "discharge_time",
}

encode = msgspec.json.Encoder().encode


def lifecycle(
    sim_event: SimEvent, number: int, at: int, planned: int | None = None, discharged: int | None = None
) -> Event:
    """A lifecycle event at the instant ``at``; ``number`` is unique within the run.

    ``planned`` is the instant of the planned discharge, ``discharged`` that of a discharge before ``at``.
    """
    time = instant(at)
    event: Event = {
        "schema_version": SCHEMA_VERSION,
        # a visit id contains the id of its run
        "event_id": f"E{sim_event.visit_id[1:].partition('-')[0]}-{number:08d}",
        "event_type": sim_event.kind,
    }
    if sim_event.kind == "merge_patient":
        event |= {
            "event_time": time,
            "patient_id": sim_event.patient_id,
            "merged_patient_id": sim_event.merged_patient_id,
            "hospital_id": sim_event.hospital_id,
        }
        return event
    event["visit_id"] = sim_event.visit_id
    event["event_time"] = time
    event["patient_id"] = sim_event.patient_id
    event["hospital_id"] = sim_event.hospital_id
    if sim_event.department is not None:
        event["department"] = sim_event.department
    event["gender"] = sim_event.gender
    event["age"] = sim_event.age
    event["visit_class"] = sim_event.visit_class
    if sim_event.admission_type is not None:
        event["admission_type"] = sim_event.admission_type
    if sim_event.kind in _TIME_FIELD:
        event[_TIME_FIELD[sim_event.kind]] = time if discharged is None else instant(discharged)
    if sim_event.is_seen:
        event["seen_time"] = time
    if sim_event.is_decision:
        event["decision_time"] = time
    if sim_event.is_ready:
        event["ready_time"] = time
    if planned is not None:
        event["planned_discharge_time"] = instant(planned)
    if sim_event.bed_id is not None and sim_event.kind != "cancel_admission":
        event["bed_id"] = sim_event.bed_id
    if sim_event.discharge_status is not None:
        event["discharge_status"] = sim_event.discharge_status
    return event


def reference(sim_event: SimEvent, at: int, until: int, waited: int) -> Event:
    """The flat event of a whole visit, made from its admission at the instant ``at``, planned to last ``until``.

    Its timestamps name no zone and are UTC; ``waited`` is in microseconds.
    """
    return {
        "patient_id": sim_event.patient_id,
        "gender": sim_event.gender,
        "age": sim_event.age,
        "department": sim_event.department,
        "admission_time": instant(at).replace(tzinfo=None),
        "discharge_time": instant(until).replace(tzinfo=None),
        "bed_id": sim_event.bed_id,
        "hospital_id": sim_event.hospital_id,
        "wait_minutes": round(waited / MINUTE, 1),
        "discharge_status": sim_event.discharge_status,
    }


def partition_key(patient_id: str) -> str:
    """The partition key of all events of this patient."""
    return f"patients-{crc32(patient_id.encode()) % PARTITION_KEYS:02d}"


def instant(at: int) -> datetime:
    """Microseconds since 1970 as a UTC timestamp."""
    return _EPOCH + timedelta(microseconds=at)
