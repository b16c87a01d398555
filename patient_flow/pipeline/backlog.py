"""The next read of the hub: a pure decision, shared by the sensor and the bronze step.

Bronze keeps six kinds of checkpoints (``checkpoints``): which hub it follows, which incarnation of it (its creation
time), how many partitions that has, per partition the last sequence number and how many events expired unread, and
until when the hub was read completely. A notice is repeated until the next commit records the checkpoints that settle
it, even a commit without events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from patient_flow.errors import OperatorError
from patient_flow.monitoring.notices import EventsExpired, HubAdopted, HubRecreated, Notice, PartitionAdded
from patient_flow.pipeline.checkpoints import (
    FOLLOWED_HUB,
    Reader,
    incarnation,
    lost_events,
    partition_count,
    position,
)
from patient_flow.stores.hub import HubState, PartitionState


class HubRefused(OperatorError):
    """The hub is not the one that bronze follows; going on needs a decision by an operator."""


@dataclass(frozen=True)
class PartitionBacklog:
    """Events of one partition that bronze lacks: after ``after`` up to ``upto`` (sequence numbers).

    The hub's retention deleted ``lost`` events before they could be read.
    """

    partition_id: str
    after: int
    upto: int
    available: int
    lost: int = 0


@dataclass(frozen=True)
class Backlog:
    """The next read of the hub, with notices for the operator.

    ``dropped`` is the last sequence number that retention deleted unread, per partition concerned; ``lost`` how many
    events each of them has lost in all, so that the gaps in its numbers stay explained.
    """

    hub: str
    created_at_ms: int
    partitions: tuple[PartitionBacklog, ...]
    partition_count: int
    notices: tuple[Notice, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """Events in the hub that bronze lacks."""
        return sum(part.available for part in self.partitions)

    @property
    def next_events(self) -> int:
        """Events that the next micro-batch reads."""
        return sum(part.upto - part.after for part in self.partitions)

    def checkpoints(self, last_read: dict[str, int]) -> dict[str, int]:
        """Checkpoints to commit with rows up to the sequence numbers ``last_read`` per partition."""
        recorded = {
            **FOLLOWED_HUB.of(self.hub),
            **incarnation(self.hub).of(self.created_at_ms),
            **partition_count(self.hub, self.created_at_ms).of(self.partition_count),
        }
        for part, number in {**self.dropped, **last_read}.items():
            recorded |= position(self.hub, self.created_at_ms, part).of(number)
        for part, number in self.lost.items():
            recorded |= lost_events(self.created_at_ms, part).of(number)
        return recorded


def identity(host: str, name: str) -> str:
    """Name under which a hub is known."""
    return f"hub/{host}/{name}".lower()


def plan(state: HubState, checkpoint: Reader, max_events: int, *, adopt: bool = False) -> Backlog:
    """Plans the next read of at most ``max_events`` from the hub's ``state`` and bronze's checkpoints.

    ``adopt`` accepts another hub than the followed one. Raises :class:`HubRefused` otherwise.
    """
    hub = identity(state.host, state.name)
    is_other_hub = FOLLOWED_HUB.is_recorded(checkpoint) and not FOLLOWED_HUB.matches(checkpoint, hub)
    if is_other_hub and not adopt:
        raise HubRefused(
            f"the lake was filled from another hub than {state.name} at {state.host}. If the change is meant, "
            "materialize bronze/patient_events once with the config adopt_hub: true; "
            "else correct PATIENT_FLOW_EVENTHUB_CONNECTION or PATIENT_FLOW_EVENTHUB_NAME"
        )
    created_at_ms = int(state.created_at.timestamp() * 1000)
    former_created_at_ms = incarnation(hub).read(checkpoint)
    notices: list[Notice] = []
    if is_other_hub:
        notices.append(HubAdopted(state.name, state.host))
    if former_created_at_ms not in (None, created_at_ms):
        notices.append(HubRecreated(state.name, state.created_at))
    positions = {
        part.partition_id: position(hub, created_at_ms, part.partition_id).read(checkpoint) for part in state.partitions
    }
    known = partition_count(hub, created_at_ms).read(checkpoint)
    behind = []
    for part in state.partitions:
        last_read = positions[part.partition_id]
        is_new = known is not None and part.partition_id.isdecimal() and int(part.partition_id) >= known
        backlog, notice = _partition(part, last_read, is_new=is_new, is_first=known is None)
        behind.append(backlog)
        notices += notice
    dropped = {part.partition_id: part.after for part in behind if part.lost}
    lost = {
        part.partition_id: part.lost + (lost_events(created_at_ms, part.partition_id).read(checkpoint) or 0)
        for part in behind
        if part.lost and positions[part.partition_id] is not None
    }
    limited = _limited(behind, max_events)
    return Backlog(hub, created_at_ms, limited, len(state.partitions), tuple(notices), dropped, lost)


def _partition(
    part: PartitionState, last_read: int | None, *, is_new: bool, is_first: bool
) -> tuple[PartitionBacklog, list[Notice]]:
    after = -1 if last_read is None else last_read
    notices: list[Notice] = []
    if part.last_sequence_number < after:
        raise HubRefused(
            f"partition {part.partition_id} ends at {part.last_sequence_number}, but bronze has events up to "
            f"{after}: the hub lost events that were acknowledged (a forced failover?). Compare both, then "
            "delete and create the hub again, or restore it"
        )
    if is_new and last_read is None:
        notices.append(PartitionAdded(part.partition_id))
    is_used = part.last_sequence_number >= 0 and part.first_sequence_number <= part.last_sequence_number + 1
    lost = max(0, part.first_sequence_number - after - 1) if is_used else 0
    if lost:
        notices.append(EventsExpired(part.partition_id, lost, before_first_read=is_first and last_read is None))
    after += lost
    available = 0 if part.is_empty else max(0, part.last_sequence_number - after)
    return PartitionBacklog(part.partition_id, after, part.last_sequence_number, available, lost), notices


def _limited(behind: list[PartitionBacklog], max_events: int) -> tuple[PartitionBacklog, ...]:
    """Fair shares: the smallest backlogs come first, so that larger ones get what they leave."""
    waiting = sorted((part for part in behind if part.available), key=lambda part: part.available)
    limited = []
    for number, part in enumerate(waiting):
        share = min(part.available, max_events // (len(waiting) - number))
        max_events -= share
        if share:
            limited.append(
                PartitionBacklog(part.partition_id, part.after, part.after + share, part.available, part.lost)
            )
    return tuple(sorted(limited, key=lambda part: part.partition_id))
