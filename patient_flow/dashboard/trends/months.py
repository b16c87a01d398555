"""Percentiles and mean lengths per calendar month, computed from the facts behind the page's back.

They cannot be added up from days, and the stays of years are too many to read while a viewer waits: each month is read
once, newest first, and again when its days change.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts import measures
from patient_flow.contracts.measure_types import ATTENDANCES, STAYS
from patient_flow.contracts.tables import DIM_DEPARTMENT, FACT_ED_ATTENDANCE, FACT_PATIENT_FLOW
from patient_flow.dashboard import queries
from patient_flow.dashboard.background import Background
from patient_flow.stores.warehouse.daily import Scope
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.measures import aggregate

c = pl.col

_BY_INSTANT = {
    (STAYS, "admission_at"): ("wait_minutes_p50", "wait_minutes_p90"),
    (STAYS, "discharge_at"): (
        *("length_of_stay_hours_mean", "length_of_stay_hours_median", "nights_mean", "in_bed_hours_mean"),
    ),
    (ATTENDANCES, "arrival_at"): tuple(
        f"{time}_p{share}"
        for time in ("minutes_to_triage", "minutes_to_seen", "minutes_in_department", "boarding_minutes")
        for share in (50, 90, 95)
    ),
}
MEASURES = tuple(name for names in _BY_INSTANT.values() for name in names)
"""Measures of a month, in the order of the page."""
MAX_KEPT = 2000
MAX_WAITING = 4
"""Months of one page that wait to be read: the next ones follow when it asks again, and not when it is left."""
_TABLES = {STAYS: TABLES[FACT_PATIENT_FLOW.path], ATTENDANCES: TABLES[FACT_ED_ATTENDANCE.path]}
_TIME_KEYS = {
    "admission_at": "admission_time_key",
    "discharge_at": "discharge_time_key",
    "arrival_at": "arrival_time_key",
}
_DEPARTMENTS = TABLES[DIM_DEPARTMENT.path]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Month:
    """The dates of a calendar month that lie in the range; ``fingerprint`` changes with the figures of its days."""

    first: date
    last: date
    fingerprint: float


class Months:
    """The measures of months, as far as they have been read."""

    def __init__(self, warehouse: Warehouse, zone: ZoneInfo, clock: Callable[[], datetime]) -> None:
        self._warehouse = warehouse
        self._zone = zone
        self._clock = clock
        self._reader = Background[dict[str, float | None]]("months reader")
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Scope, Month], Future[dict[str, float | None]]] = OrderedDict()

    def of(self, scope: Scope, months: Sequence[Month]) -> dict[Month, dict[str, float | None] | None]:
        """Month → measures; None for one that is still being read or could not be."""
        with self._lock:
            waiting = 0
            for month in sorted(months, key=lambda month: month.first, reverse=True):
                key = (scope, month)
                known = self._kept.get(key)
                if (known is None or (known.done() and known.exception() is not None)) and waiting < MAX_WAITING:
                    known = self._kept[key] = self._reader.submit(partial(self._read, scope, month))
                if known is not None:
                    waiting += not known.done()
                    self._kept.move_to_end(key)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
            found = {month: self._kept.get((scope, month)) for month in months}
        return {
            month: reading.result() if reading is not None and reading.done() and not reading.exception() else None
            for month, reading in found.items()
        }

    def close(self, timeout: float) -> None:
        """Starts no more reads, and waits ``timeout`` seconds for the running one."""
        self._reader.close(timeout)

    def _read(self, scope: Scope, month: Month) -> dict[str, float | None]:
        try:
            return month_measures(
                self._warehouse, scope, queries.hours_of(month.first, month.last, self._zone), self._clock()
            )
        except WarehouseError as error:
            _LOG.warning("the month of %s cannot be read: %s", month.first, error)
            raise


def month_measures(warehouse: Warehouse, scope: Scope, hours: queries.Hours, now: datetime) -> dict[str, float | None]:
    """The measures of the stays and attendances that these hours date. Raises ``WarehouseError``."""
    found: dict[str, float | None] = {}
    for (counted, instant), names in _BY_INSTANT.items():
        table = _TABLES[counted]
        columns = dict.fromkeys((instant, *measures.columns_of(counted, instant)))
        rows = warehouse.query(
            table.join(_DEPARTMENTS, _DEPARTMENTS.c.department_key == table.c.department_key)
            .select()
            .with_only_columns(*(table.c[name] for name in columns))
            .where(
                table.c[_TIME_KEYS[instant]].between(hours.first, hours.last),
                *scope.conditions(),
                *([table.c.gender == scope.gender] if scope.gender else []),
            )
        ).filter(c(instant) <= now)
        if counted == ATTENDANCES:
            rows = rows.with_columns(departure_at=pl.when(c("departure_at") <= now).then("departure_at"))
        found |= rows.select(aggregate(measures.BY_NAME[name]) for name in names).row(0, named=True)
    return found


def months_of(first: date, last: date, rows: pl.DataFrame) -> list[Month]:
    """The months of the dates ``first`` to ``last`` that have rows of the daily table, oldest first."""
    within = rows.filter(c("date").is_between(first, last))
    spans = within.group_by(month=c("date").dt.truncate("1mo")).agg(
        fingerprint=(c("fingerprint") + c("admissions") + c("discharges") + c("attendances")).sum()
    )
    return [
        Month(max(first, begin), min(last, _last_of(begin)), fingerprint)
        for begin, fingerprint in spans.sort("month").iter_rows()
    ]


def _last_of(month: date) -> date:
    after = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    return date.fromordinal(after.toordinal() - 1)
