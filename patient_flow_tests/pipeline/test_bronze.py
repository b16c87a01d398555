"""Hub → bronze through the real client: once each, resumed exactly, whatever happens to the hub."""

from __future__ import annotations

import json
import re
import struct
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub._consumer import EventHubConsumer
from azure.eventhub._pyamqp._decode import decode_payload
from azure.eventhub._pyamqp._encode import encode_payload
from azure.eventhub._pyamqp.message import Message
from azure.eventhub.amqp import AmqpAnnotatedMessage
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.contracts.tables import BRONZE_EVENTS, SILVER_EVENTS
from patient_flow.local_hub.testing import HubThread
from patient_flow.monitoring.finding import Finding
from patient_flow.monitoring.inputs import BronzeEvents
from patient_flow.monitoring.notices import (
    EventsExpired,
    EventsRemaining,
    HubAdopted,
    HubRecreated,
    PartitionAdded,
    describe,
)
from patient_flow.monitoring.rules.arrival import all_events_arrive_once, new_events_arrive_once
from patient_flow.pipeline import bronze, inspection, received
from patient_flow.pipeline.backlog import HubRefused, identity
from patient_flow.pipeline.checkpoints import READ_UNTIL
from patient_flow.pipeline.steps import StepResult
from patient_flow.stores import amqp
from patient_flow.stores.hub import MAX_BATCH_EVENTS, DrainResult, Hub, HubUnavailable, Slice, _Received
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow_tests.builders import department, department_list, step_context

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DEPARTMENTS = department_list(department())


def send(hub: HubThread, bodies: Sequence[bytes], partition: int = 0, key: str | None = None) -> None:
    with EventHubProducerClient.from_connection_string(hub.connection, eventhub_name="patient-flow") as producer:
        batch = producer.create_batch(partition_key=key) if key else producer.create_batch(partition_id=str(partition))
        for body in bodies:
            event = EventData(body)
            event.properties = {"source": "ward", "attempt": 1}
            batch.add(event)
        producer.send_batch(batch)


def ingest(lake: Lake, hub: Hub, **options: object) -> StepResult:
    context = step_context(lake, DEPARTMENTS, hub=hub, now=NOW, run_id="run", **{"max_events": 1000, **options})
    return bronze.ingest(context)


def stored(lake: Lake) -> pl.DataFrame:
    return lake.open(BRONZE_EVENTS).scan().sort("hub_created_at", "partition_id", "sequence_number").collect()


def test_bodies_arrive_byte_for_byte_with_where_they_came_from(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    send(hub_thread, [b"\xff\x00 no JSON", b"{}"], key="patient-1")
    result = ingest(lake, hub)
    rows = stored(lake)
    assert rows["body"].to_list() == [b"\xff\x00 no JSON", b"{}"]
    assert rows["partition_key"].unique().to_list() == ["patient-1"]
    assert rows["properties"][0] == '{"attempt": 1, "source": "ward"}'
    assert rows["sequence_number"].to_list() == [0, 1]
    assert rows["run_id"].unique().to_list() == ["run"]
    assert result.written.inserted == 2


def send_message(hub: HubThread, partition: int = 0, **message: Any) -> None:
    """An AMQP message made by hand: ``data_body``, ``sequence_body`` or ``value_body``, ``application_properties``."""
    with EventHubProducerClient.from_connection_string(hub.connection, eventhub_name="patient-flow") as producer:
        batch = producer.create_batch(partition_id=str(partition))
        batch.add(AmqpAnnotatedMessage(**message))
        producer.send_batch(batch)


IDENTITY = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("message", "body"),
    [
        ({"data_body": [b'{"a":', b" 1}"]}, b'{"a": 1}'),
        ({"value_body": '{"patient_id": "ä"}'}, '{"patient_id": "ä"}'.encode()),
        ({"value_body": b"\xff\x00"}, b"\xff\x00"),
        ({"value_body": {"patient_id": "p1", "hospital_id": 3}}, b'{"hospital_id": 3, "patient_id": "p1"}'),
        ({"value_body": {"a": {"b": ["c", None, True, 1.5]}}}, b'{"a": {"b": ["c", null, true, 1.5]}}'),
        ({"value_body": {"x": float("nan"), "y": IDENTITY}}, f'{{"x": "nan", "y": "{IDENTITY}"}}'.encode()),
        ({"value_body": None}, b"null"),
        ({"sequence_body": [[1, b"\xff"], ["two"]]}, b'[[1, "\\ufffd"], ["two"]]'),
    ],
)
def test_a_body_that_is_no_data_is_kept_as_json_and_one_that_is_stays_as_it_is(
    message: dict[str, Any], body: bytes, lake: Lake, hub: Hub, hub_thread: HubThread
) -> None:
    send_message(hub_thread, **message)
    assert ingest(lake, hub).notices == ()
    assert stored(lake)["body"].to_list() == [body]


