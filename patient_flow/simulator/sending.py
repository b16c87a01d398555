"""Delivery of a feed to an Event Hub or a file: no message before it is due, none lost or sent twice.

Not here: the content of messages (``feed``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import BufferedWriter
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from azure.core.exceptions import AzureError
from azure.eventhub import EventData, EventDataBatch, EventHubProducerClient
from azure.eventhub.exceptions import AuthenticationError, EventHubError
from azure.identity import DefaultAzureCredential

from patient_flow.errors import OperatorError

from ..settings import Settings
from .demand import SECOND
from .feed import Message

# Messages per call of a sink: enough for full batches of each partition key, and bounded memory.
CHUNK = 20_000
# A live feed groups the messages that become due within this time: each batch costs a round trip.
TICK = SECOND // 2
# Seconds for which sending is retried after a connection was lost, and the maximum pause between two attempts.
RETRY_TIMEOUT = 900.0
MAX_RETRY_PAUSE = 15.0

T = TypeVar("T")


class SimulatorError(OperatorError):
    """The simulation cannot continue; the message states on one line why and what to do."""


class Sink(Protocol):
    """A destination of messages."""

    def send(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Deliver the messages; yields them in groups, each once it is acknowledged."""

    def close(self) -> None:
        """Close connections and files."""


def pump(
    messages: Iterable[Message],
    sink: Sink,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    acknowledged: Callable[[Sequence[Message]], None],
) -> None:
    """Send each message once it is due by ``clock`` (seconds since 1970); overdue ones at once."""
    chunk: list[Message] = []
    horizon = 0

    def flush() -> None:
        for group in sink.send(chunk):
            acknowledged(group)
        chunk.clear()

    for message in messages:
        if message.due > horizon or len(chunk) >= CHUNK:
            flush()
            now = int(clock() * SECOND)
            if message.due > now:
                sleep(max(message.due - now, TICK) / SECOND)
                now = int(clock() * SECOND)
            # an early wake-up must not delay the message a second time
            horizon = max(now, message.due)
        chunk.append(message)
    flush()


class FileSink:
    """A file with one body per line, as sent: a corrupted body may be invalid JSON or UTF-8, but has no line break."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BufferedWriter = path.open("wb")
        except OSError as error:
            raise SimulatorError(f"cannot write {path}: {error.strerror or error}") from error

    def send(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Write the messages and flush them."""
        try:
            self._file.writelines(message.body + b"\n" for message in messages)
            self._file.flush()
        except OSError as error:
            raise SimulatorError(f"cannot write {self._file.name}: {error.strerror or error}") from error
        yield messages

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class HubSink:
    """An Event Hub. After a lost connection the sink waits and sends the same batch again."""

    def __init__(
        self,
        client: EventHubProducerClient,
        address: str,
        *,
        sleep: Callable[[float], None],
        report: Callable[[str], None],
    ) -> None:
        self._client = client
        self._address = address
        self._sleep = sleep
        self._report = report
        self._has_connected = False

    def send(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Send full batches per partition key; the order within a key is preserved."""
        groups: dict[str, list[Message]] = {}
        for message in messages:
            groups.setdefault(message.key, []).append(message)
        for key, group in groups.items():
            rest = iter(group)
            carried: list[Message] = list(islice(rest, 1))
            while carried:
                batch = self._retry(partial(self._client.create_batch, partition_key=key))
                packed, carried = _pack(batch, carried[0], rest)
                self._retry(partial(self._client.send_batch, batch))
                yield packed

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _retry(self, operation: Callable[[], T]) -> T:
        waited, pause = 0.0, 1.0
        while True:
            try:
                result = operation()
            except (EventHubError, AzureError, OSError) as error:
                reason = str(error).partition("\n")[0]
                if not self._has_connected or isinstance(error, AuthenticationError):
                    raise SimulatorError(
                        f"cannot send to {self._address}: {reason} (is it running? patient-flow hub starts a local one)"
                    ) from error
                if waited >= RETRY_TIMEOUT:
                    raise SimulatorError(
                        f"{self._address} has been unavailable for {waited:.0f} s: {reason}"
                    ) from error
                self._report(f"{self._address} is unavailable, retrying in {pause:.0f} s")
                self._sleep(pause)
                waited, pause = waited + pause, min(2 * pause, MAX_RETRY_PAUSE)
            else:
                self._has_connected = True
                return result


def _pack(batch: EventDataBatch, first: Message, rest: Iterator[Message]) -> tuple[list[Message], list[Message]]:
    """Fill the batch; returns its messages and, when it is full, the first message that did not fit."""
    batch.add(EventData(first.body))
    packed = [first]
    for message in rest:
        try:
            batch.add(EventData(message.body))
        except ValueError:
            return packed, [message]
        packed.append(message)
    return packed, []


def hub_sink(settings: Settings, *, sleep: Callable[[float], None], report: Callable[[str], None]) -> HubSink:
    """The configured Event Hub. Raises :class:`SimulatorError` for invalid settings."""
    options: dict[str, Any] = {"eventhub_name": settings.eventhub_name, "retry_total": 1, **settings.hub_client_options}
    try:
        if settings.eventhub_connection:
            client = EventHubProducerClient.from_connection_string(settings.eventhub_connection, **options)
        else:
            client = EventHubProducerClient(settings.eventhub_namespace, credential=DefaultAzureCredential(), **options)
    except ValueError as error:
        raise SimulatorError(f"PATIENT_FLOW_EVENTHUB_CONNECTION is invalid: {error}") from error
    return HubSink(client, f"Event Hub {settings.eventhub_name} at {settings.hub_host}", sleep=sleep, report=report)
