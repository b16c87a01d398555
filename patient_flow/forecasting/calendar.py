"""Whole hours since 1970 (UTC) and their local hour of the week."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

HOURS_OF_WEEK = 168
Hours = NDArray[np.int64]


def hour_of(instant: datetime) -> int:
    """The last whole hour not later than ``instant``."""
    return int(instant.timestamp() // 3600)


def instant_of(hour: int) -> datetime:
    """The start of ``hour``."""
    return datetime.fromtimestamp(hour * 3600, UTC)


def hours_of_week(first: int, last: int, zone: str) -> Hours:
    """Local hour of the week (0 = Monday 0:00) of each hour from ``first`` up to, but not including, ``last``."""
    instants = pl.Series("hour", range(first, last), dtype=pl.Int64) * 3_600_000_000
    local = instants.cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)
    return ((local.dt.weekday().cast(pl.Int64) - 1) * 24 + local.dt.hour().cast(pl.Int64)).to_numpy()
