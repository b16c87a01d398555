"""Patches of the pinned client: a timeout of the handshake, its pauses, and messages that it cannot decode.

The client has no timeout during the handshake, and would wait for ever for a peer that accepts and never answers
(tested in ``patient_flow_tests/pipeline/test_hub_probe.py``).

During the handshake of each request for properties the client sleeps 50 ms after each of eight steps, although a step
waits for its answer itself: 0.9 s for a hub's state, for every tick of the sensor and once more in the run.

The client closes the whole link for a message that it cannot decode, such as one with a decimal among its properties,
and would do so in every run until retention deletes the event. Here such a message is decoded value by value; a value
that cannot be decoded becomes the hexadecimal text of its bytes. ``patient_flow_tests/pipeline/test_bronze.py`` tests
that the client still calls the patched function.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HANDSHAKE_SECONDS = 20.0
PAUSE_SECONDS, _PAUSE_OF_CLIENT = 0.005, 0.05
AMQPS_PORT, HTTPS_PORT = 5671, 443
"""Ports of Azure Event Hubs: of AMQP, and of AMQP over WebSockets."""
_ANNOTATIONS, _PROPERTIES, _DATA, _SEQUENCE, _VALUE = 0x72, 0x74, 0x75, 0x76, 0x77
_WIDTHS = {4: 0, 5: 1, 6: 2, 7: 4, 8: 8, 9: 16}
"""Bytes of the fixed types, by the first half of their constructor."""
_SMALL_MAP, _LARGE_MAP = 0xC1, 0xD1


def patch_decoder() -> None:
    """Makes the client decode messages by :func:`decode`."""
    from azure.eventhub._pyamqp import receiver

    client: Any = receiver
    client.decode_payload = decode


def patch_handshake_timeout() -> None:
    """Limits the TLS and AMQP handshakes of the client to :data:`HANDSHAKE_SECONDS` per answer."""
    from azure.eventhub._pyamqp import _transport

    client: Any = _transport
    client._AbstractTransport.block = _block
    client.SSLTransport._setup_transport = _set_up


def patch_pauses() -> None:
    """Makes the client sleep :data:`PAUSE_SECONDS` between the steps of a handshake."""
    from azure.eventhub import _client_base

    client: Any = _client_base
    client.time = _ShortPauses


class _ShortPauses:
    """The functions of ``time`` that the client's module calls."""

    time = time.time

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(PAUSE_SECONDS if seconds == _PAUSE_OF_CLIENT else seconds)


def _set_up(transport: Any) -> None:
    """The client's own method with a timeout."""
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
    """Decodes a message as the client does, or section by section where the client fails."""
    from azure.eventhub._pyamqp._decode import decode_payload

    try:
        return decode_payload(message)
    except Exception:  # noqa: BLE001  (the events behind it must be read, whatever a producer sent)
        return _by_sections(message)


def _by_sections(message: memoryview) -> Any:
    """Decodes the sections that the pipeline needs: annotations, properties and the body."""
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
    """Decodes every entry separately, so that one bad value affects no other."""
    parts = [_decoded(part) for part in _parts(content)]
    return {
        key if isinstance(key, bytes) else str(key): value for key, value in zip(parts[::2], parts[1::2], strict=True)
    }


def _parts(content: memoryview) -> Iterator[memoryview]:
    """Keys and values of a map, alternating."""
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
    """Length in bytes of the first encoded value, including its constructor."""
    start = 0
    while value[start] == 0:  # described: a descriptor, then the value
        start += 1 + _length(value[start + 1 :])
    width, rest = value[start] >> 4, value[start + 1 :]
    if width in _WIDTHS:
        return start + 1 + _WIDTHS[width]
    size_of_size = 1 if width in (0xA, 0xC, 0xE) else 4
    return start + 1 + size_of_size + int.from_bytes(rest[:size_of_size], "big")


def place_of(address: str, *, is_websocket: bool) -> str:
    """Host and port of an Event Hub for messages, from its host with or without a port."""
    has_port = ":" in address.rpartition("]")[2]
    return address if has_port else f"{address}:{HTTPS_PORT if is_websocket else AMQPS_PORT}"
