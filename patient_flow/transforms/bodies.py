"""One body (bytes) → the contract fields it states. Row by row, so that no body can change another.

A body that follows the contract to the letter takes the fast path: one typed decode. Everything else (unknown
fields, numbers as strings, hostile bytes) takes the careful path, which gives the same result for the same statement.
Not here: what the values mean, and whether they are acceptable (``transforms.read``, ``contracts.rules``).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import msgspec

from patient_flow.contracts import events
from patient_flow.errors import DataError
from patient_flow.transforms.json_objects import json_object

_Text = Annotated[str, msgspec.Meta(max_length=events.MAX_ID_LENGTH)]
_Whole = Annotated[int, msgspec.Meta(ge=-(10**18), le=10**18)]
_LARGEST_NUMBER = 1e9
"""Beyond every range of the contract."""
_LARGEST_EXACT = 2**53
"""Whole numbers up to this keep every digit as a double, the form in which some writers send them."""
_NUMBER = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,4})?\s*")
"""Numbers as text. Python alone would also take 4_2, other alphabets' digits, nan and infinity."""

_UNUSABLE_TEXT = "\ufffd"
"""Stands for a value that is given but is no text: unlike null it cannot be mistaken for an absent one."""


class Fields(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False, kw_only=True):
    """The contract fields of one body that most producers state, as they stand in it."""

    schema_version: _Text | None = None
    event_id: _Text | None = None
    event_type: _Text | None = None
    visit_id: _Text | None = None
    event_time: _Text | None = None
    patient_id: _Text | None = None
    hospital_id: _Text | _Whole | None = None
    department: _Text | None = None
    gender: _Text | None = None
    age: Annotated[int, msgspec.Meta(ge=0, le=events.MAX_AGE)] | None = None
    arrival_time: _Text | None = None
    triage_time: _Text | None = None
    admission_time: _Text | None = None
    discharge_time: _Text | None = None
    wait_minutes: (
        Annotated[int, msgspec.Meta(ge=0, le=events.MAX_WAIT_MINUTES)]
        | Annotated[float, msgspec.Meta(ge=0, le=events.MAX_WAIT_MINUTES)]
        | None
    ) = None
    bed_id: _Text | _Whole | None = None
    discharge_status: _Text | None = None


class AllFields(Fields, kw_only=True):
    """All contract fields of one body but ``stays``: those of :class:`Fields`, and those that fewer events state."""

    seen_time: _Text | None = None
    decision_time: _Text | None = None
    planned_discharge_time: _Text | None = None
    ready_time: _Text | None = None
    visit_class: _Text | None = None
    admission_type: _Text | None = None
    merged_patient_id: _Text | None = None
    patient_assigner: _Text | None = None
    visit_assigner: _Text | None = None
    merged_patient_assigner: _Text | None = None
    source: _Text | None = None


COMMON_FIELDS = Fields.__struct_fields__
RARE_FIELDS = tuple(name for name in AllFields.__struct_fields__ if name not in COMMON_FIELDS)


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """The statements of one body, or of one part of it.

    ``kinds`` names the fields that are given but unusable, each with the kind of its value. ``extra`` holds unknown
    fields as JSON, ``digest`` the canonical hash, ``stays`` the placements as texts, ``flags`` the quality flags that
    an interpreter raises. ``patient_scope`` and ``visit_scope`` are a mapping's policies for the scopes of numbers.
    """

    fields: AllFields
    digest: str
    kinds: Mapping[str, str] = field(default_factory=dict)
    extra: str | None = None
    stays: tuple[StatedStay, ...] = ()
    flags: frozenset[str] = frozenset()
    patient_scope: str | None = None
    visit_scope: str | None = None
    has_no_mapping: bool = False

    @property
    def unusable(self) -> frozenset[str]:
        """Names of the fields that are given but unusable."""
        return frozenset(self.kinds)


@dataclass(frozen=True, slots=True)
class StatedStay:
    """One entry of ``stays``, its times still texts; ``until`` is None for a patient who is still there."""

    department: str
    bed_id: str | None
    since: str
    until: str | None


class Unreadable(DataError):
    """The body is not one JSON object (or message of a known format)."""


class Unsupported(DataError):
    """The body is a message of a known format that this version cannot read as an event.

    ``hospital_id`` is the sender's, where the message names it.
    """

    def __init__(self, message: str, hospital_id: str | None = None) -> None:
        super().__init__(message)
        self.hospital_id = hospital_id


