"""Names of values in an HL7 v2 message, as the standard writes them: ``PID-18``, ``PV1-3.4``, ``PID-3[2].4.1``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PATH = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})-(?P<field>[1-9]\d?)(?:\[(?P<repetition>[1-9]\d?)\])?"
    r"(?:\.(?P<component>[1-9]\d?)(?:\.(?P<subcomponent>[1-9]\d?))?)?",
    re.ASCII,
)
_NEARLY = re.compile(r"(?P<segment>[A-Za-z][A-Za-z0-9]{2})[-._|: ]?(?P<rest>\d+([-._][\d.]+)?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class FieldPath:
    """One value; counted from 1, as the standard does."""

    text: str
    segment: str
    field: int
    repetition: int = 1
    component: int = 1
    subcomponent: int = 1


def parse_path(text: str) -> FieldPath | None:
    """The value that ``text`` names; None where it names none."""
    match = _PATH.fullmatch(text)
    if match is None:
        return None
    numbers = {name: int(number or 1) for name, number in match.groupdict().items() if name != "segment"}
    return FieldPath(text, match["segment"], **numbers)


def likely_path(text: str) -> str | None:
    """The path that somebody meant who wrote ``ZBE.7.1`` or ``pid-18``; None where that is not to be seen."""
    match = _NEARLY.fullmatch(text)
    if match is None:
        return None
    guess = f"{match['segment'].upper()}-{re.sub(r'[-_]', '.', match['rest'])}"
    return guess if parse_path(guess) else None
