"""Sums of the daily table, read once per load, and the measures that are made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from datetime import date

import polars as pl

from patient_flow.contracts import measures
from patient_flow.contracts.measure_types import HandWritten, Measure, Part, Ratio
from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.selection import Selection
from patient_flow.stores.warehouse import daily
from patient_flow.stores.warehouse.daily import OCCUPIED, STAFFED, Scope
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.measures import ratio

c = pl.col

HEADLINE, OCCUPANCY = "headline_occupancy_pct", "occupancy_pct"
MEASURES = (
    *(
        HEADLINE,
        OCCUPANCY,
        "attendances",
        "four_hour_pct",
        "ed_over_720",
        "ed_boarding_over_240",
        "left_without_being_seen_pct",
    ),
    *("conversion_pct", "admissions", "day_cases", "transfers_in", "discharges", "early_discharge_pct"),
    *("wait_minutes_mean", "within_240_pct", "ended_overstays"),
)
"""Measures that the daily table gives for any range, in the order of the page."""
MAX_CACHED = 24


def scope_of(selection: Selection, viewer: Viewer) -> Scope:
    """The rows that filters and access leave."""
    hospitals = _both(selection.hospital, viewer.hospitals)
    return Scope(hospitals, _both(selection.department, viewer.departments), selection.gender)


def _both(chosen: str, allowed: Collection[str] | None) -> frozenset[str] | None:
    if not chosen:
        return None if allowed is None else frozenset(allowed)
    return frozenset({chosen} if allowed is None or chosen in allowed else ())


class DailyTable:
    """Sums of the daily table, kept until the next load."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], pl.DataFrame] = OrderedDict()

    def by_date(self, version: object, scope: Scope, first: date, last: date) -> pl.DataFrame:
        """:func:`daily.by_date` of the load ``version``. Raises ``WarehouseError``."""
        return self._read(
            ("date", version, scope, first, last), lambda: daily.by_date(self._warehouse, scope, first, last)
        )

    def by_place(self, version: object, scope: Scope, first: date, last: date) -> pl.DataFrame:
        """:func:`daily.by_place` of the load ``version``. Raises ``WarehouseError``."""
        return self._read(
            ("place", version, scope, first, last), lambda: daily.by_place(self._warehouse, scope, first, last)
        )

    def _read(self, key: tuple[object, ...], read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = read()
        with self._lock:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while len(self._kept) > MAX_CACHED:
                self._kept.popitem(last=False)
        return found


def measured(rows: pl.DataFrame, key: str | None, names: Collection[str] = MEASURES) -> pl.DataFrame:
    """``key`` and the measures of the rows of each; of all rows without ``key``."""
    values = [_value(measures.BY_NAME[name]) for name in names]
    return rows.group_by(key).agg(values).sort(key) if key else rows.select(values)


def _value(measure: Measure) -> pl.Expr:
    if measure.name in (HEADLINE, OCCUPANCY):
        flag = "is_headline" if measure.name == HEADLINE else "has_beds"
        return ratio(measure, c(f"{flag}_{OCCUPIED}").sum(), c(f"{flag}_{STAFFED}").sum()).alias(measure.name)
    value = measure.value
    if (
        isinstance(value, Ratio)
        and not isinstance(value.part, HandWritten)
        and not isinstance(value.whole, HandWritten)
    ):
        return ratio(measure, c(value.part.name).sum(), c(value.whole.name).sum()).alias(measure.name)
    if isinstance(value, Part):
        return c(value.name).sum().alias(measure.name)
    raise ValueError(f"{measure.name} is no sum or ratio of the daily table")
