"""Protocol violations get an error, and do not affect other clients."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from azure.eventhub import EventData
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.local_hub import codec, messages, protocol
from patient_flow.local_hub.codec import NULL
from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.examples import max_examples
from patient_flow_tests.local_hub.clients import bodies, receive, send

OPEN = codec.described(protocol.OPEN, codec.list_of(codec.string("raw"), NULL, codec.uint(65536)))
BEGIN = codec.described(protocol.BEGIN, codec.list_of(NULL, codec.uint(0), codec.uint(2), codec.uint(2)))


class RawClient:
    """A client that sends arbitrary bytes and performatives."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = b""

    def send(self, *bodies: bytes) -> None:
        self._socket.sendall(b"".join(protocol.frame(0, body) for body in bodies))

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read_until_closed(self) -> bytes:
        while chunk := self._socket.recv(65536):
            self._received += chunk
        return self._received

    def next(self) -> protocol.Performative:
        """The next performative of the hub."""
        frame = self._exactly(struct.unpack(">I", self._exactly(4))[0] - 4)
        return protocol.parse_performative(frame[4:])

    def expect(self, code: int) -> protocol.Performative:
        performative = self.next()
        assert performative.code == code
        return performative

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            chunk = self._socket.recv(65536)
            assert chunk, "the hub has closed the connection"
            self._received += chunk
        data, self._received = self._received[:size], self._received[size:]
        return data


@contextmanager
def connected(hub: HubThread, *, opened: bool = True) -> Iterator[RawClient]:
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        client = RawClient(connection)
        if opened:
            client.send_bytes(protocol.AMQP_HEADER)
            assert client._exactly(8) == protocol.AMQP_HEADER
            client.send(OPEN, BEGIN)
            client.expect(protocol.OPEN)
            client.expect(protocol.BEGIN)
        yield client


def attach(
    handle: int,
    address: str,
    *,
    receives: bool = False,
    selector: str | None = None,
    modes: tuple[int, int] | None = None,
) -> bytes:
    """An attach, of a sender unless said otherwise."""
    filters = NULL
    if selector is not None:
        filters = codec.map_of(codec.symbol("apache.org:selector-filter:string"), codec.string(selector))
    source = codec.described(0x28, codec.list_of(codec.string(address), *[NULL] * 6, filters))
    target = codec.described(0x29, codec.list_of(codec.string(address)))
    settle = [NULL, NULL] if modes is None else [codec.ubyte(mode) for mode in modes]
    fields = [codec.string(f"link-{handle}"), codec.uint(handle), codec.boolean(receives), *settle, source, target]
    return codec.described(protocol.ATTACH, codec.list_of(*fields))


def transfer(handle: int, payload: bytes, *, delivery: int = 0, more: bool = False, aborted: bool = False) -> bytes:
    fields = [codec.uint(handle), codec.uint(delivery), codec.binary(b"t"), codec.uint(0), codec.FALSE]
    fields += [codec.boolean(more), NULL, NULL, NULL, codec.boolean(aborted)]
    return codec.described(protocol.TRANSFER, codec.list_of(*fields)) + payload


def flow(handle: int, credit: int, *, received: int = 0, window: int = 2) -> bytes:
    session = [codec.uint(received), codec.uint(window), codec.uint(0), codec.uint(2)]
    return codec.described(
        protocol.FLOW, codec.list_of(*session, codec.uint(handle), codec.uint(received), codec.uint(credit))
    )


def condition(performative: protocol.Performative) -> object:
    """The error condition in a detach, an end or a close."""
    error = performative.get(2 if performative.code == protocol.DETACH else 0)
    assert isinstance(error, codec.Described)
    assert isinstance(error.value, list)
    return error.value[0]


