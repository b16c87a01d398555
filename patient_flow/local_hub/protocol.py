"""The Event Hubs dialect of AMQP 1.0: frames, performatives and error conditions. Pure functions.

The ``azure-eventhub`` client reads performatives by position, so every field of every performative is sent, trailing
nulls included, although AMQP allows leaving them out.

Not here: messages (``messages``), connections and their state (``connection``), addresses (``links``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from patient_flow.errors import DataError
from patient_flow.local_hub import codec
from patient_flow.local_hub.codec import NULL, MalformedError

SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
MAX_FRAME_SIZE = 1 << 20
MAX_MESSAGE_SIZE = 1 << 20
WINDOW = 1 << 30

AMQP_FRAME, SASL_FRAME = 0, 1
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44
OPEN, BEGIN, ATTACH, FLOW, TRANSFER = 0x10, 0x11, 0x12, 0x13, 0x14
DISPOSITION, DETACH, END, CLOSE = 0x15, 0x16, 0x17, 0x18
_ERROR, _ACCEPTED, _REJECTED, _SOURCE, _TARGET = 0x1D, 0x24, 0x25, 0x28, 0x29

INTERNAL_ERROR = "amqp:internal-error"
NOT_FOUND = "amqp:not-found"
DECODE_ERROR = "amqp:decode-error"
ILLEGAL_STATE = "amqp:illegal-state"
NOT_ALLOWED = "amqp:not-allowed"
RESOURCE_LIMIT = "amqp:resource-limit-exceeded"
FRAMING_ERROR = "amqp:connection:framing-error"
CONNECTION_FORCED = "amqp:connection:forced"
UNATTACHED_HANDLE = "amqp:session:unattached-handle"
HANDLE_IN_USE = "amqp:session:handle-in-use"
LINK_STOLEN = "amqp:link:stolen"
MESSAGE_TOO_LARGE = "amqp:link:message-size-exceeded"
ARGUMENT_ERROR = "com.microsoft:argument-error"
ARGUMENT_OUT_OF_RANGE = "com.microsoft:argument-out-of-range"

_SELECTOR = "apache.org:selector-filter:string"
_EPOCH = "com.microsoft:epoch"


class AmqpError(DataError):
    """An error for the client: the reason for which a link, a session or a connection ends."""

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(description)
        self.condition = condition
        self.description = description

    def encoded(self) -> bytes:
        """The encoded AMQP error, with all three elements: the client requires them in a close."""
        return codec.described(
            _ERROR, codec.list_of(codec.symbol(self.condition), codec.string(self.description), codec.map_of())
        )


def entity_not_found(name: str) -> AmqpError:
    """The error for a hub or consumer group that does not exist; the .NET client recognises it by this wording."""
    return AmqpError(NOT_FOUND, f"The messaging entity '{name}' could not be found.")


def partition_not_found(hub: str, partition_id: str, count: int) -> AmqpError:
    """The error for a partition that does not exist in a hub with ``count`` partitions."""
    return AmqpError(
        ARGUMENT_OUT_OF_RANGE, f"The hub '{hub}' has no partition '{partition_id}': it has 0 to {count - 1}."
    )


# --- frames and performatives


class Performative(NamedTuple):
    """A received performative: its code, its encoded fields, and the payload that follows it in the frame."""

    code: int
    fields: list[bytes]
    payload: bytes

    def get(self, index: int) -> object:
        """The decoded field, None when it is null or left out."""
        return codec.decode(self.fields[index])[0] if index < len(self.fields) else None

    def raw(self, index: int) -> bytes:
        """The encoded field."""
        return self.fields[index] if index < len(self.fields) else NULL

    def number(self, index: int, default: int | None = None) -> int:
        """The field as a uint. Raises :class:`MalformedError` for another type or a missing required field."""
        value = self.get(index)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or not 0 <= value < 1 << 32:
            raise MalformedError(f"field {index} of performative 0x{self.code:02x} is not a number")
        return value

    def flag(self, index: int) -> bool:
        """The field as a boolean; a missing one is false."""
        return self.get(index) is True


def parse_performative(body: bytes) -> Performative:
    """Parse the body of a frame. Raises :class:`MalformedError`."""
    code, at = codec.descriptor(body, 0)
    fields, end = codec.elements(body, at)
    return Performative(code, fields, body[end:])


def frame(channel: int, body: bytes, kind: int = AMQP_FRAME) -> bytes:
    """Encode a frame with a performative and its payload."""
    return struct.pack(">IBBH", len(body) + 8, 2, kind, channel) + body


def _performative(code: int, *fields: bytes) -> bytes:
    return codec.described(code, codec.list_of(*fields))


def sasl_mechanisms() -> bytes:
    """SASL mechanisms: anonymous access, because the hub listens on the loopback address only.

    MSSBCBS announces that tokens are sent to ``$cbs``; the .NET client accepts no other mechanism.
    """
    return _performative(SASL_MECHANISMS, codec.array_of_symbols("MSSBCBS", "ANONYMOUS"))


def sasl_outcome() -> bytes:
    """SASL outcome: authenticated."""
    return _performative(SASL_OUTCOME, codec.ubyte(0), NULL)


def open_connection(idle_seconds: float) -> bytes:
    """Open; clients send at least an empty frame within each ``idle_seconds``."""
    limits = [codec.uint(MAX_FRAME_SIZE), codec.ushort(1000), codec.uint(round(idle_seconds * 1000))]
    return _performative(OPEN, codec.string("patient-flow-hub"), NULL, *limits, *[NULL] * 5)


def begin(channel: int) -> bytes:
    """Begin, in reply to the client's on ``channel``."""
    limits = [codec.uint(0), codec.uint(WINDOW), codec.uint(WINDOW), codec.uint(255)]
    return _performative(BEGIN, codec.ushort(channel), *limits, *[NULL] * 3)


