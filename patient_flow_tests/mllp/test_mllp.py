"""HL7 v2 over MLLP: frames, acknowledgements, and what the hub has stored when a sender reads AA."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.eventhub import EventHubConsumerClient
from azure.eventhub.exceptions import EventHubError
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.local_hub.testing import HubThread
from patient_flow.mllp import messages
from patient_flow.mllp.messages import END, START, Frames
from patient_flow.mllp.receiver import MllpError, Receiver, event_hub, run
from patient_flow.settings import load

ADT = b"MSH|^~\\&|EPIC|H1|FLOW|H1|20260310101500||ADT^A01|42|P|2.5.1\rEVN||20260310101500\rPID|||4711\rPV1||I|ICU"
BATCH = (
    b"FHS|^~\\&|EPIC|H1\rBHS|^~\\&|EPIC|H1|FLOW|H1|20260310||||B7\r"
    + ADT
    + b"\r"
    + ADT.replace(b"|42|", b"|43|")
    + b"\rBTS|2\rFTS|1"
)


class Stored:
    """A hub that keeps what it is sent, or refuses everything."""

    def __init__(self, *, fails: bool = False) -> None:
        self.bodies: list[tuple[bytes, str]] = []
        self._fails = fails

    async def send(self, body: bytes, key: str) -> None:
        if self._fails:
            raise EventHubError("the hub is away")
        self.bodies.append((body, key))


def segments(reply: bytes) -> dict[bytes, list[bytes]]:
    assert reply.startswith(START)
    assert reply.endswith(END)
    lines = reply.removeprefix(START).removesuffix(END).split(b"\r")
    return {line[:3]: line.split(b"|") for line in lines if line}


def answer(content: bytes, hub: Stored) -> dict[bytes, list[bytes]]:
    return segments(asyncio.run(Receiver(hub, "the hub", lambda _: None).answer(content)))


def test_a_stored_message_is_acknowledged_with_its_control_id_and_senders_turned_round() -> None:
    hub = Stored()
    reply = answer(ADT, hub)
    assert hub.bodies == [(ADT, "EPIC|H1")]
    assert reply[b"MSA"] == [b"MSA", b"AA", b"42"]
    assert reply[b"MSH"][2:6] == [b"FLOW", b"H1", b"EPIC", b"H1"]
    assert reply[b"MSH"][8] == b"ACK^A01"
    assert reply[b"MSH"][10:12] == [b"P", b"2.5.1"]


def test_what_the_hub_did_not_store_is_answered_with_ae() -> None:
    reply = answer(ADT, Stored(fails=True))
    assert reply[b"MSA"][1:3] == [b"AE", b"42"]
    assert b"send it again" in reply[b"MSA"][3]


def test_a_batch_is_one_event_per_message_and_one_acknowledgement() -> None:
    hub = Stored()
    reply = answer(BATCH, hub)
    assert [body for body, _ in hub.bodies] == [ADT, ADT.replace(b"|42|", b"|43|")]
    assert reply[b"MSA"][1] == b"AA"


def test_separators_of_the_sender_are_used() -> None:
    reply = asyncio.run(
        Receiver(Stored(), "", lambda _: None).answer(ADT.replace(b"|", b"#").replace(b"^~\\&", b"*~\\&"))
    )
    assert b"MSA#AA#42" in reply


@pytest.mark.parametrize("content", [b"", b"{}", b"PID|||4711", b"MSH", b"MSH|", b"\x00\x01"])
def test_what_is_no_hl7_is_rejected_and_not_forwarded(content: bytes) -> None:
    hub = Stored()
    assert answer(content, hub)[b"MSA"][1] == b"AR"
    assert hub.bodies == []


@given(st.lists(st.integers(1, 40)), st.integers(1, 60))
def test_frames_come_out_whole_however_the_stream_is_cut(lengths: list[int], step: int) -> None:
    wanted = [bytes([65 + number % 26]) * length for number, length in enumerate(lengths)]
    stream = b"noise" + b"between".join(START + content + END for content in wanted)
    frames, found = Frames(), []
    for begin in range(0, len(stream), step):
        found += frames.feed(stream[begin : begin + step])
    assert found == wanted


def test_a_frame_without_end_is_refused_at_its_limit() -> None:
    frames = Frames()
    with pytest.raises(ValueError, match="longer than"):
        frames.feed(START + bytes(messages.MAX_MESSAGE_BYTES + 1))


@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_acknowledgement(content: bytes) -> None:
    found = messages.read(content)
    code = "AR" if found is None else "AA"
    reply = messages.acknowledgement(found.header if found else None, code, "text|with^separators\r", datetime.now(UTC))
    assert reply.count(START) >= 1
    assert b"MSA" in reply


def test_a_sender_reads_aa_for_what_the_hub_has(hub_thread: HubThread) -> None:
    settings = load({"PATIENT_FLOW_EVENTHUB_CONNECTION": hub_thread.connection}, environ={})

    async def exchange() -> list[bytes]:
        hub = event_hub(settings)
        receiver = Receiver(hub, "hub", lambda _: None)
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
            writer.write(START + ADT + END + START + ADT.replace(b"|42|", b"|43|") + END)
            replies = [await asyncio.wait_for(reader.readuntil(END), 60) for _ in range(2)]
            writer.close()
        hub.close()
        return replies

    replies = asyncio.run(exchange())
    assert [segments(reply)[b"MSA"][1:3] for reply in replies] == [[b"AA", b"42"], [b"AA", b"43"]]
    assert received(hub_thread.connection, 2) == [ADT, ADT.replace(b"|42|", b"|43|")]


def received(connection: str, count: int) -> list[bytes]:
    bodies: list[bytes] = []
    client = EventHubConsumerClient.from_connection_string(connection, "$Default", eventhub_name="patient-flow")

    def on_event(_: Any, event: Any) -> None:
        bodies.append(b"".join(event.body))
        if len(bodies) == count:
            client.close()

    with client:
        client.receive(on_event, starting_position="-1")
    return bodies


def test_a_port_in_use_is_named(hub_thread: HubThread) -> None:
    settings = load({"PATIENT_FLOW_EVENTHUB_CONNECTION": hub_thread.connection}, environ={})
    with pytest.raises(MllpError, match="not available"):
        asyncio.run(run(settings, "127.0.0.1", hub_thread.port, lambda _: None))