EVENT = codec.described(messages.DATA, codec.binary(b"event"))


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"AMQP\x02\x01\x00\x00", b"\0" * 100],
)
def test_another_protocol_is_answered_with_the_right_one(hub: HubThread, garbage: bytes) -> None:
    with connected(hub, opened=False) as client:
        client.send_bytes(garbage)
        assert client.read_until_closed() == protocol.SASL_HEADER


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">IBBH", 1 << 30, 2, 0, 0),
        struct.pack(">IBBH", 4, 2, 0, 0),
        struct.pack(">IBBH", 12, 1, 0, 0) + b"\x00\x53\x14\xc0",
        protocol.frame(0, b"\x00\x53\x14\xc0\xff\xff"),
        protocol.frame(0, b"\x40\x40"),
        protocol.frame(0, codec.described(protocol.ATTACH, codec.list_of())),
    ],
)
def test_a_malformed_frame_closes_the_connection_with_a_reason(hub: HubThread, frame: bytes) -> None:
    with connected(hub) as client:
        client.send_bytes(frame)
        assert condition(client.expect(protocol.CLOSE)) == protocol.FRAMING_ERROR
        assert client.read_until_closed() == b""


def test_a_frame_before_open_closes_the_connection(hub: HubThread) -> None:
    with connected(hub, opened=False) as client:
        client.send_bytes(protocol.AMQP_HEADER + protocol.frame(0, BEGIN))
        client.read_until_closed()


@given(st.lists(st.binary(max_size=60), max_size=5))
@max_examples(40)
def test_no_bytes_affect_the_other_clients(hub: HubThread, chunks: list[bytes]) -> None:
    with connected(hub) as bystander:
        with connected(hub) as client:
            client.send(*(b"\x00\x53\x12" + chunk if len(chunk) % 2 else chunk for chunk in chunks))
        bystander.send(attach(0, "patient-flow/Partitions/3"))
        bystander.expect(protocol.ATTACH)


def test_a_connection_that_breaks_in_a_frame_leaves_others_alone(hub: HubThread) -> None:
    with connected(hub, opened=False) as broken, connected(hub) as sending:
        broken.send_bytes(protocol.SASL_HEADER + b"\x00\x00")
        sending.send(attach(0, "patient-flow"), transfer(0, EVENT[:4], more=True))
    send(hub.connection, "a")
    assert bodies(receive(hub.connection, 1)) == ["a"]


@pytest.mark.parametrize(
    ("performative", "expected"),
    [
        (transfer(9, EVENT), protocol.UNATTACHED_HANDLE),
        (flow(9, 10), protocol.UNATTACHED_HANDLE),
        (attach(0, "patient-flow"), protocol.HANDLE_IN_USE),
    ],
)
def test_a_wrong_handle_ends_the_session_only(hub: HubThread, performative: bytes, expected: str) -> None:
    with connected(hub) as client:
        client.send(attach(0, "patient-flow"), performative)
        client.expect(protocol.ATTACH)
        client.expect(protocol.FLOW)
        assert condition(client.expect(protocol.END)) == expected
        client.send(transfer(0, EVENT))  # may arrive after the end
        client.send(BEGIN)
        client.expect(protocol.BEGIN)


def test_a_channel_in_use_closes_the_connection(hub: HubThread) -> None:
    with connected(hub) as client:
        client.send(BEGIN)
        assert condition(client.expect(protocol.CLOSE)) == protocol.NOT_ALLOWED


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (attach(0, "nowhere"), protocol.NOT_FOUND),
        (attach(0, "patient-flow/Partitions/4"), protocol.ARGUMENT_OUT_OF_RANGE),
        (attach(0, "patient-flow/Somewhere/1"), protocol.NOT_FOUND),
        (attach(0, "patient-flow", receives=True), protocol.NOT_FOUND),
        (attach(0, "patient-flow/ConsumerGroups/none/Partitions/0", receives=True), protocol.NOT_FOUND),
        (
            attach(0, "patient-flow/ConsumerGroups/etl/Partitions/0", receives=True, selector="color = 'red'"),
            protocol.ARGUMENT_ERROR,
        ),
    ],
)
def test_a_link_to_nothing_is_refused_with_a_reason(hub: HubThread, request_: bytes, expected: str) -> None:
    with connected(hub) as client:
        client.send(request_)
        client.expect(protocol.ATTACH)
        assert condition(client.expect(protocol.DETACH)) == expected


