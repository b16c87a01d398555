"""The demo's history: files for an import, the last days first, and beds that are right after each of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from patient_flow.settings import load
from patient_flow.simulator import history
from patient_flow.simulator.demand import DAY
from patient_flow.simulator.feed import MOVES, Message, Plan, messages
from patient_flow.simulator.run import Options, plan

NOW = 1_790_000_000_000_000


@pytest.fixture(scope="module")
def feed() -> tuple[Plan, list[Message], Message]:
    """A plan with many corruptions, its history, and the first live message."""
    options = Options(days=8, speed=1.0, dirty=0.2, spares_moves=True)
    made = plan(load({}, environ={}), options, NOW)
    past, rest = history.split(messages(made), NOW)
    return made, past, next(rest)


def test_the_feed_is_cut_at_now_and_loses_nothing(feed: tuple[Plan, list[Message], Message]) -> None:
    made, past, first_live = feed
    assert first_live.due > NOW
    assert all(message.due <= NOW for message in past)
    whole = messages(made)
    assert [next(whole) for _ in range(len(past) + 1)] == [*past, first_live]


def test_a_visit_is_in_one_file_and_the_first_has_all_that_are_open(
    feed: tuple[Plan, list[Message], Message], tmp_path: Path
) -> None:
    _, past, _ = feed
    history.write(past, tmp_path, NOW)
    lines = {name: (tmp_path / name).read_bytes().splitlines() for name in (history.RECENT, history.OLDER)}
    assert Counter([*lines[history.RECENT], *lines[history.OLDER]]) == Counter(message.body for message in past)
    visits = {name: {v for line in found if (v := visit_of(line))} for name, found in lines.items()}
    assert not visits[history.RECENT] & visits[history.OLDER]
    ended = {message.visit_id: message.at for message in past if message.event_type == "discharge"}
    assert all(ended[visit] < NOW - history.RECENT_DAYS * DAY for visit in visits[history.OLDER])
    order = [visit for line in lines[history.OLDER] if (visit := visit_of(line))]
    runs = [visit for number, visit in enumerate(order) if not number or order[number - 1] != visit]
    assert len(runs) == len(set(runs))


def visit_of(line: bytes) -> str:
    try:
        event = json.loads(line)
    except ValueError:
        return ""
    return str(event.get("visit_id", "")) if isinstance(event, dict) else ""


def test_corruptions_spare_moves_and_typing_errors_come_from_one_hospital(
    feed: tuple[Plan, list[Message], Message],
) -> None:
    made, past, _ = feed
    kinds = {kind for message in past if message.event_type in MOVES for kind in [message.corruption] if kind}
    assert kinds == {"age_too_high", "age_negative", "gender_misspelt", "delivered_twice", "field_unknown"}
    mistyped = [json.loads(message.body) for message in past if message.corruption == "department_misspelt"]
    assert mistyped
    assert {event["hospital_id"] for event in mistyped} == {made.departments[0].hospital_id}
    assert made.zone == ZoneInfo("Europe/Paris")
