"""Compares the hub with bronze within a deadline: the backlog, or why it is not known.

A sensor has a deadline, while the clients of hub and lake have no reliable timeout when a peer does not answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.pipeline.backlog import Backlog, HubRefused, plan
from patient_flow.pipeline.checkpoints import position
from patient_flow.stores.hub import Hub, HubState, HubTimeout, HubUnavailable
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import LakeDamaged, LakeError
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout

SECONDS = 20.0
"""Timeout of a probe: well within the 60 seconds that Dagster gives a tick."""
SLOW_SECONDS = 8.0
MIN_LAKE_SECONDS = 5.0
"""Minimum timeout of the lake, however long the hub took."""


class Failure(Enum):
    """The reason why the backlog is unknown. In the first two cases the lake was not queried."""

    HUB_DOWN = "the hub cannot be read"
    HUB_TIMEOUT = "the hub does not answer"
    HUB_REFUSED = "the hub is not the one that bronze follows"
    LAKE_DOWN = "the lake does not answer"
    LAKE_DAMAGED = "a file of bronze is damaged"


@dataclass(frozen=True)
class HubStatus:
    """The backlog of a hub that answered after ``seconds``.

    ``last`` are the partitions' last sequence numbers, ``read`` those in bronze; ``newest`` is when the hub accepted
    its newest event.
    """

    backlog: Backlog
    seconds: float = 0.0
    last: Mapping[str, int] = field(default_factory=dict)
    read: Mapping[str, int] = field(default_factory=dict)
    newest: datetime | None = None

    @property
    def is_slow(self) -> bool:
        """True when the answer took suspiciously long."""
        return self.seconds > SLOW_SECONDS


@dataclass(frozen=True)
class HubFailure:
    """The backlog is unknown; ``reason`` is a message for the operator."""

    failure: Failure
    reason: str

    @property
    def lake_was_asked(self) -> bool:
        """False when the hub did not answer, so that the lake was not queried."""
        return self.failure not in {Failure.HUB_DOWN, Failure.HUB_TIMEOUT}


def peek(hub: Hub, *, seconds: float = SECONDS) -> HubState:
    """The state of the hub. Raises ``HubUnavailable`` if it cannot be read, ``HubTimeout`` if it does not answer."""
    try:
        return call_with_timeout(seconds, ("hub", hub.address), hub.peek)
    except CallTimedOut:
        raise HubTimeout(
            f"Event Hub {hub.name} at {hub.place} does not answer within {seconds:.0f} s; the next attempt may succeed"
        ) from None


def probe_hub(hub: Hub, lake: Lake, max_events: int, *, seconds: float = SECONDS) -> HubStatus | HubFailure:
    """Compares the hub with bronze. Never raises for an unavailable system, and returns within about ``seconds``."""
    began = time.monotonic()
    try:
        state = peek(hub, seconds=seconds)
    except HubTimeout as error:
        return HubFailure(Failure.HUB_TIMEOUT, str(error))
    except HubUnavailable as error:
        return HubFailure(Failure.HUB_DOWN, str(error))
    took = time.monotonic() - began
    uri = lake.uri(BRONZE_EVENTS)
    try:
        return call_with_timeout(
            max(seconds - took, MIN_LAKE_SECONDS), ("lake", uri), lambda: _compare(state, lake, max_events, took)
        )
    except CallTimedOut:
        return HubFailure(Failure.LAKE_DOWN, f"{uri} does not answer; the next tick tries again")
    except HubRefused as error:
        return HubFailure(Failure.HUB_REFUSED, str(error))
    except LakeDamaged as error:
        return HubFailure(Failure.LAKE_DAMAGED, str(error))
    except LakeError as error:
        return HubFailure(Failure.LAKE_DOWN, str(error))


def _compare(state: HubState, lake: Lake, max_events: int, seconds: float) -> HubStatus:
    bronze = lake.open(BRONZE_EVENTS)
    backlog = plan(state, bronze.checkpoint, max_events)
    positions = {
        part.partition_id: position(backlog.hub, backlog.created_at_ms, part.partition_id).read(bronze.checkpoint)
        for part in state.partitions
    }
    return HubStatus(
        backlog,
        seconds,
        {part.partition_id: part.last_sequence_number for part in state.partitions if not part.is_empty},
        {part: number for part, number in positions.items() if number is not None},
        max((part.last_enqueued_at for part in state.partitions if part.last_enqueued_at), default=None),
    )
