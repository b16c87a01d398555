"""The warehouse's recent past in memory, read once per load for all viewers.

A page needs the rows behind its medians, so the last weeks are kept as frames and every filter is answered from them.
What a load changed is read again: the running day once, an earlier day when its rows in KpiDepartmentDay differ from
those seen when it was read. Not here: SQL (``queries``), filters and numbers (``figures``).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.tables import FACT_PATIENT_FLOW
from patient_flow.dashboard import feeds, queries
from patient_flow.dashboard.background import Background
from patient_flow.dashboard.forecasts import ForecastReader, Forecasts
from patient_flow.dashboard.reading import PastRows, Reading
from patient_flow.monitoring.thresholds import SENDER_KNOWN_DAYS
from patient_flow.stores.warehouse.errors import WarehouseError, WarehouseNotInitialised
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.calendar import first_hour, hour_start

c = pl.col

PERIODS = (1, 7, 14, 28)
"""Numbers of local days that a page can cover, the running one included."""
COMPARED_DAYS = 9
"""Days that are read at least: the 24 hours that ended a week ago begin on the ninth."""
LOAD_TTL_SECONDS = 2.0
"""How long an answer of the load log is reused."""
PAGE_TIMEOUT_SECONDS = 0.8
"""How long a page waits for rows where there are none; then it says so, and asks again."""
NEWER_SECONDS = 0.3
"""How long it waits for newer rows than those in memory; then it shows these with their age, and asks again."""
PERIODS_SECONDS = 30.0
"""How long readmissions wait for the periods to be read."""
DAY = timedelta(days=1)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Load:
    """State of the tables that a page reads, from the load log: the oldest of several loads."""

    newest_event_at: datetime | None = None
    loaded_at: datetime | None = None
    lag: timedelta | None = None
    versions: tuple[int | None, ...] = ()
    is_empty: bool = True
    """True before the first load of the facts."""
    figures_changed_at: datetime | None = None
    """When the loaded figures became those of other rules (``contracts.figure_changes``)."""


@dataclass(frozen=True)
class Snapshot:
    """Rows of the dates ``first`` to ``today`` at one load. ``date`` is local and that of the hour, as in the views."""

    load: Load
    zone: ZoneInfo
    first: date
    today: date
    departments: pl.DataFrame
    admissions: pl.DataFrame
    discharges: pl.DataFrame
    """Stays that ended on these dates, and those that are open or will end; these have their ``visit_id``."""
    wards: pl.DataFrame
    """Of ward stays that are open or will end: all ward stays of their visits, by the ``stay_key`` of the open one."""
    attended: pl.DataFrame
    """Attendances that arrived on these dates."""
    attending: pl.DataFrame
    """Attendances that have not departed, or depart today."""
    census: pl.DataFrame
    first_hours: pl.DataFrame
    """The first patient hour of each department version."""
    departures: pl.DataFrame
    """How many left a hospital, by department and date of the last weeks: they tell when its feed began."""
    quality: pl.DataFrame
    last_sent: Mapping[str, datetime]
    """When the hub accepted the newest event of each hospital that had a patient in the last days."""
    forecasts: Forecasts

    def is_of(self, load: Load, today: date) -> bool:
        """True when it shows this load on this day."""
        return (self.load.versions, self.today) == (load.versions, today)


@dataclass(frozen=True)
class Answer:
    """The snapshot to show (an older one while a newer is read), or why there is none."""

    load: Load
    """That of the snapshot where there is one, whatever has been loaded since: the age of the figures."""
    snapshot: Snapshot | None = None
    problem: str = ""
    """Why the warehouse cannot be read, or could not when newer rows were last asked for."""
    is_reading: bool = False
    """True while newer or more days are being read."""


class Snapshots:
    """Snapshots of one warehouse, for any number of threads. None of them waits long for the warehouse."""

    def __init__(self, warehouse: Warehouse, zone: ZoneInfo, clock: Callable[[], datetime]) -> None:
        self._warehouse = warehouse
        self._zone = zone
        self._clock = clock
        self._lock = threading.Lock()
        self._looked: tuple[float, Load | WarehouseError] = (float("-inf"), Load())
        self._history = _History(self._days)
        self._forecasts = ForecastReader(warehouse)
        self._newest: Snapshot | None = None
        self._running: Snapshot | None = None
        self._problem = ""
        self._reader = Background[None]("warehouse reader")
        self._under_way: dict[tuple[date, date, Load], Future[None]] = {}

    def load(self) -> Load:
        """The state in the load log; empty also when there are no tables yet. Raises WarehouseError."""
        with self._lock:
            looked_at, found = self._looked
            if time.monotonic() - looked_at > LOAD_TTL_SECONDS:
                try:
                    found = _load(self._warehouse)
                except WarehouseError as error:
                    found = error  # viewers who wait here must not each wait for the same time-out
                    _LOG.warning("the warehouse cannot be read: %s", error)
                self._looked = (time.monotonic(), found)
        if isinstance(found, WarehouseError):
            raise found
        return found

    def answer(self, days: int) -> Answer:
        """The newest state of at least the last ``days`` days that can be read within the time-out of a page."""
        today = self._clock().astimezone(self._zone).date()
        first = today - (max(days, COMPARED_DAYS) - 1) * DAY
        try:
            load = self.load()
        except WarehouseError as error:
            known = self._known_since(first)
            return Answer(known.load if known else Load(), known, str(error))
        if load.is_empty:
            return Answer(load)
        if not self._suffices(first, today, load):
            # The reader records errors, also after this page has stopped waiting.
            with contextlib.suppress(Exception):
                seconds = PAGE_TIMEOUT_SECONDS if self._known_since(first) is None else NEWER_SECONDS
                self._reading(first, today, load).result(min(seconds, PAGE_TIMEOUT_SECONDS))
        is_missing = not self._suffices(first, today, load)
        known, problem = self._known_since(first), self._problem if is_missing else ""
        return Answer(known.load if known else load, known, problem, is_reading=is_missing and not problem)

    def warm(self) -> Future[None] | None:
        """Reads the longest period ahead of its first viewer, piece by piece so that shorter ones come first.

        Returns the reading of the shortest; None where there is nothing to read.
        """
        with contextlib.suppress(WarehouseError):  # shown to the viewer by answer()
            load = self.load()
            today = self._clock().astimezone(self._zone).date()
            if not load.is_empty:
                periods = (*range(COMPARED_DAYS, PERIODS[-1], 7), PERIODS[-1])
                readings = [self._reading(today - (days - 1) * DAY, today, load) for days in periods]
                return readings[0]
        return None

    def wait(self, timeout: float) -> None:
        """Waits until no period is being read, ``timeout`` seconds at most."""
        with self._lock:
            under_way = [*self._under_way.values()]
        futures.wait(under_way, timeout)

    def close(self, timeout: float) -> None:
        """Starts no more reads, and waits ``timeout`` seconds for the running one."""
        self._reader.close(timeout)

    def _known_since(self, first: date) -> Snapshot | None:
        """The newest snapshot, unless the page would take the days that it lacks for days without patients."""
        known = self._newest
        return known if known is not None and known.first <= first else None

    def _suffices(self, first: date, today: date, load: Load) -> bool:
        known = self._newest
        return known is not None and known.first <= first and known.is_of(load, today)

    def _reading(self, first: date, today: date, load: Load) -> Future[None]:
        """The reading of these days at this load: one, however many viewers wait for it."""
        with self._lock:
            self._under_way = {asked: reading for asked, reading in self._under_way.items() if not reading.done()}
            asked = (first, today, load)
            if asked not in self._under_way:
                self._under_way[asked] = self._reader.submit(lambda: self._renew(first, today, load))
            return self._under_way[asked]

    def _renew(self, first: date, today: date, load: Load) -> None:
        if self._suffices(first, today, load):
            return
        # A period that was asked for once stays in memory: the next viewer of it does not wait.
        length = self._newest.today - self._newest.first if self._newest else timedelta()
        try:
            self._newest = self._read(min(first, today - length), today, load)
        except Exception as error:
            self._problem = str(error) or type(error).__name__
            _LOG.warning("the facts cannot be read: %s", self._problem, exc_info=not isinstance(error, WarehouseError))
            raise
        self._problem = ""

    def _read(self, first: date, today: date, load: Load) -> Snapshot:
        yesterday = today - DAY
        past = self._history.up_to_date(queries.daily(self._warehouse, first, yesterday), first, yesterday)
        if self._running is None or not self._running.is_of(load, today):
            self._running = self._read_running(today, load)
        now = self._running
        return replace(
            now,
            load=load,
            first=first,
            admissions=pl.concat([past.admissions, now.admissions]),
            discharges=pl.concat([past.ended, now.discharges], how="diagonal"),
            attended=pl.concat([past.attended, now.attended]),
            census=pl.concat([past.census, now.census]),
            quality=queries.quality(self._warehouse, first, today),
        )

    def _read_running(self, today: date, load: Load) -> Snapshot:
        """The running day, which is the same for every period."""
        warehouse, zone = self._warehouse, self._zone
        hours = queries.hours_of(today, today, zone)
        known_since = queries.hours_of(today - SENDER_KNOWN_DAYS * DAY, today, zone).first
        return Snapshot(
            load,
            zone,
            today,
            today,
            departments=queries.departments(warehouse),
            admissions=_dated(queries.admissions(warehouse, hours), c("admission_at"), zone),
            discharges=_dated(queries.present(warehouse, hours.first), c("discharge_at"), zone),
            wards=queries.wards_of_present(warehouse, hours.first),
            attended=_dated(queries.attended(warehouse, hours), c("arrival_at"), zone),
            attending=_dated(queries.attending(warehouse, first_hour(today, zone)), c("arrival_at"), zone),
            census=_hourly(queries.census(warehouse, hours), zone),
            first_hours=queries.first_hours(warehouse).with_columns(first_hour=hour_start(c("time_key"))),
            departures=queries.departures(warehouse, today - feeds.SEEN_DAYS * DAY),
            quality=queries.quality(warehouse, today, today),
            last_sent=dict(queries.last_sent(warehouse, known_since).iter_rows()),
            forecasts=self._forecasts.read(today),
        )

    def _days(self, first: date, last: date) -> _Days:
        hours = queries.hours_of(first, last, self._zone)
        return _Days(
            _dated(queries.admissions(self._warehouse, hours), c("admission_at"), self._zone),
            _dated(queries.discharges(self._warehouse, hours), c("discharge_at"), self._zone),
            _dated(queries.attended(self._warehouse, hours), c("arrival_at"), self._zone),
            _hourly(queries.census(self._warehouse, hours), self._zone),
        )


class _Days(NamedTuple):
    """Rows of whole days, each with its ``date``."""

    admissions: pl.DataFrame
    ended: pl.DataFrame
    attended: pl.DataFrame
    census: pl.DataFrame


class _History:
    """The past days in memory, and the fingerprint of each in KpiDepartmentDay when it was read."""

    def __init__(self, read: Callable[[date, date], _Days]) -> None:
        self._read = read
        self._seen: dict[date, int] = {}
        self._days: _Days | None = None

    def up_to_date(self, daily: pl.DataFrame, first: date, last: date) -> _Days:
        """The days from ``first`` to ``last``; those that are new or differ from ``daily`` are read again."""
        now = _fingerprints(daily)
        dates = [first + number * DAY for number in range((last - first).days + 1)]
        stale = [day for day in dates if self._seen.get(day) != now.get(day, 0)]
        for begin, end in _runs(stale):
            self._days = _replaced(self._days, begin, end, self._read(begin, end))
        days = self._days or self._read(first, last)
        self._days = _Days(*(rows.filter(c("date") >= first) for rows in days))
        self._seen = {day: now.get(day, 0) for day in dates}
        return self._days


def _replaced(days: _Days | None, first: date, last: date, read: _Days) -> _Days:
    if days is None:
        return read
    others = ~c("date").is_between(first, last)
    return _Days(*(pl.concat([known.filter(others), new]) for known, new in zip(days, read, strict=True)))


class Returns:
    """Discharges a month back and the admissions that followed them: long to read, and changed by late events only.

    They are read after ``periods``, not beside them: each thread that reads delays the pages of the same process.
    """

    def __init__(self, warehouse: Warehouse, zone: ZoneInfo, periods: Snapshots | None = None) -> None:
        self._warehouse = warehouse
        self._zone = zone
        self._periods = periods
        self._reader = Background[pl.DataFrame]("readmissions reader")
        self._lock = threading.Lock()
        self._known: dict[tuple[date, date], Reading] = {}

    def between(self, first: date, last: date) -> PastRows:
        """Readmissions after discharges on these dates: the last rows read, older ones if new ones are unavailable."""
        with self._lock:
            # Windows end 31 days before today: those of yesterday are no longer asked for.
            self._known = {dates: reading for dates, reading in self._known.items() if dates[1] >= last}
            reading = self._known.setdefault((first, last), Reading())
            reading.settle()
            if reading.is_due:
                hours = queries.hours_of(first, last, self._zone)
                reading.start(self._reader.submit(lambda: self._read(hours)))
            return reading.found

    def _read(self, hours: queries.Hours) -> pl.DataFrame:
        if self._periods is not None:
            self._periods.wait(PERIODS_SECONDS)
        return queries.returns(self._warehouse, hours)

    def close(self, timeout: float) -> None:
        """Starts no more reads, and waits ``timeout`` seconds for the running one."""
        self._reader.close(timeout)


def _load(warehouse: Warehouse) -> Load:
    try:
        log = queries.loads(warehouse).sort("table_name")
    except WarehouseNotInitialised:
        return Load()  # before `warehouse init` and the first micro-batch
    facts = log.filter(c("table_name") == TABLES[FACT_PATIENT_FLOW.path].name)
    read = log.filter(c("table_name").is_in(queries.READ))
    newest, loaded, lag = read["newest_event_at"].min(), read["loaded_at"].min(), read["lag_seconds"].max()
    changed = read["figures_changed_at"].max()
    return Load(
        newest if isinstance(newest, datetime) else None,
        loaded if isinstance(loaded, datetime) else None,
        timedelta(seconds=lag) if isinstance(lag, float) else None,
        tuple(log["gold_version"]),
        # Not its version: a migration forgets that, so that the next load brings the whole table.
        is_empty=facts["loaded_at"].null_count() == facts.height,
        figures_changed_at=changed if isinstance(changed, datetime) else None,
    )


def _dated(rows: pl.DataFrame, instant: pl.Expr, zone: ZoneInfo) -> pl.DataFrame:
    return rows.with_columns(
        c("age_band").fill_null("Unknown"),
        date=instant.dt.truncate("1h").dt.convert_time_zone(zone.key).dt.date(),
    )


def _hourly(census: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    hour = hour_start(c("time_key"))
    local = hour.dt.convert_time_zone(zone.key)
    return census.with_columns(hour_at=hour, date=local.dt.date(), hour=local.dt.hour())


def _fingerprints(daily: pl.DataFrame) -> dict[date, int]:
    """One number per date that changes with any of its rows."""
    return dict(daily.select("date", row=daily.hash_rows()).group_by("date").agg(c("row").bitwise_xor()).iter_rows())


def _runs(days: Iterable[date]) -> Iterator[tuple[date, date]]:
    """Ascending dates as ranges without gaps."""
    first = last = None
    for day in days:
        if first is None or last is None:
            first = day
        elif day != last + DAY:
            yield first, last
            first = day
        last = day
    if first is not None and last is not None:
        yield first, last
