"""From a happening in a hospital to an event on the wire, in either format of the contract (sections 3.1 and 3.2).

Not here: wrong events (``dirt``) and what the hospital's clock shows on the wire (``feed``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zlib import crc32

import msgspec

from .demand import MINUTE
from .hospital import Happening

Format = Literal["reference", "lifecycle"]
Event = dict[str, Any]

SCHEMA_VERSION = "1.0"

# Events of a patient share a partition key, so they keep their order; patients share keys, so batches fill up.
PARTITION_KEYS = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Happenings that are a time of the visit themselves.
_TIME_FIELD = {
    "arrival": "arrival_time",
    "triage": "triage_time",
    "admission": "admission_time",
    "discharge": "discharge_time",
}

encode = msgspec.json.Encoder().encode


def lifecycle(happening: Happening, number: int, at: int) -> Event:
    """One event per happening; ``number`` tells the run's events apart, ``at`` is the instant it carries."""
    time = instant(at)
    event: Event = {
        "schema_version": SCHEMA_VERSION,
        # a visit id carries the run it belongs to
        "event_id": f"E{happening.visit_id[1:].partition('-')[0]}-{number:08d}",
        "event_type": happening.kind,
        "visit_id": happening.visit_id,
        "event_time": time,
        "patient_id": happening.patient_id,
        "hospital_id": happening.hospital_id,
        "department": happening.department,
        "gender": happening.gender,
        "age": happening.age,
    }
    if happening.kind in _TIME_FIELD:
        event[_TIME_FIELD[happening.kind]] = time
    if happening.bed_id is not None and happening.kind != "cancel_admission":
        event["bed_id"] = happening.bed_id
    if happening.discharge_status is not None:
        event["discharge_status"] = happening.discharge_status
    return event


def reference(happening: Happening, at: int, until: int, waited: int) -> Event:
    """The flat event of a whole visit, made of its admission at the instant ``at``, planned to last ``until``.

    Its timestamps name no zone and are UTC; ``waited`` is in microseconds.
    """
    return {
        "patient_id": happening.patient_id,
        "gender": happening.gender,
        "age": happening.age,
        "department": happening.department,
        "admission_time": instant(at).replace(tzinfo=None),
        "discharge_time": instant(until).replace(tzinfo=None),
        "bed_id": happening.bed_id,
        "hospital_id": happening.hospital_id,
        "wait_minutes": round(waited / MINUTE, 1),
        "discharge_status": happening.discharge_status,
    }


def partition_key(patient_id: str) -> str:
    """The key that all events of this patient are sent under."""
    return f"patients-{crc32(patient_id.encode()) % PARTITION_KEYS:02d}"


def instant(at: int) -> datetime:
    """Microseconds since 1970 as a UTC timestamp."""
    return _EPOCH + timedelta(microseconds=at)
