"""The simple forecasts that the model is compared with: as many beds as now, and as many as a week before.

Their quantiles come from their own errors: those of the same place and the same distance ahead on the days before, as
far as they were known when the forecast was made.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from patient_flow.forecasting.distributions import LEVELS, Array

c = pl.col
Ints = NDArray[np.int64]

NAMES = ("persistence", "week_ago")
ERROR_DAYS = 28
"""Days whose errors make a quantile."""
HISTORY = timedelta(days=ERROR_DAYS + 7 + 8)
"""How long before a forecast its baselines need the census."""

_WEEK = 168
_HALVES = (-0.25, 0.25)
"""A count stands for half a bed either side (``distributions``): every error counts at two places."""
_ROWS_AT_ONCE = 50_000


def forecasts(rows: pl.DataFrame, occupied: pl.DataFrame, quantiles: tuple[str, ...]) -> pl.DataFrame:
    """The value of each of :data:`NAMES` for ``rows``, and its ``quantiles`` (columns NAME_p025 and so on).

    ``rows`` has hospital_id, place, made_at and target_at; ``occupied`` beds by hospital_id, place and hour. An hour
    without a row has 0 beds. Hours before the first one are unknown: without any error a quantile is the value.
    """
    if rows.is_empty() or occupied.is_empty():
        names = [f"{name}{quantile}" for name in NAMES for quantile in ("", *(f"_{each}" for each in quantiles))]
        return pl.DataFrame({name: [0.0] * rows.height for name in names}, schema=dict.fromkeys(names, pl.Float64))
    places = occupied.select("hospital_id", "place").unique().sort("hospital_id", "place").with_row_index("entity")
    hours = _hours(occupied["hour"])
    first = int(hours.min())
    made, target = (_hours(rows[name]) - first for name in ("made_at", "target_at"))
    beds = np.zeros((places.height + 1, max(int(hours.max()) - first, int(target.max())) + 1))
    beds[_entities(occupied, places), hours - first] = occupied["beds"].to_numpy()
    entity = _entities(rows, places)
    found: dict[str, list[Array]] = {}
    for begin in range(0, rows.height, _ROWS_AT_ONCE):
        piece = slice(begin, begin + _ROWS_AT_ONCE)
        for name, value, errors in _pieces(beds, entity[piece], made[piece], target[piece]):
            found.setdefault(name, []).append(value)
            levels = np.maximum(value[:, None] + _quantiles(errors), 0.0)
            for number, quantile in enumerate(quantiles):
                found.setdefault(f"{name}_{quantile}", []).append(levels[:, number])
    return pl.DataFrame({name: np.concatenate(pieces) for name, pieces in found.items()})


def _pieces(beds: Array, entity: Ints, made: Ints, target: Ints) -> list[tuple[str, Array, Array]]:
    """Name, value and past errors (NaN = unknown) of each baseline."""
    ahead = (target - made)[:, None]
    back = 24 * (-(-ahead // 24) + np.arange(ERROR_DAYS))
    places = entity[:, None]
    origin, ended = made[:, None] - back, target[:, None] - back
    actual = _at(beds, places, ended)
    return [
        ("persistence", np.nan_to_num(_at(beds, entity, made)), actual - _at(beds, places, origin)),
        ("week_ago", np.nan_to_num(_at(beds, entity, target - _WEEK)), actual - _at(beds, places, ended - _WEEK)),
    ]


def _at(beds: Array, entity: Ints, hour: Ints) -> Array:
    """Beds of ``entity`` at ``hour``; NaN before the first hour."""
    return np.asarray(np.where(hour < 0, np.nan, beds[entity, np.clip(hour, 0, beds.shape[1] - 1)]))


def _quantiles(errors: Array) -> Array:
    """Quantiles of the known errors in each row; with few errors the outermost ones stand for the tails."""
    spread = np.sort(np.concatenate([errors + half for half in _HALVES], axis=1), axis=1)  # NaN come last
    known = (~np.isnan(spread)).sum(axis=1)[:, None]
    position = np.clip(np.array(LEVELS) * (known + 1) - 1, 0, np.maximum(known - 1, 0))
    low = position.astype(np.int64)
    high = np.minimum(low + 1, np.maximum(known - 1, 0))
    below, above = (np.take_along_axis(spread, place, axis=1) for place in (low, high))
    return np.asarray(np.nan_to_num(below + (position - low) * (above - below)))


def _entities(rows: pl.DataFrame, places: pl.DataFrame) -> Ints:
    """Indices of the rows' places; one past the end, where no bed was ever occupied, for others."""
    joined = rows.select("hospital_id", "place").join(
        places, on=["hospital_id", "place"], how="left", maintain_order="left"
    )
    return joined["entity"].fill_null(places.height).cast(pl.Int64).to_numpy()


def _hours(instants: pl.Series) -> Ints:
    return (instants.dt.epoch("us") // 3_600_000_000).cast(pl.Int64).to_numpy()
