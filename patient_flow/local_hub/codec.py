"""Encoding and decoding of AMQP 1.0 types: pure functions.

Every encoder returns one complete value (constructor and payload). There are three levels of decoding: :func:`skip`
finds the end of a value, :func:`elements` slices a list or a map into its encoded parts, :func:`decode` makes Python
objects. Slicing keeps the hub fast: most values are forwarded without being decoded.

Not here: performatives and message sections (``protocol``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from patient_flow.errors import DataError

NULL = b"\x40"
TRUE = b"\x41"
FALSE = b"\x42"

_MAX_DEPTH = 32
_U8 = struct.Struct(">B")
_U32 = struct.Struct(">I")


class MalformedError(DataError):
    """These bytes are not AMQP."""


class Symbol(str):
    """An AMQP symbol, a type distinct from strings."""

    __slots__ = ()


class Described(NamedTuple):
    """A value with a descriptor."""

    descriptor: object
    value: object


# --- encoding


def boolean(value: bool) -> bytes:
    """AMQP boolean."""
    return TRUE if value else FALSE


def ubyte(value: int) -> bytes:
    """AMQP ubyte, 8 bits unsigned."""
    return struct.pack(">BB", 0x50, value)


def ushort(value: int) -> bytes:
    """AMQP ushort, 16 bits unsigned."""
    return struct.pack(">BH", 0x60, value)


def uint(value: int) -> bytes:
    """AMQP uint, 32 bits unsigned."""
    return struct.pack(">BB", 0x52, value) if value < 256 else struct.pack(">BI", 0x70, value)


def ulong(value: int) -> bytes:
    """AMQP ulong, 64 bits unsigned."""
    return struct.pack(">BB", 0x53, value) if value < 256 else struct.pack(">BQ", 0x80, value)


def int32(value: int) -> bytes:
    """AMQP int, 32 bits signed."""
    return struct.pack(">Bi", 0x71, value)


def long(value: int) -> bytes:
    """AMQP long, 64 bits signed."""
    return struct.pack(">Bq", 0x81, value)


def timestamp(milliseconds: int) -> bytes:
    """AMQP timestamp: milliseconds since 1970-01-01 UTC."""
    return struct.pack(">Bq", 0x83, milliseconds)


def uuid(value: UUID) -> bytes:
    """AMQP uuid."""
    return b"\x98" + value.bytes


def binary(value: bytes) -> bytes:
    """AMQP binary."""
    return _variable(0xA0, value)


def binary_of(value: bytes) -> bytes:
    """AMQP binary in the form for any length: its size follows from that of ``value`` alone."""
    return struct.pack(">BI", 0xB0, len(value)) + value


def string(value: str) -> bytes:
    """AMQP string."""
    return _variable(0xA1, value.encode())


def symbol(value: str) -> bytes:
    """AMQP symbol; ASCII only."""
    return _variable(0xA3, value.encode("ascii"))


def list_of(*values: bytes) -> bytes:
    """AMQP list of encoded values, always in the 32-bit form: the client cannot decode list0 in a performative."""
    return _compound(0xD0, values)


def map_of(*keys_and_values: bytes) -> bytes:
    """AMQP map of encoded keys and values in turn."""
    return _compound(0xD1, keys_and_values)


def array_of(constructor: int, *payloads: bytes) -> bytes:
    """AMQP array: ``payloads`` are the elements without their common ``constructor``."""
    payload = b"".join(payloads)
    return struct.pack(">BIIB", 0xF0, len(payload) + 5, len(payloads), constructor) + payload


def array_of_strings(*values: str) -> bytes:
    """AMQP array of strings."""
    return array_of(0xB1, *(_U32.pack(len(value.encode())) + value.encode() for value in values))


def array_of_symbols(*values: str) -> bytes:
    """AMQP array of symbols; ASCII only."""
    return array_of(0xB3, *(_U32.pack(len(value)) + value.encode("ascii") for value in values))


def described(code: int, value: bytes) -> bytes:
    """An encoded value under the numeric descriptor ``code`` (below 256, the only form that the client decodes)."""
    return b"\x00\x53" + _U8.pack(code) + value


def _variable(code: int, payload: bytes) -> bytes:
    if len(payload) < 256:
        return struct.pack(">BB", code, len(payload)) + payload
    return struct.pack(">BI", code + 0x10, len(payload)) + payload


def _compound(code: int, values: Sequence[bytes]) -> bytes:
    payload = b"".join(values)
    return struct.pack(">BII", code, len(payload) + 4, len(values)) + payload


# --- reading

# the high nibble of a constructor gives the width of the value, or of the size in front of it
_FIXED_WIDTH = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}
_SIZE_WIDTH = {0xA: 1, 0xC: 1, 0xE: 1, 0xB: 4, 0xD: 4, 0xF: 4}
_SIZES = {1: _U8, 4: _U32}


def skip(data: bytes, at: int = 0, depth: int = 0) -> int:
    """Index after the value that starts at ``at``. Raises :class:`MalformedError` when it does not end in ``data``."""
    if at >= len(data):
        raise MalformedError("a value is missing")
    if data[at] == 0x00:
        if depth == _MAX_DEPTH:
            raise MalformedError("values are nested too deeply")
        return skip(data, skip(data, at + 1, depth + 1), depth + 1)
    width = _FIXED_WIDTH.get(data[at] >> 4)
    end = at + 1 + width if width is not None else _end_of_sized(data, at)
    if end > len(data):
        raise MalformedError("a value is cut off")
    return end


def _end_of_sized(data: bytes, at: int) -> int:
    width = _SIZE_WIDTH.get(data[at] >> 4)
    if width is None:
        raise MalformedError(f"0x{data[at]:02x} is not a constructor")
    return at + 1 + width + _unpack(_SIZES[width], data, at + 1)


def elements(data: bytes, at: int = 0) -> tuple[list[bytes], int]:
    """The encoded elements of the list (or keys and values of the map) at ``at``, and the index after it."""
    if data[at : at + 1] not in _LISTS_AND_MAPS:
        raise MalformedError("neither a list nor a map")
    end = skip(data, at)
    if data[at] == 0x45:
        return [], end
    count, at = _count(data, at)
    values: list[bytes] = []
    for _ in range(count):
        after = skip(data, at)
        values.append(data[at:after])
        at = after
    if at != end:
        raise MalformedError("a list's size and count differ")
    return values, end


_LISTS_AND_MAPS = (b"\x45", b"\xc0", b"\xd0", b"\xc1", b"\xd1")


def decode(data: bytes, at: int = 0, depth: int = 0) -> tuple[object, int]:
    """The value at ``at`` as a Python object, and the index after it.

    Integers and timestamps (milliseconds) become ``int``, lists ``list``, maps ``dict``, described values
    :class:`Described`; types that the hub never decodes (arrays, decimals, chars) stay bytes.
    Raises :class:`MalformedError`.
    """
    end = skip(data, at)
    if depth == _MAX_DEPTH:
        raise MalformedError("values are nested too deeply")
    code = data[at]
    if code in _SCALARS:
        return _SCALARS[code](data[at + 1 : end]), end
    if code == 0x00:
        descriptor, middle = decode(data, at + 1, depth + 1)
        return Described(descriptor, decode(data, middle, depth + 1)[0]), end
    if code >> 4 in (0xA, 0xB):
        return _text_or_bytes(code, data[at + 1 + _SIZE_WIDTH[code >> 4] : end]), end
    if code in (0xE0, 0xF0):
        return data[at:end], end
    values = [decode(value, 0, depth + 1)[0] for value in elements(data, at)[0]]
    return (_pairs(values) if code in (0xC1, 0xD1) else values), end


def descriptor(data: bytes, at: int) -> tuple[int, int]:
    """Numeric descriptor at ``at``, and the index of its value. Raises :class:`MalformedError`."""
    if data[at : at + 1] != b"\x00":
        raise MalformedError("a described value is missing")
    code, start = decode(data, at + 1)
    if not isinstance(code, int):
        raise MalformedError("a descriptor is not a number")
    return code, start


def _unpack(form: struct.Struct, data: bytes, at: int = 0) -> int:
    try:
        (value,) = form.unpack_from(data, at)
    except struct.error:
        raise MalformedError("a value is cut off") from None
    return int(value)


def _count(data: bytes, at: int) -> tuple[int, int]:
    """Number of elements of the complete compound at ``at``, and the index of the first one."""
    width = _SIZE_WIDTH[data[at] >> 4]
    return _unpack(_SIZES[width], data, at + 1 + width), at + 1 + 2 * width


def _pairs(values: list[object]) -> dict[object, object]:
    if len(values) % 2:
        raise MalformedError("a map has a key without a value")
    try:
        return dict(zip(values[::2], values[1::2], strict=True))
    except TypeError:
        raise MalformedError("a map's key is a list or a map") from None


def _text_or_bytes(code: int, payload: bytes) -> object:
    try:
        match code & 0x0F:
            case 0x0:
                return payload
            case 0x1:
                return payload.decode()
            case 0x3:
                return Symbol(payload.decode("ascii"))
    except UnicodeDecodeError:
        raise MalformedError("a text is not UTF-8") from None
    raise MalformedError(f"0x{code:02x} is not a constructor")


def _number(form: str) -> Callable[[bytes], object]:
    unpack = struct.Struct(f">{form}").unpack
    return lambda payload: unpack(payload)[0]


def _constant(value: object) -> Callable[[bytes], object]:
    return lambda _payload: value


_SCALARS: dict[int, Callable[[bytes], object]] = {
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(0),
    0x44: _constant(0),
    0x50: _number("B"),
    0x51: _number("b"),
    0x52: _number("B"),
    0x53: _number("B"),
    0x54: _number("b"),
    0x55: _number("b"),
    0x56: _number("?"),
    0x60: _number("H"),
    0x61: _number("h"),
    0x70: _number("I"),
    0x71: _number("i"),
    0x72: _number("f"),
    0x73: bytes,
    0x74: bytes,
    0x80: _number("Q"),
    0x81: _number("q"),
    0x82: _number("d"),
    0x83: _number("q"),
    0x84: bytes,
    0x94: bytes,
    0x98: lambda payload: UUID(bytes=payload),
}