def flow(next_incoming: int, next_outgoing: int, link: tuple[int, int, int] | None = None) -> bytes:
    """Flow: state of the session and, as (handle, delivery-count, credit), of a link on which the hub receives."""
    session = [codec.uint(next_incoming), codec.uint(WINDOW), codec.uint(next_outgoing), codec.uint(WINDOW)]
    of_link = [codec.uint(number) for number in link] if link else [NULL] * 3
    return _performative(FLOW, *session, *of_link, *[NULL] * 4)


def accepted(delivery: int) -> bytes:
    """Disposition of a delivery that is stored on disk."""
    return _disposition(delivery, codec.described(_ACCEPTED, codec.list_of()))


def rejected(delivery: int, error: AmqpError) -> bytes:
    """Disposition of a delivery that was not stored."""
    return _disposition(delivery, codec.described(_REJECTED, codec.list_of(error.encoded())))


def _disposition(delivery: int, state: bytes) -> bytes:
    ids = [codec.uint(delivery), codec.uint(delivery)]
    return _performative(DISPOSITION, codec.TRUE, *ids, codec.TRUE, state, NULL)


def detach(handle: int, error: AmqpError | None = None) -> bytes:
    """Detach and close a link."""
    return _performative(DETACH, codec.uint(handle), codec.TRUE, error.encoded() if error else NULL)


def end(error: AmqpError | None = None) -> bytes:
    """End a session."""
    return _performative(END, error.encoded() if error else NULL)


def close(error: AmqpError | None = None) -> bytes:
    """Close a connection."""
    return _performative(CLOSE, error.encoded() if error else NULL)


# A transfer of fixed size, encoded once per event: handle, delivery-id, tag, message-format 0, settled,
# more, and five nulls.
_TRANSFER = struct.Struct(">6s BI BI 2sI B B B 5s")
_TRANSFER_FRAME = struct.Struct(">IBBH")
TRANSFER_OVERHEAD = _TRANSFER_FRAME.size + _TRANSFER.size
_TRANSFER_START = b"\x00\x53\x14\xc0" + bytes([_TRANSFER.size - 5, 11])


