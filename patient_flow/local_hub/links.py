"""Base classes of links, and the interface of the session that they belong to.

Not here: links for events (``event_links``) and requests (``management``), frames and sessions (``connection``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from patient_flow.local_hub import protocol
from patient_flow.local_hub.protocol import AmqpError, Performative
from patient_flow.wording import plural

_CREDIT = 1000


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

    def count_unfinished(self, size: int) -> None:
        """Add ``size`` bytes of deliveries that are not complete (negative: complete or discarded).

        Raises :class:`AmqpError` when there are too many on the connection.
        """

    def fail(self, handle: int, error: AmqpError) -> None:
        """Detach the link with an error."""

    def replier(self, node: str) -> Replies | None:
        """The link that sends the replies of a request/response node to the client."""


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


class Inbound(Link, ABC):
    """A link on which the hub receives: grants credit and assembles multi-frame deliveries."""

    def __init__(self, session: Session, handle: int) -> None:
        super().__init__(session, handle)
        self._deliveries = 0
        self._payload = bytearray()
        self._size = 0
        self._unfinished = 0
        self._first: Performative | None = None

    def start(self) -> None:
        """Grant the initial credit."""
        self.session.grant(self.handle, self._deliveries, _CREDIT)

    def on_transfer(self, transfer: Performative) -> None:
        """Assemble the transfers of a delivery."""
        if self._first is None:
            self._first = transfer
        self._size += len(transfer.payload)
        aborted = transfer.flag(9)
        is_last = not transfer.flag(5) or aborted
        if self._size <= protocol.MAX_MESSAGE_SIZE:
            if not is_last:
                self.session.count_unfinished(len(transfer.payload))
                self._unfinished += len(transfer.payload)
            self._payload += transfer.payload
        if not is_last:
            return
        first, payload, size = self._first, bytes(self._payload), self._size
        self._first, self._payload, self._size = None, bytearray(), 0
        self._discard_unfinished()
        self._deliveries += 1
        if self._deliveries % (_CREDIT // 2) == 0:
            self.session.grant(self.handle, self._deliveries, _CREDIT)
        if aborted:
            return
        is_settled = first.flag(4) or transfer.flag(4)
        if size <= protocol.MAX_MESSAGE_SIZE:
            self.on_delivery(first, is_settled, payload)
        else:
            self._refuse(first, size, settled=is_settled)

    def close(self) -> None:
        """Discard an incomplete delivery."""
        self._payload = bytearray()
        self._discard_unfinished()

    def _discard_unfinished(self) -> None:
        self.session.count_unfinished(-self._unfinished)
        self._unfinished = 0

    def _refuse(self, first: Performative, size: int, *, settled: bool) -> None:
        """Reject a delivery that is too large; a settled one has no outcome, so the link is detached."""
        limit = protocol.MAX_MESSAGE_SIZE
        text = f"The message has {plural(size, 'byte')}; the limit is {plural(limit, 'byte')}."
        error = AmqpError(protocol.MESSAGE_TOO_LARGE, text)
        if settled:
            raise error
        self.session.send(protocol.rejected(first.number(1), error))

    @abstractmethod
    def on_delivery(self, first: Performative, settled: bool, payload: bytes) -> None:
        """A complete delivery has arrived; ``first`` is its first transfer."""


class Replies(Link):
    """Sends the replies of a request/response node to the client."""

    def __init__(self, session: Session, handle: int, node: str) -> None:
        super().__init__(session, handle)
        self.node = node

    def reply(self, message: bytes) -> None:
        """Send a reply, without waiting for credit."""
        self.session.send_transfers(self.session.transfers(self.handle, message) or [])
