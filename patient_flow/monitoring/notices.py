"""Notices: unusual events that a step or a probe of the hub reports.

They travel as JSON, in run tags and in materialization metadata; whoever reads them compares types, never text. The
sentences for people are made by :func:`describe`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from patient_flow.wording import plural


class HubAdopted(msgspec.Struct, frozen=True, tag_field="kind", tag="hub_adopted"):
    """Bronze follows another hub from now on, because an operator asked for it."""

    hub: str
    host: str


class HubRecreated(msgspec.Struct, frozen=True, tag_field="kind", tag="hub_recreated"):
    """The hub was deleted and created again: its sequence numbers start over."""

    hub: str
    created_at: datetime


class PartitionAdded(msgspec.Struct, frozen=True, tag_field="kind", tag="partition_added"):
    """The hub has a partition that it did not have before."""

    partition: str


class EventsExpired(msgspec.Struct, frozen=True, tag_field="kind", tag="events_expired"):
    """The hub's retention deleted unread events; ``before_first_read`` when the lake did not follow the hub yet."""

    partition: str
    events: int
    before_first_read: bool = False


class ReadInterrupted(msgspec.Struct, frozen=True, tag_field="kind", tag="read_interrupted"):
    """A part of the hub could not be read; ``reason`` is the client's text, for people only."""

    reason: str


class EventsRemaining(msgspec.Struct, frozen=True, tag_field="kind", tag="events_remaining"):
    """Events stay at the hub for the next micro-batch."""

    events: int


Notice = HubAdopted | HubRecreated | PartitionAdded | EventsExpired | ReadInterrupted | EventsRemaining


def encode(notices: Iterable[Notice]) -> str:
    """The notices as a JSON list."""
    return msgspec.json.encode(list(notices)).decode()


def decode(text: str) -> tuple[Notice, ...]:
    """The notices that :func:`encode` wrote. Skips kinds that this version does not know, and text that is no list."""
    try:
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        return ()
    found: list[Notice] = []
    for item in items:
        try:
            found.append(msgspec.json.decode(item, type=Notice))
        except msgspec.ValidationError:
            continue
    return tuple(found)


def describe(notice: Notice) -> str:
    """The notice as a sentence without a full stop."""
    match notice:
        case HubAdopted(hub, host):
            return f"bronze now follows hub {hub} at {host} instead of the previous hub"
        case HubRecreated(hub, created_at):
            return f"hub {hub} was deleted and recreated at {created_at:%Y-%m-%d %H:%M:%S} UTC"
        case PartitionAdded(partition):
            return f"partition {partition} is new"
        case EventsExpired(partition, events, before_first_read):
            if before_first_read:
                return f"partition {partition}: retention deleted {plural(events, 'event')} before the first read"
            unread = plural(events, "event before it could be read", "events before they could be read")
            return f"partition {partition}: retention deleted {unread}"
        case ReadInterrupted(reason):
            return reason
        case EventsRemaining(events):
            return f"{plural(events, 'event remains', 'events remain')} for the next micro-batch"