def transfer(channel: int, handle: int, delivery: int, payload: bytes, *, more: bool = False) -> bytes:
    """The frame of a settled transfer (the client never settles what it receives)."""
    return (
        _TRANSFER_FRAME.pack(TRANSFER_OVERHEAD + len(payload), 2, AMQP_FRAME, channel)
        + _TRANSFER.pack(
            _TRANSFER_START,
            *(0x70, handle, 0x70, delivery),
            *(b"\xa0\x04", delivery),
            *(0x43, 0x41, 0x41 if more else 0x42),
            NULL * 5,
        )
        + payload
    )


# --- attach


class Position(NamedTuple):
    """Starting position of a consumer: ``by`` is ``sequence``, ``offset`` or ``time``; -1 and @latest are offsets."""

    by: str
    value: str
    inclusive: bool


@dataclass(frozen=True, slots=True)
class Attach:
    """A client's request for a link."""

    fields: Performative
    handle: int
    client_receives: bool

    @classmethod
    def parse(cls, fields: Performative) -> Attach:
        """Raises :class:`MalformedError`."""
        return cls(fields, fields.number(1), fields.flag(2))

    @property
    def address(self) -> list[str]:
        """Path of the node, without scheme and host. Raises :class:`MalformedError` when there is none."""
        terminus = self._terminus()
        address = codec.decode(terminus[0])[0] if terminus else None
        if not isinstance(address, str):
            raise MalformedError("an attach without an address")
        path = address.partition("://")[2].partition("/")[2] if "://" in address else address
        return path.strip("/").split("/")

    @property
    def epoch(self) -> int | None:
        """Owner level of a consumer."""
        properties = self.fields.get(13)
        epoch = properties.get(_EPOCH) if isinstance(properties, dict) else None
        return epoch if isinstance(epoch, int) else None

    @property
    def position(self) -> Position:
        """Starting position; the oldest event when the client names none. Raises :class:`AmqpError`."""
        terminus = self._terminus()
        filters = codec.decode(terminus[7])[0] if len(terminus) > 7 else None
        selector = filters.get(_SELECTOR) if isinstance(filters, dict) else None
        if isinstance(selector, codec.Described):
            selector = selector.value
        return Position("offset", "-1", inclusive=False) if selector is None else _parse_selector(selector)

    def reply(self) -> bytes:
        """The hub's side of the link: source, target and settle modes as requested, roles swapped."""
        return self._reply(self.fields.raw(5), self.fields.raw(6))

    def refusal(self) -> bytes:
        """The attach before the detach of a refused link: the hub's own terminus is null."""
        if self.client_receives:
            return self._reply(NULL, self.fields.raw(6))
        return self._reply(self.fields.raw(5), NULL)

    def _reply(self, source: bytes, target: bytes) -> bytes:
        name, handle, *settle_modes = (self.fields.raw(index) for index in (0, 1, 3, 4))
        role = codec.boolean(not self.client_receives)
        # the client closes a receiving link whose initial delivery-count is not a number
        initial_count = codec.uint(0) if self.client_receives else NULL
        size = codec.ulong(MAX_MESSAGE_SIZE)
        return _performative(
            ATTACH, name, handle, role, *settle_modes, source, target, NULL, NULL, initial_count, size, *[NULL] * 3
        )

    def _terminus(self) -> list[bytes]:
        """Fields of the source, when the client receives, or of the target."""
        raw = self.fields.raw(5 if self.client_receives else 6)
        if raw == NULL:
            return []
        code, at = codec.descriptor(raw, 0)
        if code != (_SOURCE if self.client_receives else _TARGET):
            raise MalformedError("an attach with an invalid source or target")
        return codec.elements(raw, at)[0]


_SELECTED = {"x-opt-offset": "offset", "x-opt-sequence-number": "sequence", "x-opt-enqueued-time": "time"}


def _parse_selector(selector: object) -> Position:
    match str(selector).split():
        case [name, ">" | ">=" as operator, value] if name.removeprefix("amqp.annotation.") in _SELECTED:
            by = _SELECTED[name.removeprefix("amqp.annotation.")]
            return Position(by, value.strip("'"), operator == ">=")
    raise AmqpError(ARGUMENT_ERROR, f"The filter {selector!s} is not supported.")
