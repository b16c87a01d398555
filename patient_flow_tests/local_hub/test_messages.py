"""Messages on their way into the log, without a network."""

from __future__ import annotations

import struct

import pytest

from patient_flow.local_hub import codec, messages
from patient_flow.local_hub.codec import MalformedError
from patient_flow.local_hub.messages import EventDraft


def message(*pairs: bytes, body: bytes = b"body") -> bytes:
    """A message with annotations and one data section."""
    annotations = codec.described(messages.MESSAGE_ANNOTATIONS, codec.map_of(*pairs))
    return annotations + codec.described(messages.DATA, codec.binary(body))


def annotations(stored: bytes) -> object:
    performative_like, _ = codec.decode(stored)
    assert isinstance(performative_like, codec.Described)
    return performative_like.value


def test_an_event_that_is_published_again_carries_its_new_coordinates_only() -> None:
    (draft,) = messages.parse_delivery(message(codec.symbol("mine"), codec.uint(7)), 0).events
    (again,) = messages.parse_delivery(draft(5, 500, 5000), 0).events
    assert annotations(again(6, 600, 6000)) == {
        "x-opt-sequence-number": 6,
        "x-opt-offset": "600",
        "x-opt-enqueued-time": 6000,
        "mine": 7,
    }
    assert again(6, 600, 6000).count(b"x-opt-offset") == 1


def test_a_key_in_the_envelope_holds_for_events_that_have_none() -> None:
    key = (codec.symbol("x-opt-partition-key"), codec.string("p7"))
    inner = [message(), message(key[0], codec.string("own"))]
    envelope = codec.described(messages.MESSAGE_ANNOTATIONS, codec.map_of(*key))
    envelope += b"".join(codec.described(messages.DATA, codec.binary(event)) for event in inner)
    delivery = messages.parse_delivery(envelope, messages.BATCH_FORMAT)
    assert delivery.key == key[1]
    assert [event.annotations[-1] for event in delivery.events] == [codec.string("p7"), codec.string("own")]


def test_long_descriptors_are_stored_in_the_short_form_that_the_client_reads() -> None:
    long_form = b"\x00\x80" + struct.pack(">Q", messages.DATA) + codec.binary(b"x")
    (draft,) = messages.parse_delivery(long_form, 0).events
    assert draft == EventDraft(b"", (), codec.described(messages.DATA, codec.binary(b"x")))


def test_delivery_annotations_end_with_the_delivery() -> None:
    own = codec.described(messages.DELIVERY_ANNOTATIONS, codec.map_of(codec.symbol("k"), codec.uint(1)))
    (draft,) = messages.parse_delivery(own + message(), 0).events
    assert draft == messages.parse_delivery(message(), 0).events[0]


@pytest.mark.parametrize(
    "payload",
    [b"", message(), codec.described(messages.DATA, codec.binary(b"no message")), codec.described(0x99, codec.NULL)],
)
def test_a_batch_of_something_else_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        messages.parse_delivery(payload, messages.BATCH_FORMAT)
