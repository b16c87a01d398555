"""Accepts connections, forwards each message to the Event Hub, and acknowledges what the hub has stored."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from azure.core.exceptions import AzureError
from azure.eventhub import EventData, EventHubProducerClient
from azure.eventhub.exceptions import EventHubError
from azure.identity import DefaultAzureCredential

from patient_flow.errors import OperatorError
from patient_flow.mllp import messages
from patient_flow.mllp.messages import Received, acknowledgement
from patient_flow.settings import Settings

SEND_SECONDS = 60.0
"""Time for the hub to store a message; then it is answered with AE, and the sender sends it again."""
IDLE_SECONDS = 3600.0
"""A connection on which nothing comes for so long is closed; a sender opens another one."""
MAX_CONNECTIONS = 100
_READ_BYTES = 65536


class MllpError(OperatorError):
    """The receiver cannot run; the message says what to do."""


class Hub(Protocol):
    """Where messages go."""

    async def send(self, body: bytes, key: str) -> None:
        """Returns once the hub has stored ``body``. Raises an error of the client otherwise."""


class EventHub:
    """The configured Event Hub. Messages with one ``key`` keep their order.

    The client blocks, so it works in a thread: its asynchronous twin needs another HTTP library for Entra ID.
    """

    def __init__(self, client: EventHubProducerClient) -> None:
        self._client = client
        self._lock = threading.Lock()

    async def send(self, body: bytes, key: str) -> None:
        """One message, one event: what is acknowledged is stored."""
        await asyncio.to_thread(self._send, body, key)

    def _send(self, body: bytes, key: str) -> None:
        with self._lock:
            batch = self._client.create_batch(partition_key=key)
            batch.add(EventData(body))
            self._client.send_batch(batch)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def event_hub(settings: Settings) -> EventHub:
    """The Event Hub of ``settings``. Raises :class:`MllpError` for an invalid connection string."""
    options: dict[str, Any] = {"eventhub_name": settings.eventhub_name, "retry_total": 1, **settings.hub_client_options}
    try:
        if settings.eventhub_connection:
            return EventHub(EventHubProducerClient.from_connection_string(settings.eventhub_connection, **options))
        credential = DefaultAzureCredential()
        return EventHub(EventHubProducerClient(settings.eventhub_namespace, credential=credential, **options))
    except ValueError as error:
        raise MllpError(f"PATIENT_FLOW_EVENTHUB_CONNECTION is invalid: {error}") from error


class Receiver:
    """Serves connections. One message of a connection is in work at a time, so that their order is kept."""

    def __init__(self, hub: Hub, address: str, report: Callable[[str], None]) -> None:
        self._hub = hub
        self._address = address
        self._report = report
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers every frame of one connection, until it ends."""
        self._open += 1
        try:
            if self._open > MAX_CONNECTIONS:
                self._report(f"a connection was refused: {MAX_CONNECTIONS} are open")
                return
            frames = messages.Frames()
            while data := await asyncio.wait_for(reader.read(_READ_BYTES), IDLE_SECONDS):
                for content in frames.feed(data):
                    writer.write(await self.answer(content))
                    await writer.drain()
        except ValueError as error:
            writer.write(acknowledgement(None, "AR", str(error), datetime.now(UTC)))
            with contextlib.suppress(OSError):
                await writer.drain()
        except (OSError, TimeoutError):
            pass  # the sender is gone, or silent; it sends again what was not acknowledged
        finally:
            self._open -= 1
            writer.close()

    async def answer(self, content: bytes) -> bytes:
        """Forwards the messages of a frame; AA once the hub has stored all, AE where it has not, AR for no HL7 v2.

        A batch of which some messages were stored is answered with AE: sent again, they are duplicates of themselves.
        """
        received = messages.read(content)
        if received is None:
            return acknowledgement(
                None, "AR", "no HL7 v2 message: it must begin with MSH, BHS or FHS", datetime.now(UTC)
            )
        try:
            async with asyncio.timeout(SEND_SECONDS):
                for body in received.messages:
                    await self._hub.send(body, _key(received))
        except (EventHubError, AzureError, OSError, TimeoutError, ValueError) as error:
            reason = str(error).partition("\n")[0] or "no answer in time"
            self._report(f"{self._address} did not store a message: {reason}")
            return acknowledgement(
                received.header, "AE", "the Event Hub did not store it: send it again", datetime.now(UTC)
            )
        return acknowledgement(received.header, "AA", "", datetime.now(UTC))


def _key(received: Received) -> str:
    """Messages of one sending application and facility go to one partition, in their order."""
    return b"|".join(received.header.sender).decode("latin-1")[:128] or "mllp"


async def run(settings: Settings, host: str, port: int, report: Callable[[str], None]) -> None:
    """Serves until the process is asked to end. Raises :class:`MllpError` where the port is not available."""
    hub = event_hub(settings)
    receiver = Receiver(hub, f"Event Hub {settings.eventhub_name} at {settings.hub_host}", report)
    try:
        try:
            server = await asyncio.start_server(receiver.serve, host, port)
        except OSError as error:
            raise MllpError(
                f"port {port} is not available on {host} ({error.strerror}): stop the program that uses it, or choose "
                "another with --port"
            ) from error
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        async with server:
            bound = server.sockets[0].getsockname()[1]
            report(f"ready: mllp://{host}:{bound} -> Event Hub {settings.eventhub_name} at {settings.hub_host}")
            await ended.wait()
    finally:
        hub.close()
