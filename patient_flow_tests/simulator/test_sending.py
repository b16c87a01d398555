"""Pacing and sinks; a fake stands for the hub at its client's interface."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from azure.eventhub import EventDataBatch
from azure.eventhub.exceptions import AuthenticationError, ConnectError, ConnectionLostError

from patient_flow.settings import Settings
from patient_flow.simulator.demand import SECOND
from patient_flow.simulator.feed import Message
from patient_flow.simulator.sending import CHUNK, FileSink, HubSink, SimulatorError, hub_sink, pump

from .builders import NOW, Clock, MemorySink


def message(number: int, *, due: int = NOW, key: str = "patients-01", size: int = 0) -> Message:
    return Message(due, due, key, b"%d" % number + b"." * size, "admission", None)


class Hub:
    """The producer client's interface; ``failures`` are raised one after another, each at the named call."""

    def __init__(self, failures: Sequence[tuple[str, Exception]] = (), batch_bytes: int = 10_000) -> None:
        self.failures = list(failures)
        self.batch_bytes = batch_bytes
        self.batches: list[tuple[str, list[bytes]]] = []
        self.is_closed = False

    def create_batch(self, *, partition_key: str) -> EventDataBatch:
        self._fail("create_batch")
        return EventDataBatch(max_size_in_bytes=self.batch_bytes, partition_key=partition_key)

    def send_batch(self, batch: EventDataBatch) -> None:
        self._fail("send_batch")
        events: Any = batch._internal_events
        self.batches.append((str(batch._partition_key), [b"".join(event.body) for event in events]))

    def close(self) -> None:
        self.is_closed = True

    def _fail(self, call: str) -> None:
        if self.failures and self.failures[0][0] == call:
            raise self.failures.pop(0)[1]


def sink_for(hub: Hub, clock: Clock, report: Callable[[str], None] = lambda text: None) -> HubSink:
    client: Any = hub
    return HubSink(client, "Event Hub test", sleep=clock.sleep, report=report)


def bodies(hub: Hub) -> list[bytes]:
    return [body for _, batch in hub.batches for body in batch]


def test_a_back_fill_never_waits_and_is_sent_in_chunks() -> None:
    clock = Clock()
    sink = MemorySink(clock)
    pump((message(n) for n in range(CHUNK + 5)), sink, clock=clock, sleep=clock.sleep, acknowledged=lambda group: None)
    assert clock.naps == []
    assert len(sink.received) == CHUNK + 5


def test_no_message_leaves_before_it_is_due_and_each_leaves_within_a_second() -> None:
    clock = Clock()
    sink = MemorySink(clock)
    live = [message(n, due=NOW + n * SECOND // 30) for n in range(600)]
    live += [message(n, due=NOW + n * 90 * SECOND) for n in range(1, 5)]
    pump(live, sink, clock=clock, sleep=clock.sleep, acknowledged=lambda group: None)
    assert [sent for _, sent in sink.received] == live
    assert all(0 <= at - sent.due / SECOND <= 1 for at, sent in sink.received)


def test_a_pace_meets_its_rate_in_every_minute() -> None:
    clock = Clock()
    sink = MemorySink(clock)
    pump(
        (message(n, due=NOW + n * SECOND // 40) for n in range(40 * 300)),
        sink,
        clock=clock,
        sleep=clock.sleep,
        acknowledged=lambda group: None,
    )
    for minute in range(5):
        begin = NOW / SECOND + 60 * minute
        assert sum(1 for at, _ in sink.received if begin <= at < begin + 60) == pytest.approx(2400, rel=0.1)


def test_events_of_a_key_keep_their_order_and_share_batches() -> None:
    hub = Hub(batch_bytes=2_000)
    sent = [message(n, key=f"patients-{n % 2:02d}", size=50) for n in range(200)]
    groups = list(sink_for(hub, Clock()).send(sent))
    assert sum(len(group) for group in groups) == 200
    for key in ("patients-00", "patients-01"):
        assert [body for k, batch in hub.batches if k == key for body in batch] == [
            m.body for m in sent if m.key == key
        ]
    assert len(hub.batches) < 20


def test_sending_is_retried_while_the_hub_is_unavailable_and_nothing_is_lost() -> None:
    hub = Hub([("send_batch", ConnectionLostError("gone")), ("send_batch", ConnectError("still gone"))])
    clock = Clock()
    reports: list[str] = []
    acknowledged: list[Message] = []
    sent = [message(n) for n in range(50)]
    sink = sink_for(hub, clock, reports.append)
    pump(sent, sink, clock=clock, sleep=clock.sleep, acknowledged=acknowledged.extend)
    assert acknowledged == sent
    assert bodies(hub) == [m.body for m in sent]
    assert clock.naps == [1.0, 2.0]
    assert len(reports) == 2


def test_only_acknowledged_messages_count_when_the_hub_stays_unavailable() -> None:
    hub = Hub()
    clock = Clock()
    acknowledged: list[Message] = []
    sink = sink_for(hub, clock)

    def feed() -> Iterator[Message]:
        yield message(1)
        yield message(2, due=NOW + SECOND)
        hub.failures = [("create_batch", ConnectError("gone"))] * 1000
        yield message(3, due=NOW + 2 * SECOND)

    with pytest.raises(SimulatorError, match="has been unavailable for"):
        pump(feed(), sink, clock=clock, sleep=clock.sleep, acknowledged=acknowledged.extend)
    assert [sent.body for sent in acknowledged] == bodies(hub) == [b"1"]


def test_a_hub_that_was_never_reachable_is_an_error_on_one_line() -> None:
    clock = Clock()
    sink = sink_for(Hub([("create_batch", ConnectError("Failed to connect\nwith details"))]), clock)
    with pytest.raises(SimulatorError, match=r"cannot send to Event Hub test: Failed to connect \(is it") as caught:
        list(sink.send([message(1)]))
    assert "\n" not in str(caught.value)
    assert clock.naps == []


def test_a_refused_key_is_not_retried() -> None:
    hub = Hub([("send_batch", AuthenticationError("no claim to send"))])
    clock = Clock()
    with pytest.raises(SimulatorError, match="no claim to send"):
        list(sink_for(hub, clock).send([message(1)]))
    assert clock.naps == []


def test_an_invalid_connection_string_is_refused() -> None:
    settings = Settings(eventhub_connection="Endpoint=sb://127.0.0.1:1;nonsense")
    with pytest.raises(SimulatorError, match="PATIENT_FLOW_EVENTHUB_CONNECTION"):
        hub_sink(settings, sleep=lambda seconds: None, report=lambda text: None)


def test_a_file_has_one_body_per_line(tmp_path: Path) -> None:
    path = tmp_path / "new" / "feed.jsonl"
    sink = FileSink(path)
    corrupted = Message(NOW, NOW, "k", "é".encode("latin-1"), "admission", "utf8_invalid")
    assert list(sink.send([message(1), corrupted])) == [[message(1), corrupted]]
    sink.close()
    assert path.read_bytes() == b"1\n\xe9\n"


def test_a_file_that_cannot_be_written_is_an_error_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="cannot write"):
        FileSink(tmp_path)
