"""The first day of a feed, from its departures."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from patient_flow.forecasting.feeds import began

FIRST = date(2026, 3, 1)
BEFORE = [0, 1, 0, 0, 1, 0]
"""Departures of the days before a feed, of those who were in bed when it began."""


def day_of(departures: list[int]) -> int | None:
    """How many days after the first one the feed of ``departures``, one number a day, began."""
    dates = [FIRST + timedelta(days=day) for day in range(len(departures))]
    rows = pl.DataFrame({"date": dates, "departures": departures}, schema={"date": pl.Date(), "departures": pl.Int64()})
    found = rows.sample(fraction=1, shuffle=True, seed=1).select(began()).item()
    return None if found is None else (found - FIRST).days


@pytest.mark.parametrize("silent", [0, 7, 8, 14, 30])
def test_a_feed_that_stands_still_began_when_it_did(silent: int) -> None:
    assert day_of([*BEFORE, *[20] * 15, *[0] * silent]) == len(BEFORE)


@pytest.mark.parametrize("silent", [0, 6, 20])
def test_the_feed_of_a_hospital_that_somebody_leaves_once_a_week_began_with_the_first_departure(silent: int) -> None:
    weekly = [1, 0, 0, 0, 0, 0, 0]
    assert day_of([0, 0, 0, *weekly * 3, *[0] * silent]) == 3


def test_without_a_departure_no_feed_is_known_to_have_begun() -> None:
    assert day_of([0, 0]) is None
    assert day_of([]) is None