def test_an_invalid_message_is_rejected_and_the_link_stays_attached(hub: HubThread) -> None:
    with connected(hub) as client:
        client.send(attach(0, "patient-flow/Partitions/0"))
        client.send(transfer(0, b"\xff\xff"), transfer(0, EVENT, delivery=1))
        client.expect(protocol.ATTACH)
        client.expect(protocol.FLOW)
        for number, outcome in enumerate((0x25, 0x24)):
            disposition = client.expect(protocol.DISPOSITION)
            state = disposition.get(4)
            assert isinstance(state, codec.Described)
            assert (disposition.number(1), state.descriptor) == (number, outcome)
    assert bodies(receive(hub.connection, 1)) == ["event"]


def test_an_aborted_delivery_is_discarded(hub: HubThread) -> None:
    with connected(hub) as client:
        client.send(attach(0, "patient-flow/Partitions/0"))
        client.send(transfer(0, b"half of", more=True), transfer(0, b"", aborted=True), transfer(0, EVENT, delivery=1))
        client.expect(protocol.ATTACH)
        client.expect(protocol.FLOW)
        assert client.expect(protocol.DISPOSITION).number(1) == 1
    assert bodies(receive(hub.connection, 1)) == ["event"]


def test_a_message_that_is_too_large_is_rejected_and_the_link_stays_attached(hub: HubThread) -> None:
    with connected(hub) as client:
        client.send(attach(0, "patient-flow/Partitions/0"))
        client.send(*[transfer(0, bytes(400_000), more=True)] * 3, transfer(0, b"end"), transfer(0, EVENT, delivery=1))
        client.expect(protocol.ATTACH)
        client.expect(protocol.FLOW)
        state = client.expect(protocol.DISPOSITION).get(4)
        assert isinstance(state, codec.Described)
        assert protocol.MESSAGE_TOO_LARGE in str(state)
        assert client.expect(protocol.DISPOSITION).number(1) == 1
    assert bodies(receive(hub.connection, 1)) == ["event"]


@pytest.mark.parametrize("modes", [(0, 0), (1, 0), (2, 1)])
def test_an_attach_is_answered_with_the_settle_modes_that_the_client_asked_for(
    hub: HubThread, modes: tuple[int, int]
) -> None:
    with connected(hub) as client:
        client.send(attach(0, "patient-flow", modes=modes))
        answer = client.expect(protocol.ATTACH)
        assert (answer.get(3), answer.get(4)) == modes


@pytest.mark.parametrize(("receives", "own"), [(False, 6), (True, 5)])
def test_a_refused_link_has_no_terminus_of_the_hub(hub: HubThread, receives: bool, own: int) -> None:
    with connected(hub) as client:
        client.send(attach(0, "nowhere", receives=receives))
        answer = client.expect(protocol.ATTACH)
        assert answer.get(own) is None
        assert answer.get(11 - own) is not None
        client.expect(protocol.DETACH)


def test_a_transfer_on_a_receiving_link_detaches_it(hub: HubThread) -> None:
    with connected(hub) as client:
        client.send(attach(0, "patient-flow/ConsumerGroups/etl/Partitions/0", receives=True), transfer(0, EVENT))
        client.expect(protocol.ATTACH)
        assert condition(client.expect(protocol.DETACH)) == protocol.NOT_ALLOWED


def test_no_more_is_sent_than_credit_and_session_window_allow(hub: HubThread) -> None:
    send(hub.connection, "abcdefgh")
    with connected(hub) as client:
        client.send(attach(0, "patient-flow/ConsumerGroups/etl/Partitions/0", receives=True), flow(0, 3, window=2))
        client.expect(protocol.ATTACH)
        received = [client.expect(protocol.TRANSFER), client.expect(protocol.TRANSFER)]
        client.send(flow(0, 1, received=2, window=9))
        received.append(client.expect(protocol.TRANSFER))
        client.send(codec.described(protocol.DETACH, codec.list_of(codec.uint(0), codec.TRUE)))
        client.expect(protocol.DETACH)
    assert [transfer.number(1) for transfer in received] == [0, 1, 2]


