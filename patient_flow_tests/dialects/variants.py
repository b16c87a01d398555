"""Events of the variants A to J, as earlier producers of this kind send them, dirty data included.

Each function makes ``count`` events of one variant from a seed. A dirty event says in ``DIRT`` what was done to it; the
key is taken out again before the event is sent (:func:`on_the_wire`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from random import Random

from patient_flow.contracts.events import MAX_AGE
from patient_flow_tests.dialects.builders import NOW, Event

DIRT = "dirt"
DEPARTMENTS = ("Emergency", "Surgery", "ICU", "Pediatrics", "Maternity", "Oncology", "Cardiology")
DIRTY_AGE, FUTURE, BACKWARDS, NO_DEPARTMENT = "age", "future admission", "discharge first", "department missing"

Variant = Callable[[int, int], Iterator[Event]]


def on_the_wire(event: Event) -> Event:
    return {name: value for name, value in event.items() if name != DIRT}


def variant_a(seed: int, count: int) -> Iterator[Event]:
    """The common form."""
    rng = Random(seed)
    for _ in range(count):
        admitted = _naive(NOW) - timedelta(seconds=rng.randint(0, 72 * 3600))
        yield _spoilt(
            rng,
            {
                "patient_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                "gender": rng.choice(("Male", "Female")),
                "age": rng.randint(1, 100),
                "department": rng.choice(DEPARTMENTS),
                "admission_time": admitted.isoformat(),
                "discharge_time": (admitted + timedelta(hours=rng.randint(1, 72))).isoformat(),
                "bed_id": rng.randint(1, 500),
                "hospital_id": rng.randint(1, 7),
            },
        )


def variant_b(seed: int, count: int) -> Iterator[Event]:
    """A without a bed."""
    for event in variant_a(seed, count):
        del event["bed_id"]
        yield event


def variant_c(seed: int, count: int) -> Iterator[Event]:
    """A with an offset in the admission time."""
    for event in variant_a(seed, count):
        yield {**event, "admission_time": event["admission_time"] + "+00:00"}


def variant_d(seed: int, count: int) -> Iterator[Event]:
    """A with ``sex``."""
    for event in variant_a(seed, count):
        event["sex"] = event.pop("gender")
        yield event


def variant_e(seed: int, count: int) -> Iterator[Event]:
    """A with a name, and nothing dirty."""
    for number, event in enumerate(variant_a(seed, 3 * count)):
        if DIRT not in event:
            yield {**event, "name": f"Patient Name {number}"}


def variant_f(seed: int, count: int) -> Iterator[Event]:
    """A with an id, a time and a wait of its own."""
    rng = Random(seed)
    for event in variant_a(seed, count):
        yield {
            **event,
            "event_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "event_time": _naive(NOW).isoformat(),
            "wait_time_minutes": rng.randint(5, 60),
        }


def variant_g(seed: int, count: int) -> Iterator[Event]:
    """A with an event type that means nothing, a third gender and more dirt."""
    rng = Random(seed)
    for event in variant_a(seed, count):
        event["event_timestamp"] = _naive(NOW).isoformat()
        event["event_type"] = rng.choice(("admission", "discharge", "transfer"))
        event["gender"] = rng.choice(("Male", "Female", "Other"))
        if DIRT not in event and rng.random() < 0.05:
            if rng.random() < 0.6:
                earlier = datetime.fromisoformat(event["admission_time"]) - timedelta(hours=rng.randint(1, 24))
                event |= {"discharge_time": earlier.isoformat(), DIRT: BACKWARDS}
            else:
                del event["department"]
                event[DIRT] = NO_DEPARTMENT
        yield event


def variant_h(seed: int, count: int) -> Iterator[Event]:
    """Admission and discharge of one bed after the other."""
    rng = Random(seed)
    for number in range(count):
        hospital, bed = rng.randint(1, 7), f"H01-EME-B{number:03d}"
        came = NOW - timedelta(hours=rng.randint(30, 72))
        stay = {
            "patient_id": f"PAT{number:06d}",
            "gender": rng.choice(("Male", "Female")),
            "age": rng.randint(1, 99),
            "department": "Emergency",
            "hospital_id": hospital,
            "bed_id": bed,
        }
        dirt = rng.choice((DIRTY_AGE, FUTURE, "gender")) if rng.random() < 0.15 else None
        spoilt: Event = {}
        if dirt == DIRTY_AGE:
            spoilt = {DIRT: dirt, "age": rng.choice((-5, 150))}
        elif dirt == "gender":
            spoilt = {DIRT: dirt, "gender": rng.choice(("M", "F", "Unknown"))}
        future = {DIRT: dirt, "activity_time": _text(NOW + timedelta(hours=5))} if dirt == FUTURE else {}
        yield {**stay, **spoilt, "activity_type": "Admission", "activity_time": _text(came), **future}
        left = came + timedelta(hours=rng.randint(1, 24))
        yield {**stay, **spoilt, "activity_type": "Discharge", "activity_time": _text(left)}


def variant_i(seed: int, count: int) -> Iterator[Event]:
    """ADMISSION, later DISCHARGE, with clinical data."""
    rng = Random(seed)
    for number in range(count):
        came = NOW - timedelta(hours=rng.randint(30, 72))
        left = came + timedelta(hours=rng.randint(1, 24))
        admission: Event = {
            "event_id": f"EVT-{number}-A",
            "event_type": "ADMISSION",
            "event_timestamp": _text(came),
            "patient_id": f"PAT-{number}",
            "patient_name": f"Name {number}",
            "age": rng.randint(0, 100),
            "gender": rng.choice(("Male", "Female")),
            "hospital_id": rng.randint(1, 7),
            "department": rng.choice(DEPARTMENTS),
            "bed_id": f"H1-EME-{number}",
            "admission_time": _text(came),
            "expected_discharge_time": _text(came + timedelta(hours=90)),
            "priority": rng.choice(("LOW", "HIGH")),
            "diagnosis_code": "I21.9",
            "insurance_code": f"INS-{number}",
            "vitals": {"heart_rate": rng.randint(60, 120), "temperature": 37.2},
        }
        spoilt = _clinical_dirt(rng, admission) if rng.random() < 0.3 else {}
        yield {**admission, **spoilt}
        if not spoilt:
            yield {
                **admission,
                "event_id": f"EVT-{number}-D",
                "event_type": "DISCHARGE",
                "event_timestamp": _text(left),
                "discharge_time": _text(left),
                "length_of_stay_hrs": (left - came).total_seconds() / 3600,
                "discharge_status": rng.choice(("Discharged Home", "Against Medical Advice", "Expired")),
            }


def variant_j(seed: int, count: int) -> Iterator[Event]:
    """A stay as three events with the codes of HL7."""
    rng = Random(seed)
    for number in range(count):
        first, second = rng.sample(DEPARTMENTS, 2)
        came = NOW - timedelta(hours=rng.randint(48, 72))
        common = {
            "patient_id": f"P-{number:06d}",
            "diagnosis_category": "cardiac",
            "age_group": "65+",
            "priority": rng.randint(1, 5),
        }
        for step, (code, ward, more) in enumerate(
            (
                ("ADT_A01", first, {}),
                ("ADT_A02", second, {"from_ward_id": "W1", "from_bed_id": "W1-03"}),
                ("ADT_A03", second, {}),
            )
        ):
            yield {
                **common,
                **more,
                "message_id": f"MSG-{number}-{step}",
                "event_type": code,
                "timestamp": _text(came + timedelta(hours=12 * step)),
                "ward_id": f"W{DEPARTMENTS.index(ward)}",
                "ward_name": ward,
                "bed_id": f"W{DEPARTMENTS.index(ward)}-{number:02d}",
            }


def _spoilt(rng: Random, event: Event) -> Event:
    """Five in a hundred with a wrong age, five with an admission that lies ahead."""
    drawn = rng.random()
    if drawn < 0.05:
        age = rng.randint(101, 150)
        return {**event, "age": age, **({DIRT: DIRTY_AGE} if age > MAX_AGE else {})}
    if drawn < 0.10:
        ahead = _naive(NOW) + timedelta(hours=rng.randint(1, 72))
        later = ahead + timedelta(hours=rng.randint(1, 72))
        return {**event, DIRT: FUTURE, "admission_time": ahead.isoformat(), "discharge_time": later.isoformat()}
    return event


def _clinical_dirt(rng: Random, admission: Event) -> Event:
    return rng.choice(
        (
            {DIRT: DIRTY_AGE, "age": rng.choice((-5, 200))},
            {DIRT: FUTURE, "admission_time": _text(NOW + timedelta(hours=20))},
            {DIRT: "null field", "patient_id": None},
            {DIRT: BACKWARDS, "discharge_time": _text(NOW - timedelta(days=30))},
            {DIRT: "typo", "department": rng.choice(("Emergancy", "ER"))},
            {DIRT: "hospital", "hospital_id": rng.choice((-1, 0, 99, 999))},
        )
    )


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _text(moment: datetime) -> str:
    return moment.isoformat()
