"""The Event Hubs dialect of AMQP messages: what producers send, what consumers get, requests and replies. Pure.

Not here: frames and performatives (``protocol``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from patient_flow.local_hub import codec
from patient_flow.local_hub.codec import NULL, MalformedError

HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS, PROPERTIES = 0x70, 0x71, 0x72, 0x73
APPLICATION_PROPERTIES, DATA, AMQP_VALUE, FOOTER = 0x74, 0x75, 0x77, 0x78
BATCH_FORMAT = 0x80013700

_SEQUENCE_NUMBER = codec.symbol("x-opt-sequence-number")
_OFFSET = codec.symbol("x-opt-offset")
_ENQUEUED_TIME = codec.symbol("x-opt-enqueued-time")
_PARTITION_KEY = codec.symbol("x-opt-partition-key")
# set by the hub only: an event that is published again must not have them twice
_BROKER_KEYS = frozenset((_SEQUENCE_NUMBER, _OFFSET, _ENQUEUED_TIME))


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event to be stored: everything but its coordinates."""

    header: bytes
    annotations: tuple[bytes, ...]
    rest: bytes

    def __call__(self, sequence: int, offset: int, enqueued_at: int) -> bytes:
        """The message exactly as consumers receive it."""
        annotations = codec.map_of(
            *(_SEQUENCE_NUMBER, codec.long(sequence)),
            *(_OFFSET, codec.string(str(offset))),
            *(_ENQUEUED_TIME, codec.timestamp(enqueued_at)),
            *self.annotations,
        )
        return self.header + codec.described(MESSAGE_ANNOTATIONS, annotations) + self.rest


class Delivery(NamedTuple):
    """One delivery of a producer: events for one partition, selected by the key (if any)."""

    key: bytes | None
    events: list[EventDraft]


def parse_delivery(payload: bytes, message_format: int) -> Delivery:
    """Parse a delivery. Raises :class:`MalformedError`."""
    draft = _parse_event(payload)
    key = _partition_key(draft.annotations)
    if message_format != BATCH_FORMAT:
        return Delivery(key, [draft])
    inner = [codec.decode(value)[0] for code, value in _sections(payload) if code == DATA]
    events = [_parse_event(event, key) for event in inner if isinstance(event, bytes)]
    if not events or len(events) != len(inner):
        raise MalformedError("a batch without events, or with another section")
    return Delivery(key, events)


def _parse_event(message: bytes, key: bytes | None = None) -> EventDraft:
    header = b""
    annotations: list[bytes] = []
    rest: list[bytes] = []
    for code, value in _sections(message):
        if code == HEADER:
            header = codec.described(code, value)
        elif code == MESSAGE_ANNOTATIONS:
            pairs = codec.elements(value)[0]
            for name, content in zip(pairs[::2], pairs[1::2], strict=False):
                if name not in _BROKER_KEYS:
                    annotations += (name, content)
        elif code != DELIVERY_ANNOTATIONS:
            rest.append(codec.described(code, value))
    if key is not None and _partition_key(annotations) is None:
        annotations += (_PARTITION_KEY, key)
    return EventDraft(header, tuple(annotations), b"".join(rest))


def emptied(event: bytes, body: bytes) -> bytes:
    """A stored event of the same length with ``body`` for its body, and nothing else but its coordinates.

    Blanks fill what is left; where ``body`` is too long they are all that is stored. Raises :class:`MalformedError`.
    """
    pairs: list[bytes] = []
    for code, value in _sections(event):
        if code == MESSAGE_ANNOTATIONS:
            known = codec.elements(value)[0]
            for name, content in zip(known[::2], known[1::2], strict=False):
                if name in _BROKER_KEYS:
                    pairs += (name, content)
    head = codec.described(MESSAGE_ANNOTATIONS, codec.map_of(*pairs))
    room = len(event) - len(head) - len(codec.described(DATA, codec.binary_of(b"")))
    if room < 0:
        raise MalformedError("an event that is shorter than its coordinates")
    content = body if len(body) <= room else b""
    return head + codec.described(DATA, codec.binary_of(content.ljust(room)))


def _partition_key(annotations: list[bytes] | tuple[bytes, ...]) -> bytes | None:
    """The partition key as it was encoded."""
    return dict(zip(annotations[::2], annotations[1::2], strict=True)).get(_PARTITION_KEY)


def _sections(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Code and encoded value of each section of a message."""
    at = 0
    while at < len(message):
        code, start = codec.descriptor(message, at)
        if not HEADER <= code <= FOOTER:
            raise MalformedError(f"0x{code:02x} is not a section of a message")
        at = codec.skip(message, start)
        yield code, message[start:at]


# --- requests and replies


@dataclass(frozen=True, slots=True)
class Request:
    """A message to ``$cbs`` or ``$management``."""

    message_id: bytes
    properties: Mapping[object, object]

    def text(self, name: str) -> str:
        """An application property as text; empty when it is missing."""
        value = self.properties.get(name)
        return value if isinstance(value, str) else ""


def parse_request(payload: bytes) -> Request:
    """Parse a request. Raises :class:`MalformedError`."""
    message_id = NULL
    properties: object = {}
    for code, value in _sections(payload):
        if code == PROPERTIES:
            message_id = next(iter(codec.elements(value)[0]), NULL)
        elif code == APPLICATION_PROPERTIES:
            properties = codec.decode(value)[0]
    return Request(message_id, properties if isinstance(properties, dict) else {})


def reply(request: Request, status: int, description: str, result: Mapping[str, bytes] | None = None) -> bytes:
    """The answer to a request; ``result`` maps names to encoded values."""
    outcome = [codec.string("status-code"), codec.int32(status)]
    # the second name is the one that the client reads
    for name in ("status-description", "statusDescription"):
        outcome += [codec.string(name), codec.string(description)]
    body = [part for name, value in (result or {}).items() for part in (codec.string(name), value)]
    return (
        codec.described(PROPERTIES, codec.list_of(*[NULL] * 5, request.message_id))
        + codec.described(APPLICATION_PROPERTIES, codec.map_of(*outcome))
        + codec.described(AMQP_VALUE, codec.map_of(*body))
    )
