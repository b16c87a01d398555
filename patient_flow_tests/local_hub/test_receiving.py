"""Consumers: every starting position, credit, owner levels, retention and lost connections."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.eventhub.exceptions import ConnectError, ConnectionLostError, EventHubError

from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.local_hub.clients import Reader, bodies, consumer, properties, receive, send


@pytest.fixture
def stored(hub: HubThread) -> list[Any]:
    """Events 0 to 9 in partition 0, in two batches with different times."""
    send(hub.connection, "01234", "56789", pause=0.01)
    return receive(hub.connection, 10)


def test_the_oldest_position_is_the_first_event(hub: HubThread, stored: list[Any]) -> None:
    assert bodies(receive(hub.connection, 10, position="-1")) == list("0123456789")


def test_the_latest_position_is_the_next_event_to_come(hub: HubThread, stored: list[Any]) -> None:
    with consumer(hub.connection) as client, Reader(client, position="@latest") as reader:
        reader.attach()
        send(hub.connection, "ab")
        assert bodies(reader.wait_for(2)) == ["a", "b"]


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("by", ["offset", "sequence_number", "enqueued_time"])
def test_a_position_is_the_event_itself_or_the_one_after_it(
    hub: HubThread, stored: list[Any], by: str, inclusive: bool
) -> None:
    position = getattr(stored[3], by)
    first = {
        ("offset", False): 4,
        ("offset", True): 3,
        ("sequence_number", False): 4,
        ("sequence_number", True): 3,
        ("enqueued_time", False): 5,  # events of one batch share their time
        ("enqueued_time", True): 0,
    }[by, inclusive]
    events = receive(hub.connection, 10 - first, position=position, event_position_inclusive=inclusive)
    assert bodies(events) == list("0123456789")[first:]


@pytest.mark.parametrize("by", ["offset", "sequence_number", "enqueued_time"])
def test_the_position_of_the_newest_event_waits_for_the_next(hub: HubThread, stored: list[Any], by: str) -> None:
    with consumer(hub.connection) as client, Reader(client, position=getattr(stored[-1], by)) as reader:
        assert reader.attach().events == []
        send(hub.connection, "a")
        assert bodies(reader.wait_for(1)) == ["a"]


def test_a_time_before_everything_is_the_first_event(hub: HubThread, stored: list[Any]) -> None:
    early = stored[0].enqueued_time - timedelta(days=1)
    assert bodies(receive(hub.connection, 10, position=early)) == list("0123456789")


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (10, "sequence number '10' is invalid. The last sequence number in the system is '9'"),
        ("99999999", "offset '99999999' is invalid"),
        ("newest", "position 'newest' is invalid"),
    ],
)
def test_a_position_beyond_the_end_is_refused(
    hub: HubThread, stored: list[Any], position: int | str, reason: str
) -> None:
    with (
        consumer(hub.connection) as client,
        Reader(client, position=position) as reader,
        pytest.raises(EventHubError, match=reason),
    ):
        reader.attach(2)


@pytest.mark.parametrize(("name", "partition"), [("nowhere", "0"), ("patient-flow", "4")])
def test_an_unknown_hub_or_partition_is_refused(hub: HubThread, name: str, partition: str) -> None:
    with (
        consumer(hub.connection, name) as client,
        Reader(client, partition) as reader,
        pytest.raises((ConnectError, ConnectionLostError), match=r"could not be found|has no partition"),
    ):
        reader.attach(2)


def test_a_backlog_larger_than_the_credit_arrives_whole(hub: HubThread) -> None:
    texts = [str(number) for number in range(400)]
    send(hub.connection, texts[:150], texts[150:])
    assert bodies(receive(hub.connection, 400, prefetch=20)) == texts


def test_delayed_credit_slows_a_consumer_down_and_loses_nothing(hub: HubThread) -> None:
    send(hub.connection, [str(number) for number in range(60)])
    hub.delay_credit(0.05)
    start = time.monotonic()
    assert len(receive(hub.connection, 60, prefetch=10)) == 60
    assert time.monotonic() - start > 6 * 0.05


def test_every_consumer_group_sees_every_event(hub: HubThread, stored: list[Any]) -> None:
    for group in ("$Default", "etl", "ETL", "other"):
        with consumer(hub.connection, group=group) as client, Reader(client) as reader:
            assert len(reader.wait_for(10)) == 10


def test_an_unknown_consumer_group_is_refused(hub: HubThread, stored: list[Any]) -> None:
    with (
        consumer(hub.connection, group="anything-else") as client,
        Reader(client) as reader,
        pytest.raises((ConnectError, ConnectionLostError), match="could not be found"),
    ):
        reader.attach(2)


def test_the_command_line_names_further_consumer_groups(tmp_path: Path) -> None:
    options = ("--port", "0", "--data", str(tmp_path), "--consumer-group", "etl", "--consumer-group", "Research")
    command = [sys.executable, "-m", "patient_flow", "hub", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            connection = process.stdout.readline().removeprefix("ready: ").strip()
            send(connection, "a")
            for group in ("$Default", "ETL", "research"):
                with consumer(connection, group=group) as client, Reader(client) as reader:
                    reader.wait_for(1)
        finally:
            process.terminate()


def test_a_sixth_reader_without_owner_level_is_refused_until_another_one_closes(
    hub: HubThread, stored: list[Any]
) -> None:
    with consumer(hub.connection) as client, ExitStack() as readers:
        first = readers.enter_context(Reader(client))
        for reader in [first, *(readers.enter_context(Reader(client)) for _ in range(4))]:
            reader.wait_for(10)
        with Reader(client) as sixth, pytest.raises(EventHubError, match="maximum number of allowed receivers"):
            sixth.attach(2)
        first.close()
        with Reader(client) as another:
            another.wait_for(10)


def test_a_higher_owner_level_takes_over_and_lower_ones_are_refused(hub: HubThread, stored: list[Any]) -> None:
    with consumer(hub.connection) as client, Reader(client, owner_level=1) as first:
        first.wait_for(10)
        with Reader(client, owner_level=2) as second:
            second.wait_for(10)
            with pytest.raises(ConnectionLostError, match="link:stolen"):
                first.attach(2)
            with Reader(client, owner_level=1) as lower, pytest.raises(EventHubError, match="with epoch 2 exists"):
                lower.attach(2)
            with Reader(client) as without, pytest.raises(EventHubError, match="with epoch 2 exists"):
                without.attach(2)
            send(hub.connection, "a")
            assert bodies(second.wait_for(11))[-1] == "a"


def test_an_owner_level_takes_over_from_readers_without_one(hub: HubThread, stored: list[Any]) -> None:
    with consumer(hub.connection) as client, Reader(client) as plain, Reader(client) as plain_too:
        plain.wait_for(10)
        plain_too.wait_for(10)
        with Reader(client, owner_level=0) as owner:
            owner.wait_for(10)
            for stolen in (plain, plain_too):
                with pytest.raises(ConnectionLostError, match="link:stolen"):
                    stolen.attach(2)


def test_a_closed_owner_no_longer_owns_the_partition(hub: HubThread, stored: list[Any]) -> None:
    with consumer(hub.connection) as client:
        with Reader(client, owner_level=5) as owner:
            owner.wait_for(10)
        with Reader(client) as plain:
            assert len(plain.wait_for(10)) == 10


def test_owner_levels_of_one_group_or_partition_say_nothing_about_another(hub: HubThread, stored: list[Any]) -> None:
    send(hub.connection, "a", partition="1")
    with (
        consumer(hub.connection) as client,
        consumer(hub.connection, group="other") as elsewhere,
        Reader(client, owner_level=5) as owner,
        Reader(client, "1") as other_partition,
        Reader(elsewhere) as other_group,
    ):
        owner.wait_for(10)
        other_partition.wait_for(1)
        other_group.wait_for(10)


def test_retention_raises_the_beginning_and_keeps_the_end(hub: HubThread, stored: list[Any]) -> None:
    hub.truncate("patient-flow", "0")
    found = properties(hub.connection)
    assert (found["beginning_sequence_number"], found["last_enqueued_sequence_number"]) == (10, 9)
    assert found["last_enqueued_offset"] == stored[-1].offset
    assert found["last_enqueued_time_utc"] == stored[-1].enqueued_time
    assert found["is_empty"]


def test_a_checkpoint_that_retention_has_overtaken_continues_at_the_beginning(
    hub: HubThread, stored: list[Any]
) -> None:
    hub.truncate("patient-flow", "0")
    send(hub.connection, "a")
    for position in (stored[3].offset, 3, "-1", stored[0].enqueued_time):
        (event,) = receive(hub.connection, 1, position=position)
        assert (event.body_as_str(), event.sequence_number) == ("a", 10)


def test_truncating_what_does_not_exist_is_an_error(hub: HubThread) -> None:
    with pytest.raises(KeyError):
        hub.truncate("patient-flow", "17")


def test_a_recreated_hub_has_another_age_and_counts_from_zero(hub: HubThread, stored: list[Any]) -> None:
    with consumer(hub.connection) as client:
        before = client.get_eventhub_properties()["created_at"]
        hub.recreate("patient-flow")
        assert client.get_eventhub_properties()["created_at"] > before
    send(hub.connection, "a")
    assert receive(hub.connection, 1)[0].sequence_number == 0


def test_an_aborted_connection_is_reopened_without_loss(hub: HubThread) -> None:
    """The public consumer client, which reconnects by itself."""
    received: list[Any] = []
    with consumer(hub.connection) as client:
        client._config.max_retries = 3
        thread = threading.Thread(
            target=client.receive_batch,
            args=(lambda _context, events: received.extend(events),),
            kwargs={"partition_id": "0", "starting_position": "-1", "max_wait_time": None},
        )
        thread.start()
        for text in ("abc", "def"):
            send(hub.connection, text)
            deadline = time.monotonic() + 30
            while len(received) < len(text) * (1 if text == "abc" else 2):
                assert time.monotonic() < deadline, bodies(received)
                time.sleep(0.02)
            hub.abort_connections()
    thread.join(10)
    assert bodies(received) == list("abcdef")


def test_a_damaged_record_is_passed_over(tmp_path: Path) -> None:
    with HubThread(tmp_path, segment_bytes=1000) as hub:
        send(hub.connection, *[["x" * 1000]] * 3)
        send(hub.connection, *[["intact"]] * 3, partition="1")
        damaged = min((tmp_path / "patient-flow" / "0").glob("*.log"))
        data = bytearray(damaged.read_bytes())
        data[-1] ^= 0xFF
        damaged.write_bytes(data)
        with consumer(hub.connection) as client, Reader(client) as reader, Reader(client, "1") as intact:
            intact.wait_for(3)
            assert [event.sequence_number for event in reader.wait_for(2)] == [1, 2]
            send(hub.connection, ["more"], partition="1")
            assert bodies(intact.wait_for(4))[-1] == "more"
