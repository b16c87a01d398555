"""Links: senders to a hub, receivers from a partition, and the request/response nodes.

A link is made by :func:`open_link` from the address in the client's attach; its session passes it transfers and flows,
and sends its frames.

Not here: frames on sockets and the state of sessions (``connection``), storage (``hub``, ``log``).
"""

from __future__ import annotations

import asyncio
import errno
import logging
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Protocol

from patient_flow.local_hub import codec, messages, protocol
from patient_flow.local_hub.codec import MalformedError
from patient_flow.local_hub.errors import HubError
from patient_flow.local_hub.hub import Hub, Namespace, Partition
from patient_flow.local_hub.log import Cursor
from patient_flow.local_hub.messages import Request
from patient_flow.local_hub.protocol import AmqpError, Attach, Performative, Position
from patient_flow.local_hub.segments import Coordinate

_CREDIT = 1000
_EVENTS_PER_WRITE = 256
_REQUEST_NODES = ("$cbs", "$management")

_logger = logging.getLogger(__name__)


class Session(Protocol):
    """The interface of a session for its links."""

    def send(self, body: bytes) -> None:
        """Send a performative."""

    def grant(self, handle: int, delivery_count: int, credit: int) -> None:
        """Grant the client ``credit`` deliveries beyond ``delivery_count``."""

    def transfers(self, handle: int, payload: bytes) -> list[bytes] | None:
        """Frames of a delivery, None while they exceed the window of the session."""

    def send_transfers(self, frames: list[bytes]) -> None:
        """Send frames that :meth:`transfers` made."""

    def can_write(self) -> bool:
        """False while the write buffer is full; the session calls :meth:`Link.resume` when it has room."""

    def count_unstored(self, size: int) -> None:
        """Add ``size`` received bytes that are not stored yet (negative: stored)."""

    def fail(self, handle: int, error: AmqpError) -> None:
        """Detach the link with an error."""

    def replier(self, node: str) -> Replies | None:
        """The link that sends the replies of a request/response node to the client."""


@dataclass
class Broker:
    """State shared by all connections."""

    namespace: Namespace
    owners: dict[tuple[Partition, str], list[Consumer]] = field(default_factory=lambda: defaultdict(list))
    round_robin: count[int] = field(default_factory=count)
    credit_delay: float = 0.0
    """Seconds by which a consumer's credit is delayed: simulates the latency of a distant hub in tests."""


class Link:
    """Base class of all links."""

    def __init__(self, session: Session, handle: int) -> None:
        self.session = session
        self.handle = handle

    def start(self) -> None:
        """The attach has been sent to the client."""

    def on_transfer(self, transfer: Performative) -> None:
        """A transfer has arrived. Raises :class:`AmqpError` to detach the link."""
        raise AmqpError(protocol.NOT_ALLOWED, f"Handle {transfer.number(0)} does not receive.")

    def on_flow(self, flow: Performative) -> None:
        """The client reports its state of the link."""

    def resume(self) -> None:
        """There is room again in the write buffer or the session window."""

    def close(self) -> None:
        """The link is detached."""


