"""The Event Hub: the state of its partitions, and a bounded read of them.

Not here: where to resume (checkpoints of the lake), the meaning of bodies, and messages that the client cannot decode
(``amqp``).
The read goes through private methods of the pinned ``azure-eventhub`` client: it raises errors instead of retrying
silently, stops exactly at a given sequence number, and takes messages as the client has decoded them. Making the
client's ``EventData`` of each would double the CPU time of the read.
``patient_flow_tests/pipeline/test_bronze.py`` tests this use of the client.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.errors import TransientError
from patient_flow.stores import amqp
from patient_flow.wording import plural

if TYPE_CHECKING:
    from azure.eventhub import EventHubConsumerClient
    from azure.eventhub._pyamqp.message import Message

PREFETCH = 3000
MAX_BATCH_EVENTS = 100
"""Events that the client passes on at once: they may be a megabyte each."""
OLDEST = "-1"
NO_PROGRESS_SECONDS = 5.0
_NEVER = datetime.fromtimestamp(0, UTC)
_NUMBER, _OFFSET, _ENQUEUED, _KEY = (
    f"x-opt-{name}".encode() for name in ("sequence-number", "offset", "enqueued-time", "partition-key")
)
"""Annotations of a message."""
_NUMBERS_AT_ONCE = 1_000
_OWNER_LEVEL = 1
"""Each drain takes over its partitions, so that a stuck older run stops reading."""

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
    """The hub did not answer within the timeout."""


@dataclass(frozen=True)
class PartitionState:
    """The state of one partition. ``last_sequence_number`` is -1 when nothing was ever sent to it.

    ``last_enqueued_at`` is the enqueued time of the newest event, also after retention deleted it.
    """

    partition_id: str
    first_sequence_number: int
    last_sequence_number: int
    last_enqueued_at: datetime | None
    is_empty: bool


@dataclass(frozen=True)
class HubState:
    """The state of a hub at one moment."""

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
class DrainResult:
    """The events that were read (:data:`EVENT_SCHEMA`): a prefix of each slice.

    ``error`` is the failure that cut a slice short; ``limit_reached`` is true when a limit of bytes or time did.
    """

    events: pl.DataFrame
    error: HubUnavailable | None = None
    limit_reached: bool = False


class Hub:
    """One Event Hub, seen by one consumer group."""

    def __init__(
        self,
        *,
        connection: str,
        host: str,
        name: str,
        consumer_group: str,
        timeout_seconds: float = 20.0,
        client_options: Mapping[str, Any] | None = None,
    ) -> None:
        """``client_options`` choose the client's transport and proxy; AMQP without a proxy by default."""
        self._connection = connection
        self.host = host
        self.name = name
        self.consumer_group = consumer_group
        self._timeout = timeout_seconds
        self._client_options = dict(client_options or {})
        self.place = amqp.place_of(self.address[0], is_websocket=bool(client_options))

    @property
    def address(self) -> tuple[str, str]:
        """Host (with a non-default port) and name."""
        endpoint = self._connection.partition(";")[0].rpartition("/")[2]
        return endpoint or self.host, self.name

    def peek(self) -> HubState:
        """The current state; reads no event. Raises :class:`HubUnavailable` when the hub cannot be reached.

        It may block for ever when the hub does not answer: ``hub_probe.peek`` has a timeout.
        """
        with self._client() as client, ThreadPoolExecutor(max_workers=8) as pool:  # each request connects by itself
            properties = client.get_eventhub_properties()
            partitions = pool.map(
                lambda partition_id: _partition_state(client, partition_id), properties["partition_ids"]
            )
            return HubState(self.host, properties["eventhub_name"], _utc(properties["created_at"]), tuple(partitions))

    def drain(self, slices: list[Slice], deadline: float, max_bytes: int) -> DrainResult:
        """The events of ``slices``, one after another, until ``deadline`` (``time.monotonic``) or about ``max_bytes``.

        Every slice gets a fair share of the bytes, and at least one event: the shortest come first, so that longer ones
        get what they leave. An error ends its slice only: events read before it are kept, and the result has the error.
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
                max_bytes -= reading.size
        events = pl.concat([EVENT_SCHEMA.to_frame(), *(reading.frame() for reading in received)])
        return DrainResult(events, _one_error(errors), limit_reached)

    @property
    def is_local(self) -> bool:
        """True for the local hub, or Microsoft's emulator, which both have the same connection string."""
        return "usedevelopmentemulator=true" in self._connection.casefold()

    def erase(self, partition_id: str, numbers: Sequence[int], body: str) -> int:
        """Replaces the bodies of retained events of the local hub by ``body``; returns how many there were.

        Raises :class:`HubUnavailable`, also for a hub that is not ours.
        """
        properties = {"name": self.name, "partition": partition_id, "body": body}
        erased = 0
        with self._client() as client, self._wrap_errors():
            for start in range(0, len(numbers), _NUMBERS_AT_ONCE):
                some = ",".join(map(str, numbers[start : start + _NUMBERS_AT_ONCE]))
                transport: Any = client._amqp_transport
                message = transport.build_message(application_properties={**properties, "numbers": some})
                erased += int(client._management_request(message, op_type=b"com.patient-flow:erase").value[b"erased"])
        return erased

    @contextmanager
    def _client(self) -> Iterator[EventHubConsumerClient]:
        from azure.eventhub import EventHubConsumerClient

        amqp.patch_decoder()
        amqp.patch_handshake_timeout()
        amqp.patch_pauses()
        options: dict[str, Any] = {
            "consumer_group": self.consumer_group,
            "eventhub_name": self.name,
            "retry_total": 0,
            "auth_timeout": self._timeout,
            **self._client_options,
        }
        # How long a read of the socket waits. The client's own time, which also limits the handshake, for WebSockets.
        if not self._client_options:
            options["socket_timeout"] = 0.05
        with self._wrap_errors(), ExitStack() as opened:
            if self._connection:
                client = EventHubConsumerClient.from_connection_string(self._connection, **options)
            else:
                from azure.identity import DefaultAzureCredential

                credential = opened.enter_context(DefaultAzureCredential())
                client = EventHubConsumerClient(fully_qualified_namespace=self.host, credential=credential, **options)
            yield opened.enter_context(client)

    @contextmanager
    def _wrap_errors(self, what: str = "") -> Iterator[None]:
        """Raises errors of the client as :class:`HubUnavailable`."""
        from azure.core.exceptions import AzureError
        from azure.eventhub.exceptions import EventHubError

        try:
            yield
        except (EventHubError, AzureError, OSError, ValueError) as error:
            raise HubUnavailable(
                f"{what}Event Hub {self.name} at {self.place} cannot be read: {_one_line(error)}. "
                "Is it running (locally: patient-flow hub), and do name and connection fit?"
            ) from error


