"""Lag of the warehouse behind the hub, for checks and the alert sensor. An idle hospital is never late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum

import msgspec

from patient_flow.monitoring.finding import Finding, Severity, error, ok, warning
from patient_flow.monitoring.inputs import ReadProgress
from patient_flow.monitoring.thresholds import Threshold
from patient_flow.wording import plural


class DataAge(Enum):
    """State of the data: what waits at the hub, and since when it was last read completely."""

    UNKNOWN = "the hub cannot be asked"
    CAUGHT_UP = "nothing waits at the hub"
    RECENT = "the hub was read completely a moment ago"
    LATE = "events wait for longer than the warning limit"
    OUTDATED = "events wait for longer than the error limit"
    NEVER_READ = "events wait, and none was ever read"


def data_age(progress: ReadProgress, newest: datetime | None, lag: timedelta, limit: Threshold) -> DataAge:
    """``newest`` is the newest event in the warehouse, ``lag`` from :func:`data_lag`, ``limit`` in minutes."""
    is_known = progress.read_until is not None or newest is not None
    if progress.failure:
        return DataAge.UNKNOWN
    if progress.waiting == 0 or (not is_known and progress.waiting is None):
        return DataAge.CAUGHT_UP
    if not is_known:
        return DataAge.NEVER_READ
    if lag <= timedelta(minutes=limit.warning):
        return DataAge.RECENT
    return DataAge.OUTDATED if lag > timedelta(minutes=limit.error or limit.warning) else DataAge.LATE


def data_lag(progress: ReadProgress, newest: datetime | None, now: datetime) -> timedelta:
    """Time since everything that the hub had accepted was read; zero when nothing waits there."""
    since = progress.read_until or newest
    return timedelta() if progress.waiting == 0 or since is None else now - since


def data_fresh(progress: ReadProgress, newest: datetime | None, now: datetime, limit: Threshold) -> Finding:
    """Hub → warehouse: events that wait, and since when."""
    lag = data_lag(progress, newest, now)
    age = data_age(progress, newest, lag, limit)
    figures: dict[str, int | float] = {}
    if age is not DataAge.UNKNOWN:
        figures["lag_minutes"] = _minutes(lag)
    if progress.waiting is not None:
        figures["waiting"] = progress.waiting
    if newest is not None:
        figures["age_minutes"] = _minutes(now - newest)
    loaded = "no event has been loaded yet" if newest is None else f"the newest loaded event is from {_utc(newest)}"
    since = progress.read_until or newest
    waiting = "Events wait" if progress.waiting is None else plural(progress.waiting, "event waits", "events wait")
    match age:
        case DataAge.UNKNOWN:
            return warning(f"{progress.failure.rstrip('.')}; {loaded}.", figures)
        case DataAge.CAUGHT_UP:
            return ok(f"No events wait at the hub; {loaded}.", figures)
        case DataAge.NEVER_READ:
            return error(f"{waiting} at the hub, and none was ever read.", figures)
        case DataAge.RECENT:
            return ok(f"All events that the hub accepted before {_utc(since)} were read; {loaded}.", figures)
        case DataAge.LATE | DataAge.OUTDATED:
            worst = error if age is DataAge.OUTDATED else warning
            return worst(f"{waiting} at the hub, the oldest since about {_utc(since)}; {loaded}.", figures)


class Staleness(msgspec.Struct, frozen=True):
    """Events that the warehouse has yet to load: the sequence number to reach in each partition, and since when.

    Empty ``awaited`` means that the warehouse has everything. ``since`` is in epoch seconds.
    """

    awaited: Mapping[str, int] = msgspec.field(default_factory=dict)
    since: float = 0.0

    def observe(
        self,
        last: Mapping[str, int],
        read: Mapping[str, int],
        loaded_at: datetime | None,
        now: datetime,
        limit: timedelta,
        *,
        newest: datetime | None = None,
    ) -> tuple[Staleness, list[Finding]]:
        """The next state, and a finding when events have been awaited for ``limit``.

        ``last`` are the last sequence numbers at the hub, ``read`` those in bronze, ``loaded_at`` is the warehouse's
        last load and ``newest`` when the hub accepted its newest event.
        """
        is_read = all(read.get(part, -1) >= number for part, number in self.awaited.items() if part in last)
        is_loaded = loaded_at is not None and loaded_at.timestamp() >= self.since
        is_replaced = any(number > last.get(part, number) for part, number in self.awaited.items())
        if not self.awaited or (is_read and is_loaded) or is_replaced:
            return self._restart(last, read, loaded_at, now, newest), []
        waited = timedelta(seconds=now.timestamp() - self.since)
        if waited < limit:
            return self, []
        where = "in the lake, but not in the warehouse" if is_read else "at the hub, but not in the lake"
        minutes = int(waited.total_seconds() // 60)
        message = f"Events that the hub accepted {plural(minutes, 'minute')} ago are {where}."
        return self, [Finding(Severity.ERROR, message)]

    @staticmethod
    def _restart(
        last: Mapping[str, int],
        read: Mapping[str, int],
        loaded_at: datetime | None,
        now: datetime,
        newest: datetime | None,
    ) -> Staleness:
        """Awaits what bronze lacks. Where events are rare, bronze may have them before anybody looks: then the load."""
        unread = {part: number for part, number in last.items() if number > read.get(part, -1)}
        if unread:
            return Staleness(unread, now.timestamp())
        if newest is not None and loaded_at is not None and loaded_at < newest:
            return Staleness(dict(last), newest.timestamp())
        return Staleness()


def no_events(newest: datetime | None, now: datetime, limit: timedelta) -> list[Finding]:
    """No hospital has sent an event for ``limit``. A hub that never had an event gives no finding."""
    if newest is None or now - newest < limit:
        return []
    hours = round((now - newest).total_seconds() / 3600)
    return [Finding(Severity.WARNING, f"No hospital has sent an event for {plural(hours, 'hour')}.")]


def _minutes(span: timedelta) -> float:
    return round(span.total_seconds() / 60, 2)


def _utc(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S} UTC"
