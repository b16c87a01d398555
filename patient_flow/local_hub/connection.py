"""AMQP connections and their sessions: dispatch of received frames to links, and sending of frames.

An error of a client ends the link, session or connection it belongs to with an AMQP error, and never affects another
connection.

Not here: links (``links``), the encoding of frames (``protocol``).
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from patient_flow.local_hub import protocol
from patient_flow.local_hub.codec import MalformedError
from patient_flow.local_hub.event_links import Broker
from patient_flow.local_hub.links import Link, Replies
from patient_flow.local_hub.protocol import AmqpError, Attach, Performative
from patient_flow.local_hub.routing import open_link
from patient_flow.wording import plural

_WRITE_BUFFER = 1 << 20
_UNSTORED_BYTES = 8 << 20
_UNFINISHED_BYTES = 8 << 20
_HANDSHAKE_SECONDS = 30.0
_CLOSE_SECONDS = 5.0
_FRAME_HEADER = 8
_HEARTBEAT = protocol.frame(0, b"")

_logger = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, broker: Broker, connections: set[Connection]) -> None:
        """``connections`` contains this connection while it is open."""
        self.broker = broker
        self.can_write = True
        self.max_frame_size = protocol.MAX_FRAME_SIZE
        self._connections = connections
        self._received = bytearray()
        self._sessions: dict[int, Session] = {}
        self._unstored = 0
        self._unfinished = 0
        self._is_opened = False
        self._is_closing = False
        self._reading_stopped = False
        self._expects_header = True

    # --- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._connections.add(self)
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._idle_timer = self._loop.call_later(self._idle_seconds, self._end_when_idle)
        self._heartbeat_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, _exc: Exception | None) -> None:
        """The connection is closed or lost."""
        self._is_closing = self._reading_stopped = True
        self._idle_timer.cancel()
        if self._heartbeat_timer is not None:
            self._heartbeat_timer.cancel()
        self._connections.discard(self)
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes; any error ends this connection only."""
        self._received += data
        self._heard_at = self._loop.time()
        try:
            self._consume()
        except MalformedError as error:
            self.close(AmqpError(protocol.FRAMING_ERROR, str(error)))
        except AmqpError as error:
            self.close(error)
        except Exception as error:
            _logger.exception("closing a connection")
            self.close(AmqpError(protocol.INTERNAL_ERROR, repr(error)))

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self.can_write = False

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        self.can_write = True
        for session in self._sessions.values():
            session.resume()

    # --- called by sessions and the server

    def write(self, data: bytes) -> None:
        """Send bytes, unless the connection is closing."""
        if not self._is_closing:
            self._transport.write(data)

    def count_unstored(self, size: int) -> None:
        """Add received bytes that are not stored yet (negative: stored); pauses reading above the limit."""
        was_paused = self._unstored > _UNSTORED_BYTES
        self._unstored += size
        if self._unstored > _UNSTORED_BYTES and not was_paused:
            self._transport.pause_reading()
        elif self._unstored <= _UNSTORED_BYTES and was_paused and not self._reading_stopped:
            self._transport.resume_reading()

    def count_unfinished(self, size: int) -> None:
        """Add bytes of incomplete deliveries. Raises :class:`AmqpError` above the limit."""
        if size > 0 and self._unfinished + size > _UNFINISHED_BYTES:
            raise AmqpError(
                protocol.RESOURCE_LIMIT, f"Incomplete deliveries exceed {_UNFINISHED_BYTES} bytes on this connection."
            )
        self._unfinished += size

    def stop_reading(self) -> None:
        """Stop reading; replies to received frames are still sent."""
        self._reading_stopped = True
        self._transport.pause_reading()

    def close(self, error: AmqpError | None = None) -> None:
        """Send a close frame after everything that is buffered, and close."""
        if self._is_opened:
            self.write(protocol.frame(0, protocol.close(error)))
        elif error is not None:
            # before protocol negotiation the only valid reply is the supported header
            self.write(protocol.SASL_HEADER)
        self._is_closing = self._reading_stopped = True
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        self._transport.abort()

    # --- silence

    @property
    def _idle_seconds(self) -> float:
        """Seconds for which a client may send nothing."""
        idle = self.broker.idle_seconds
        return idle if self._is_opened else min(idle, _HANDSHAKE_SECONDS)

    def _end_when_idle(self) -> None:
        rest = self._heard_at + self._idle_seconds - self._loop.time()
        if rest > 0 or self._unstored:  # while its events are being stored, nothing may be read from a client
            self._idle_timer = self._loop.call_later(max(rest, 1.0), self._end_when_idle)
            return
        self.close(
            AmqpError(
                protocol.CONNECTION_FORCED, f"The client sent nothing for {plural(self._idle_seconds, 'second')}."
            )
        )
        self._idle_timer = self._loop.call_later(_CLOSE_SECONDS, self.abort)  # the client may not read either

    def _send_heartbeats(self, seconds: float) -> None:
        self.write(_HEARTBEAT)
        self._heartbeat_timer = self._loop.call_later(seconds, self._send_heartbeats, seconds)

    # --- frames

    def _consume(self) -> None:
        """Handle all complete frames that have been received."""
        at = 0
        while not self._is_closing and len(self._received) - at >= _FRAME_HEADER:
            head = bytes(self._received[at : at + _FRAME_HEADER])
            if self._expects_header:
                self._on_header(head)
                at += _FRAME_HEADER
                continue
            size = int.from_bytes(head[:4], "big")
            body_start = head[4] * 4
            if not _FRAME_HEADER <= body_start <= size <= protocol.MAX_FRAME_SIZE:
                raise MalformedError("a frame with an invalid size")
            if len(self._received) - at < size:
                break
            body = bytes(self._received[at + body_start : at + size])
            at += size
            if body:  # an empty frame is a heartbeat
                self._on_frame(head[5], int.from_bytes(head[6:], "big"), protocol.parse_performative(body))
        del self._received[:at]

    def _on_header(self, header: bytes) -> None:
        if header == protocol.SASL_HEADER:
            self.write(header + protocol.frame(0, protocol.sasl_mechanisms(), protocol.SASL_FRAME))
        elif header == protocol.AMQP_HEADER:
            self.write(header)
        else:
            raise MalformedError("not AMQP 1.0 without TLS")
        self._expects_header = False

    def _on_frame(self, kind: int, channel: int, performative: Performative) -> None:
        if kind == protocol.SASL_FRAME:
            if performative.code == protocol.SASL_INIT and not self._is_opened:
                self.write(protocol.frame(0, protocol.sasl_outcome(), protocol.SASL_FRAME))
                self._expects_header = True
            return
        match performative.code:
            case protocol.OPEN:
                # at least the minimum of AMQP, at most the hub's own
                proposed = performative.number(2, default=protocol.MAX_FRAME_SIZE)
                self.max_frame_size = min(max(proposed, 512), protocol.MAX_FRAME_SIZE)
                self._is_opened = True
                self.write(protocol.frame(0, protocol.open_connection(self.broker.idle_seconds / 2)))
                if (client_idle := performative.number(4, default=0)) and self._heartbeat_timer is None:
                    self._send_heartbeats(max(client_idle / 2000, 0.1))
            case protocol.CLOSE:
                self.close()
            case _ if not self._is_opened:
                raise AmqpError(protocol.ILLEGAL_STATE, "The connection is not open.")
            case protocol.BEGIN:
                self._on_begin(channel, performative)
            case protocol.END:
                self._end(channel)
            case _ if channel in self._sessions:  # frames for an ended session may still arrive
                try:
                    self._sessions[channel].on_performative(performative)
                except AmqpError as error:
                    self._end(channel, error)

    def _on_begin(self, channel: int, performative: Performative) -> None:
        if channel in self._sessions:
            raise AmqpError(protocol.NOT_ALLOWED, f"Channel {channel} is in use.")
        self._sessions[channel] = Session(self, channel, performative)
        self.write(protocol.frame(channel, protocol.begin(channel)))

    def _end(self, channel: int, error: AmqpError | None = None) -> None:
        session = self._sessions.pop(channel, None)
        if session is not None:
            session.close()
            self.write(protocol.frame(channel, protocol.end(error)))


