"""What the pinned client lacks: patience that ends, and messages that it cannot decode.

It shakes hands without a timeout, and would wait for ever for a peer that accepts and never answers
(``patient_flow_tests/pipeline/test_looking.py`` watches).

A message that it cannot decode has a decimal or a character among the properties, say.

The client gives up the whole link for one of them, and would do so in every run until retention drops the event. Here
what it can decode of such a message is kept, and every value that it cannot as the hexadecimal text of its bytes.
``patient_flow_tests/pipeline/test_bronze.py`` watches that the client still asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HANDSHAKE_SECONDS = 20.0
_ANNOTATIONS, _PROPERTIES, _DATA, _SEQUENCE, _VALUE = 0x72, 0x74, 0x75, 0x76, 0x77
_WIDTHS = {4: 0, 5: 1, 6: 2, 7: 4, 8: 8, 9: 16}
"""Bytes of the fixed types, by the first half of their constructor."""
_SMALL_MAP, _LARGE_MAP = 0xC1, 0xD1


def patch_decoder() -> None:
    """From now on the client decodes as :func:`decode` does."""
    from azure.eventhub._pyamqp import receiver

    client: Any = receiver
    client.decode_payload = decode


def patch_handshake_timeout() -> None:
    """From now on the client waits :data:`HANDSHAKE_SECONDS` for an answer, under TLS and in AMQP's greeting."""
    from azure.eventhub._pyamqp import _transport

    client: Any = _transport
    client._AbstractTransport.block = _block
    client.SSLTransport._setup_transport = _set_up


def _set_up(transport: Any) -> None:
    """As the client does it, but for the timeout."""
    if transport._use_tls:
        transport.sock.settimeout(HANDSHAKE_SECONDS)
        transport.sock = transport._wrap_socket(transport.sock, **transport.sslopts)
    transport._quick_recv = transport.sock.recv


@contextmanager
def _block(transport: Any) -> Iterator[Any]:
    before = transport.sock.gettimeout()
    transport.sock.settimeout(HANDSHAKE_SECONDS)
    try:
        yield transport.sock
    finally:
        transport.sock.settimeout(before)


def decode(message: memoryview) -> Any:
    """A message as the client decodes it; section by section if it cannot."""
    from azure.eventhub._pyamqp._decode import decode_payload

    try:
        return decode_payload(message)
    except Exception:  # noqa: BLE001  (whatever a producer sent, the events behind it are to be read)
        return _by_sections(message)


def _by_sections(message: memoryview) -> Any:
    """What the pipeline needs: annotations, properties and the body."""
    from azure.eventhub._pyamqp.message import Message

    maps: dict[int, dict[Any, Any]] = {_ANNOTATIONS: {}, _PROPERTIES: {}}
    data, sequences, value = [], [], None
    while message:
        kind, message = message[2], message[3:]
        content, message = message[: _length(message)], message[_length(message) :]
        if kind in maps:
            maps[kind] = _map(content)
        elif kind == _DATA:
            data.append(_decoded(content))
        elif kind == _SEQUENCE:
            sequences.append(_decoded(content))
        elif kind == _VALUE:
            value = _decoded(content)
    return Message(
        message_annotations=maps[_ANNOTATIONS],
        application_properties=maps[_PROPERTIES],
        data=data or None,
        sequence=sequences or None,
        value=value,
    )


def _map(content: memoryview) -> dict[Any, Any]:
    """Every entry by itself, so that one value takes no other with it."""
    parts = [_decoded(part) for part in _parts(content)]
    return {
        key if isinstance(key, bytes) else str(key): value for key, value in zip(parts[::2], parts[1::2], strict=True)
    }


def _parts(content: memoryview) -> Iterator[memoryview]:
    """Keys and values of a map in turn."""
    content = content[{_SMALL_MAP: 3, _LARGE_MAP: 9}[content[0]] :]
    while content:
        yield content[: _length(content)]
        content = content[_length(content) :]


def _decoded(value: memoryview) -> Any:
    from azure.eventhub._pyamqp._decode import _DECODE_BY_CONSTRUCTOR

    try:
        return _DECODE_BY_CONSTRUCTOR[value[0]](value[1:])[1]
    except Exception:  # noqa: BLE001  (see above)
        return value.hex()


def _length(value: memoryview) -> int:
    """Bytes of the encoded value that comes first, its constructor among them."""
    start = 0
    while value[start] == 0:  # described: a descriptor, then the value
        start += 1 + _length(value[start + 1 :])
    width, rest = value[start] >> 4, value[start + 1 :]
    if width in _WIDTHS:
        return start + 1 + _WIDTHS[width]
    size_of_size = 1 if width in (0xA, 0xC, 0xE) else 4
    return start + 1 + size_of_size + int.from_bytes(rest[:size_of_size], "big")