def test_an_event_larger_than_the_client_s_frames_comes_in_several(hub: HubThread) -> None:
    send(hub.connection, ["x" * 100_000])
    with connected(hub) as client:
        client.send(attach(0, "patient-flow/ConsumerGroups/etl/Partitions/0", receives=True), flow(0, 1, window=2))
        client.expect(protocol.ATTACH)
        first, second = client.expect(protocol.TRANSFER), client.expect(protocol.TRANSFER)
    assert (first.flag(5), second.flag(5)) == (True, False)
    assert (first.payload + second.payload).endswith(b"x" * 100_000)


def test_many_clients_send_and_receive_at_once(hub: HubThread) -> None:
    def run(partition: str) -> None:
        send(hub.connection, texts[partition][:80], texts[partition][80:], partition=partition)
        received[partition] = bodies(receive(hub.connection, 200, partition))

    texts = {partition: [f"{partition}-{number}" for number in range(200)] for partition in "0123"}
    received: dict[str, list[str]] = {}
    threads = [threading.Thread(target=run, args=(partition,)) for partition in "0123"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert received == texts


def test_incomplete_deliveries_of_one_connection_are_bounded(hub: HubThread) -> None:
    """400 of them held 400 MB."""
    with connected(hub) as client:
        for handle in range(16):
            client.send(attach(handle, "patient-flow/Partitions/0"))
            client.expect(protocol.ATTACH)
            client.expect(protocol.FLOW)
        for handle in range(8):
            client.send(*[transfer(handle, bytes(500_000), more=True)] * 2)
        client.send(transfer(8, bytes(500_000), more=True))
        detached = client.expect(protocol.DETACH)
        assert detached.number(0) == 8
        assert condition(detached) == protocol.RESOURCE_LIMIT
        client.send(transfer(9, EVENT))  # a complete delivery is stored all the same
        assert client.expect(protocol.DISPOSITION).number(1) == 0
        client.send(transfer(0, b"", aborted=True), transfer(10, bytes(500_000), more=True), transfer(10, EVENT))
        client.send(transfer(11, EVENT, delivery=3))
        numbers = [client.expect(protocol.DISPOSITION).number(1), client.expect(protocol.DISPOSITION).number(1)]
        assert numbers == [0, 3]


@pytest.mark.parametrize("opened", [True, False])
def test_a_silent_connection_ends(hub: HubThread, opened: bool) -> None:
    hub.limit_silence(0.5)
    with connected(hub, opened=opened) as client:
        began = time.monotonic()
        assert (protocol.CONNECTION_FORCED.encode() in client.read_until_closed()) == opened
        assert 0.3 < time.monotonic() - began < 4


def test_a_connection_with_heartbeats_stays_and_gets_those_it_asked_for(hub: HubThread) -> None:
    hub.limit_silence(0.8)
    with connected(hub, opened=False) as client:
        idle = codec.described(protocol.OPEN, codec.list_of(codec.string("raw"), *[NULL] * 3, codec.uint(400)))
        client.send_bytes(protocol.AMQP_HEADER)
        client._exactly(8)
        client.send(idle)
        assert client.expect(protocol.OPEN).number(4) == 400
        for _ in range(8):
            client.send(b"")
            assert client._exactly(8) == protocol.frame(0, b"")


def test_a_waiting_client_of_azure_s_library_outlives_the_limit(hub: HubThread) -> None:
    hub.limit_silence(1.0)
    reader = threading.Thread(target=lambda: received.extend(receive(hub.connection, 1)), daemon=True)
    received: list[EventData] = []
    reader.start()
    time.sleep(3)
    send(hub.connection, ["late"])
    reader.join(10)
    assert bodies(received) == ["late"]
