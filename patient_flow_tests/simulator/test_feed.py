"""The stream of messages: determinism, contract, corruption, time and memory."""

import tracemalloc
from collections import Counter, defaultdict
from itertools import islice, pairwise

import pytest

from patient_flow.simulator.corruption import CORRUPTIONS
from patient_flow.simulator.demand import DAY, HOUR, SECOND
from patient_flow.simulator.events import PARTITION_KEYS
from patient_flow.simulator.feed import Message, messages

from .builders import NOW, plan
from .contract_checker import check_lifecycle, check_reference


@pytest.fixture(scope="module")
def clean() -> list[Message]:
    return list(messages(plan()))


@pytest.fixture(scope="module")
def dirty() -> list[Message]:
    return list(messages(plan(dirty=0.1)))


def test_the_same_plan_gives_the_same_bytes(dirty: list[Message]) -> None:
    assert list(messages(plan(dirty=0.1))) == dirty


def test_every_clean_event_satisfies_the_contract(clean: list[Message]) -> None:
    events = [check_lifecycle(message.body) for message in clean]
    assert len({event["event_id"] for event in events}) == len(events)
    assert all(message.event_type == event["event_type"] for message, event in zip(clean, events, strict=True))


def test_clean_events_come_in_order_of_time(clean: list[Message]) -> None:
    times = [check_lifecycle(message.body)["event_time"] for message in clean[:2000]]
    assert all(message.due == message.at <= NOW for message in clean)
    assert all(before.at <= after.at for before, after in pairwise(clean))
    assert len(set(times)) > 1900


def test_ids_are_unique_per_run(clean: list[Message]) -> None:
    later = [check_lifecycle(message.body) for message in islice(messages(plan(start=NOW - DAY)), 2000)]
    earlier = [check_lifecycle(message.body) for message in clean]
    for field in ("event_id", "visit_id", "patient_id"):
        ids = {event[field] for event in later if field in event}
        assert not ids & {event.get(field) for event in earlier}


def test_reference_events_have_exactly_the_reference_shape_and_are_one_per_visit() -> None:
    feed = list(messages(plan(format="reference")))
    events = [check_reference(message.body) for message in feed]
    assert {message.event_type for message in feed} == {"visit_snapshot"}
    assert len({(e["hospital_id"], e["patient_id"], e["admission_time"]) for e in events}) == len(events)


@pytest.mark.parametrize("speed", [1.0, 200.0])
def test_reference_events_never_put_two_patients_into_a_bed(speed: float) -> None:
    feed = messages(plan(format="reference", ends_now=False, speed=speed))
    free_from: dict[tuple[object, object], str] = {}
    for message in islice(feed, 9000):
        event = check_reference(message.body)
        bed = (event["hospital_id"], event["bed_id"])
        assert free_from.get(bed, "") <= event["admission_time"]
        free_from[bed] = event["discharge_time"]


def test_all_corruptions_appear_and_no_other(dirty: list[Message]) -> None:
    kinds = Counter(message.corruption for message in dirty if message.corruption)
    assert set(kinds) == {kind.__name__ for kind in CORRUPTIONS}
    assert 0.08 < kinds.total() / len(dirty) < 0.15


def test_events_that_are_not_corrupted_are_unchanged(clean: list[Message], dirty: list[Message]) -> None:
    bodies = {message.body for message in clean}
    unchanged = [message for message in dirty if message.corruption is None]
    assert all(message.body in bodies for message in unchanged)
    assert len(unchanged) > 0.85 * len(clean)


def test_late_and_repeated_deliveries_are_not_lost_at_the_end(clean: list[Message], dirty: list[Message]) -> None:
    late = [message.body for message in dirty if message.corruption == "delivered_late"]
    assert set(late) <= {message.body for message in clean}
    repeated = Counter(message.body for message in dirty if message.corruption == "delivered_twice")
    assert set(repeated.values()) == {2}


def test_a_patient_keeps_one_partition_key_and_all_keys_are_used(clean: list[Message]) -> None:
    keys = defaultdict(set)
    for message in clean:
        keys[check_lifecycle(message.body)["patient_id"]].add(message.key)
    assert all(len(patient_keys) == 1 for patient_keys in keys.values())
    assert len({message.key for message in clean}) == PARTITION_KEYS


def test_at_speed_one_events_happen_when_they_are_due() -> None:
    feed = messages(plan(start=NOW, ends_now=False))
    for message in islice(feed, 4000):
        assert message.due == message.at


def test_a_higher_speed_divides_all_durations() -> None:
    slow = [m for m in islice(messages(plan(start=NOW, ends_now=False)), 14_000) if m.at > NOW]
    fast = [m for m in islice(messages(plan(start=NOW, ends_now=False, speed=60.0)), 14_000) if m.at > NOW]
    assert len(slow) == len(fast) > 1000
    for one, other in zip(slow, fast, strict=True):
        assert other.due == other.at
        assert other.at - NOW == pytest.approx((one.at - NOW) / 60, abs=1)


def test_a_rate_spaces_live_events_evenly() -> None:
    live = [m for m in islice(messages(plan(ends_now=False, rate=50.0)), 40_000) if m.due > NOW]
    assert len(live) > 5000
    assert all(message.due == message.at for message in live)
    assert live[-1].due - NOW == pytest.approx(len(live) * SECOND / 50, abs=2)


def test_a_rate_also_applies_to_the_initial_admissions_of_a_live_feed() -> None:
    opening = list(islice(messages(plan(start=NOW, ends_now=False, rate=50.0)), 1000))
    assert all(message.at <= NOW < message.due for message in opening)
    assert opening[-1].due == NOW + 20 * SECOND


def test_a_long_back_fill_needs_no_more_memory_than_a_short_one() -> None:
    feed = messages(plan(start=NOW - 60 * DAY))
    tracemalloc.start()
    try:
        for message in feed:
            if message.at > NOW - 59 * DAY:
                break
        after_a_day, _ = tracemalloc.get_traced_memory()
        for message in feed:
            if message.at > NOW - 57 * DAY:
                break
        after_three_days, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    per_day = (after_three_days - after_a_day) / 2
    assert per_day < 1_500_000  # the people met for the first time; 2 MB of bodies would be on top if they were kept


def test_no_message_states_an_event_later_than_its_sending() -> None:
    for rate in (None, 20.0):
        feed = messages(plan(start=NOW - HOUR, ends_now=False, rate=rate))
        assert all(message.at <= message.due for message in islice(feed, 14_000))
