"""Links for events: producers of a hub or partition, and consumers of a partition with their groups and owner levels.

Not here: the choice of a link by its address (``routing``), storage (``hub``, ``log``).
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from patient_flow.local_hub import messages, protocol
from patient_flow.local_hub.codec import MalformedError
from patient_flow.local_hub.errors import HubError
from patient_flow.local_hub.hub import Hub, Namespace, Partition
from patient_flow.local_hub.links import Inbound, Link, Session
from patient_flow.local_hub.log import Cursor
from patient_flow.local_hub.protocol import AmqpError, Attach, Performative, Position
from patient_flow.local_hub.segments import Coordinate

# Receivers without an owner level per partition and consumer group, as in Azure.
MAX_RECEIVERS = 5
DEFAULT_GROUP = "$Default"

_EVENTS_PER_WRITE = 256

_logger = logging.getLogger(__name__)


@dataclass
class Broker:
    """State shared by all connections."""

    namespace: Namespace
    consumer_groups: frozenset[str] = frozenset()
    """Names in lower case, besides ``$Default``."""
    owners: dict[tuple[Partition, str], list[Consumer]] = field(default_factory=lambda: defaultdict(list))
    round_robin: count[int] = field(default_factory=count)
    idle_seconds: float = 240.0
    """How long a connection may be silent, as in Azure."""
    credit_delay: float = 0.0
    """Seconds by which a consumer's credit is delayed: simulates the latency of a distant hub in tests."""

    def check_group(self, hub: Hub, name: str) -> None:
        """Raises :class:`AmqpError` for a consumer group that does not exist."""
        if name.lower() not in {DEFAULT_GROUP.lower(), *self.consumer_groups}:
            raise protocol.entity_not_found(f"{hub.name}|{name}")


class Producer(Inbound):
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

        Raises :class:`AmqpError` when a receiver with a higher epoch, or the maximum number of receivers, is attached.
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
        if len(self._owners) >= MAX_RECEIVERS:
            raise AmqpError(
                protocol.RESOURCE_LIMIT,
                "Exceeded the maximum number of allowed receivers per partition in a consumer group which is "
                f"{MAX_RECEIVERS}.",
            )
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