@dataclass
class _Received:
    """Received events of one partition; ignores repeated ones and those beyond the slice or ``max_bytes``."""

    part: Slice
    max_bytes: int
    size: int = 0
    numbers: list[int] = field(default_factory=list)
    offsets: list[str | None] = field(default_factory=list)
    enqueued_ms: list[int] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    properties: list[str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.last = self.part.after

    @property
    def is_full(self) -> bool:
        """True when ``max_bytes`` is reached. The last event may exceed it, otherwise a large one would never fit."""
        return self.size >= self.max_bytes

    def add(self, batch: list[Message]) -> None:
        for message in batch:
            stated = message.message_annotations or {}
            number = stated.get(_NUMBER)
            if number is not None and self.last < number <= self.part.upto and not self.is_full:
                offset, key = stated.get(_OFFSET), stated.get(_KEY)
                properties, body = properties_as_json(message.application_properties), _body(message)
                self.enqueued_ms.append(int(stated.get(_ENQUEUED) or 0))
                self.offsets.append(offset.decode() if isinstance(offset, bytes) else None)
                self.keys.append(None if key is None else str(_plain(key)))
                self.properties.append(properties)
                self.bodies.append(body)
                self.numbers.append(number)
                self.size += len(body) + len(properties or "")
                self.last = number

    def frame(self) -> pl.DataFrame:
        """What was received, in the form of :data:`EVENT_SCHEMA`."""
        columns = {
            "partition_id": pl.repeat(self.part.partition_id, len(self.numbers), eager=True),
            "sequence_number": self.numbers,
            "offset": self.offsets,
            "enqueued_at": pl.Series(self.enqueued_ms, dtype=pl.Int64).cast(pl.Datetime("ms", "UTC")).cast(INSTANT),
            "partition_key": self.keys,
            "properties": self.properties,
            "body": self.bodies,
        }
        return pl.DataFrame(columns, schema=EVENT_SCHEMA)


def _drain_partition(client: EventHubConsumerClient, group: str, received: _Received, deadline: float) -> None:
    """Receives the events of a slice; those before an error stay in ``received``.

    Raises :class:`HubUnavailable` when events exist but none arrives for :data:`NO_PROGRESS_SECONDS`.
    """
    if time.monotonic() >= deadline:
        return
    part = received.part
    private: Any = client  # see the module's docstring
    wanted = min(PREFETCH, part.upto - part.after)
    consumer = private._create_consumer(
        group, part.partition_id, part.offset or OLDEST, received.add, prefetch=wanted, owner_level=_OWNER_LEVEL
    )
    consumer._next_message_in_buffer = consumer._message_buffer.popleft  # instead of making EventData of it
    consumer._keep_alive = 0  # otherwise close() joins a thread that sleeps for a second
    progressed_at = time.monotonic()
    try:
        while received.last < part.upto and not received.is_full and time.monotonic() < deadline:
            before = received.last
            consumer.receive(batch=True, max_batch_size=MAX_BATCH_EVENTS)
            consumer._prefetch = MAX_BATCH_EVENTS  # the link was opened with the full credit; now limit the batches
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
    """The first error and the number of others, which repeat it when the whole hub is unavailable."""
    if len(errors) < 2:
        return errors[0] if errors else None
    return HubUnavailable(f"{errors[0]} ({plural(len(errors) - 1, 'more partition')} cannot be read)")


def _body(message: Message) -> bytes:
    """Data, and text sent as an AMQP value, byte for byte; every other AMQP value as JSON."""
    sections: Any = message.data
    if sections:
        return b"".join(sections)
    if message.sequence:
        return _json(list(message.sequence)).encode()
    value = message.value
    return value if isinstance(value, bytes) else _json(value).encode()  # the client decodes no text


def properties_as_json(properties: dict[Any, Any] | None) -> str | None:
    """Application properties as bronze holds them; None where there are none."""
    return _json(properties) if properties else None


def _json(value: Any) -> str:
    """JSON of any AMQP value. It never raises: the event would stop every drain until retention deletes it."""
    try:
        return json.dumps(_plain(value), sort_keys=True)
    except Exception as error:  # noqa: BLE001  (such as one nested a thousand levels deep)
        return json.dumps(f"an AMQP value that cannot be kept: {type(error).__name__}")


def _plain(value: Any) -> Any:
    """``value`` in types that JSON has; others (an instant, an infinite number) as text."""
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
    """The first sentence: the client repeats it after "Error condition"."""
    return " ".join(str(error).partition("\nError condition:")[0].split())[:300]
