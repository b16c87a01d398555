"""The reference format as producers of this design send it, with nothing of this project but the hub's name.

Not here: what becomes of the events.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from azure.eventhub import EventData, EventHubProducerClient

DEPARTMENTS = ("Emergency", "Surgery", "ICU", "Pediatrics", "Maternity", "Oncology", "Cardiology")
HUB = "patient-flow"


@dataclass(frozen=True)
class Visit:
    """One event of the reference format: a visit with its planned discharge. Times are UTC."""

    patient_id: str
    gender: str
    age: int
    department: str
    admission: datetime
    discharge: datetime
    bed_id: int
    hospital_id: int

    @property
    def hours(self) -> float:
        """From admission to discharge."""
        return (self.discharge - self.admission) / timedelta(hours=1)

    @property
    def body(self) -> str:
        """The event on the wire."""
        return json.dumps(
            {
                "patient_id": self.patient_id,
                "gender": self.gender,
                "age": self.age,
                "department": self.department,
                "admission_time": _naive(self.admission),
                "discharge_time": _naive(self.discharge),
                "bed_id": self.bed_id,
                "hospital_id": self.hospital_id,
            }
        )


def visits(count: int, now: datetime, *, seed: int = 1) -> list[Visit]:
    """Visits of patients who never return; one in twenty is too old to be true, one in twenty not yet there."""
    rng = Random(seed)
    return [_visit(rng, now) for _ in range(count)]


def send(connection: str, bodies: Iterable[str]) -> None:
    """Sends with the plain client; the hub chooses the partition of every batch."""
    with EventHubProducerClient.from_connection_string(connection, eventhub_name=HUB) as producer:
        batch = producer.create_batch(max_size_in_bytes=200_000)
        for body in bodies:
            try:
                batch.add(EventData(body))
            except ValueError:  # full
                producer.send_batch(batch)
                batch = producer.create_batch(max_size_in_bytes=200_000)
                batch.add(EventData(body))
        producer.send_batch(batch)


def _visit(rng: Random, now: datetime) -> Visit:
    is_ahead = rng.random() < 0.05
    admission = now + timedelta(hours=rng.uniform(1, 72)) if is_ahead else now - timedelta(hours=rng.uniform(0, 72))
    return Visit(
        patient_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        gender=rng.choice(("Male", "Female")),
        age=rng.randint(101, 150) if rng.random() < 0.05 else rng.randint(1, 100),
        department=rng.choice(DEPARTMENTS),
        admission=admission,
        discharge=admission + timedelta(hours=rng.randint(1, 72)),
        bed_id=rng.randint(1, 500),
        hospital_id=rng.randint(1, 7),
    )


def _naive(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat()
