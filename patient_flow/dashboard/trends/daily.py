"""Sums of the daily table, read once per load, and the measures that are made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from patient_flow.contracts import measures
from patient_flow.contracts.measure_types import HandWritten, Measure, Part, Ratio
from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.background import Background
from patient_flow.dashboard.selection import Selection
from patient_flow.stores.warehouse import daily
from patient_flow.stores.warehouse.daily import OCCUPIED, STAFFED, Scope
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.measures import ratio

c = pl.col

HEADLINE, OCCUPANCY = "headline_occupancy_pct", "occupancy_pct"
MEASURES = tuple(measure.name for measure in measures.CHARTED)
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
    """Sums of the daily table, read behind the page and kept until the next load."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._lock = threading.Lock()
        self._reader = Background[pl.DataFrame]("daily reader")
        self._kept: OrderedDict[tuple[object, ...], _Sums] = OrderedDict()

    def by_date(
        self, version: object, scope: Scope, first: date, last: date, seconds: float | None = None
    ) -> pl.DataFrame | None:
        """:func:`daily.by_date` of the load ``version``; after ``seconds`` that of an earlier load, or None.

        Raises ``WarehouseError``.
        """
        read = lambda: daily.by_date(self._warehouse, scope, first, last)  # noqa: E731
        return self._read(("date", scope, first, last), version, read, seconds)

    def by_place(
        self, version: object, scope: Scope, first: date, last: date, seconds: float | None = None
    ) -> pl.DataFrame | None:
        """:func:`daily.by_place` in the same way."""
        read = lambda: daily.by_place(self._warehouse, scope, first, last)  # noqa: E731
        return self._read(("place", scope, first, last), version, read, seconds)

    def close(self, timeout: float) -> None:
        """Starts no more reads, and waits ``timeout`` seconds for the running one."""
        self._reader.close(timeout)

    def _read(
        self, key: tuple[object, ...], version: object, read: Callable[[], pl.DataFrame], seconds: float | None
    ) -> pl.DataFrame | None:
        with self._lock:
            kept = self._kept.setdefault(key, _Sums())
            self._kept.move_to_end(key)
            while len(self._kept) > MAX_CACHED:
                self._kept.popitem(last=False)
            if kept.is_due(version):
                kept.version, kept.reading = version, self._reader.submit(read)
            reading = kept.reading
        try:
            kept.found = reading.result(seconds)
        except TimeoutError:
            return kept.found
        return kept.found


@dataclass
class _Sums:
    """The rows of one question: the newest that have been read, and the read of the newest load."""

    version: object = None
    reading: Future[pl.DataFrame] = field(default_factory=Future)
    found: pl.DataFrame | None = None

    def is_due(self, version: object) -> bool:
        """True for a new load, unless the read of the one before still runs; true after a failure."""
        if self.version is None:
            return True
        failed = self.reading.done() and (self.reading.cancelled() or self.reading.exception() is not None)
        return failed or (self.reading.done() and self.version != version)


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
