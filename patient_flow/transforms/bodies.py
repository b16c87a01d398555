"""One body (bytes) → the contract fields it states. Row by row, so that no body can change another.

A body that follows the contract to the letter takes the fast path: one typed decode. Everything else (unknown
fields, numbers as strings, hostile bytes) takes the careful path, which gives the same result for the same statement.
Not here: what the values mean, and whether they are acceptable (``transforms.read``, ``contracts.rules``).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import msgspec

from patient_flow.contracts import events
from patient_flow.errors import DataError

_Text = Annotated[str, msgspec.Meta(max_length=events.MAX_ID_LENGTH)]
_Whole = Annotated[int, msgspec.Meta(ge=-(10**18), le=10**18)]
_UTF8_BOM = b"\xef\xbb\xbf"
_LARGEST_NUMBER = 1e9
"""Beyond every range of the contract."""

_MAX_DEPTH = 100
"""Levels of nesting in a body. The limit is ours because Python's depends on how deep the caller stands."""

_UNUSABLE_TEXT = "\ufffd"
"""Stands for a value that is given but is no text: unlike null it cannot be mistaken for an absent one."""


class Fields(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False, kw_only=True):
    """The contract fields of one body, as they stand in it."""

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


@dataclass(frozen=True, slots=True)
class Statement:
    """What one body states: usable fields, names of fields given but unusable, unknown fields, canonical hash."""

    fields: Fields
    digest: str
    unusable: frozenset[str] = frozenset()
    extra: str | None = None


class Unreadable(DataError):
    """The body is not one JSON object (or message of a known format)."""


class Unsupported(DataError):
    """The body is a message of a known format that states nothing about patient flow."""


Interpreter = Callable[[bytes, Mapping[str, object] | None], Mapping[str, object] | None]
"""(body, its JSON object or None) → contract fields and extras, or None when the body is not for this interpreter."""

_decode_fast = msgspec.json.Decoder(Fields).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode


def read_strictly(body: bytes) -> Fields | None:
    """The fields of a body that follows the contract to the letter, or None: the fast path."""
    try:
        return _decode_fast(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def digest_of(fields: Fields) -> str:
    """The digest that :func:`read_carefully` gives the same statement."""
    return digest(_encode(fields))


def read_carefully(body: bytes, interpreters: tuple[Interpreter, ...] = ()) -> Statement:
    """The statement of any body: the first interpreter that takes it, else the contract's own form.

    Raises :class:`Unreadable` or :class:`Unsupported`.
    """
    value = json_object(body)
    for interpret in interpreters:
        interpreted = interpret(body, value)
        if interpreted is not None:
            canonical = body if value is None else _canonical(value)
            return _statement(interpreted, digest(canonical))
    if value is None:
        raise Unreadable("the body is not a JSON object")
    return _statement(value, digest(_canonical(value)))


def json_object(body: bytes) -> dict[str, object] | None:
    """The JSON object that ``body`` is, or None. A byte order mark is ignored; of a repeated key the last counts."""
    body = body.removeprefix(_UTF8_BOM)
    try:
        value = _decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = _decode_numbers_of_any_size(body)
    return value if isinstance(value, dict) and not _is_too_deep(body, value) else None


def _is_too_deep(body: bytes, value: object) -> bool:
    if body.count(b"[") + body.count(b"{") <= _MAX_DEPTH:
        return False
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def _decode_numbers_of_any_size(body: bytes) -> object:
    """For JSON that is valid but holds a number beyond 64 bits or doubles: such a number is kept as its text."""
    try:
        value = json.loads(body.decode("utf-8"), parse_float=_finite, parse_int=_whole, parse_constant=_not_json)
        _encode(value)  # refuses lone surrogates, which no other system could store
    except (ValueError, RecursionError):
        return None
    return value


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _whole(text: str) -> int | str:
    return int(text) if len(text) <= 18 else text


def _not_json(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _canonical(value: Mapping[str, object]) -> bytes:
    """The same bytes for the same statement: keys sorted, no white space, nulls left out (they state nothing)."""
    return _encode({key: item for key, item in value.items() if item is not None})


DIGEST_LENGTH = 64


def digest(canonical: bytes) -> str:
    """Hexadecimal SHA-256, of :data:`DIGEST_LENGTH` characters."""
    return hashlib.sha256(canonical).hexdigest()


def _statement(value: Mapping[str, object], digest: str) -> Statement:
    stated: dict[str, Any] = {}
    unusable = []
    for name, clean in _CLEAN.items():
        item = value.get(name)
        if item is None:
            continue
        usable = clean(item)
        if usable is None:
            unusable.append(name)
        stated[name] = usable
    for name in ("event_type", "schema_version"):
        if name in unusable:
            stated[name] = _UNUSABLE_TEXT
    unknown = {key: item for key, item in value.items() if key not in _CLEAN and item is not None}
    return Statement(Fields(**stated), digest, frozenset(unusable), _encode(unknown).decode() if unknown else None)


def _identifier(value: object) -> str | None:
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
        try:
            value = float(value)
        except ValueError:
            return None
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


_CLEAN: dict[str, Callable[[object], Any]] = {
    "schema_version": _version,
    "event_id": _identifier,
    "event_type": _label,
    "visit_id": _identifier,
    "event_time": _label,
    "patient_id": _identifier,
    "hospital_id": _identifier,
    "department": _label,
    "gender": _label,
    "age": _age,
    "arrival_time": _label,
    "triage_time": _label,
    "admission_time": _label,
    "discharge_time": _label,
    "wait_minutes": _wait,
    "bed_id": _identifier,
    "discharge_status": _label,
}
