"""Dagster's event log on SQLite, with connections that stay open.

For each event Dagster opens a database, writes one row, flushes it to disk and closes the database again, which makes
SQLite merge its write-ahead log each time. A run has some 300 such writes: seconds of waiting for the disk, and a
second of processor time. Here the connections to the run and to the index of all runs stay open, and commits reach the
disk with the next merge of the write-ahead log. After a power loss the database is consistent and may lack the last
events, which are no data: progress is in the lake. PostgreSQL is not concerned.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS


def install() -> None:
    """Lets the SQLite event logs of this process keep their connections: of a run's, and of one that launches runs."""
    SqliteEventLogStorage._connect = _connect  # type: ignore[method-assign]


@contextmanager
def _connect(self: Any, shard: str) -> Iterator[sa.Connection]:
    """A transaction on the database of a run, or on the index. Replaces the method of the storage."""
    with self._db_lock:
        engine = _engine_of(self, shard)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        with engine.begin() as connection:
            yield connection


def _engine_of(storage: Any, shard: str) -> sa.Engine:
    if "_kept_engines" not in storage.__dict__:
        storage._kept_engines = {}
        weakref.finalize(storage, _close, storage._kept_engines)
    engines: dict[str, sa.Engine] = storage._kept_engines
    if shard in engines and Path(storage.path_for_shard(shard)).exists():
        return engines[shard]
    if shard != INDEX_SHARD_NAME:  # a process mostly writes to one run at a time
        for other in [name for name in engines if name != INDEX_SHARD_NAME]:
            engines.pop(other).dispose()
    engine = sa.create_engine(
        storage.conn_string_for_shard(shard), connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
    )
    sa.event.listen(engine, "connect", _flush_with_the_next_merge)
    engines[shard] = engine
    return engine


def _close(engines: dict[str, sa.Engine]) -> None:
    """Closes the connections of a storage that is gone."""
    for engine in engines.values():
        engine.dispose()


def _flush_with_the_next_merge(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