def test_properties_of_every_kind_are_kept_as_json(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    properties = {"nested": {"b": {"c": [b"\xff", IDENTITY]}}, "infinite": float("inf")}
    send_message(hub_thread, data_body=b"{}", application_properties=properties)
    ingest(lake, hub)
    assert json.loads(stored(lake)["properties"][0]) == {
        "nested": {"b": {"c": ["\ufffd", str(IDENTITY)]}},
        "infinite": "inf",
    }


def nested(depth: int) -> Any:
    value: Any = "content"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("part", ["value_body", "application_properties"])
def test_an_event_that_nests_without_end_holds_up_neither_its_partition_nor_another(
    part: str, lake: Lake, hub: Hub, hub_thread: HubThread
) -> None:
    send(hub_thread, [b"before"])
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(5 * limit)  # for the producer's sake
    send_message(hub_thread, **{"value_body": "{}", part: {"deep": nested(700)}})
    sys.setrecursionlimit(limit)
    send(hub_thread, [b"after"])
    send(hub_thread, [b"elsewhere"], partition=1)
    assert ingest(lake, hub).written.inserted == 4
    bodies = stored(lake)["body"].to_list()
    assert [bodies[0], *bodies[2:]] == [b"before", b"after", b"elsewhere"]


def test_an_event_that_the_client_cannot_decode_is_kept_as_far_as_it_can_be(
    lake: Lake, hub: Hub, hub_thread: HubThread
) -> None:
    """The client cannot read the decimals that it sends itself; were that mended, this test could be simpler."""
    send(hub_thread, [b"before"])
    send_message(
        hub_thread, data_body=[b"{", b"}"], application_properties={"ward": "ICU", "exact": Decimal("1.5"), "n": 1}
    )
    send_message(hub_thread, value_body={"exact": [Decimal("1.5")]})
    send(hub_thread, [b"after"])
    assert ingest(lake, hub).notices == ()
    rows = stored(lake)
    assert rows["sequence_number"].to_list() == [0, 1, 2, 3]
    assert rows["offset"].n_unique() == 4
    assert [rows["body"][number] for number in (0, 1, 3)] == [b"before", b"{}", b"after"]
    kept = json.loads(rows["properties"][1])
    assert (kept["ward"], kept["n"]) == ("ICU", 1)
    assert re.fullmatch("94[0-9a-f]{32}", kept["exact"])
    assert re.fullmatch(rb'"[cd]1[0-9a-f]+"', rows["body"][2])


def test_types_that_the_client_does_not_know_and_depths_that_it_cannot_reach_are_kept_in_hexadecimal() -> None:
    character, deep = bytes.fromhex("7300000041"), b"\x40"
    for _ in range(2000):
        deep = b"\xd0" + struct.pack(">II", 4 + len(deep), 1) + deep
    properties = b"\xa1\x01c" + character + b"\xa3\x01n\x54\x07"
    sections = b"\x00\x53\x74\xc1" + bytes([1 + len(properties), 4]) + properties + b"\x00\x53\x77" + deep
    message = amqp.decode(memoryview(sections))
    assert message.application_properties == {b"c": character.hex(), b"n": 7}
    assert message.value == deep.hex()


@given(
    st.dictionaries(st.text(max_size=300), st.integers(-(2**31), 2**31 - 1) | st.text(max_size=300) | st.uuids()),
    st.lists(st.binary(max_size=300), min_size=1, max_size=3),
)
def test_section_by_section_a_message_is_what_the_client_makes_of_it(
    properties: dict[str, Any], data: list[bytes]
) -> None:
    sent = Message(application_properties=properties, message_annotations={b"x-opt-offset": "7"}, data=data)
    encoded = memoryview(encode_payload(bytearray(), sent))
    whole = decode_payload(encoded)
    assert amqp._by_sections(encoded) == whole._replace(application_properties=whole.application_properties or {})


def test_an_unconvertible_value_is_stored_as_a_row_with_its_error() -> None:
    body, properties = row_of(Message(value=nested(5000), application_properties={"deep": nested(5000)}))
    assert json.loads(body) == json.loads(properties) == "an AMQP value that cannot be kept: RecursionError"


def row_of(message: Message) -> tuple[bytes, str]:
    """Body and properties in the row that a message becomes."""
    numbered = message._replace(message_annotations={b"x-opt-sequence-number": 0, b"x-opt-offset": b"0"})
    received = _Received(Slice("0", -1, 0, None), max_bytes=1)
    received.add([numbered])
    return received.frame().select("body", "properties").row(0)


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5).map(str.encode)
    | st.binary(max_size=5)
    | st.uuids()
    | st.decimals()
    | st.datetimes(timezones=st.just(UTC))
)
keys = st.text(max_size=3).map(str.encode) | st.binary(max_size=3) | st.integers(-9, 9) | st.uuids() | st.booleans()
amqp_values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)


