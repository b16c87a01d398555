"""Delivery of a feed: to an Event Hub or into a file, not before a message is due, and nothing twice or lost by us.

Not here: what the messages say (``feed``).
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

from ..settings import Settings
from .demand import SECOND
from .feed import Message

# Messages handed over at once: enough for full batches of each partition key, few enough to be cheap to hold.
CHUNK = 20_000
# A live feed sends what has become due in this time together: small batches cost a round trip each.
TICK = SECOND // 2
# How long a hub that was there may be away, in seconds, and the longest pause between two attempts.
PATIENCE = 900.0
LONGEST_PAUSE = 15.0

T = TypeVar("T")


class SimulatorError(RuntimeError):
    """The simulation cannot go on; the message says on one line why and what to do."""


class Sink(Protocol):
    """Where messages go."""

    def send(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Deliver the messages; gives them back in groups, each once it is acknowledged."""

    def close(self) -> None:
        """Let go of connections and files."""


def pump(
    messages: Iterable[Message],
    sink: Sink,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    acknowledged: Callable[[Sequence[Message]], None],
) -> None:
    """Send each message once it is due by ``clock`` (seconds since 1970); those overdue go as fast as they can."""
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
            # a clock that wakes early must not hold the message back a second time
            horizon = max(now, message.due)
        chunk.append(message)
    flush()


class FileSink:
    """A file with one body per line, as sent: a spoilt body may be no JSON and no UTF-8, but has no line break."""

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
    """An Event Hub. When it goes away after it was there once, the sink waits and sends the same batch again."""

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
        self._was_there = False

    def send(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Send full batches per partition key; the order within a key is kept."""
        groups: dict[str, list[Message]] = {}
        for message in messages:
            groups.setdefault(message.key, []).append(message)
        for key, group in groups.items():
            rest = iter(group)
            ahead: list[Message] = list(islice(rest, 1))
            while ahead:
                batch = self._insist(partial(self._client.create_batch, partition_key=key))
                packed, ahead = _pack(batch, ahead[0], rest)
                self._insist(partial(self._client.send_batch, batch))
                yield packed

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _insist(self, operation: Callable[[], T]) -> T:
        waited, pause = 0.0, 1.0
        while True:
            try:
                result = operation()
            except (EventHubError, AzureError, OSError) as error:
                reason = str(error).partition("\n")[0]
                if not self._was_there or isinstance(error, AuthenticationError):
                    raise SimulatorError(
                        f"cannot send to {self._address}: {reason} (is it running? patient-flow hub starts a local one)"
                    ) from error
                if waited >= PATIENCE:
                    raise SimulatorError(f"{self._address} has been away for {waited:.0f} s: {reason}") from error
                self._report(f"{self._address} is away, trying again in {pause:.0f} s")
                self._sleep(pause)
                waited, pause = waited + pause, min(2 * pause, LONGEST_PAUSE)
            else:
                self._was_there = True
                return result


def _pack(batch: EventDataBatch, first: Message, rest: Iterator[Message]) -> tuple[list[Message], list[Message]]:
    """Fill the batch; gives what is in it and, when it is full, the one message that no longer fitted."""
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
    """The Event Hub that the settings name. Raises :class:`SimulatorError` when they cannot name one."""
    options: dict[str, Any] = {"eventhub_name": settings.eventhub_name, "retry_total": 1}
    try:
        if settings.eventhub_connection:
            client = EventHubProducerClient.from_connection_string(settings.eventhub_connection, **options)
        else:
            client = EventHubProducerClient(settings.eventhub_namespace, credential=DefaultAzureCredential(), **options)
    except ValueError as error:
        raise SimulatorError(f"PATIENT_FLOW_EVENTHUB_CONNECTION cannot be used: {error}") from error
    return HubSink(client, f"Event Hub {settings.eventhub_name} at {settings.hub_host}", sleep=sleep, report=report)
