"""The Event Hub: what its partitions hold, and a bounded read of one of them.

Not here: where to resume (the lake knows), what the bodies mean, and messages that the client cannot decode (``amqp``).
The read goes through a private method of the pinned ``azure-eventhub`` client: it is about twice as fast as the public
one, raises errors instead of retrying in silence, and stops exactly where it is told to.
``patient_flow_tests/pipeline/test_bronze.py`` guards that contract.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.errors import TransientError
from patient_flow.stores import amqp

if TYPE_CHECKING:
    from azure.eventhub import EventData, EventHubConsumerClient

PREFETCH = 3000
AT_ONCE = 100
"""Events that the client reads before it hands them over, whatever is on its way: they may be a megabyte each."""
OLDEST = "-1"
NO_PROGRESS_SECONDS = 5.0
_NEVER = datetime.fromtimestamp(0, UTC)
_OWNER_LEVEL = 1
"""Each drain takes its partition over, so that a stuck older run cannot read on."""

EVENT_SCHEMA = pl.Schema(
    {
        "partition_id": pl.String(),
        "sequence_number": pl.Int64(),
        "offset": pl.String(),
        "enqueued_at": INSTANT,
        "partition_key": pl.String(),
        "properties": pl.String(),
        "body": pl.Binary(),
    }
)


class HubUnavailable(TransientError):
    """The hub cannot be read; the message says what to check. A later attempt may succeed."""


class HubTimeout(HubUnavailable):
    """The hub did not say in time what it holds."""


@dataclass(frozen=True)
class PartitionState:
    """What one partition holds. ``last_sequence_number`` is -1 when nothing was ever sent to it.

    ``last_enqueued_at`` is when the newest event came, also after retention dropped it.
    """

    partition_id: str
    first_sequence_number: int
    last_sequence_number: int
    last_enqueued_at: datetime | None
    is_empty: bool


@dataclass(frozen=True)
class HubState:
    """What a hub holds at one moment."""

    host: str
    name: str
    created_at: datetime
    partitions: tuple[PartitionState, ...]


@dataclass(frozen=True)
class Slice:
    """A part of a partition to read: events after sequence number ``after`` up to ``upto``.

    ``offset`` is the stored offset of the event numbered ``after``; None to start at the oldest event.
    """

    partition_id: str
    after: int
    upto: int
    offset: str | None


@dataclass(frozen=True)
class Drained:
    """What was read: of each slice a prefix (:data:`EVENT_SCHEMA`).

    ``error`` says why not all of it, if it failed; ``limit_reached`` that more could have been read at once.
    """

    events: pl.DataFrame
    error: HubUnavailable | None = None
    limit_reached: bool = False


class Hub:
    """One Event Hub, seen by one consumer group."""

    def __init__(
        self, *, connection: str, host: str, name: str, consumer_group: str, timeout_seconds: float = 20.0
    ) -> None:
        self._connection = connection
        self.host = host
        self.name = name
        self.consumer_group = consumer_group
        self._timeout = timeout_seconds

    @property
    def address(self) -> tuple[str, str]:
        """Host, with the port where it is not the usual one, and name."""
        endpoint = self._connection.partition(";")[0].rpartition("/")[2]
        return endpoint or self.host, self.name

    def peek(self) -> HubState:
        """What the hub holds now; reads no event. Raises :class:`HubUnavailable` when it cannot be reached.

        In front of a hub that says nothing it may take for ever: ``hub_probe.peek`` does not.
        """
        with self._client() as client, ThreadPoolExecutor(max_workers=8) as pool:
            properties = client.get_eventhub_properties()
            # each request takes 0.4 s in the client's own polling: ask side by side
            partitions = pool.map(
                lambda partition_id: _partition_state(client, partition_id), properties["partition_ids"]
            )
            return HubState(self.host, properties["eventhub_name"], _utc(properties["created_at"]), tuple(partitions))

    def drain(self, slices: list[Slice], deadline: float, max_bytes: int) -> Drained:
        """The events of ``slices``, one after another, until ``deadline`` (``time.monotonic``) or about ``max_bytes``.

        Of the bytes every slice has a fair share, and one event at least: the shortest come first, so that what they
        leave over goes to the longer ones. A slice that cannot be read holds up no other: what there is of it is kept,
        and the error comes with the events.
        """
        received: list[_Received] = []
        errors: list[HubUnavailable] = []
        limit_reached = False
        with self._client() as client:
            for part in sorted(slices, key=lambda part: part.upto - part.after):
                share = max_bytes // (len(slices) - len(received))
                reading = _Received(part, max(share, 1))
                received.append(reading)
                try:
                    with self._wrap_errors(f"partition {part.partition_id} of "):
                        _drain_partition(client, self.consumer_group, reading, deadline)
                except HubUnavailable as error:
                    errors.append(error)
                else:
                    limit_reached |= reading.last < part.upto and (reading.is_full or time.monotonic() >= deadline)
                max_bytes -= reading.bytes
        rows = [row for reading in received for row in reading.rows]
        events = pl.DataFrame(rows, schema=EVENT_SCHEMA, orient="row")
        return Drained(events, _one_error(errors), limit_reached)

    @contextmanager
    def _client(self) -> Iterator[EventHubConsumerClient]:
        from azure.eventhub import EventHubConsumerClient

        amqp.patch_decoder()
        amqp.patch_handshake_timeout()
        options: dict[str, Any] = {
            "consumer_group": self.consumer_group,
            "eventhub_name": self.name,
            "retry_total": 0,
            "socket_timeout": 0.05,
            "auth_timeout": self._timeout,
        }
        with self._wrap_errors():
            if self._connection:
                client = EventHubConsumerClient.from_connection_string(self._connection, **options)
            else:
                from azure.identity import DefaultAzureCredential

                client = EventHubConsumerClient(
                    fully_qualified_namespace=self.host, credential=DefaultAzureCredential(), **options
                )
            with client:
                yield client

    @contextmanager
    def _wrap_errors(self, what: str = "") -> Iterator[None]:
        """Raises errors of the client as :class:`HubUnavailable`."""
        from azure.core.exceptions import AzureError
        from azure.eventhub.exceptions import EventHubError

        try:
            yield
        except (EventHubError, AzureError, OSError, ValueError) as error:
            raise HubUnavailable(
                f"{what}Event Hub {self.name} at {self.host} cannot be read: {_one_line(error)}. "
                "Is it running (locally: patient-flow hub), and do name and connection fit?"
            ) from error


@dataclass
class _Received:
    """Events of one partition as they come in; skips replays and whatever lies beyond the target or ``max_bytes``."""

    part: Slice
    max_bytes: int
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    bytes: int = 0

    def __post_init__(self) -> None:
        self.last = self.part.after

    @property
    def is_full(self) -> bool:
        """True when the last event that fits is there; it may stand out a little, else a large one would never fit."""
        return self.bytes >= self.max_bytes

    def add(self, batch: list[EventData]) -> None:
        for event in batch:
            number = event.sequence_number
            if number is not None and self.last < number <= self.part.upto and not self.is_full:
                properties, body = _properties(event.properties), _body(event)
                self.rows.append(_row(self.part.partition_id, event, properties, body))
                self.bytes += len(body) + len(properties or "")
                self.last = number


def _drain_partition(client: EventHubConsumerClient, group: str, received: _Received, deadline: float) -> None:
    """Receives what is there of a slice; what it got before an error stays in ``received``.

    Raises :class:`HubUnavailable` when events are there, but none arrives for 5 seconds.
    """
    if time.monotonic() >= deadline:
        return
    part = received.part
    private: Any = client  # see the module's docstring
    wanted = min(PREFETCH, part.upto - part.after)
    consumer = private._create_consumer(
        group,
        part.partition_id,
        part.offset or OLDEST,
        received.add,
        prefetch=wanted,
        owner_level=_OWNER_LEVEL,
    )
    consumer._keep_alive = 0  # else close() joins a thread that sleeps for a second
    progressed_at = time.monotonic()
    try:
        while received.last < part.upto and not received.is_full and time.monotonic() < deadline:
            before = received.last
            consumer.receive(batch=True, max_batch_size=AT_ONCE)
            consumer._prefetch = AT_ONCE  # the credit was granted with the link; from now on so many are read at once
            if received.last > before:
                progressed_at = time.monotonic()
            elif time.monotonic() > progressed_at + NO_PROGRESS_SECONDS:
                break
    finally:
        consumer.close()
    if received.last == part.after and time.monotonic() < deadline:
        raise HubUnavailable(
            f"partition {part.partition_id} holds events up to {part.upto} but sent none after {part.after} "
            f"for {NO_PROGRESS_SECONDS:.0f} seconds; the next run tries again"
        )


def _one_error(errors: list[HubUnavailable]) -> HubUnavailable | None:
    """The first one, and how many others there are: when the whole hub went away they all say the same."""
    if len(errors) < 2:
        return errors[0] if errors else None
    return HubUnavailable(f"{errors[0]} ({len(errors) - 1} more partitions cannot be read)")


def _row(partition_id: str, event: EventData, properties: str | None, body: bytes) -> tuple[Any, ...]:
    return (
        partition_id,
        event.sequence_number,
        event.offset,
        _utc(event.enqueued_time),
        None if event.partition_key is None else str(_plain(event.partition_key)),
        properties,
        body,
    )


def _body(event: EventData) -> bytes:
    """Data byte for byte, and a text sent as an AMQP value too; every other AMQP value as JSON."""
    from azure.eventhub.amqp import AmqpMessageBodyType

    body: Any = event.body
    if event.body_type == AmqpMessageBodyType.DATA:
        return b"".join(body)
    if isinstance(body, bytes):  # the client decodes no text
        return body
    return _json(list(body) if event.body_type == AmqpMessageBodyType.SEQUENCE else body).encode()


def _properties(properties: dict[Any, Any] | None) -> str | None:
    return _json(properties) if properties else None


def _json(value: Any) -> str:
    """JSON of whatever an AMQP value is: no event may stop the drain, or it would do so until retention drops it."""
    try:
        return json.dumps(_plain(value), sort_keys=True)
    except Exception as error:  # noqa: BLE001  (such as one nested a thousand deep: its row says so)
        return json.dumps(f"an AMQP value that cannot be kept: {type(error).__name__}")


def _plain(value: Any) -> Any:
    """``value`` made of what JSON has; what it does not have (an instant, an infinite number) as text."""
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _partition_state(client: EventHubConsumerClient, partition_id: str) -> PartitionState:
    properties = client.get_partition_properties(partition_id)
    last = int(properties["last_enqueued_sequence_number"])
    last_at = _utc(properties["last_enqueued_time_utc"])
    return PartitionState(
        partition_id,
        int(properties["beginning_sequence_number"]),
        last,
        last_at if last >= 0 and last_at > _NEVER else None,
        bool(properties["is_empty"]),
    )


def _utc(instant: datetime | None) -> datetime:
    if instant is None:
        return _NEVER
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def _one_line(error: Exception) -> str:
    """The client says everything twice: what follows "Error condition" is the first sentence again."""
    return " ".join(str(error).partition("\nError condition:")[0].split())[:300]
