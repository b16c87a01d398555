"""AMQP types: what is encoded is read back, and no bytes whatever do more than raise MalformedError."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.local_hub import codec, messages, protocol
from patient_flow.local_hub.codec import Described, MalformedError, Symbol

Encoded = tuple[object, bytes]


def _of(encode: Callable[[Any], bytes], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Encoded]:
    return values.map(lambda value: (value, encode(value)))


def _signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


_ascii = st.text(st.characters(max_codepoint=127), max_size=300)
_keys = _of(codec.string, st.text(max_size=20)) | _of(codec.symbol, _ascii.map(Symbol)) | _of(codec.long, _signed(64))
_scalars = (
    st.just((None, codec.NULL))
    | _of(codec.boolean, st.booleans())
    | _of(codec.ubyte, st.integers(0, 2**8 - 1))
    | _of(codec.ushort, st.integers(0, 2**16 - 1))
    | _of(codec.uint, st.integers(0, 2**32 - 1))
    | _of(codec.ulong, st.integers(0, 2**64 - 1))
    | _of(codec.int32, _signed(32))
    | _of(codec.timestamp, _signed(64))
    | _of(codec.uuid, st.uuids())
    | _of(codec.binary, st.binary(max_size=300))
    | _of(codec.string, st.text(max_size=300))
    | _keys
)


def _list(items: list[Encoded]) -> Encoded:
    return [value for value, _ in items], codec.list_of(*(data for _, data in items))


def _map(pairs: list[tuple[Encoded, Encoded]]) -> Encoded:
    parts = [part for (_, key), (_, value) in pairs for part in (key, value)]
    return {key: value for (key, _), (value, _) in pairs}, codec.map_of(*parts)


def _described(parts: tuple[int, Encoded]) -> Encoded:
    code, (value, data) = parts
    return Described(code, value), codec.described(code, data)


_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=5).map(_list)
        | st.lists(st.tuples(_keys, inner), max_size=5).map(_map)
        | st.tuples(st.integers(0, 255), inner).map(_described)
    ),
    max_leaves=15,
)


@given(_values)
def test_a_value_is_read_back_as_it_was_written(encoded: Encoded) -> None:
    value, data = encoded
    assert codec.decode(data) == (value, len(data))
    assert codec.skip(data) == len(data)


@given(_values, st.data())
def test_a_value_that_is_cut_off_is_malformed(encoded: Encoded, data: st.DataObject) -> None:
    cut = encoded[1][: data.draw(st.integers(0, len(encoded[1]) - 1))]
    with pytest.raises(MalformedError):
        codec.decode(cut)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"\x00\x53\x14\xd0" + tail))
def test_no_bytes_do_more_than_raise_malformed_error(data: bytes) -> None:
    for read in (codec.decode, codec.elements, protocol.parse_performative, messages.parse_request):
        with contextlib.suppress(MalformedError):
            read(data)
    with contextlib.suppress(MalformedError):
        messages.parse_delivery(data, messages.BATCH_FORMAT)


def test_values_nested_without_end_are_malformed() -> None:
    for nested in (b"\x00" * 100_000, b"\xd0\x00\x00\x00\x05\x00\x00\x00\x01" * 1000):
        with pytest.raises(MalformedError):
            codec.decode(nested)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x43", 0),
        (b"\x44", 0),
        (b"\x45", []),
        (b"\x54\xff", -1),
        (b"\x55\xfe", -2),
        (b"\x56\x01", True),
        (b"\x61\xff\xff", -1),
        (b"\xc0\x03\x02\x41\x42", [True, False]),
        (b"\xc1\x05\x02\xa1\x01k\x43", {"k": 0}),
        (b"\xb1\x00\x00\x00\x01x", "x"),
    ],
)
def test_forms_that_only_other_peers_use_are_read(data: bytes, value: object) -> None:
    assert codec.decode(data) == (value, len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\xa1\x01\xff",
        b"\xa3\x01\xff",
        b"\x10",
        b"\xa7\x00",
        b"\xc1\x02\x01\x43",
        b"\xc1\x04\x02\x45\x43",
        b"\xc0\x01\x07",
    ],
)
def test_wrong_text_maps_and_constructors_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        codec.decode(data)
