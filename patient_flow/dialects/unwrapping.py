"""Bodies that hold several events → the events, each a body of its own.

A mapping file names the envelopes that its senders use; bodies in any other envelope stay as they are. Envelopes may
be nested in any order: a gzip body of lines, each of which is a CloudEvent. Not here: what an event states.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import msgspec

from patient_flow.dialects import paths
from patient_flow.transforms.bodies import Item, Unreadable, Unwrapper
from patient_flow.transforms.json_objects import json_object

MAX_BYTES = 64 * 1024 * 1024
"""Of all events of a body together: a body of a few kilobytes can decompress to any size."""
MAX_EVENTS = 100_000
_MAX_NESTING = 8

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_CLOUD_EVENT = frozenset({"specversion", "id", "source", "type"})
_EVENT_GRID = frozenset({"id", "subject", "eventType", "eventTime"})
_HL7_FRAMING = b" \t\r\n\x0b\x1c"
_HL7_HEADS = re.compile(
    rb"(?:^|(?<=[\r\n\x0b\x1c]))(?=(?:FHS|BHS|MSH)[^\w\s]|(?:BTS|FTS)(?:\W|$))",
)
"""Where a message, or the head or end of a batch or of a file of batches, begins."""

Opener = Callable[[bytes], "list[Item] | None"]
"""What is in an envelope of one kind; None for a body that is no such envelope. May raise ``Unreadable``."""

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.decode
_encode = msgspec.json.encode
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def unwrapper(openers: Iterable[Opener]) -> Unwrapper:
    """A function from a body to the events in it, or None where it is in none of these envelopes.

    It raises ``Unreadable`` for an envelope that is damaged, or holds more than the limits above.
    """
    return partial(_unwrap, tuple(openers))


def _unwrap(openers: tuple[Opener, ...], body: bytes) -> tuple[Item, ...] | None:
    whole = Item(body)
    found: list[Item] = []
    size = 0
    for item in _events(whole, openers, 0):
        size += len(item.body)
        if size > MAX_BYTES or len(found) == MAX_EVENTS:
            raise Unreadable(f"a body holds more than {MAX_EVENTS} events or {MAX_BYTES} bytes")
        found.append(item)
    return None if len(found) == 1 and found[0] is whole else tuple(found)


def _events(item: Item, openers: tuple[Opener, ...], nesting: int) -> Iterator[Item]:
    for opened in openers:
        inner = opened(item.body)
        if inner is None:
            continue
        if nesting == _MAX_NESTING:
            raise Unreadable(f"a body of more than {_MAX_NESTING} envelopes in each other")
        for each in inner:
            envelope = {**item.envelope, **each.envelope}
            yield from _events(Item(each.body, envelope), openers, nesting + 1)
        return
    yield item


def open_gzip(body: bytes) -> list[Item] | None:
    """A gzip stream of one or several members."""
    if not body.startswith(_GZIP):
        return None
    content, rest = [], body
    room = MAX_BYTES
    while rest:
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(rest, room + 1)
        except zlib.error:
            raise Unreadable("a gzip body is damaged") from None
        room -= len(part)
        if room < 0:
            raise Unreadable(f"a gzip body holds more than {MAX_BYTES} bytes")
        if not member.eof:
            raise Unreadable("a gzip body is incomplete")
        content.append(part)
        rest = member.unused_data
    return [Item(b"".join(content))] if any(content) else []


def open_array(body: bytes) -> list[Item] | None:
    """A JSON array: its items; a text among them is a body itself."""
    items = _raw_list(body)
    return None if items is None else [Item(_content(item)) for item in items]


def open_lines(body: bytes) -> list[Item] | None:
    """JSON values on lines of their own; none of it is a body that is JSON as a whole, over however many lines."""
    content = body.removeprefix(_BOM)
    lines = [line for line in content.split(b"\n") if line.strip()]
    if not lines:
        return []
    if len(lines) == 1 or not lines[0].lstrip().startswith((b"{", b"[")) or _is_json(content):
        return None
    return [Item(line) for line in lines] if _is_json(lines[0]) else None


def open_cloud_event(body: bytes) -> list[Item] | None:
    """A CloudEvent in structured mode, or a batch of them: the data. The attributes are the envelope."""
    return _open_events(body, _CLOUD_EVENT)


def open_event_grid(body: bytes) -> list[Item] | None:
    """An event in the schema of Azure Event Grid, or an array of them: the data. The rest is the envelope."""
    return _open_events(body, _EVENT_GRID)


def open_hl7_batch(body: bytes) -> list[Item] | None:
    """HL7 v2 messages in a batch or file (FHS, BHS … BTS, FTS), or simply one after another."""
    content = body.removeprefix(_BOM).strip(_HL7_FRAMING).removeprefix(_BOM)
    if not content.startswith((b"FHS", b"BHS", b"MSH")):
        return None
    segments = _HL7_HEADS.split(content)
    messages = [segment for segment in segments if segment.startswith(b"MSH")]
    if len(messages) == 1 and content.startswith(b"MSH"):
        return None
    return [Item(message) for message in messages]


def open_bundle(body: bytes) -> list[Item] | None:
    """A FHIR Bundle of several Encounters: a Bundle for each, with the resources that it refers to."""
    if b"Bundle" not in body:
        return None
    bundle = json_object(body)
    if bundle is None or bundle.get("resourceType") != "Bundle":
        return None
    listed = bundle.get("entry")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    encounters = [entry for entry in entries if _resource(entry).get("resourceType") == "Encounter"]
    if len(encounters) < 2:
        return None
    others = [(_names(entry), entry) for entry in entries if _resource(entry).get("resourceType") != "Encounter"]
    return [Item(_encode({**bundle, "entry": [entry, *_needed(entry, others)]})) for entry in encounters]


def open_path(path: str) -> Opener:
    """JSON objects with a list of events, or one event, at ``path``; the rest of the object is the envelope."""

    return partial(_open_at, path)


def _open_at(path: str, body: bytes) -> list[Item] | None:
    value = json_object(body)
    inner = None if value is None else paths.value_at(value, path)
    if value is None or inner is None:
        return None
    envelope = paths.without(value, [path])
    return [Item(_body_of(each), envelope) for each in (inner if isinstance(inner, list) else [inner])]


OPENERS: Mapping[str, Opener] = {
    "gzip": open_gzip,
    "lines": open_lines,
    "array": open_array,
    "cloudevents": open_cloud_event,
    "eventgrid": open_event_grid,
    "hl7_batch": open_hl7_batch,
    "fhir_bundle": open_bundle,
}
"""Envelopes by the names that a mapping file calls them."""


def _open_events(body: bytes, attributes: frozenset[str]) -> list[Item] | None:
    event = _raw_object(body)
    if event is None:
        items = _raw_list(body)
        inner = [_raw_object(bytes(item)) for item in items or ()]
        is_batch = bool(inner) and all(item is not None and attributes <= item.keys() for item in inner)
        return [Item(bytes(item)) for item in items or ()] if is_batch else None
    if not attributes <= event.keys():
        return None
    data = _data(event)
    envelope = {key: _decode_any(value) for key, value in event.items() if key not in ("data", "data_base64")}
    return [] if data is None else [Item(data, envelope)]


def _data(event: Mapping[str, msgspec.Raw]) -> bytes | None:
    """The payload of an envelope; a text in it is the payload itself."""
    encoded = event.get("data_base64")
    if encoded is not None:
        try:
            return base64.b64decode(_decode_any(encoded, type=str), validate=True)
        except (binascii.Error, msgspec.ValidationError, ValueError):
            raise Unreadable("data_base64 of a CloudEvent is not base64") from None
    data = event.get("data")
    content = b"" if data is None else _content(data)
    return None if content in (b"", b"null") else content


def _content(value: msgspec.Raw) -> bytes:
    content = bytes(value)
    return _decode_any(content, type=str).encode() if content.startswith(b'"') else content


def _raw_list(body: bytes) -> list[msgspec.Raw] | None:
    content = body.removeprefix(_BOM).lstrip()
    try:
        return _decode_list(content) if content.startswith(b"[") else None
    except _NOT_JSON:
        return None


def _raw_object(body: bytes) -> dict[str, msgspec.Raw] | None:
    content = body.removeprefix(_BOM).lstrip()
    try:
        return _decode_object(content) if content.startswith(b"{") else None
    except _NOT_JSON:
        return None


def _is_json(content: bytes) -> bool:
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except _NOT_JSON:
        return False
    return True


def _body_of(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else _encode(value)


def _resource(entry: Mapping[str, object]) -> Mapping[str, object]:
    resource = entry.get("resource")
    return resource if isinstance(resource, dict) else {}


def _names(entry: Mapping[str, object]) -> frozenset[str]:
    """What other resources of the Bundle may call the one in ``entry``."""
    resource = _resource(entry)
    relative = f"{resource.get('resourceType')}/{resource.get('id')}" if resource.get("id") else None
    return frozenset(name for name in (entry.get("fullUrl"), relative) if isinstance(name, str))


def _needed(encounter: object, others: list[tuple[frozenset[str], dict[str, object]]]) -> list[dict[str, object]]:
    wanted = set(_references(encounter))
    return [entry for names, entry in others if names & wanted]


def _references(value: object) -> Iterator[str]:
    """Every literal reference inside ``value``."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            reference = inner.get("reference")
            if isinstance(reference, str):
                yield reference
            waiting.extend(inner.values())
        elif isinstance(inner, list):
            waiting.extend(inner)
