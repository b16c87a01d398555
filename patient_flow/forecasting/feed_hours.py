"""The first hour of each department's feed, from the stays that are known."""

from __future__ import annotations

import numpy as np
import polars as pl

from patient_flow.forecasting.beds import WINDOW_DAYS, Departments, Ints, Stays
from patient_flow.forecasting.feeds import began

c = pl.col


def first_hours(stays: Stays, departments: Departments, now: int) -> Ints:
    """The first hour, since 1970, of each department's feed: that of its hospital.

    Days are the 24 hours that end ``now``, the 24 hours before and so on. Without any departure a feed begins with the
    first stay.
    """
    hospitals = int(departments.hospital.max()) + 1
    hospital, back = departments.hospital[stays.place], (now - stays.end) // 24
    counted = (stays.end <= now) & (back < WINDOW_DAYS)
    left = np.zeros((hospitals, WINDOW_DAYS), np.int64)
    np.add.at(left, (hospital[counted], WINDOW_DAYS - 1 - back[counted]), 1)
    first = np.full(hospitals, now)
    np.minimum.at(first, hospital, stays.start)
    date = np.tile(np.arange(WINDOW_DAYS), hospitals)
    rows = pl.DataFrame(
        {
            "hospital": np.repeat(np.arange(hospitals), WINDOW_DAYS),
            "date": date,
            "departures": left.ravel(),
            "is_known": date >= WINDOW_DAYS - 1 - (now - np.repeat(first, WINDOW_DAYS)) // 24,
        }
    )
    fed = rows.filter("is_known").group_by("hospital").agg(day=began()).drop_nulls()
    found = first.copy()
    found[fed["hospital"].to_numpy()] = now - 24 * (WINDOW_DAYS - fed["day"].to_numpy())
    return np.asarray(np.maximum(found, first)[departments.hospital])
