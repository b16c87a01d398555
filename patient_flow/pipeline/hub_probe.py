"""A look at the hub that always comes back: what waits there, or what is the matter with it, within a few seconds.

A sensor has a deadline; the clients of hub and lake, in front of a peer that says nothing, have none that can be relied
on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.pipeline.backlog import Backlog, HubRefused, plan
from patient_flow.pipeline.checkpoints import position
from patient_flow.stores.hub import Hub, HubState, HubTimeout, HubUnavailable
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import LakeError
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout

SECONDS = 20.0
"""Patience of one look: well within the 60 seconds that Dagster gives a tick."""
SLOW_SECONDS = 8.0
LEAST_SECONDS = 5.0
"""What is left for the lake, however long the hub took."""

DOWN, SILENT, SLOW, REFUSED, LAKE = "down", "silent", "slow", "refused", "lake"
NO_ANSWER = {DOWN, SILENT}
"""The hub said nothing, so nobody compared it with the lake, nor looked at the lake."""


@dataclass(frozen=True)
class HubStatus:
    """``backlog`` when it is known; else ``trouble`` (a constant above) and the ``sentence`` for the operator.

    A hub that answered, but took long, has both. ``ends`` are the partitions' last sequence numbers, ``read`` those in
    bronze.
    """

    backlog: Backlog | None = None
    trouble: str | None = None
    sentence: str = ""
    ends: Mapping[str, int] = field(default_factory=dict)
    read: Mapping[str, int] = field(default_factory=dict)
    newest: datetime | None = None


def peek(hub: Hub, *, seconds: float = SECONDS) -> HubState:
    """The state of the hub. Raises ``HubUnavailable`` if it cannot be read, ``HubTimeout`` if it does not answer."""
    try:
        return call_with_timeout(seconds, ("hub", hub.address), hub.peek)
    except CallTimedOut:
        raise HubTimeout(
            f"Event Hub {hub.name} at {hub.host} does not answer within {seconds:.0f} s; the next try may"
        ) from None


def probe_hub(hub: Hub, lake: Lake, max_events: int, *, seconds: float = SECONDS) -> HubStatus:
    """Compares the hub with bronze. Never raises for a system that is away, and never takes much over ``seconds``."""
    began = time.monotonic()
    try:
        state = peek(hub, seconds=seconds)
    except HubTimeout as error:
        return HubStatus(trouble=SILENT, sentence=str(error))
    except HubUnavailable as error:
        return HubStatus(trouble=DOWN, sentence=str(error))
    took = time.monotonic() - began

    def compare() -> tuple[Backlog, dict[str, int | None]]:
        bronze = lake.open(BRONZE_EVENTS)
        backlog = plan(state, bronze.checkpoint, max_events)
        return backlog, {
            part.partition_id: position(backlog.hub, backlog.created_at_ms, part.partition_id).read(bronze.checkpoint)
            for part in state.partitions
        }

    try:
        backlog, positions = call_with_timeout(
            max(seconds - took, LEAST_SECONDS), ("lake", lake.uri(BRONZE_EVENTS)), compare
        )
    except CallTimedOut:
        return HubStatus(trouble=LAKE, sentence=f"{lake.uri(BRONZE_EVENTS)} does not answer; the next tick tries again")
    except HubRefused as error:
        return HubStatus(trouble=REFUSED, sentence=str(error))
    except LakeError as error:
        return HubStatus(trouble=LAKE, sentence=str(error))
    is_slow = took > SLOW_SECONDS
    return HubStatus(
        backlog,
        SLOW if is_slow else None,
        f"Event Hub {hub.name} took {took:.0f} s to say what it holds" if is_slow else "",
        {part.partition_id: part.last_sequence_number for part in state.partitions if not part.is_empty},
        {part: position for part, position in positions.items() if position is not None},
        max((part.last_enqueued_at for part in state.partitions if part.last_enqueued_at), default=None),
    )
