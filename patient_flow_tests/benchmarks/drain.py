"""Reading a backlog from a local hub: the product beside the public client, tuned, as its documentation shows it.

Both start at the oldest event of four partitions and end with one frame of all events. The hub is in the suite's own
process, so its CPU time is in neither side's. ``skewed``: nine events of ten are in one partition.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient

from patient_flow.local_hub.testing import HubThread
from patient_flow.stores.hub import Hub, Slice
from patient_flow_tests.benchmarks import feed, measuring, report
from patient_flow_tests.benchmarks.measuring import Contender
from patient_flow_tests.benchmarks.sizes import Size

TITLE = "Drain"
PARTITIONS = 4
GROUP = "$Default"
SHARES = {"even": (0.25, 0.25, 0.25, 0.25), "skewed": (0.91, 0.03, 0.03, 0.03)}
PREFETCH, BATCH = 3000, 300
"""Of the public client: larger values made it no faster."""


def run(folder: Path, size: Size) -> report.Section:
    """A backlog at the hub, by the product and by the public client."""
    bodies = feed.events(size.events // 5)["body"].to_list()
    texts, summaries = [], []
    with HubThread(folder / "hub", hubs=tuple(SHARES), partitions=PARTITIONS) as hub:
        for name in SHARES:
            fill(hub.connection, name, bodies)
            figures = measuring.compare(contenders(hub.connection, name, folder), size.rounds)
            ours, stock = (one.steps["drain"] for one in figures.values())
            texts.append(f"{name.capitalize()}:\n\n{report.comparison(figures)}\n\n{report.steps(figures)}")
            summaries.append(f"{stock / ours:.1f} × ({name})")
    return report.Section(
        f"{len(bodies):,} events in {PARTITIONS} partitions of a local hub, which is in neither side's figures; "
        f"medians of {size.rounds}. The public client has a thread per partition. Skewed: nine of ten events are in "
        "one partition. Starts of processes are in the first table, not in the seconds below it.\n\n"
        + "\n\n".join(texts),
        f"{' and '.join(summaries)} as fast as azure-eventhub, tuned",
    )


def fill(connection: str, hub: str, bodies: Sequence[bytes]) -> None:
    """Sends ``bodies`` to the partitions of ``hub``, in the shares of its name."""
    start = 0
    with EventHubProducerClient.from_connection_string(connection, eventhub_name=hub) as producer:
        for partition, share in enumerate(SHARES[hub]):
            end = len(bodies) if partition == PARTITIONS - 1 else start + int(len(bodies) * share)
            for body in _batches(producer, str(partition), bodies[start:end]):
                producer.send_batch(body)
            start = end


def _batches(producer: EventHubProducerClient, partition: str, bodies: Sequence[bytes]) -> Any:
    batch = producer.create_batch(partition_id=partition)
    for body in bodies:
        try:
            batch.add(EventData(body))
        except ValueError:
            yield batch
            batch = producer.create_batch(partition_id=partition)
            batch.add(EventData(body))
    yield batch


def contenders(connection: str, hub: str, folder: Path) -> list[Contender]:
    """Both ways to read ``hub``."""
    return [
        _contender(name, way, connection, hub, folder)
        for name, way in (("patient_flow", "product"), ("azure-eventhub, tuned", "stock"))
    ]


def _contender(name: str, way: str, connection: str, hub: str, folder: Path) -> Contender:
    out = folder / f"{hub}-{way}.json"
    command = [sys.executable, "-m", __name__, way, connection, hub, str(out)]
    return Contender(name, lambda: command, lambda: dict(json.loads(out.read_text())))


def read_with_product(connection: str, name: str) -> pl.DataFrame:
    hub = Hub(connection=connection, host="localhost", name=name, consumer_group=GROUP)
    slices = [Slice(one.partition_id, -1, one.last_sequence_number, None) for one in hub.peek().partitions]
    return hub.drain(slices, time.monotonic() + 3600, 1 << 40).events


def read_with_stock(connection: str, name: str) -> pl.DataFrame:
    """A thread per partition, as ``receive_batch`` needs; each ends its client with its last event."""
    with EventHubConsumerClient.from_connection_string(connection, GROUP, eventhub_name=name) as client:
        last = {
            one: client.get_partition_properties(one)["last_enqueued_sequence_number"]
            for one in client.get_partition_ids()
        }
    rows: dict[str, list[tuple[Any, ...]]] = {partition: [] for partition in last}

    def read(partition: str) -> None:
        client = EventHubConsumerClient.from_connection_string(connection, GROUP, eventhub_name=name)
        ended = threading.Event()

        def take(_: Any, events: list[EventData]) -> None:
            rows[partition] += [
                (partition, one.sequence_number, one.offset, one.enqueued_time, b"".join(one.body)) for one in events
            ]
            if events and events[-1].sequence_number >= last[partition]:
                ended.set()

        receive = threading.Thread(
            target=client.receive_batch,
            args=(take,),
            kwargs={
                "partition_id": partition,
                "starting_position": "-1",
                "prefetch": PREFETCH,
                "max_batch_size": BATCH,
            },
        )
        receive.start()
        ended.wait()
        client.close()
        receive.join()

    readers = [threading.Thread(target=read, args=(partition,)) for partition in last]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    schema = ["partition_id", "sequence_number", "offset", "enqueued_at", "body"]
    return pl.DataFrame([row for found in rows.values() for row in found], schema=schema, orient="row")


def main(way: str, connection: str, hub: str, out: str) -> None:
    began = time.perf_counter()
    events = {"product": read_with_product, "stock": read_with_stock}[way](connection, hub)
    seconds = round(time.perf_counter() - began, 2)
    sums = events.select(pl.len(), pl.col("sequence_number").sum(), bytes=pl.col("body").bin.size().sum()).row(0)
    Path(out).write_text(json.dumps(dict(zip(("events", "sequence_numbers", "bytes"), sums, strict=True))))
    print(json.dumps({"steps": {"drain": seconds}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
