"""Producers: what they send is stored in the right partition and comes back unchanged."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from azure.eventhub import EventData, EventDataBatch
from azure.eventhub.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.eventhub.exceptions import ConnectError, EventHubError

from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.local_hub.clients import bodies, producer, properties, receive, send

PARTITIONS = ("0", "1", "2", "3")


def test_hub_properties_state_name_partitions_and_age(hub: HubThread) -> None:
    with producer(hub.connection) as client:
        found = client.get_eventhub_properties()
    assert found["eventhub_name"] == "patient-flow"
    assert found["partition_ids"] == list(PARTITIONS)
    assert abs(found["created_at"] - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_unused_partition_is_empty_and_has_no_last_event(hub: HubThread) -> None:
    found = properties(hub.connection, "2")
    assert (found["eventhub_name"], found["id"], found["is_empty"]) == ("patient-flow", "2", True)
    assert (found["beginning_sequence_number"], found["last_enqueued_sequence_number"]) == (0, -1)


def test_partition_properties_state_the_newest_event(hub: HubThread) -> None:
    send(hub.connection, ["a", "b"], partition="2")
    found = properties(hub.connection, "2")
    newest = receive(hub.connection, 2, "2")[-1]
    assert (found["beginning_sequence_number"], found["last_enqueued_sequence_number"]) == (0, 1)
    assert found["last_enqueued_offset"] == newest.offset
    assert found["last_enqueued_time_utc"] == newest.enqueued_time
    assert not found["is_empty"]


def test_a_batch_goes_to_its_partition_in_order(hub: HubThread) -> None:
    send(hub.connection, [str(number) for number in range(100)], partition="1")
    events = receive(hub.connection, 100, "1")
    assert bodies(events) == [str(number) for number in range(100)]
    assert [event.sequence_number for event in events] == list(range(100))
    assert all(int(left.offset) < int(right.offset) for left, right in pairwise(events))
    assert all(abs(event.enqueued_time - datetime.now(UTC)) < timedelta(minutes=1) for event in events)


def test_events_of_one_key_share_a_partition_and_bring_the_key_back(hub: HubThread) -> None:
    with producer(hub.connection) as client:
        for _ in range(2):
            batch = client.create_batch(partition_key="patient-7")
            batch.add(EventData("batched"))
            client.send_batch(batch)
        client.send_event(EventData("single"), partition_key="patient-7")
        used = [p for p in PARTITIONS if not client.get_partition_properties(p)["is_empty"]]
    assert len(used) == 1
    events = receive(hub.connection, 3, used[0])
    assert bodies(events) == ["batched", "batched", "single"]
    assert {event.partition_key for event in events} == {b"patient-7"}


def test_deliveries_without_a_key_are_distributed_round_robin(hub: HubThread) -> None:
    with producer(hub.connection) as client:
        for number in range(8):
            client.send_event(EventData(str(number)))
    assert [properties(hub.connection, p)["last_enqueued_sequence_number"] for p in PARTITIONS] == [1, 1, 1, 1]


def test_all_properties_of_an_event_come_back(hub: HubThread) -> None:
    event = EventData(b'{"x": 1}')
    event.properties = {"text": "ä", "count": 2**31 - 1, "ratio": 0.5, "flag": True, "none": None, "raw": b"\x00\xff"}
    event.message_id = "id-1"
    event.content_type = "application/json"
    event.correlation_id = "c-1"
    with producer(hub.connection) as client:
        client.send_event(event, partition_id="3")
        batch = client.create_batch(partition_id="3")
        batch.add(event)
        client.send_batch(batch)
    for received in receive(hub.connection, 2, "3"):
        assert received.body_as_json() == {"x": 1}
        assert (received.message_id, received.content_type) == ("id-1", "application/json")
        assert received.correlation_id == "c-1"
        assert received.properties == {
            b"text": "ä".encode(),
            b"count": 2**31 - 1,
            b"ratio": 0.5,
            b"flag": True,
            b"none": None,
            b"raw": b"\x00\xff",
        }


def test_bodies_of_every_kind_come_back(hub: HubThread) -> None:
    with producer(hub.connection) as client:
        client.send_event(AmqpAnnotatedMessage(value_body={"k": [1, None, 2.5]}), partition_id="0")
        client.send_event(AmqpAnnotatedMessage(data_body=[b"a", b"b"]), partition_id="0")
        client.send_event(EventData(b""), partition_id="0")
    value, data, empty = receive(hub.connection, 3)
    assert value.body_type is AmqpMessageBodyType.VALUE
    assert value.raw_amqp_message.body == {b"k": [1, None, 2.5]}
    assert list(data.body) == [b"a", b"b"]
    assert list(empty.body) == [b""]


def test_a_batch_of_a_megabyte_is_stored_whole(hub: HubThread) -> None:
    with producer(hub.connection) as client:
        batch = client.create_batch(partition_id="0")
        count = fill(batch, 2000)
        assert batch.size_in_bytes > (1 << 20) - 3000
        client.send_batch(batch)
    assert bodies(receive(hub.connection, count)) == [str(number).ljust(2000, ".") for number in range(count)]


def test_one_event_of_a_megabyte_is_stored_whole(hub: HubThread) -> None:
    body = b"x" * ((1 << 20) - 200)
    send(hub.connection, [body])
    assert b"".join(receive(hub.connection, 1)[0].body) == body


def fill(batch: EventDataBatch, size: int) -> int:
    """Add numbered events of ``size`` bytes until the batch is full; returns how many."""
    count = 0
    while True:
        try:
            batch.add(EventData(str(count).ljust(size, ".")))
        except ValueError:
            return count
        count += 1


def test_more_deliveries_than_the_initial_credit_are_accepted(hub: HubThread) -> None:
    with producer(hub.connection) as client:
        for number in range(1200):
            client.send_event(EventData(str(number)), partition_id="0")
    assert bodies(receive(hub.connection, 1200)) == [str(number) for number in range(1200)]


def test_hub_names_are_matched_whatever_their_case(hub: HubThread) -> None:
    send(hub.connection, ["a"], name="Patient-FLOW")
    assert bodies(receive(hub.connection, 1, name="patient-flow")) == ["a"]


def test_hubs_are_kept_apart(hub: HubThread) -> None:
    send(hub.connection, ["a"], name="other")
    assert properties(hub.connection, name="patient-flow")["is_empty"]
    assert bodies(receive(hub.connection, 1, name="other")) == ["a"]


def test_an_unknown_hub_is_refused(hub: HubThread) -> None:
    with producer(hub.connection, "nowhere") as client:
        with pytest.raises(ConnectError, match="could not be found"):
            client.get_eventhub_properties()
        with pytest.raises(EventHubError, match="could not be found"):
            client.send_event(EventData("lost"))


def test_an_unknown_partition_is_refused(hub: HubThread) -> None:
    with producer(hub.connection) as client:
        with pytest.raises(ConnectError, match="has no partition '9'"):
            client.get_partition_properties("9")
        with pytest.raises(ConnectError):
            client.send_event(EventData("lost"), partition_id="9")


def test_enqueued_times_never_fall(hub: HubThread, monkeypatch: pytest.MonkeyPatch) -> None:
    send(hub.connection, ["before"])
    now = time.time_ns()
    monkeypatch.setattr("patient_flow.local_hub.log.time.time_ns", lambda: now - 10**12)
    send(hub.connection, ["after"])
    before, after = receive(hub.connection, 2)
    assert after.enqueued_time == before.enqueued_time
