"""Restarts, kills, full disks and locked folders."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.eventhub import EventData
from azure.eventhub.exceptions import EventHubError

from patient_flow.local_hub.errors import (
    CorruptLogError,
    FolderLockedError,
    HubError,
    HubNameError,
    PartitionCountError,
    PortTakenError,
)
from patient_flow.local_hub.hub import Retention, open_namespace
from patient_flow.local_hub.server import serve
from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.local_hub.clients import bodies, consumer, producer, properties, receive, send
from patient_flow_tests.local_hub.hub_process import connection_of, hub_process


def start(data: Path, port: int = 0, *, hubs: tuple[str, ...] = ("patient-flow",), partitions: int = 4) -> None:
    """Start a hub that is expected to refuse."""
    serve(data, port, hubs, partitions, timedelta(days=7), lambda connection: pytest.fail(f"serves on {connection}"))


def coordinates(events: list[Any]) -> list[tuple[int, str, Any]]:
    return [(event.sequence_number, event.offset, event.enqueued_time) for event in events]


def test_a_restart_keeps_events_numbers_age_and_port(hub: HubThread) -> None:
    send(hub.connection, "abc")
    with consumer(hub.connection) as client:
        before = client.get_eventhub_properties()
    stored = coordinates(receive(hub.connection, 3))
    connection = hub.connection
    hub.stop()
    hub.start()
    assert hub.connection == connection
    with consumer(hub.connection) as client:
        assert client.get_eventhub_properties() == before
    send(hub.connection, "d")
    events = receive(hub.connection, 4)
    assert coordinates(events)[:3] == stored
    assert (events[3].sequence_number, int(events[3].offset) > int(events[2].offset)) == (3, True)


def test_the_end_of_an_expired_partition_survives_a_restart(hub: HubThread) -> None:
    send(hub.connection, "abc")
    hub.truncate("patient-flow", "0")
    before = properties(hub.connection)
    hub.stop()
    hub.start()
    assert properties(hub.connection) == before
    assert (before["is_empty"], before["last_enqueued_sequence_number"]) == (True, 2)


def test_retention_is_applied_while_the_hub_runs(tmp_path: Path) -> None:
    with HubThread(tmp_path) as hub:
        send(hub.connection, "abc")

    async def enforce_until_empty() -> None:
        with closing(open_namespace(tmp_path, ["patient-flow"], 4, segment_bytes=1000)) as namespace:
            assert not namespace.partitions[0].log.is_empty
            retention = asyncio.create_task(namespace.enforce_retention(Retention(timedelta(0)), every=0.01))
            async with asyncio.timeout(10):
                while not namespace.partitions[0].log.is_empty:
                    await asyncio.sleep(0.01)
            retention.cancel()
            assert namespace.partitions[0].log.last.sequence == 2

    asyncio.run(enforce_until_empty())


def test_stopping_twice_is_harmless(hub: HubThread) -> None:
    hub.stop()
    hub.stop()
    hub.start()


@pytest.mark.parametrize("round_", range(4))
def test_what_a_killed_hub_acknowledged_is_stored(tmp_path: Path, round_: int) -> None:
    """SIGKILL while two producers send: acknowledged events are a subset of the stored ones, in whole batches."""
    acknowledged: list[str] = []

    def send_until_killed(partition: str) -> None:
        with producer(connection) as client:
            for number in range(100_000):
                texts = [f"{partition}-{number}-{part}" for part in range(20)]
                try:
                    batch = client.create_batch(partition_id=partition)
                    for text in texts:
                        batch.add(EventData(text.ljust(300)))
                    client.send_batch(batch)
                except EventHubError:
                    return
                acknowledged.extend(texts)

    with hub_process(tmp_path) as process:
        connection = connection_of(process)
        threads = [threading.Thread(target=send_until_killed, args=(partition,)) for partition in "01"]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while len(acknowledged) < 400 + 37 * round_ and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
        for thread in threads:
            thread.join(30)

    with HubThread(tmp_path, partitions=2) as hub:
        stored: list[str] = []
        for partition in "01":
            count = properties(hub.connection, partition)["last_enqueued_sequence_number"] + 1
            events = receive(hub.connection, count, partition)
            assert [event.sequence_number for event in events] == list(range(count))
            stored += [text.strip() for text in bodies(events)]
    assert len(acknowledged) >= 400
    assert set(acknowledged) <= set(stored)
    assert len(stored) % 20 == 0


def test_sigterm_ends_the_process_quietly(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with hub_process(tmp_path) as process:
            send(connection_of(process), "ab")
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
            assert (process.returncode, out, err) == (0, "", "")


def test_sigterm_while_a_client_is_connected_ends_the_process(tmp_path: Path) -> None:
    with hub_process(tmp_path) as process, producer(connection_of(process)) as client:
        client.send_event(EventData("a"), partition_id="0")
        process.terminate()
        _, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (0, "")


def test_a_folder_in_use_is_refused_and_names_the_process(tmp_path: Path) -> None:
    with hub_process(tmp_path) as first:
        connection = connection_of(first)
        with hub_process(tmp_path) as second:
            _, err = second.communicate(timeout=10)
            assert second.returncode == 1
            assert err.startswith(f"FolderLockedError: another hub (process {first.pid}) uses {tmp_path}")
            assert err.count("\n") == 1
        send(connection, "still there")


def test_the_folder_of_a_killed_hub_is_free(tmp_path: Path) -> None:
    with hub_process(tmp_path) as process:
        connection_of(process)
        process.kill()
        process.wait()
        with HubThread(tmp_path, partitions=2) as hub, pytest.raises(FolderLockedError):
            start(tmp_path)
        assert hub.port


def test_a_full_disk_rejects_the_delivery_and_keeps_the_log(tmp_path: Path) -> None:
    with hub_process(tmp_path, file_size=4_000) as process:
        connection = connection_of(process)
        send(connection, ["fits"])
        with producer(connection) as client:
            with pytest.raises(EventHubError, match="could not store the event"):
                client.send_event(EventData("x" * 5_000), partition_id="0")
            client.send_event(EventData("fits too"), partition_id="0")
        assert bodies(receive(connection, 2)) == ["fits", "fits too"]
        process.terminate()
        process.wait()
    with HubThread(tmp_path, partitions=2) as hub:
        assert bodies(receive(hub.connection, 2)) == ["fits", "fits too"]


def test_a_taken_port_is_refused(hub: HubThread, tmp_path: Path) -> None:
    with pytest.raises(PortTakenError, match=f"port {hub.port} .*--port"):
        start(tmp_path / "elsewhere", hub.port)
    with HubThread(tmp_path / "elsewhere"):
        pass


def test_partitions_can_be_added_but_not_removed(tmp_path: Path) -> None:
    with HubThread(tmp_path, partitions=2) as hub:
        send(hub.connection, "a")
        with consumer(hub.connection) as client:
            before = client.get_eventhub_properties()
    with HubThread(tmp_path, partitions=3) as hub, consumer(hub.connection) as client:
        assert client.get_eventhub_properties() == {**before, "partition_ids": ["0", "1", "2"]}
        assert bodies(receive(hub.connection, 1)) == ["a"]
    with pytest.raises(PartitionCountError, match=r"has 3 partitions.*--partitions 3"):
        start(tmp_path, partitions=2)


def test_damage_to_a_segment_s_header_stops_the_start(tmp_path: Path) -> None:
    with HubThread(tmp_path) as hub:
        send(hub.connection, "ab", "cd")
    (file,) = (tmp_path / "patient-flow" / "0").glob("*.log")
    data = bytearray(file.read_bytes())
    data[20] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(CorruptLogError, match=str(file)):
        start(tmp_path)
    with pytest.raises(CorruptLogError, match=str(file)):
        HubThread(tmp_path).start()


def test_acknowledged_events_that_are_damaged_are_named_and_the_others_are_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with HubThread(tmp_path) as hub:
        send(hub.connection, ["first"])
        send(hub.connection, ["damaged", "damaged too"])
    (file,) = (tmp_path / "patient-flow" / "0").glob("*.log")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with HubThread(tmp_path) as hub:
        send(hub.connection, ["later"])
        received = receive(hub.connection, 2)
        assert bodies(received) == ["first", "later"]
        assert [event.sequence_number for event in received] == [0, 3]
    assert "the acknowledged events 1 to 2 are lost" in caplog.text


def test_a_damaged_hub_file_is_named(tmp_path: Path) -> None:
    with HubThread(tmp_path):
        pass
    (tmp_path / "patient-flow" / "hub.json").write_text("{}")
    with pytest.raises(CorruptLogError, match=r"hub\.json is damaged"):
        start(tmp_path)


def test_a_missing_hub_file_does_not_restart_the_numbering(tmp_path: Path) -> None:
    with HubThread(tmp_path) as hub:
        send(hub.connection, "a", partition="2")
    (tmp_path / "patient-flow" / "hub.json").unlink()
    with pytest.raises(CorruptLogError, match=r"hub\.json is missing"):
        start(tmp_path)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-a", "a.", "a b"])
def test_a_name_that_no_hub_may_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(HubNameError, match="is not a valid hub name"):
        start(tmp_path, hubs=(name,))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HubError, match="cannot be used"):
        start(tmp_path / "file" / "hub")
