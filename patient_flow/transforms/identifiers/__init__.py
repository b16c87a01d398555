"""Numbers of persons in a body, whatever its format: found, and replaced by a marker.

JSON (FHIR with it) and HL7 v2, also compressed (gzip, zlib) or as base64, and such bodies in a text of another one.
Only fields that identify a person are looked at: the same digits as a bed or an age say nothing. Not here: what an
event is, and how a number is known together with its scope (``read``, ``scopes``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from patient_flow.transforms.identifiers import json
from patient_flow.transforms.identifiers.hl7 import Message
from patient_flow.transforms.identifiers.number import IsPerson, Number
from patient_flow.transforms.identifiers.opening import is_text, opened


@dataclass(frozen=True)
class Stated:
    """The numbers in a body, and the time that it states. ``is_opened``: it is text, or was opened."""

    numbers: tuple[Number, ...] = ()
    time: datetime | None = None
    is_opened: bool = True


def find_identifiers(body: bytes) -> Stated:
    """Every number of a person in ``body``."""
    content, _ = opened(body)
    if (value := json.read(content)) is not None:
        return Stated(tuple(_SEARCH.numbers(value)), json.time_in(value))
    if (message := Message.read(content)) is not None:
        return Stated(tuple(message.numbers()), message.time())
    if (lines := json.lines(content)) is not None:
        return Stated(tuple(number for _, value in lines for number in _SEARCH.numbers(value)))
    return Stated(is_opened=is_text(content))


_SEARCH = json.Search(lambda content: find_identifiers(content).numbers)


def redacted(body: bytes, is_person: IsPerson, marker: str) -> bytes | None:
    """``body`` with ``marker`` in the place of each record of the person; None where none is of that person."""
    redaction = json.Redaction(_SEARCH, is_person, marker, lambda inner: redacted(inner, is_person, marker))
    return _changed(body, redaction.of, lambda message: message.redacted(is_person, marker))


def masked(body: bytes, is_number: Callable[[str], bool], marker: str) -> bytes | None:
    """``body`` with ``marker`` for every text or number that ``is_number``, in whatever field; None if none is."""
    return _changed(
        body,
        lambda value: json.masked(value, is_number, marker),
        lambda message: message.masked(is_number, marker),
    )


def _changed(
    body: bytes, of_value: Callable[[Any], Any], of_message: Callable[[Message], bytes | None]
) -> bytes | None:
    content, wrap = opened(body)
    if (value := json.read(content)) is not None:
        new = of_value(value)
        return None if new == value else wrap(json.encode(new))
    if (message := Message.read(content)) is not None:
        text = of_message(message)
        return None if text is None else wrap(text)
    if (lines := json.lines(content)) is not None:
        pairs = [(line, value, of_value(value)) for line, value in lines]
        if all(new == value for _, value, new in pairs):
            return None
        return wrap(b"".join(line if new == value else json.encode(new) + b"\n" for line, value, new in pairs))
    return None
