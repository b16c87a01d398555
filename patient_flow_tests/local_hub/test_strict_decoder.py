"""Qpid Proton, a strict AMQP implementation, decodes every frame that the hub can send, and works as a client."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from patient_flow.local_hub import codec, management, messages, protocol
from patient_flow.local_hub.hub import open_namespace
from patient_flow.local_hub.protocol import AmqpError, Attach
from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.local_hub.test_connections import EVENT, attach
from patient_flow_tests.required import require_module

require_module("proton", "uv sync --all-groups")

from proton import Data, Message  # noqa: E402
from proton.utils import BlockingConnection, LinkDetached  # noqa: E402

ERROR = AmqpError(protocol.NOT_FOUND, "not here")

BOOL, UBYTE, USHORT, UINT, ULONG = Data.BOOL, Data.UBYTE, Data.USHORT, Data.UINT, Data.ULONG
STRING, SYMBOL, BINARY, MAP, ARRAY, COMPOSITE = (
    Data.STRING,
    Data.SYMBOL,
    Data.BINARY,
    Data.MAP,
    Data.ARRAY,
    Data.DESCRIBED,
)
SYMBOLS = (SYMBOL, ARRAY)

FIELDS: dict[int, list[Any]] = {
    0x10: [STRING, STRING, UINT, USHORT, UINT, SYMBOLS, SYMBOLS, SYMBOLS, SYMBOLS, MAP],
    0x11: [USHORT, UINT, UINT, UINT, UINT, SYMBOLS, SYMBOLS, MAP],
    0x12: [STRING, UINT, BOOL, UBYTE, UBYTE, COMPOSITE, COMPOSITE, MAP, BOOL, UINT, ULONG, SYMBOLS, SYMBOLS, MAP],
    0x13: [UINT, UINT, UINT, UINT, UINT, UINT, UINT, UINT, BOOL, BOOL, MAP],
    0x14: [UINT, UINT, BINARY, UINT, BOOL, BOOL, UBYTE, COMPOSITE, BOOL, BOOL, BOOL],
    0x15: [BOOL, UINT, UINT, BOOL, COMPOSITE, BOOL],
    0x16: [UINT, BOOL, COMPOSITE],
    0x17: [COMPOSITE],
    0x18: [COMPOSITE],
    0x1D: [SYMBOL, STRING, MAP],
    0x24: [],
    0x25: [COMPOSITE],
    0x40: [SYMBOLS],
    0x44: [UBYTE, BINARY],
}
"""Field types of each performative and state that the hub sends, from the AMQP 1.0 specification, parts 2 and 5."""

REQUIRED = {0x10: 1, 0x11: 4, 0x12: 3, 0x14: 1, 0x15: 2, 0x16: 1, 0x40: 1, 0x44: 1, 0x1D: 1}
"""How many of the first fields must not be null, where the specification says so of consecutive ones."""


def _attach(receives: bool) -> Attach:
    return Attach.parse(protocol.parse_performative(attach(0, "patient-flow", receives=receives, modes=(1, 0))))


def _stored() -> bytes:
    (draft,) = messages.parse_delivery(EVENT, 0).events
    return draft(7, 700, 7000)


BODIES: dict[str, list[bytes]] = {
    "sasl_mechanisms": [protocol.sasl_mechanisms()],
    "sasl_outcome": [protocol.sasl_outcome()],
    "open_connection": [protocol.open_connection(120.0)],
    "begin": [protocol.begin(0), protocol.begin(700)],
    "flow": [protocol.flow(1, 2), protocol.flow(300, 400, (1, 2, 1000))],
    "accepted": [protocol.accepted(3)],
    "rejected": [protocol.rejected(300, ERROR)],
    "detach": [protocol.detach(1), protocol.detach(1, ERROR)],
    "end": [protocol.end(), protocol.end(ERROR)],
    "close": [protocol.close(), protocol.close(ERROR)],
    "attach": [make() for side in (False, True) for make in (_attach(side).reply, _attach(side).refusal)],
    "transfer": [
        protocol.transfer(0, 1, 2, _stored())[8:],
        protocol.transfer(0, 1, 2, b"part of a message", more=True)[8:],
    ],
}
CASES = [
    pytest.param(body, id=f"{name}-{number}") for name, found in BODIES.items() for number, body in enumerate(found)
]


def check_composite(data: Data) -> None:
    """The described list under the cursor has the field types of the specification; so have the ones inside it."""
    assert data.type() == Data.DESCRIBED
    data.enter()
    data.next()
    assert data.type() == ULONG
    code = data.get_ulong()
    data.next()
    if code in FIELDS:
        check_fields(code, data)
    data.exit()


def check_fields(code: int, data: Data) -> None:
    assert data.type() == Data.LIST
    count = data.get_list()
    assert REQUIRED.get(code, 0) <= count <= len(FIELDS[code])
    data.enter()
    for index, expected in enumerate(FIELDS[code][:count]):
        data.next()
        if data.type() == Data.NULL:
            assert index >= REQUIRED.get(code, 0)
            continue
        assert data.type() in (expected if isinstance(expected, tuple) else (expected,)), (hex(code), index)
        if data.type() == Data.DESCRIBED:
            check_composite(data)
    data.exit()


@pytest.mark.parametrize("body", CASES)
def test_a_strict_decoder_reads_the_performative(body: bytes) -> None:
    data = Data()
    size = data.decode(body)
    assert 0 < size <= len(body)
    data.rewind()
    data.next()
    check_composite(data)


def test_no_function_that_makes_a_frame_is_left_out() -> None:
    def makes_bytes(item: object) -> bool:
        return inspect.isfunction(item) and item.__annotations__.get("return") == "bytes"

    made = {name for name, item in inspect.getmembers(protocol, makes_bytes) if not name.startswith("_")}
    assert made - {"frame"} == set(BODIES) - {"attach"}
    assert {name for name, item in inspect.getmembers(Attach, makes_bytes) if name[0] != "_"} == {"reply", "refusal"}


def test_a_strict_decoder_reads_the_messages_that_consumers_get() -> None:
    message = Message()
    message.decode(_stored())
    assert message.annotations == {
        "x-opt-sequence-number": 7,
        "x-opt-offset": "700",
        "x-opt-enqueued-time": 7000,
    }
    assert bytes(message.body) == b"event"


@pytest.mark.parametrize("make", [management.hub_properties, management.partition_properties])
def test_a_strict_decoder_reads_the_answers_of_the_management_node(tmp_path: Path, make: Callable[..., Any]) -> None:
    with closing(open_namespace(tmp_path, ["patient-flow"], 4, segment_bytes=1000)) as namespace:
        found = namespace.hub("patient-flow")
        assert found is not None
        arguments = [found] if make is management.hub_properties else [found, found.partitions[0]]
        answer = make(*arguments)
    message = Message()
    message.decode(messages.reply(messages.Request(codec.string("id-1"), {}), 200, "OK", answer))
    assert message.correlation_id == "id-1"
    assert message.properties["status-code"] == 200
    assert message.body["name"] == "patient-flow"
    if make is management.hub_properties:
        assert list(message.body["partition_ids"].elements) == ["0", "1", "2", "3"]


def test_a_strict_client_sends_and_receives(hub: HubThread) -> None:
    connection = BlockingConnection(f"amqp://127.0.0.1:{hub.port}", allowed_mechs="ANONYMOUS", timeout=20)
    try:
        sender = connection.create_sender("patient-flow/Partitions/0")
        for text in ("a", "b"):
            sender.send(Message(body=text.encode(), properties={"sent by": "proton"}))
        receiver = connection.create_receiver("patient-flow/ConsumerGroups/$Default/Partitions/0", credit=10)
        received = [receiver.receive(timeout=20) for _ in "ab"]
        assert [bytes(message.body) for message in received] == [b"a", b"b"]
        assert received[1].properties == {"sent by": "proton"}
    finally:
        connection.close()


@pytest.mark.parametrize("address", ["nowhere", "patient-flow/Partitions/99"])
def test_a_strict_client_sees_a_refused_link(hub: HubThread, address: str) -> None:
    connection = BlockingConnection(f"amqp://127.0.0.1:{hub.port}", allowed_mechs="ANONYMOUS", timeout=20)
    try:
        with pytest.raises(LinkDetached):
            connection.create_sender(address)
    finally:
        connection.close()
