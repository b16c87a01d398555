"""Files and the hub state the same history: whichever comes first, all tables end the same (F8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests import oracle
from patient_flow_tests.builders import (
    EVENT_STEPS,
    Body,
    Delivery,
    run_micro_batches,
)
from patient_flow_tests.examples import scaled
from patient_flow_tests.scenarios import hospital_days
from patient_flow_tests.scenarios.agreement import (
    assert_agreement,
    assert_census_is_up_to_the_newest_event,
    assert_places_of_events,
    assert_quality,
    assert_same,
    everything,
)
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS, ENQUEUED
from patient_flow_tests.stacks import Stack

LINES = list(DEPARTMENTS.iter_rows(named=True))
FILES = ("import-a", "import-b", "import-c")
IMPORTED_AT = {name: ENQUEUED + timedelta(days=1 + number) for number, name in enumerate(FILES)}

Lakes = Callable[[int], AbstractContextManager[list[Lake]]]


def of_file(name: str, bodies: Sequence[Body], *, as_of: datetime | None = None) -> list[Delivery]:
    """The rows of one import, in their order; enqueued at their latest instant that is no plan."""
    return [
        Delivery(body, as_of or _latest(body), name, number, IMPORTED_AT[name])
        for number, body in enumerate(bodies, start=1)
    ]


def _latest(body: Body) -> datetime:
    stated = [datetime.fromisoformat(text) for name, text in body.items() if name.endswith("_time") and text]
    past = [instant for instant in stated if instant <= ENQUEUED]
    return max(past, default=ENQUEUED)


def assert_as_at_once(lake: Lake, received: Sequence[Delivery], alone: Lake) -> None:
    """``lake`` holds what ``alone`` holds after taking in everything at once, and what the oracle says."""
    run_micro_batches(alone, [received], DEPARTMENTS, steps=EVENT_STEPS)
    verdict = oracle.validate(received, LINES)
    for either in (alone, lake):
        assert_places_of_events(either, verdict)
        assert_census_is_up_to_the_newest_event(either, verdict)
        assert_quality(either, verdict)
    frames = everything(lake)
    assert_same(frames, everything(alone))
    assert_agreement(frames, verdict, DEPARTMENTS)


@st.composite
def histories(draw: Any) -> tuple[list[Delivery], list[list[Delivery]]]:
    """What a hub and some files state of one day, with repeats and contradictions; and batches of it in any order."""
    day = draw(draw(st.sampled_from((hospital_days.consistent_days(), hospital_days.messy_days(most_events=12)))))
    pool = [*day, *({**body, "age": 77} for body in draw(st.lists(st.sampled_from(day), max_size=3)))]
    parts = {name: draw(st.lists(st.sampled_from(pool), max_size=8)) for name in FILES}
    hub = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=8))
    nightly = draw(st.booleans())
    rows = [
        *hospital_days.at_the_hub(hub, [draw(st.integers(0, 1)) for _ in hub]),
        *(
            row
            for name, bodies in parts.items()
            for row in of_file(name, bodies, as_of=IMPORTED_AT[name] if nightly else None)
        ),
    ]
    turns = [draw(st.integers(0, 3)) for _ in rows]
    batches = [[row for row, turn in zip(rows, turns, strict=True) if turn == number] for number in range(4)]
    return rows, [batch for batch in batches if batch]


@pytest.mark.embedded_only("the order of events is not the business of stores")
def test_files_and_hub_end_in_the_same_tables_in_any_order(stack: Stack) -> None:
    # shrinking lakes takes minutes
    @settings(max_examples=scaled(5), phases=(Phase.explicit, Phase.reuse, Phase.generate))
    @given(histories())
    def they_end_the_same(history: tuple[list[Delivery], list[list[Delivery]]]) -> None:
        received, batches = history
        with stack.lakes(2) as (lake, alone):
            run_micro_batches(lake, batches, DEPARTMENTS, steps=EVENT_STEPS)
            assert_as_at_once(lake, received, alone)

    they_end_the_same()
