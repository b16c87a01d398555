"""What is to be read from the hub next: a pure decision, shared by the sensor and the bronze step.

Bronze keeps five kinds of progress: which hub it follows, which incarnation of it (its creation time), how many
partitions that has, and per partition the last sequence number and how many events were lost. Whatever a notice says
is settled by the progress that the next commit records, be it a commit without events: it is noticed until then, and
no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from patient_flow.errors import OperatorError
from patient_flow.monitoring.notices import EventsExpired, HubAdopted, HubRecreated, Notice, PartitionAdded
from patient_flow.stores.hub import HubState, PartitionState
from patient_flow.stores.lake.log import number_of

Progress = Callable[[str], int | None]
HUB = "hub"
COUNT = "count"
"""Progress of an incarnation: how many partitions it had. They are numbered from 0, and never taken away."""


class HubRefused(OperatorError):
    """The hub is not the one that bronze follows; going on needs a decision by an operator."""


@dataclass(frozen=True)
class PartitionBacklog:
    """What one partition holds beyond what bronze has: events after ``after`` up to ``upto`` (sequence numbers).

    ``lost`` events were dropped by the hub's retention before they could be read.
    """

    partition_id: str
    after: int
    upto: int
    available: int
    lost: int = 0


@dataclass(frozen=True)
class Backlog:
    """What the next micro-batch reads, and what an operator should know.

    ``dropped`` are the partitions that retention overtook, each with the number of the last event that it dropped;
    ``lost`` how many events each of them has now lost in all, so that the gaps in its numbers stay explained.
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
        """Events that the hub holds and bronze does not."""
        return sum(part.available for part in self.partitions)

    @property
    def next_events(self) -> int:
        """Events that the next micro-batch reads."""
        return sum(part.upto - part.after for part in self.partitions)

    def progress(self, last_read: dict[str, int]) -> dict[str, int]:
        """Progress to commit with rows that end, per partition, at the sequence numbers ``last_read``."""
        return {
            HUB: number_of(self.hub),
            self.hub: self.created_at_ms,
            source(self.hub, self.created_at_ms, COUNT): self.partition_count,
            **{
                source(self.hub, self.created_at_ms, part): number
                for part, number in {**self.dropped, **last_read}.items()
            },
            **{losses(self.created_at_ms, part): number for part, number in self.lost.items()},
        }


def identity(host: str, name: str) -> str:
    """Name under which a hub is known."""
    return f"{HUB}/{host}/{name}".lower()


def source(hub: str, created_at_ms: int, partition_id: str) -> str:
    """Name under which progress in one partition is kept."""
    return f"{hub}@{created_at_ms}/{partition_id}"


def losses(created_at_ms: int, partition_id: str) -> str:
    """Name under which is kept how many events of one partition were lost between those that were read."""
    return f"lost@{created_at_ms}/{partition_id}"


def plan(state: HubState, progress: Progress, max_events: int, *, adopt: bool = False) -> Backlog:
    """What to read next of a hub in ``state``, given bronze's ``progress``; at most ``max_events``.

    ``adopt`` accepts another hub than the one followed so far. Raises :class:`HubRefused`.
    """
    hub = identity(state.host, state.name)
    followed = progress(HUB)
    if followed not in (None, number_of(hub)) and not adopt:
        raise HubRefused(
            f"the lake was filled from another hub than {state.name} at {state.host}. If the change is meant, "
            "materialize bronze/patient_events once with the config adopt_hub: true; "
            "else correct PATIENT_FLOW_EVENTHUB_CONNECTION or PATIENT_FLOW_EVENTHUB_NAME"
        )
    created_at_ms = int(state.created_at.timestamp() * 1000)
    incarnation = progress(hub)
    notices: list[Notice] = []
    if followed not in (None, number_of(hub)):
        notices.append(HubAdopted(state.name, state.host))
    if incarnation is not None and incarnation != created_at_ms:
        notices.append(HubRecreated(state.name, state.created_at))
    positions = {
        part.partition_id: progress(source(hub, created_at_ms, part.partition_id)) for part in state.partitions
    }
    known = progress(source(hub, created_at_ms, COUNT))
    behind = []
    for part in state.partitions:
        position = positions[part.partition_id]
        is_new = known is not None and part.partition_id.isdecimal() and int(part.partition_id) >= known
        backlog, notice = _partition(part, position, is_new=is_new, is_first=known is None)
        behind.append(backlog)
        notices += notice
    dropped = {part.partition_id: part.after for part in behind if part.lost}
    lost = {
        part.partition_id: part.lost + (progress(losses(created_at_ms, part.partition_id)) or 0)
        for part in behind
        if part.lost and positions[part.partition_id] is not None
    }
    limited = _limited(behind, max_events)
    return Backlog(hub, created_at_ms, limited, len(state.partitions), tuple(notices), dropped, lost)


def _partition(
    part: PartitionState, position: int | None, *, is_new: bool, is_first: bool
) -> tuple[PartitionBacklog, list[Notice]]:
    after = -1 if position is None else position
    notices: list[Notice] = []
    if part.last_sequence_number < after:
        raise HubRefused(
            f"partition {part.partition_id} ends at {part.last_sequence_number}, but bronze holds events up to "
            f"{after}: the hub lost events that were acknowledged (a forced failover?). Compare both, then "
            "delete and create the hub again, or restore it"
        )
    if is_new and position is None:
        notices.append(PartitionAdded(part.partition_id))
    is_used = part.last_sequence_number >= 0 and part.first_sequence_number <= part.last_sequence_number + 1
    lost = max(0, part.first_sequence_number - after - 1) if is_used else 0
    if lost:
        notices.append(EventsExpired(part.partition_id, lost, before_first_read=is_first and position is None))
    after += lost
    available = 0 if part.is_empty else max(0, part.last_sequence_number - after)
    return PartitionBacklog(part.partition_id, after, part.last_sequence_number, available, lost), notices


def _limited(behind: list[PartitionBacklog], max_events: int) -> tuple[PartitionBacklog, ...]:
    """Fair shares: the smallest backlogs first, so that what they leave over goes to the larger ones."""
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
