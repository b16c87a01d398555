"""Corrections of a second source, void or not: all tables end the same in any order and split."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from patient_flow_tests.builders import EVENT_STEPS, Body, Delivery, run_micro_batches
from patient_flow_tests.examples import scaled
from patient_flow_tests.scenarios import hospital_days
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS, ENQUEUED
from patient_flow_tests.scenarios.test_imports import assert_as_at_once
from patient_flow_tests.stacks import Stack

DELAYS = [timedelta(minutes=minutes) for minutes in (0, 1, 60, 600, 3000)]


def taken(body: Body, delay: timedelta) -> datetime:
    """An instant by which everything has happened that the body states."""
    stated = [datetime.fromisoformat(text) for name, text in body.items() if name.endswith("_time") and text]
    return max((instant for instant in stated if instant <= ENQUEUED), default=ENQUEUED) + delay


@st.composite
def corrected_days(draw: Any) -> tuple[list[Delivery], list[list[Delivery]]]:
    """Events of one day at the hub, some late, and corrections of their visits; and batches of them in any order."""
    day: Sequence[Body] = draw(hospital_days.consistent_days())
    stated = [body for body in day if body.get("event_type") in ("admission", "transfer", "discharge", "update")]
    chosen = draw(st.lists(st.sampled_from(stated), min_size=1, max_size=4)) if stated else []
    shifts = [draw(st.sampled_from(DELAYS)) for _ in chosen]
    corrections = [
        {
            **body,
            "event_id": f"correction {number}",
            "source": "reconciliation",
            "event_time": (datetime.fromisoformat(body["event_time"]) + shift).isoformat(),
        }
        for number, (body, shift) in enumerate(zip(chosen, shifts, strict=True))
    ]
    bodies = [
        *((body, str(draw(st.integers(0, 1)))) for body in day),
        *((body, "reconciliation") for body in corrections),
    ]
    received = [
        Delivery(body, taken(body, draw(st.sampled_from(DELAYS))), partition, number)
        for number, (body, partition) in enumerate(bodies)
    ]
    turns = [draw(st.integers(0, 2)) for _ in received]
    batches = [[row for row, turn in zip(received, turns, strict=True) if turn == number] for number in range(3)]
    return received, [batch for batch in batches if batch]


@pytest.mark.long
@pytest.mark.embedded_only("the order of events is not the business of stores")
def test_corrections_end_in_the_same_tables_in_any_order(stack: Stack) -> None:
    @settings(max_examples=scaled(6), phases=(Phase.explicit, Phase.reuse, Phase.generate))
    @given(corrected_days())
    def they_end_the_same(history: tuple[list[Delivery], list[list[Delivery]]]) -> None:
        received, batches = history
        with stack.lakes(2) as (lake, alone):
            run_micro_batches(lake, batches, DEPARTMENTS, steps=EVENT_STEPS)
            assert_as_at_once(lake, received, alone)

    they_end_the_same()
