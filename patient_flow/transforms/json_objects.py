"""Bytes → the JSON object that they are, whatever numbers and nesting it has."""

from __future__ import annotations

import json
import math
from typing import NoReturn

import msgspec

_UTF8_BOM = b"\xef\xbb\xbf"
_MAX_DEPTH = 100
"""Levels of nesting in a body. The limit is ours because Python's depends on how deep the caller stands."""

_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode
_NOT_STRICT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def json_object(body: bytes) -> dict[str, object] | None:
    """The JSON object that ``body`` is, or None. A byte order mark is ignored; of a repeated key the last counts."""
    body = body.removeprefix(_UTF8_BOM)
    try:
        value = _decode_any(body)
    except _NOT_STRICT:
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
