"""Corruptions as they occur in real feeds, each one a function of one event.

A corruption takes a :class:`Case` and returns the deliveries that replace the event. The event itself is not changed.

Not here: how the pipeline treats them (the contract, section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from .events import Event, encode


class Delivery(NamedTuple):
    """One body, delivered after ``delay`` further deliveries of the feed."""

    body: bytes
    delay: int = 0


class Case(NamedTuple):
    """A correct event to corrupt; ``now`` is an instant not before the event's enqueued time."""

    event: Event
    rng: Random
    now: datetime

    def altered(self, **changes: object) -> bytes:
        """The body with some fields changed or added."""
        return encode({**self.event, **changes})


Corruption = Callable[[Case], list[Delivery]]

_REQUIRED = ("patient_id", "hospital_id", "department", "visit_id", "event_time")
_TYPOS = {"Emergency": "Emergancy", "Surgery": "Surgry", "ICU": "  icu ", "Pediatrics": "Paediatrics"}


def age_too_high(case: Case) -> list[Delivery]:
    """An age of 101 to 150 years."""
    return [Delivery(case.altered(age=case.rng.randint(101, 150)))]


def age_negative(case: Case) -> list[Delivery]:
    """An age below zero."""
    return [Delivery(case.altered(age=-case.rng.randint(1, 99)))]


def time_in_the_future(case: Case) -> list[Delivery]:
    """The event time lies 1 to 72 hours ahead; a planned discharge is shifted by as much."""
    stated: datetime = case.event.get("event_time") or case.event["admission_time"]
    shift = case.now.replace(tzinfo=stated.tzinfo) - stated + timedelta(hours=case.rng.uniform(1, 72))
    times = {name: value + shift for name, value in case.event.items() if isinstance(value, datetime)}
    return [Delivery(case.altered(**times))]


def field_missing(case: Case) -> list[Delivery]:
    """A field that some or all events require is missing."""
    missing = case.rng.choice([name for name in _REQUIRED if name in case.event])
    return [Delivery(encode({name: value for name, value in case.event.items() if name != missing}))]


def gender_misspelt(case: Case) -> list[Delivery]:
    """A gender in another or no known coding."""
    return [Delivery(case.altered(gender=case.rng.choice(("M", "f", "?", "FEMALE", ""))))]


def department_misspelt(case: Case) -> list[Delivery]:
    """A department with a typing error, or in another case with surrounding spaces."""
    name = case.event.get("department", "Emergency")
    return [Delivery(case.altered(department=_TYPOS.get(name, f"  {name.lower()} ")))]


def delivered_twice(case: Case) -> list[Delivery]:
    """The same body twice, the second one immediately or later."""
    body = encode(case.event)
    return [Delivery(body), Delivery(body, case.rng.choice((0, case.rng.randint(1, 300))))]


def event_id_reused(case: Case) -> list[Delivery]:
    """The same event id and time again, with a different body."""
    event_id = case.event.get("event_id", f"reused-{case.event['patient_id']}")
    other_age = (case.event.get("age", 40) + 7) % 100
    return [
        Delivery(case.altered(event_id=event_id)),
        Delivery(case.altered(event_id=event_id, age=other_age), case.rng.randint(1, 300)),
    ]


def discharge_before_admission(case: Case) -> list[Delivery]:
    """A discharge before the admission."""
    admission: datetime = case.event.get("admission_time") or case.event["event_time"]
    discharge = admission - timedelta(minutes=case.rng.randint(1, 72 * 60))
    return [Delivery(case.altered(admission_time=admission, discharge_time=discharge))]


def json_truncated(case: Case) -> list[Delivery]:
    """A truncated body."""
    body = encode(case.event)
    return [Delivery(body[: case.rng.randint(1, len(body) - 1)])]


def utf8_invalid(case: Case) -> list[Delivery]:
    """A text field in Latin-1."""
    return [Delivery(case.altered(department="@").replace(b"@", "Réanimation".encode("latin-1")))]


def not_an_object(case: Case) -> list[Delivery]:
    """Valid JSON, but no object."""
    return [Delivery(case.rng.choice((b"null", b"42", b'"admission"', b"[" + encode(case.event) + b"]")))]


def version_unsupported(case: Case) -> list[Delivery]:
    """An unsupported major version of the contract."""
    return [Delivery(case.altered(schema_version="2.0"))]


def event_type_unknown(case: Case) -> list[Delivery]:
    """An event type that the contract does not have."""
    return [Delivery(case.altered(event_type=case.rng.choice(("teleport", "A99", "observation"))))]


def field_unknown(case: Case) -> list[Delivery]:
    """Fields that the contract does not have; the event stays valid."""
    return [
        Delivery(
            case.altered(priority=case.rng.randint(1, 5), insurance={"code": case.rng.choice(("A", "B")), "paid": True})
        )
    ]


def delivered_late(case: Case) -> list[Delivery]:
    """A correct event that is delivered much later than its successors in time."""
    return [Delivery(encode(case.event), case.rng.randint(20, 500))]


CORRUPTIONS: tuple[Corruption, ...] = (
    age_too_high,
    age_negative,
    time_in_the_future,
    field_missing,
    gender_misspelt,
    department_misspelt,
    delivered_twice,
    event_id_reused,
    discharge_before_admission,
    json_truncated,
    utf8_invalid,
    not_an_object,
    version_unsupported,
    event_type_unknown,
    field_unknown,
    delivered_late,
)

HARMLESS: tuple[Corruption, ...] = (age_too_high, age_negative, gender_misspelt, delivered_twice, field_unknown)
"""Corruptions after which the event still counts at its place and time."""
OF_DEPARTMENTS = frozenset({department_misspelt, utf8_invalid})
"""Corruptions that name a department that is in no list."""
