"""The asynchronous clients work as well."""

from __future__ import annotations

import asyncio
from typing import Any

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient, EventHubProducerClient

from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.local_hub.clients import GROUP, NAME


def test_the_asynchronous_clients_send_and_receive(hub: HubThread) -> None:
    received = asyncio.run(_round_trip(hub.connection))
    assert [event.body_as_str() for event in received] == ["0", "1", "2"]
    assert [event.sequence_number for event in received] == [0, 1, 2]


async def _round_trip(connection: str) -> list[Any]:
    async with EventHubProducerClient.from_connection_string(connection, eventhub_name=NAME) as producer:
        batch = await producer.create_batch(partition_id="2")
        for number in range(3):
            batch.add(EventData(str(number)))
        await producer.send_batch(batch)
        assert (await producer.get_partition_properties("2"))["last_enqueued_sequence_number"] == 2

    received: list[Any] = []
    arrived = asyncio.Event()

    async def on_events(_context: Any, events: list[Any]) -> None:
        received.extend(events)
        if len(received) == 3:
            arrived.set()

    async with EventHubConsumerClient.from_connection_string(
        connection, consumer_group=GROUP, eventhub_name=NAME, load_balancing_interval=0.2
    ) as consumer:
        receiving = asyncio.create_task(
            consumer.receive_batch(on_events, partition_id="2", starting_position="-1", max_wait_time=None)
        )
        await asyncio.wait_for(arrived.wait(), 20)
    await receiving
    return received
