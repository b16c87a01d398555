"""Bronze's progress at the hub, from the lake and the hub alone."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.monitoring.inputs import ReadProgress
from patient_flow.pipeline.backlog import Backlog, PartitionBacklog
from patient_flow.pipeline.bronze import resume_at
from patient_flow.pipeline.checkpoints import READ_UNTIL
from patient_flow.pipeline.hub_probe import SECONDS, HubFailure, probe_hub
from patient_flow.stores.hub import Hub, HubUnavailable
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import LakeError
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout

ONE_EVENT_BYTES = 2 * 1024 * 1024
"""More than the largest event."""


def recorded_progress(lake: Lake) -> ReadProgress:
    """Until when the last complete drain read everything, from bronze's checkpoints. The hub is not queried."""
    return ReadProgress(READ_UNTIL.read(lake.open(BRONZE_EVENTS).checkpoint))


def read_progress(hub: Hub, lake: Lake, max_events: int, now: datetime, *, trusted: timedelta) -> ReadProgress:
    """How far bronze has read the hub at ``now``.

    A complete drain that bronze recorded less than ``trusted`` ago needs no question to the hub. Otherwise the hub says
    whether events wait, and since when the oldest of them does.
    """
    recorded = recorded_progress(lake)
    if recorded.read_until is not None and now - recorded.read_until <= trusted:
        return recorded
    status = probe_hub(hub, lake, max_events)
    if isinstance(status, HubFailure):
        return ReadProgress(recorded.read_until, failure=status.reason)
    waiting = status.backlog.events
    if not waiting:
        return ReadProgress(now, 0)
    try:
        oldest = call_with_timeout(SECONDS, ("oldest", hub.address), lambda: _oldest_unread(hub, lake, status.backlog))
    except (CallTimedOut, HubUnavailable, LakeError):
        oldest = None
    return ReadProgress(oldest or recorded.read_until, waiting)


def _oldest_unread(hub: Hub, lake: Lake, backlog: Backlog) -> datetime | None:
    """The enqueued time of the oldest event that bronze lacks; None unless all partitions could be read."""
    bronze = lake.open(BRONZE_EVENTS)
    first = [
        PartitionBacklog(part.partition_id, part.after, part.after + 1, part.available, part.lost)
        for part in backlog.partitions
    ]
    slices = [resume_at(bronze, backlog, part) for part in first]
    drained = hub.drain(slices, time.monotonic() + SECONDS / 2, ONE_EVENT_BYTES * len(slices))
    oldest = drained.events["enqueued_at"].min()
    return oldest if isinstance(oldest, datetime) and drained.error is None else None
