"""The table AccessLog: read heads, add lines, read all lines, prune. ``contracts.access_log`` explains the chains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa

from patient_flow.contracts.access_log import (
    HEARTBEAT,
    RETENTION_CHAIN,
    VIEWS,
    Entry,
    Head,
    Kind,
    Line,
    LogReader,
    Review,
    continued,
    head_entries,
)
from patient_flow.stores.warehouse.errors import AccessLogBroken
from patient_flow.stores.warehouse.schema import ACCESS_LOG, ACCESS_LOG_HEADS
from patient_flow.stores.warehouse.warehouse import Warehouse

_ROWS_PER_READ = 1000


class AccessLog:
    """The access log of a warehouse. Every method raises a ``WarehouseError`` when it cannot be read or written."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def heads(self) -> list[Head]:
        """The newest line of each chain, by chain."""
        asked = sa.select(*ACCESS_LOG_HEADS.c).order_by(ACCESS_LOG_HEADS.c.chain)
        with self._warehouse.reading() as connection:
            return [Head(row.chain, row.number, row.hash) for row in connection.execute(asked)]

    def append(self, lines: Sequence[Line]) -> None:
        """Adds ``lines`` in one transaction."""
        with self._warehouse.writing() as connection:
            _insert(connection, lines)

    def lines(self, since: datetime | None = None) -> Iterator[Line]:
        """All lines, or those since an instant, in the order of chain and number."""
        log = ACCESS_LOG.c
        asked = sa.select(ACCESS_LOG).order_by(log.chain, log.number)
        if since is not None:
            asked = asked.where(log.at >= _naive(since))
        with self._warehouse.reading() as connection:
            for row in connection.execution_options(yield_per=_ROWS_PER_READ).execute(asked):
                at = row.at.replace(tzinfo=UTC)
                entry = Entry(at, row.viewer, row.what, row.scope, row.kind, row.request_id)
                yield Line(entry, row.chain, row.number, row.previous_hash, row.hash)

    def views(self, since: datetime, viewer: str | None = None) -> list[Entry]:
        """What was looked at since an instant, by one viewer or all, the oldest first."""
        found = (line.entry for line in self.lines(since) if line.entry.kind in VIEWS)
        return sorted((entry for entry in found if viewer in (None, entry.viewer)), key=lambda entry: entry.at)

    def review(self, key: str, now: datetime) -> Review:
        """Reads the whole log and says whether it is intact."""
        return LogReader(key, now).read(self.lines())

    def prune(self, key: str, keep_since: datetime, now: datetime) -> int:
        """Deletes lines from before ``keep_since`` once the oldest is a day older, and returns how many they were.

        Raises :class:`AccessLogBroken` where the log is not intact: the lines are evidence. A second pruning at the
        same time fails on the key of the lines.
        """
        with self._warehouse.reading() as connection:
            oldest = connection.scalar(sa.select(sa.func.min(ACCESS_LOG.c.at)))
        if oldest is None or oldest >= _naive(keep_since - timedelta(days=1)):
            return 0
        reader = LogReader(key, now, keep_since)
        review = reader.read(self.lines())
        if review.findings:
            raise AccessLogBroken(
                f"the access log is not intact, so nothing of it was deleted: {review.findings[0]} Run `patient-flow "
                "access-log verify`"
            )
        return self._replace(key, reader.expired, reader.anchors, now)

    def _replace(self, key: str, expired: Sequence[Head], anchors: Sequence[Head], now: datetime) -> int:
        """Deletes the lines up to ``expired`` and adds ``anchors``, in one transaction."""
        if not expired:
            return 0
        own = next((head for head in expired if head.chain == RETENTION_CHAIN), Head(RETENTION_CHAIN))
        log, deleted = ACCESS_LOG.c, 0
        with self._warehouse.writing() as connection:
            _insert(connection, continued(key, own, head_entries(Kind.ANCHORS, anchors, now)))
            for head in expired:
                found = connection.execute(
                    sa.delete(ACCESS_LOG).where(log.chain == head.chain, log.number <= head.number)
                )
                deleted += found.rowcount
        return deleted


class ChainWriter:
    """Writes the chain of this process, in one thread."""

    def __init__(self, log: AccessLog, key: str, clock: Callable[[], datetime]) -> None:
        self._log = log
        self._key = key
        self._clock = clock
        self._head = Head(uuid4().hex)
        self._entries: list[Entry] = []
        self._lines: list[Line] = []
        self._named: dict[str, Head] = {}
        self._named_at = float("-inf")
        self._is_ended = False

    @property
    def seconds_to_heartbeat(self) -> float:
        """Until heads are due again; negative when they are overdue."""
        return self._named_at + HEARTBEAT.total_seconds() - time.monotonic()

    def write(self, entries: Sequence[Entry] = ()) -> None:
        """Adds ``entries`` to the chain, after the heads of all chains where these are due.

        Raises a ``WarehouseError`` when the table cannot be written. Nothing is lost then: the next call writes these
        entries first, unless the failed one has written them after all.
        """
        self._entries += entries
        self._drop_written()
        if self.seconds_to_heartbeat <= 0:
            self._entries = [*self._moved_heads(), *self._entries]
        lines = continued(self._key, self._lines[-1].head if self._lines else self._head, self._entries)
        self._lines, self._entries = self._lines + lines, []
        if self._lines:
            self._log.append(self._lines)
            self._head, self._lines = self._lines[-1].head, []

    def end(self) -> None:
        """Ends the chain, if it has begun; a second call only repeats what failed."""
        if (self._head.number or self._lines) and not self._is_ended:
            self._is_ended = True
            self.write([Entry(self._clock(), "", "", "", Kind.END)])

    def _drop_written(self) -> None:
        """Of a call that failed, the lines that are in the table nevertheless."""
        if self._lines:
            own = next((head for head in self._log.heads() if head.chain == self._head.chain), self._head)
            self._lines = [line for line in self._lines if line.number > own.number]
            self._head = own

    def _moved_heads(self) -> list[Entry]:
        """The heads of other chains that this one has not named yet, or not at their present place."""
        heads = {head.chain: head for head in self._log.heads() if head.chain != self._head.chain}
        moved = [head for chain, head in heads.items() if self._named.get(chain) != head]
        self._named, self._named_at = heads, time.monotonic()
        return head_entries(Kind.HEADS, moved, self._clock())


def _insert(connection: sa.Connection, lines: Sequence[Line]) -> None:
    rows = [
        {
            **{name: getattr(line.entry, name) for name in ("viewer", "what", "scope", "kind", "request_id")},
            **{name: getattr(line, name) for name in ("chain", "number", "previous_hash", "hash")},
            "at": _naive(line.entry.at),
        }
        for line in lines
    ]
    connection.execute(sa.insert(ACCESS_LOG), rows)


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
