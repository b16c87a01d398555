"""The real clients behind one-line helpers for sending and receiving."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient

from patient_flow.local_hub import protocol

NAME = "patient-flow"
GROUP = "$Default"


@contextmanager
def producer(connection: str, name: str = NAME, **options: Any) -> Iterator[EventHubProducerClient]:
    """A producer client that gives up at once when something fails."""
    options = {"retry_total": 0, **options}
    with EventHubProducerClient.from_connection_string(connection, eventhub_name=name, **options) as client:
        client._max_message_size_on_link = protocol.MAX_MESSAGE_SIZE  # else half a second to ask for it
        yield client


@contextmanager
def consumer(connection: str, name: str = NAME, group: str = GROUP) -> Iterator[EventHubConsumerClient]:
    """A consumer client that gives up at once when something fails."""
    with EventHubConsumerClient.from_connection_string(
        connection, consumer_group=group, eventhub_name=name, retry_total=0, socket_timeout=0.05
    ) as client:
        yield client


def send(
    connection: str, *batches: Iterable[str | bytes], partition: str = "0", name: str = NAME, pause: float = 0.0
) -> None:
    """Send batches of events to one partition, with a pause (seconds) after each."""
    with producer(connection, name) as client:
        for bodies in batches:
            batch = client.create_batch(partition_id=partition)
            for body in bodies:
                batch.add(EventData(body))
            client.send_batch(batch)
            time.sleep(pause)


class Reader:
    """One receiver of a partition, on the thread of the test."""

    def __init__(
        self,
        client: EventHubConsumerClient,
        partition: str = "0",
        position: str | int | datetime = "-1",
        *,
        prefetch: int = 300,
        **options: Any,
    ) -> None:
        self.events: list[Any] = []
        self._consumer = client._create_consumer(
            client._consumer_group, partition, position, self.events.extend, prefetch=prefetch, **options
        )
        self._consumer._keep_alive = 0  # else closing waits for a sleeping thread

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Detach."""
        self._consumer.close()

    def poll(self) -> None:
        """Give the client one turn."""
        self._consumer.receive(batch=True, max_batch_size=5000)

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Any]:
        """Poll until that many events have arrived in all; fails when they do not."""
        deadline = time.monotonic() + seconds
        while len(self.events) < count:
            assert time.monotonic() < deadline, f"{len(self.events)} of {count} events arrived"
            self.poll()
        return self.events

    def attach(self, seconds: float = 0.3) -> Reader:
        """Poll for a while, so that the link is attached; returns the reader."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.poll()
        return self


def receive(
    connection: str, count: int, partition: str = "0", position: str | int | datetime = "-1", **options: Any
) -> list[Any]:
    """The first ``count`` events from a position on."""
    name = options.pop("name", NAME)
    with consumer(connection, name) as client, Reader(client, partition, position, **options) as reader:
        return reader.wait_for(count)


def bodies(events: Iterable[Any]) -> list[str]:
    """The bodies of received events as text."""
    return [event.body_as_str() for event in events]


def properties(connection: str, partition: str = "0", name: str = NAME) -> dict[str, Any]:
    """The partition's properties."""
    with producer(connection, name) as client:
        result: dict[str, Any] = client.get_partition_properties(partition)
        return result
