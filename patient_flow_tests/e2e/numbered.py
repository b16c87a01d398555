"""A producer of numbered events that never gives up, and a look at what the hub holds, both with the plain client."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.exceptions import EventHubError

from patient_flow_tests.e2e.visits import HUB


class NumberedProducer:
    """A thread that sends 0, 1, 2, … in small batches while the ``with`` block runs; the hub chooses partitions.

    What was not acknowledged is sent again, by the thread or by the client itself: when the hub dies, it may hold the
    batch that was on its way more than once.
    """

    def __init__(self, connection: str, *, batch: int = 20, pause: float = 0.005) -> None:
        self.acknowledged: list[int] = []
        self.batch = batch
        self._connection = connection
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send_on, name="numbered-producer")

    def __enter__(self) -> NumberedProducer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def wait_for_more(self, seconds: float = 60.0) -> None:
        """Waits until another batch has been acknowledged."""
        before, deadline = len(self.acknowledged), time.monotonic() + seconds
        while len(self.acknowledged) == before:
            assert time.monotonic() < deadline, f"nothing was acknowledged for {seconds:.0f} s"
            time.sleep(0.01)

    def _send_on(self) -> None:
        with EventHubProducerClient.from_connection_string(
            self._connection, eventhub_name=HUB, retry_total=0
        ) as client:
            client._max_message_size_on_link = 1 << 20  # else half a second to ask for it
            turn = 0
            while not self._stopping.is_set():
                numbers = range(turn * self.batch, (turn + 1) * self.batch)
                try:
                    batch = client.create_batch()
                    for number in numbers:
                        batch.add(EventData(str(number)))
                    client.send_batch(batch)
                except (EventHubError, OSError):
                    self._stopping.wait(0.05)
                    continue
                self.acknowledged.extend(numbers)
                turn += 1
                self._stopping.wait(self._pause)


def held(connection: str, seconds: float = 60.0) -> dict[tuple[str, int], bytes]:
    """Partition and sequence number → body of all events that the hub holds, read from the beginning."""
    found: dict[tuple[str, int], bytes] = {}
    with EventHubConsumerClient.from_connection_string(
        connection, consumer_group="$Default", eventhub_name=HUB, retry_total=0, socket_timeout=0.05
    ) as client:
        for partition in client.get_partition_ids():
            state = client.get_partition_properties(partition)
            last = -1 if state["is_empty"] else state["last_enqueued_sequence_number"]
            events = _first(client, partition, last + 1, seconds)
            found |= {(partition, event.sequence_number): b"".join(event.body) for event in events}
    return found


def _first(client: EventHubConsumerClient, partition: str, count: int, seconds: float) -> list[EventData]:
    events: list[EventData] = []
    receiver = client._create_consumer("$Default", partition, "-1", events.extend, prefetch=3000)
    receiver._keep_alive = 0  # else closing waits for a sleeping thread
    deadline = time.monotonic() + seconds
    try:
        while len(events) < count:
            assert time.monotonic() < deadline, f"{len(events)} of {count} events of partition {partition} arrived"
            receiver.receive(batch=True, max_batch_size=3000)
    finally:
        receiver.close()
    return events
