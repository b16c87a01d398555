"""What to read next: a pure decision over what the hub holds and what bronze has."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.monitoring.notices import EventsExpired, HubRecreated, PartitionAdded
from patient_flow.pipeline.backlog import HubRefused, plan
from patient_flow.stores.hub import HubState, PartitionState
from patient_flow.stores.lake.log import number_of

CREATED = datetime(2026, 11, 1, tzinfo=UTC)
CREATED_MS = int(CREATED.timestamp() * 1000)
NAME = "hub/h.example/patient-flow"


def partition(number: int, last: int, first: int = 0) -> PartitionState:
    return PartitionState(str(number), first, last, None, is_empty=last < first)


def state(*partitions: PartitionState, created_at: datetime = CREATED) -> HubState:
    return HubState("h.example", "patient-flow", created_at, partitions)


def followed(positions: dict[int, int], created_ms: int = CREATED_MS, count: int | None = None) -> dict[str, int]:
    return {
        "hub": number_of(NAME),
        NAME: created_ms,
        f"{NAME}@{created_ms}/count": len(positions) if count is None else count,
        **{f"{NAME}@{created_ms}/{number}": last for number, last in positions.items()},
    }


def ranges(backlog) -> dict[str, tuple[int, int]]:
    return {part.partition_id: (part.after, part.upto) for part in backlog.partitions}


def test_a_new_lake_reads_every_partition_from_its_oldest_event() -> None:
    backlog = plan(state(partition(0, 9), partition(1, 4)), {}.get, 100)
    assert ranges(backlog) == {"0": (-1, 9), "1": (-1, 4)}
    assert backlog.events == backlog.next_events == 15
    assert backlog.notices == ()


def test_partitions_that_are_drained_or_empty_are_left_out() -> None:
    backlog = plan(state(partition(0, 9), partition(1, -1), partition(2, 5)), followed({0: 9, 2: 3}).get, 100)
    assert ranges(backlog) == {"2": (3, 5)}


def test_a_limit_is_shared_and_small_backlogs_leave_their_rest_to_large_ones() -> None:
    backlog = plan(state(partition(0, 1), partition(1, 999), partition(2, 999)), {}.get, 100)
    assert ranges(backlog) == {"0": (-1, 1), "1": (-1, 48), "2": (-1, 48)}
    assert (backlog.next_events, backlog.events) == (100, 202 + 1800)


def test_a_hub_that_was_created_again_is_read_from_its_beginning_and_named() -> None:
    again = datetime(2026, 11, 20, tzinfo=UTC)
    backlog = plan(state(partition(0, 3), created_at=again), followed({0: 900}).get, 100)
    assert ranges(backlog) == {"0": (-1, 3)}
    assert backlog.notices == (HubRecreated("patient-flow", again),)


def test_retention_that_overtook_us_is_counted_and_named() -> None:
    backlog = plan(state(partition(0, 99, first=50)), followed({0: 19}).get, 100)
    assert ranges(backlog) == {"0": (49, 99)}
    assert backlog.notices == (EventsExpired("0", 30),)


def test_a_partition_whose_unread_events_all_expired_is_named_too() -> None:
    backlog = plan(state(partition(0, 99, first=100)), followed({0: 19}).get, 100)
    assert ranges(backlog) == {}
    assert backlog.notices == (EventsExpired("0", 80),)


def test_events_dropped_before_the_first_read_are_distinguished_from_later_losses() -> None:
    attached = plan(state(partition(0, 99, first=50)), {}.get, 100)
    assert attached.notices == (EventsExpired("0", 50, before_first_read=True),)
    unread = plan(state(partition(0, 9), partition(1, 99, first=50)), followed({0: 9}, count=2).get, 100)
    assert unread.notices == (EventsExpired("1", 50),)


def test_a_partition_that_was_added_is_read_and_named() -> None:
    backlog = plan(state(partition(0, 9), partition(1, 5)), followed({0: 9}).get, 100)
    assert ranges(backlog) == {"1": (-1, 5)}
    assert backlog.notices == (PartitionAdded("1"),)


def test_a_partition_that_was_added_is_named_while_it_is_empty() -> None:
    backlog = plan(state(partition(0, 9), partition(1, -1)), followed({0: 4}).get, 100)
    assert ranges(backlog) == {"0": (4, 9)}
    assert backlog.notices == (PartitionAdded("1"),)


def test_a_new_lake_calls_no_partition_new() -> None:
    assert plan(state(partition(0, -1), partition(1, -1)), {}.get, 100).notices == ()


@st.composite
def lakes_and_hubs(draw: st.DrawFn) -> tuple[dict[str, int], HubState]:
    """What bronze recorded of a hub, if anything, and what became of that hub since: filled, expired, grown, anew."""
    partitions, recorded = [], {}
    for number in range(draw(st.integers(1, 4))):
        last = draw(st.integers(-1, 30))
        partitions.append(partition(number, last, first=draw(st.integers(0, last + 1))))
        if (position := draw(st.none() | st.integers(0, 30))) is not None and position <= last:
            recorded[number] = position
    count = draw(st.integers(max(recorded, default=0) + 1, len(partitions)))
    created_ms = draw(st.sampled_from([CREATED_MS, CREATED_MS - 1000]))
    return draw(st.sampled_from([{}, followed(recorded, created_ms, count)])), state(*partitions)


@given(lakes_and_hubs(), st.integers(0, 40), st.randoms(use_true_random=False))
def test_whatever_is_noticed_is_noticed_until_the_next_commit_and_no_event_is_left_out(
    lake_and_hub: tuple[dict[str, int], HubState], limit: int, chance: Random
) -> None:
    recorded, hub = lake_and_hub
    waiting, backlog = plan(hub, recorded.get, 1000).events, plan(hub, recorded.get, limit)
    last_read = {}  # any part of what was to be read
    for part in backlog.partitions:
        if (last := chance.randint(part.after, part.upto)) > part.after:
            last_read[part.partition_id] = last
    recorded = {**recorded, **backlog.checkpoints(last_read)}
    assert plan(hub, recorded.get, limit).notices == ()
    left = plan(hub, recorded.get, 1000)
    assert ranges(left) == {
        part.partition_id: (after, part.last_sequence_number)
        for part in hub.partitions
        if (after := max(_had(recorded, part), part.first_sequence_number - 1)) < part.last_sequence_number
    }
    after = {part.partition_id: part.after for part in backlog.partitions}
    assert left.events == waiting - sum(last - after[part] for part, last in last_read.items())


def _had(recorded: dict[str, int], part: PartitionState) -> int:
    return recorded.get(f"{NAME}@{CREATED_MS}/{part.partition_id}", -1)


def test_a_partition_that_was_only_empty_so_far_is_not_called_new() -> None:
    backlog = plan(state(partition(0, 9), partition(1, 5)), followed({0: 9}, count=2).get, 100)
    assert ranges(backlog) == {"1": (-1, 5)}
    assert backlog.notices == ()


def test_another_hub_is_refused_until_it_is_adopted() -> None:
    other = {**followed({0: 9}), "hub": number_of("hub/other/patient-flow")}
    with pytest.raises(HubRefused, match="adopt_hub: true"):
        plan(state(partition(0, 9)), other.get, 100)
    assert plan(state(partition(0, 12)), other.get, 100, adopt=True).events == 3


def test_a_hub_that_lost_acknowledged_events_is_refused() -> None:
    with pytest.raises(HubRefused, match="lost events"):
        plan(state(partition(0, 5)), followed({0: 9}).get, 100)


def test_checkpoints_name_the_hub_its_incarnation_and_each_partition() -> None:
    backlog = plan(state(partition(0, 9)), {}.get, 100)
    assert backlog.checkpoints({"0": 9}) == followed({0: 9})