class _Inbound(Link, ABC):
    """A link on which the hub receives: grants credit and assembles multi-frame deliveries."""

    def __init__(self, session: Session, handle: int) -> None:
        super().__init__(session, handle)
        self._deliveries = 0
        self._payload = bytearray()
        self._first: Performative | None = None

    def start(self) -> None:
        """Grant the initial credit."""
        self.session.grant(self.handle, self._deliveries, _CREDIT)

    def on_transfer(self, transfer: Performative) -> None:
        """Assemble the transfers of a delivery."""
        if self._first is None:
            self._first = transfer
        self._payload += transfer.payload
        if len(self._payload) > protocol.MAX_MESSAGE_SIZE:
            raise AmqpError(protocol.MESSAGE_TOO_LARGE, f"A message is larger than {protocol.MAX_MESSAGE_SIZE} bytes.")
        aborted = transfer.flag(9)
        if transfer.flag(5) and not aborted:
            return
        first, payload = self._first, bytes(self._payload)
        self._first, self._payload = None, bytearray()
        self._deliveries += 1
        if self._deliveries % (_CREDIT // 2) == 0:
            self.session.grant(self.handle, self._deliveries, _CREDIT)
        if not aborted:
            self.on_delivery(first, transfer.flag(4), payload)

    @abstractmethod
    def on_delivery(self, first: Performative, settled: bool, payload: bytes) -> None:
        """A complete delivery has arrived; ``first`` is its first transfer."""


class Producer(_Inbound):
    """A link on which a client sends events to a hub, or to one of its partitions."""

    def __init__(self, session: Session, handle: int, choose: Callable[[bytes | None], Partition]) -> None:
        super().__init__(session, handle)
        self._choose = choose

    def on_delivery(self, first: Performative, settled: bool, payload: bytes) -> None:
        """Store the events; the delivery is accepted once they are on disk."""
        number = first.number(1)
        try:
            delivery = messages.parse_delivery(payload, first.number(3, default=0))
        except MalformedError as error:
            self.session.send(protocol.rejected(number, AmqpError(protocol.DECODE_ERROR, str(error))))
            return
        stored = self._choose(delivery.key).publish(delivery.events)
        self.session.count_unstored(len(payload))
        stored.add_done_callback(partial(self._on_stored, number, settled, len(payload)))

    def _on_stored(self, delivery: int, settled: bool, size: int, stored: asyncio.Future[None]) -> None:
        self.session.count_unstored(-size)
        failure = stored.exception()
        if failure is not None:
            _logger.error("delivery rejected: %s", failure)
        if settled:
            return
        self.session.send(
            protocol.accepted(delivery) if failure is None else protocol.rejected(delivery, _storage_error(failure))
        )


def _storage_error(failure: BaseException) -> AmqpError:
    full = isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    condition = protocol.RESOURCE_LIMIT if full else protocol.INTERNAL_ERROR
    return AmqpError(condition, f"The hub could not store the event: {failure}")


class Consumer(Link):
    """A link on which a client receives a partition's events from a position on, within credit and window."""

    def __init__(self, session: Session, handle: int, broker: Broker, partition: Partition, attach: Attach) -> None:
        super().__init__(session, handle)
        self.epoch = attach.epoch
        self._broker = broker
        self._partition = partition
        self._cursor = Cursor(partition.log, _first_sequence(partition, attach.position))
        self._owners = broker.owners[partition, attach.address[2].lower()]
        self._ready: deque[bytes] = deque()
        self._credit_until = 0
        self._sent = 0

    def start(self) -> None:
        """Subscribe to new events."""
        self._partition.readers.add(self.resume)

    def claim(self) -> None:
        """Become a receiver of the consumer group; a higher or equal epoch detaches the present receivers.

        Raises :class:`AmqpError` when a receiver with a higher epoch is attached.
        """
        current = max((owner.epoch for owner in self._owners if owner.epoch is not None), default=None)
        if current is not None and (self.epoch is None or self.epoch < current):
            raise AmqpError(
                protocol.LINK_STOLEN, f"Receiver with epoch {self.epoch} is refused: one with epoch {current} exists."
            )
        if self.epoch is not None:
            for owner in tuple(self._owners):
                stolen = f"A receiver with the higher or equal epoch {self.epoch} has taken over."
                owner.session.fail(owner.handle, AmqpError(protocol.LINK_STOLEN, stolen))
        self._owners.append(self)

    def on_flow(self, flow: Performative) -> None:
        """Apply the credit that the client grants."""
        credit_until = flow.number(5, default=0) + flow.number(6, default=0)
        if self._broker.credit_delay:
            asyncio.get_running_loop().call_later(self._broker.credit_delay, self._grant, credit_until)
        else:
            self._grant(credit_until)

    def _grant(self, credit_until: int) -> None:
        self._credit_until = credit_until
        self.resume()

    def resume(self) -> None:
        """Send as many events as credit, window and write buffer allow."""
        try:
            while self._sent < self._credit_until and self.session.can_write():
                frames = self._next_frames()
                if not frames:
                    return
                self.session.send_transfers(frames)
        except (HubError, OSError) as error:
            _logger.exception("a partition cannot be read")
            self.session.fail(self.handle, AmqpError(protocol.INTERNAL_ERROR, str(error)))

    def _next_frames(self) -> list[bytes]:
        frames: list[bytes] = []
        until = min(self._credit_until, self._sent + _EVENTS_PER_WRITE)
        while self._sent < until:
            if not self._ready:
                self._ready.extend(self._cursor.read())
            transfers = self.session.transfers(self.handle, self._ready[0]) if self._ready else None
            if transfers is None:
                break
            frames += transfers
            self._ready.popleft()
            self._sent += 1
        return frames

    def close(self) -> None:
        """Stop sending and leave the consumer group."""
        self._credit_until = 0
        self._partition.readers.discard(self.resume)
        if self in self._owners:
            self._owners.remove(self)


def _first_sequence(partition: Partition, position: Position) -> int:
    """Sequence number of a consumer's first event. Raises :class:`AmqpError` for an invalid position."""
    log = partition.log
    if position.value == "@latest":
        return log.next_sequence
    if position.value == "-1":
        return log.begin_sequence
    if not position.value.removeprefix("-").isdecimal():
        raise AmqpError(protocol.ARGUMENT_ERROR, f"The supplied position '{position.value}' is invalid.")
    value = int(position.value)
    if position.by == "time":
        return log.seek("time", value - position.inclusive)
    by: Coordinate = "sequence" if position.by == "sequence" else "offset"
    name, newest = ("sequence number", log.last.sequence) if by == "sequence" else ("offset", log.last.offset)
    # an exclusive position on the newest event denotes the next event
    if value - position.inclusive > newest:
        raise AmqpError(
            protocol.ARGUMENT_ERROR,
            f"The supplied {name} '{value}' is invalid. The last {name} in the system is '{newest}'.",
        )
    return log.seek(by, value - position.inclusive)


class Replies(Link):
    """Sends the replies of a request/response node to the client."""

    def __init__(self, session: Session, handle: int, node: str) -> None:
        super().__init__(session, handle)
        self.node = node

    def reply(self, message: bytes) -> None:
        """Send a reply, without waiting for credit."""
        self.session.send_transfers(self.session.transfers(self.handle, message) or [])


class Requests(_Inbound):
    """Receives the requests to a request/response node: tokens (all are accepted) and properties."""

    def __init__(self, session: Session, handle: int, node: str, namespace: Namespace) -> None:
        super().__init__(session, handle)
        self._node = node
        self._namespace = namespace

    def on_delivery(self, first: Performative, settled: bool, payload: bytes) -> None:
        """Answer a request."""
        request = messages.parse_request(payload)
        if not settled:
            self.session.send(protocol.accepted(first.number(1)))
        replier = self.session.replier(self._node)
        if replier is None:
            raise AmqpError(protocol.NOT_ALLOWED, f"No link receives replies from {self._node}.")
        if self._node == "$cbs":
            replier.reply(messages.reply(request, 202, "Accepted"))
        else:
            replier.reply(_properties(self._namespace, request))


def _properties(namespace: Namespace, request: Request) -> bytes:
    hub = namespace.hub(request.text("name"))
    if hub is None:
        return messages.reply(request, 404, f"The hub '{request.text('name')}' could not be found.")
    if request.text("type") == "com.microsoft:eventhub":
        return messages.reply(request, 200, "OK", _hub_properties(hub))
    partition = hub.partition(request.text("partition"))
    if request.text("type") != "com.microsoft:partition" or partition is None:
        return messages.reply(request, 400, _no_partition(hub, request.text("partition")))
    return messages.reply(request, 200, "OK", _partition_properties(hub, partition))


def _hub_properties(hub: Hub) -> dict[str, bytes]:
    return {
        "name": codec.string(hub.name),
        "type": codec.string("com.microsoft:eventhub"),
        "created_at": codec.timestamp(hub.created_at),
        "partition_count": codec.int32(len(hub.partitions)),
        "partition_ids": codec.list_of(*(codec.string(partition.id) for partition in hub.partitions)),
    }


def _partition_properties(hub: Hub, partition: Partition) -> dict[str, bytes]:
    log = partition.log
    return {
        "name": codec.string(hub.name),
        "type": codec.string("com.microsoft:partition"),
        "partition": codec.string(partition.id),
        "begin_sequence_number": codec.long(log.begin_sequence),
        "last_enqueued_sequence_number": codec.long(log.last.sequence),
        "last_enqueued_offset": codec.string(str(log.last.offset)),
        "last_enqueued_time_utc": codec.timestamp(log.last.enqueued_at),
        "is_partition_empty": codec.boolean(log.is_empty),
    }


def open_link(broker: Broker, session: Session, attach: Attach) -> Link:
    """The link for an attach. Raises :class:`AmqpError` when there is nothing to attach to."""
    address = attach.address
    node = address[0].lower()
    if node in _REQUEST_NODES:
        if attach.client_receives:
            return Replies(session, attach.handle, node)
        return Requests(session, attach.handle, node, broker.namespace)
    hub = broker.namespace.hub(node)
    if hub is None:
        raise AmqpError(protocol.NOT_FOUND, f"The messaging entity '{address[0]}' could not be found.")
    path = [part.lower() if index % 2 else part for index, part in enumerate(address)]
    match path:
        case [_] if not attach.client_receives:
            return Producer(session, attach.handle, lambda key: hub.route(key, next(broker.round_robin)))
        case [_, "partitions", partition_id] if not attach.client_receives:
            partition = _partition(hub, partition_id)
            return Producer(session, attach.handle, lambda _key: partition)
        case [_, "consumergroups", _, "partitions", partition_id] if attach.client_receives:
            consumer = Consumer(session, attach.handle, broker, _partition(hub, partition_id), attach)
            consumer.claim()
            return consumer
    raise AmqpError(protocol.NOT_FOUND, f"There is no node at '{'/'.join(address)}'.")


def _partition(hub: Hub, partition_id: str) -> Partition:
    partition = hub.partition(partition_id)
    if partition is None:
        raise AmqpError(protocol.ARGUMENT_OUT_OF_RANGE, _no_partition(hub, partition_id))
    return partition


def _no_partition(hub: Hub, partition_id: str) -> str:
    return f"The hub '{hub.name}' has no partition '{partition_id}': it has 0 to {len(hub.partitions) - 1}."