class Ignored(DataError):
    """The body is known and says nothing about patient flow; ``name`` says which kind of message it is."""

    def __init__(self, name: str, hospital_id: str | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.hospital_id = hospital_id


@dataclass(frozen=True, slots=True)
class Interpretation:
    """The result of an interpreter: contract fields and extras, once per event in the body (its parts)."""

    parts: tuple[Mapping[str, object], ...]
    flags: frozenset[str] = frozenset()
    patient_scope: str | None = None
    visit_scope: str | None = None


Interpreter = Callable[[bytes, Mapping[str, object] | None], Interpretation | None]
"""(body, its JSON object or None) → what it states, or None when the body is not for this interpreter."""


@dataclass(frozen=True, slots=True)
class Item:
    """One event out of a body that wraps events: its own body, and what the envelopes around it state."""

    body: bytes
    envelope: Mapping[str, object] = field(default_factory=dict)


Unwrapper = Callable[[bytes], tuple[Item, ...] | None]
"""body → the events in it; None where it wraps none. Raises :class:`Unreadable` where an envelope is damaged."""

ENVELOPE = "envelope"
"""Key under which interpreters find what the envelopes state. It is no part of an event's statement."""

_decode_common = msgspec.json.Decoder(Fields).decode
_decode_all = msgspec.json.Decoder(AllFields).decode
_encoder = msgspec.json.Encoder(order="sorted")
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines
_NOT_STRICT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_strictly(body: bytes) -> Fields | None:
    """The fields of a body that follows the contract to the letter, or None: the fast path."""
    try:
        return _decode_common(body)
    except _NOT_STRICT:
        pass
    try:
        return _decode_all(body)
    except _NOT_STRICT:
        return None


def lines_of(fields: Sequence[Fields]) -> bytes:
    """The statements as JSON, a line each, in canonical form."""
    return _encode_lines(fields)


def digests_of(lines: bytes) -> list[str]:
    """The digests that :func:`read_carefully` gives the statements of :func:`lines_of`."""
    sha256 = hashlib.sha256
    # One after another: a list of all lines is memory to fill.
    return [sha256(line[1]).hexdigest() for line in re.finditer(rb"(.*)\n", lines)]


def rare_fields_of(fields: Sequence[Fields]) -> set[str]:
    """Those of :data:`RARE_FIELDS` that one of ``fields`` states."""
    rare = [item for item in fields if isinstance(item, AllFields)]
    return {name for name in RARE_FIELDS if any(getattr(item, name) is not None for item in rare)}


def may_hold_control_characters(lines: bytes) -> bool:
    """Whether a text among the statements of :func:`lines_of` may hold one: JSON escapes all of them but U+007F."""
    return b"\\" in lines or b"\x7f" in lines


def read_parts(
    body: bytes,
    mappings: tuple[Interpreter, ...] = (),
    formats: tuple[Interpreter, ...] = (),
    envelope: Mapping[str, object] | None = None,
) -> tuple[ParsedBody, ...]:
    """Every event that a body holds: as the first interpreter reads it, else in the contract's own form.

    Interpreters find ``envelope`` in a JSON object that has no such key itself. Raises :class:`Unreadable`,
    :class:`Unsupported` or :class:`Ignored`.
    """
    value = json_object(body)
    is_wrapped = bool(envelope) and value is not None and ENVELOPE not in value
    seen = {**value, ENVELOPE: envelope} if is_wrapped and value is not None else value
    for interpret in (*mappings, *formats):
        interpreted = interpret(body, seen)
        if interpreted is not None:
            stated = _without_envelope(interpreted) if is_wrapped else interpreted
            return _parsed_parts(stated, body if value is None else _canonical(value))
    if value is None:
        raise Unreadable("the body is not a JSON object")
    has_no_mapping = bool(mappings) and value.get("patient_id") is None
    return (_parsed(value, digest(_canonical(value)), has_no_mapping=has_no_mapping),)


def read_carefully(body: bytes) -> ParsedBody:
    """Parse a body in the contract's own form. Raises :class:`Unreadable`."""
    return read_parts(body)[0]


def _without_envelope(interpreted: Interpretation) -> Interpretation:
    parts = tuple({key: item for key, item in part.items() if key != ENVELOPE} for part in interpreted.parts)
    return replace(interpreted, parts=parts)


def _parsed_parts(interpreted: Interpretation, canonical: bytes) -> tuple[ParsedBody, ...]:
    """One part is known by its whole body; of several each is known by its own statement."""
    if not interpreted.parts:
        raise Ignored(events.EMPTY_BODY)
    digests = (
        [digest(canonical)] if len(interpreted.parts) == 1 else [digest(_canonical(part)) for part in interpreted.parts]
    )
    return tuple(
        _parsed(
            part,
            own,
            flags=interpreted.flags,
            patient_scope=interpreted.patient_scope,
            visit_scope=interpreted.visit_scope,
        )
        for part, own in zip(interpreted.parts, digests, strict=True)
    )


def _canonical(value: Mapping[str, object]) -> bytes:
    """The same bytes for the same statement: keys sorted, no white space, nulls left out (they state nothing)."""
    return _encode({key: item for key, item in value.items() if item is not None})


DIGEST_LENGTH = 64


def digest(canonical: bytes) -> str:
    """Hexadecimal SHA-256, of :data:`DIGEST_LENGTH` characters."""
    return hashlib.sha256(canonical).hexdigest()


def _parsed(value: Mapping[str, object], digest: str, **context: Any) -> ParsedBody:
    stated: dict[str, Any] = {}
    kinds = {}
    for name, clean in _CLEAN.items():
        item = value.get(name)
        if item is None or (name in events.NUMBER_FIELDS and isinstance(item, str) and not item.strip()):
            continue  # a blank is an empty cell of a table
        usable = clean(item)
        if usable is None:
            kinds[name] = kind_of(item)
        stated[name] = usable
    for name in ("event_type", "schema_version"):
        if name in kinds:
            stated[name] = _UNUSABLE_TEXT
    unknown = {
        key: item for key, item in value.items() if key not in _CLEAN and key != events.STAYS and item is not None
    }
    stays = _stays(value.get(events.STAYS))
    if stays is None:
        kinds[events.STAYS] = kind_of(value[events.STAYS])
    return ParsedBody(
        AllFields(**stated), digest, kinds, _encode(unknown).decode() if unknown else None, stays or (), **context
    )


def kind_of(value: object) -> str:
    """The JSON type of ``value``, without the value itself."""
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text" if len(value.strip()) <= events.MAX_ID_LENGTH else "text longer than 64 characters"
        case list():
            return "list"
        case _:
            return "object"


def number_in(text: str) -> float | None:
    """The number that ``text`` writes in decimal digits, or None."""
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _stays(value: object) -> tuple[StatedStay, ...] | None:
    """The entries of ``stays``; None where one of them lacks its department or its beginning."""
    if value is None:
        return ()
    if not isinstance(value, list):
        return None
    stays = tuple(_stay(item) for item in value)
    return None if None in stays else tuple(stay for stay in stays if stay is not None)


def _stay(value: object) -> StatedStay | None:
    if not isinstance(value, dict):
        return None
    department, since, until = _label(value.get("department")), _label(value.get("from")), value.get("to")
    if not department or not since or (until is not None and _label(until) is None):
        return None
    return StatedStay(department, _identifier(value.get("bed_id")) or None, since, _label(until) or None)


def _identifier(value: object) -> str | None:
    """Whole numbers as text, also where a writer makes doubles of them (3.0)."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return _label(value)


def _label(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    text = value.strip()
    return text if len(text) <= events.MAX_ID_LENGTH else None


def _version(value: object) -> str | None:
    return _label(str(value) if isinstance(value, float) else value) or _identifier(value)


def _number(value: object) -> float | None:
    if isinstance(value, str):
        value = number_in(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # comparing holds for integers of any size and for NaN; converting does not
    return value if -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER else None


def _age(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == int(number) and 0 <= number <= events.MAX_AGE else None


def _wait(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= events.MAX_WAIT_MINUTES else None


_IDENTIFIERS = ("event_id", "visit_id", "patient_id", "hospital_id", "bed_id", "merged_patient_id")
_CLEAN: dict[str, Callable[[object], Any]] = {
    **dict.fromkeys((*events.TEXT_FIELDS, *events.TIME_FIELDS), _label),
    **dict.fromkeys((*_IDENTIFIERS, "patient_assigner", "visit_assigner", "merged_patient_assigner"), _identifier),
    "schema_version": _version,
    "age": _age,
    "wait_minutes": _wait,
}