@given(amqp_values, st.dictionaries(keys, amqp_values, max_size=3))
def test_any_amqp_value_becomes_a_row_of_json(value: Any, properties: dict[Any, Any]) -> None:
    for message in ({"value": value}, {"sequence": [[value], [value]]}):
        body, said = row_of(Message(application_properties=properties, **message))
        assert body == value or strict(body) is not NotImplemented
        assert not properties or isinstance(strict(said), dict)


def strict(text: bytes | str) -> Any:
    return json.loads(text, parse_constant=pytest.fail)


def test_the_next_run_reads_only_what_is_new(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    for number in range(3):
        send(hub_thread, [b"%d" % number] * 10, partition=number % 2)
        assert ingest(lake, hub).written.inserted == 10
    assert ingest(lake, hub).written.inserted == 0
    assert stored(lake).height == 30


def test_a_run_reads_up_to_its_limit_and_reports_the_rest(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    for partition in range(4):
        send(hub_thread, [b"x"] * 25, partition)
    result = ingest(lake, hub, max_events=40)
    assert result.written.inserted == 40
    assert result.notices == (EventsRemaining(60),)
    assert result.counts["lag"] == {"0": 15, "1": 15, "2": 15, "3": 15}
    assert ingest(lake, hub).written.inserted == 60


def test_many_events_enter_in_several_commits_and_what_a_run_died_at_is_read_on_from_there(
    lake: Lake, hub: Hub, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit is always read whole: its size bounds the memory of the steps that follow."""
    monkeypatch.setattr(received, "ROWS_AT_ONCE", 4)
    bodies = [b"%d" % number for number in range(5)]
    for partition in range(3):
        send(hub_thread, bodies, partition)
    append = LakeTable.append

    def append_and_die(table: LakeTable, rows: pl.DataFrame, *arguments: Any, **metadata: str) -> int:
        append(table, rows, *arguments, **metadata)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LakeTable, "append", append_and_die)
        with pytest.raises(KeyboardInterrupt):
            ingest(lake, hub)
    assert (stored(lake).height, READ_UNTIL.read(lake.open(BRONZE_EVENTS).checkpoint)) == (4, None)
    before = lake.open(BRONZE_EVENTS).version
    assert ingest(lake, hub).written.inserted == 11
    assert lake.open(BRONZE_EVENTS).version == before + 3
    assert READ_UNTIL.read(lake.open(BRONZE_EVENTS).checkpoint) == NOW
    for partition in range(3):
        assert stored(lake).filter(partition_id=str(partition))["body"].to_list() == bodies


def test_a_run_takes_no_more_bytes_than_fit_into_memory_and_the_next_goes_on_from_there(
    lake: Lake, hub: Hub, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fair shares: what the two short partitions leave over goes to the long ones."""
    monkeypatch.setattr(bronze, "DRAIN_BYTES", 100 * (10 + WITH_PROPERTIES))
    bodies = [b"%010d" % number for number in range(100)]
    for partition, events in enumerate((100, 5, 60, 1)):
        send(hub_thread, bodies[:events], partition)
    result = ingest(lake, hub)
    assert result.counts["events"] == {"0": 47, "1": 5, "2": 47, "3": 1}
    assert result.notices == (EventsRemaining(66),)
    assert result.figures["deferred_events"] == 66
    last = ingest(lake, hub)
    assert (last.counts["events"], last.figures["deferred_events"]) == ({"0": 53, "2": 13}, 0)
    for partition, events in enumerate((100, 5, 60, 1)):
        assert stored(lake).filter(partition_id=str(partition))["body"].to_list() == bodies[:events]


WITH_PROPERTIES = len('{"attempt": 1, "source": "ward"}')


def test_events_larger_than_a_whole_run_may_take_come_one_per_partition(
    lake: Lake, hub: Hub, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bronze, "DRAIN_BYTES", 1)
    for partition in range(4):
        send(hub_thread, [b"x" * 1000] * 2, partition)
    for _ in range(2):
        assert ingest(lake, hub).counts["events"] == {"0": 1, "1": 1, "2": 1, "3": 1}
    assert stored(lake).height == 8


def test_the_client_holds_few_events_at_a_time_however_many_wait(
    lake: Lake, hub: Hub, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(hub_thread, [b"x"] * 1000)
    lengths, receive = [], EventHubConsumer._message_received

    def count(consumer: EventHubConsumer, message: Any) -> None:
        receive(consumer, message)
        lengths.append(len(consumer._message_buffer))

    monkeypatch.setattr(EventHubConsumer, "_message_received", count)
    assert ingest(lake, hub).written.inserted == len(lengths) == 1000
    assert max(lengths) == MAX_BATCH_EVENTS


def test_a_run_without_time_left_reports_the_deferred_events(
    lake: Lake, hub: Hub, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(hub_thread, [b"x"] * 5)
    monkeypatch.setattr(bronze, "DRAIN_SECONDS", 0.0)
    assert ingest(lake, hub).figures["deferred_events"] == 5


def test_what_a_partition_in_trouble_holds_is_not_put_off(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    for partition in range(4):
        send(hub_thread, [b"x"] * 5, partition)
    with held(hub_thread, 1):
        figures = ingest(lake, hub).figures
    assert (figures["backlog"], figures["deferred_events"]) == (5, 0)


def test_an_empty_hub_is_no_error(lake: Lake, hub: Hub) -> None:
    assert ingest(lake, hub).figures["backlog"] == 0


def test_a_hub_created_again_starts_over_beside_the_old_events(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    send(hub_thread, [b"old"] * 3)
    ingest(lake, hub)
    hub_thread.recreate("patient-flow")
    send(hub_thread, [b"new"] * 2)
    result = ingest(lake, hub)
    assert isinstance(result.notices[0], HubRecreated)
    assert stored(lake)["body"].to_list() == [b"old"] * 3 + [b"new"] * 2


def test_events_that_retention_dropped_are_counted(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    send(hub_thread, [b"seen"] * 2)
    ingest(lake, hub)
    send(hub_thread, [b"lost"] * 5)
    hub_thread.truncate("patient-flow", "0")
    send(hub_thread, [b"kept"])
    result = ingest(lake, hub)
    assert isinstance(result.notices[0], EventsExpired)
    assert result.notices[0].events == 5
    assert stored(lake)["body"].to_list() == [b"seen"] * 2 + [b"kept"]


def test_a_gap_by_retention_stays_explained(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    for lost in (5, 2):
        send(hub_thread, [b"seen"] * 2)
        ingest(lake, hub)
        send(hub_thread, [b"lost"] * lost)
        hub_thread.truncate("patient-flow", "0")
    send(hub_thread, [b"kept"])
    ingest(lake, hub)
    arrived = inspection.all_bronze_events(lake)
    unexplained = arrived.partitions.with_columns(expired=pl.lit(0, pl.Int64()))
    assert all_events_arrive_once(BronzeEvents(arrived.events, unexplained)).figures["missing"] == 7
    explained = all_events_arrive_once(arrived)
    assert explained.is_ok
    assert "except for 7 that retention deleted" in explained.message
    with_gap = BronzeEvents(arrived.events.filter(pl.col("sequence_number") != 1), arrived.partitions)
    assert all_events_arrive_once(with_gap).figures == {"events": 4, "missing": 1, "duplicates": 0, "expired": 7}


def judged(lake: Lake, hub: Hub) -> Finding:
    """What the check of a micro-batch finds."""
    return new_events_arrive_once(inspection.new_bronze_events(lake, identity(hub.host, hub.name)))


def consumed(lake: Lake) -> None:
    """Silver follows."""
    version = lake.open(BRONZE_EVENTS).version
    lake.open(SILVER_EVENTS).append(SILVER_EVENTS.empty(), {BRONZE_EVENTS.path: version})


def test_a_loss_by_retention_is_reported_once_by_the_check_of_its_batch(
    lake: Lake, hub: Hub, hub_thread: HubThread
) -> None:
    send(hub_thread, [b"seen"] * 2)
    send(hub_thread, [b"other"], partition=1)
    ingest(lake, hub)
    assert judged(lake, hub).is_ok
    consumed(lake)
    assert judged(lake, hub).is_ok
    send(hub_thread, [b"lost"] * 5)
    hub_thread.truncate("patient-flow", "0")
    send(hub_thread, [b"kept"] * 3)
    ingest(lake, hub)
    for _ in range(2):  # as long as silver does not follow
        assert judged(lake, hub).message == "The hub's retention deleted 5 events before they could be read."
    consumed(lake)
    send(hub_thread, [b"next"])
    ingest(lake, hub)
    assert judged(lake, hub).is_ok
    assert all_events_arrive_once(inspection.all_bronze_events(lake)).is_ok  # bronze recorded the loss


def test_a_loss_of_a_whole_partition_is_reported_with_the_batch_that_records_it(
    lake: Lake, hub: Hub, hub_thread: HubThread
) -> None:
    send(hub_thread, [b"seen"] * 2)
    ingest(lake, hub)
    consumed(lake)
    send(hub_thread, [b"lost"] * 5)
    hub_thread.truncate("patient-flow", "0")
    ingest(lake, hub)
    assert judged(lake, hub).figures == {"events": 0, "missing": 0, "duplicates": 0, "expired": 5}
    consumed(lake)
    send(hub_thread, [b"kept"])
    ingest(lake, hub)
    assert judged(lake, hub).is_ok


def test_numbers_of_a_hub_created_again_start_over(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    send(hub_thread, [b"old"] * 3)
    ingest(lake, hub)
    consumed(lake)
    hub_thread.recreate("patient-flow")
    send(hub_thread, [b"new"] * 2)
    ingest(lake, hub)
    assert judged(lake, hub).is_ok


def test_a_partition_whose_events_all_expired_unread_is_named_once_and_read_on(
    lake: Lake, hub: Hub, hub_thread: HubThread
) -> None:
    send(hub_thread, [b"lost"] * 5, partition=2)
    hub_thread.truncate("patient-flow", "2")
    assert [ingest(lake, hub).notices for _ in range(2)] == [
        (EventsExpired("2", 5, before_first_read=True),),
        (),
    ]
    assert stored(lake).is_empty()
    send(hub_thread, [b"kept"] * 2, partition=2)
    assert ingest(lake, hub).notices == ()
    assert stored(lake)["sequence_number"].to_list() == [5, 6]


def test_a_hub_created_again_is_named_once_also_while_it_is_empty(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    send(hub_thread, [b"old"])
    ingest(lake, hub)
    hub_thread.recreate("patient-flow")
    assert [[type(notice) for notice in ingest(lake, hub).notices] for _ in range(2)] == [[HubRecreated], []]


def test_a_partition_that_was_added_is_named_although_the_next_events_come_by_another(
    lake: Lake, tmp_path: Path
) -> None:
    with HubThread(tmp_path, partitions=2) as small:
        send(small, [b"before"])
        assert ingest(lake, seen(small)).notices == ()
    with HubThread(tmp_path, partitions=3) as grown:
        send(grown, [b"meanwhile"], partition=1)
        assert ingest(lake, seen(grown)).notices == (PartitionAdded("2"),)
        send(grown, [b"after"], partition=2)
        assert ingest(lake, seen(grown)).notices == ()
    assert sorted(stored(lake)["body"]) == [b"after", b"before", b"meanwhile"]


def test_another_hub_that_is_still_empty_is_adopted_once(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    send(hub_thread, [b"old"])
    ingest(lake, Hub(connection=hub_thread.connection, host="old", name="patient-flow", consumer_group="$Default"))
    with pytest.raises(HubRefused):
        ingest(lake, hub)
    hub_thread.recreate("patient-flow")
    assert isinstance(ingest(lake, hub, adopt_hub=True).notices[0], HubAdopted)
    assert ingest(lake, hub).notices == ()


def seen(running: HubThread) -> Hub:
    return Hub(connection=running.connection, host="127.0.0.1", name="patient-flow", consumer_group="$Default")


def test_a_restarted_hub_goes_on_where_it_was(lake: Lake, hub: Hub, hub_thread: HubThread) -> None:
    send(hub_thread, [b"before"] * 3)
    ingest(lake, hub)
    hub_thread.stop()
    hub_thread.start()
    send(hub_thread, [b"after"])
    assert ingest(lake, hub).notices == ()
    assert stored(lake)["sequence_number"].to_list() == [0, 1, 2, 3]


def test_a_hub_that_is_down_is_one_clear_error_and_nothing_is_written(lake: Lake, hub_thread: HubThread) -> None:
    hub_thread.stop()
    gone = Hub(connection=hub_thread.connection, host="127.0.0.1", name="patient-flow", consumer_group="$Default")
    with pytest.raises(HubUnavailable, match="patient-flow hub"):
        ingest(lake, gone)
    assert stored(lake).is_empty()


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_partition_that_somebody_else_holds_keeps_no_other_from_being_read(
    taken: int, lake: Lake, hub: Hub, hub_thread: HubThread
) -> None:
    for partition in range(4):
        send(hub_thread, [b"%d" % partition] * 5, partition)
    with held(hub_thread, taken):
        notices = ingest(lake, hub).notices
    assert describe(notices[0]).startswith(f"partition {taken} of Event Hub patient-flow")
    arrived = stored(lake).group_by("partition_id").len()
    assert dict(arrived.iter_rows()) == {str(partition): 5 for partition in range(4) if partition != taken}
    assert ingest(lake, hub).written.inserted == 5
    assert stored(lake).height == 20


def test_what_a_partition_sent_before_it_failed_is_kept_and_read_on_from_there(
    lake: Lake, hub: Hub, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(hub_thread, [b"%d" % number for number in range(10)], partition=2)
    add = _Received.add

    def torn_off(received: _Received, batch: list[EventData]) -> None:
        add(received, batch[:3])
        raise ConnectionResetError("torn off")

    monkeypatch.setattr(_Received, "add", torn_off)
    assert "torn off" in describe(ingest(lake, hub).notices[0])
    assert stored(lake)["sequence_number"].to_list() == [0, 1, 2]
    monkeypatch.undo()
    assert ingest(lake, hub).written.inserted == 7
    assert stored(lake)["body"].to_list() == [b"%d" % number for number in range(10)]


def test_when_no_partition_can_be_read_nothing_is_written(
    lake: Lake, hub: Hub, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    for partition in range(4):
        send(hub_thread, [b"x"], partition)

    def torn_off(*_: object) -> None:
        raise ConnectionResetError("torn off")

    monkeypatch.setattr(_Received, "add", torn_off)
    before = lake.open(BRONZE_EVENTS).version
    with pytest.raises(HubUnavailable, match="3 more partitions"):
        ingest(lake, hub)
    assert lake.open(BRONZE_EVENTS).version == before


@contextmanager
def held(hub: HubThread, partition: int) -> Iterator[None]:
    """Another reader of the same consumer group, with a higher claim to a partition than ours."""
    with EventHubConsumerClient.from_connection_string(
        hub.connection, consumer_group="$Default", eventhub_name="patient-flow"
    ) as client:
        reads = threading.Event()

        def receive(*_: object) -> None:
            reads.set()

        options = {"partition_id": str(partition), "starting_position": "-1", "owner_level": 9}
        thread = threading.Thread(target=client.receive, args=(receive,), kwargs=options)
        thread.start()
        assert reads.wait(10)
        try:
            yield
        finally:
            client.close()
            thread.join()


def test_an_unknown_hub_name_is_one_clear_error(lake: Lake, hub_thread: HubThread) -> None:
    other = Hub(connection=hub_thread.connection, host="127.0.0.1", name="laboratory", consumer_group="$Default")
    with pytest.raises(HubUnavailable, match="laboratory"):
        ingest(lake, other)


def test_a_run_that_lost_a_race_for_the_same_events_finds_nothing_left(
    lake: Lake, hub: Hub, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run commits between this run's drain and its commit."""
    send(hub_thread, [b"x"] * 5)
    drain = Hub.drain
    raced: list[bool] = []

    def drain_and_be_overtaken(self: Hub, *arguments: object) -> DrainResult:
        rows = drain(self, *arguments)  # type: ignore[arg-type]
        if not raced:
            raced.append(True)
            ingest(lake, hub)
        return rows

    monkeypatch.setattr(Hub, "drain", drain_and_be_overtaken)
    assert ingest(lake, hub).written.inserted == 0
    assert stored(lake).height == 5