class Session:
    """One session of a connection: its links and its windows, which count transfer frames."""

    def __init__(self, connection: Connection, channel: int, begin: Performative) -> None:
        self._connection = connection
        self._channel = channel
        self._links: dict[int, Link] = {}
        self._next_incoming = begin.number(1)
        self._next_outgoing = 0
        self._window_end = begin.number(2)

    # --- called by the connection

    def on_performative(self, performative: Performative) -> None:
        """Handle a frame of this session. Raises :class:`AmqpError` to end the session."""
        match performative.code:
            case protocol.ATTACH:
                self._on_attach(performative)
            case protocol.FLOW:
                self._on_flow(performative)
            case protocol.TRANSFER:
                self._next_incoming += 1
                link = self._link(performative)
                try:
                    link.on_transfer(performative)
                except AmqpError as error:
                    self.fail(link.handle, error)
            case protocol.DETACH:
                self._on_detach(performative)

    def resume(self) -> None:
        """The write buffer has room again."""
        for link in tuple(self._links.values()):
            link.resume()

    def close(self) -> None:
        """Close the session and its links."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    # --- called by links, see ``links.Session``

    def send(self, body: bytes) -> None:
        """Send a performative."""
        self._connection.write(protocol.frame(self._channel, body))

    def grant(self, handle: int, delivery_count: int, credit: int) -> None:
        """Send the credit of a link on which the hub receives."""
        self.send(protocol.flow(self._next_incoming, self._next_outgoing, (handle, delivery_count, credit)))

    def transfers(self, handle: int, payload: bytes) -> list[bytes] | None:
        """Frames of a delivery, None while they exceed the client's incoming window."""
        room = self._connection.max_frame_size - protocol.TRANSFER_OVERHEAD
        starts = range(0, len(payload), room)
        if self._next_outgoing + len(starts) > self._window_end:
            return None
        delivery = self._next_outgoing
        self._next_outgoing += len(starts)
        return [
            protocol.transfer(
                self._channel, handle, delivery, payload[start : start + room], more=start + room < len(payload)
            )
            for start in starts
        ]

    def send_transfers(self, frames: list[bytes]) -> None:
        """Send frames that :meth:`transfers` made."""
        self._connection.write(b"".join(frames))

    def can_write(self) -> bool:
        """False while the write buffer is full."""
        return self._connection.can_write

    def count_unstored(self, size: int) -> None:
        """Add received bytes that are not stored yet."""
        self._connection.count_unstored(size)

    def count_unfinished(self, size: int) -> None:
        """Add bytes of incomplete deliveries. Raises :class:`AmqpError` above the limit."""
        self._connection.count_unfinished(size)

    def fail(self, handle: int, error: AmqpError) -> None:
        """Detach a link with an error."""
        link = self._links.pop(handle, None)
        if link is not None:
            link.close()
            self.send(protocol.detach(handle, error))

    def replier(self, node: str) -> Replies | None:
        """The link of this session that receives the replies of a node."""
        return next((link for link in self._links.values() if isinstance(link, Replies) and link.node == node), None)

    # --- performatives

    def _link(self, performative: Performative) -> Link:
        handle = performative.number(4 if performative.code == protocol.FLOW else 0)
        if handle not in self._links:
            raise AmqpError(protocol.UNATTACHED_HANDLE, f"No link is attached to handle {handle}.")
        return self._links[handle]

    def _on_attach(self, performative: Performative) -> None:
        attach = Attach.parse(performative)
        if attach.handle in self._links:
            raise AmqpError(protocol.HANDLE_IN_USE, f"Handle {attach.handle} is in use.")
        try:
            link = open_link(self._connection.broker, self, attach)
        except AmqpError as error:  # a refusal is an attach followed by a detach
            self.send(attach.refusal())
            self.send(protocol.detach(attach.handle, error))
            return
        self._links[attach.handle] = link
        self.send(attach.reply())
        link.start()

    def _on_flow(self, performative: Performative) -> None:
        # a client that has not received the begin yet does not know the next incoming id
        self._window_end = performative.number(0, default=0) + performative.number(1)
        if performative.get(4) is not None:
            self._link(performative).on_flow(performative)
        if performative.flag(9):
            self.send(protocol.flow(self._next_incoming, self._next_outgoing))
        self.resume()

    def _on_detach(self, performative: Performative) -> None:
        link = self._links.pop(performative.number(0), None)
        if link is not None:  # else it confirms a detach of the hub
            link.close()
            self.send(protocol.detach(link.handle))
