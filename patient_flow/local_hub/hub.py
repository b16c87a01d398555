"""Hubs and their partitions: routing, write order and retention.

A :class:`Namespace` is a data folder locked by one process; a :class:`Hub` in it is a folder with ``hub.json`` and one
log per partition. Everything runs on one asyncio event loop; only disk writes run on other threads.

Not here: files of a log (``log``), frames and links (``protocol``, ``links``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from patient_flow.local_hub.errors import (
    CorruptLogError,
    FolderLockedError,
    HubError,
    HubNameError,
    PartitionCountError,
)
from patient_flow.local_hub.log import Draft, PartitionLog
from patient_flow.local_hub.segments import replace_file
from patient_flow.wording import plural

_HUB_FILE = "hub.json"
_LOCK_FILE = "hub.lock"
_HUB_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,254}[A-Za-z0-9])?")
_GROUP_EVENTS = 20_000  # per record, plus at most one delivery: bounds the memory of a reader

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention of events: at least ``time``, and (if given) at most about ``max_bytes`` per partition."""

    time: timedelta
    max_bytes: int | None = None


class Partition:
    """One partition: its log, the deliveries waiting for the disk, and the readers waiting for events."""

    def __init__(self, number: int, log: PartitionLog) -> None:
        self.id = str(number)
        self.log = log
        self.readers: set[Callable[[], None]] = set()
        self._waiting: list[tuple[Sequence[Draft], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    def publish(self, drafts: Sequence[Draft]) -> asyncio.Future[None]:
        """Store events, all or none. The future is done once they are safe on disk; it fails with ``OSError``."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        self._waiting.append((drafts, stored))
        if self._writer is None:
            self._writer = loop.create_task(self._write_waiting())
        return stored

    async def _write_waiting(self) -> None:
        """Write the waiting deliveries, one group per flush, until none is left."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            group = self._next_group()
            drafts = [draft for delivery, _ in group for draft in delivery]
            failure: OSError | None = None
            async with self._lock:
                record = self.log.prepare(drafts)
                try:
                    await asyncio.to_thread(self.log.write, record)
                except OSError as error:
                    failure = error
                else:
                    self.log.publish(record)
            for _, stored in group:
                if failure is None:
                    stored.set_result(None)
                else:
                    stored.set_exception(failure)
            for reader in tuple(self.readers):
                loop.call_soon(reader)
        self._writer = None

    def _next_group(self) -> list[tuple[Sequence[Draft], asyncio.Future[None]]]:
        """The oldest waiting deliveries, whole, up to the size limit of a record."""
        events = count = 0
        while count < len(self._waiting) and (count == 0 or events < _GROUP_EVENTS):
            events += len(self._waiting[count][0])
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def expire(self, before: int, max_bytes: int | None = None) -> None:
        """Delete events older than ``before`` (ms since 1970 UTC), in whole segments."""
        async with self._lock:
            self.log.expire(before, max_bytes)

    async def flush(self) -> None:
        """Wait until everything published so far is stored."""
        while self._writer is not None:
            await self._writer

    def close(self) -> None:
        """Close the log's file."""
        self.log.close()


@dataclass(frozen=True, slots=True)
class Hub:
    """An event hub; ``created_at`` is in milliseconds since 1970-01-01 UTC."""

    name: str
    created_at: int
    partitions: list[Partition]

    def partition(self, partition_id: str) -> Partition | None:
        """The partition with this id, None when there is none."""
        return next((partition for partition in self.partitions if partition.id == partition_id), None)

    def route(self, key: bytes | None, counter: int) -> Partition:
        """The partition of a delivery: by its key, else round robin by ``counter``."""
        number = counter if key is None else zlib.crc32(key)
        return self.partitions[number % len(self.partitions)]


class Namespace:
    """All hubs of one data folder, locked against other processes. Call :meth:`close` at the end."""

    def __init__(self, data: Path, *, segment_bytes: int) -> None:
        """Create the folder if necessary and lock it. Raises :class:`FolderLockedError`."""
        data.mkdir(parents=True, exist_ok=True)
        self._data = data
        self._segment_bytes = segment_bytes
        self._lock_file = _lock(data)
        self._hubs: dict[str, Hub] = {}

    @property
    def partitions(self) -> list[Partition]:
        """The partitions of all hubs."""
        return [partition for hub in self._hubs.values() for partition in hub.partitions]

    def hub(self, name: str) -> Hub | None:
        """The hub with this name, whatever its case; None when there is none."""
        return self._hubs.get(name.lower())

    def open(self, names: Iterable[str], partitions: int) -> None:
        """Open hubs and create those that do not exist. A stored hub keeps its creation time; partitions can be added.

        Raises a :class:`HubError` for an invalid name, fewer partitions than stored, or a damaged log.
        """
        for name in names:
            if not _HUB_NAME.fullmatch(name):
                raise HubNameError(
                    f"{name!r} is not a valid hub name: use letters, digits, dots, dashes and underscores"
                )
            if name.lower() not in self._hubs:
                self._hubs[name.lower()] = self._open_hub(name, partitions)

    def _open_hub(self, name: str, partitions: int) -> Hub:
        folder = self._data / name.lower()
        file = folder / _HUB_FILE
        stored, created_at = _read_hub_file(file) if file.exists() else (0, time.time_ns() // 1_000_000)
        if partitions < stored:
            raise PartitionCountError(
                f"hub {name} has {plural(stored, 'partition')}, and partitions cannot be removed: "
                f"start it with --partitions {stored}, or choose another data folder"
            )
        for number in range(stored, partitions):
            PartitionLog.create(folder / str(number))
        with contextlib.ExitStack() as undo:
            logs = [
                undo.enter_context(
                    contextlib.closing(PartitionLog.open(folder / str(number), segment_bytes=self._segment_bytes))
                )
                for number in range(partitions)
            ]
            if any(log.next_sequence for log in logs[stored:]):
                raise CorruptLogError(
                    f"{file} is missing or does not match the folders beside it: restore it from a copy"
                )
            if stored != partitions:
                content = {"name": name, "created_at_ms": created_at, "partitions": partitions}
                replace_file(file, json.dumps(content).encode())
            undo.pop_all()
        return Hub(name, created_at, [Partition(number, log) for number, log in enumerate(logs)])

    async def recreate(self, name: str) -> None:
        """Delete a hub with its events and create it again, like an operator in the Azure portal."""
        hub = self._hubs.pop(name.lower())
        for partition in hub.partitions:
            await partition.flush()
            partition.close()
        shutil.rmtree(self._data / name.lower())
        self.open([hub.name], len(hub.partitions))

    async def enforce_retention(self, retention: Retention, every: float = 60.0) -> None:
        """Apply the retention now and then every ``every`` seconds; runs until cancelled."""
        while True:
            before = time.time_ns() // 1_000_000 - retention.time // timedelta(milliseconds=1)
            for partition in self.partitions:
                try:
                    await partition.expire(before, retention.max_bytes)
                except OSError:
                    _logger.exception("expired events cannot be deleted; retrying later")
            await asyncio.sleep(every)

    async def flush(self) -> None:
        """Wait until everything published so far is stored."""
        for partition in self.partitions:
            await partition.flush()

    def close(self) -> None:
        """Close all files and unlock the folder."""
        for partition in self.partitions:
            partition.close()
        self._lock_file.close()


def open_namespace(data: Path, hubs: Iterable[str], partitions: int, *, segment_bytes: int) -> Namespace:
    """Lock a data folder and open hubs in it. Raises :class:`HubError`."""
    try:
        with contextlib.ExitStack() as undo:
            namespace = undo.enter_context(contextlib.closing(Namespace(data, segment_bytes=segment_bytes)))
            namespace.open(hubs, partitions)
            undo.pop_all()
    except OSError as error:
        raise HubError(
            f"the data folder {data} cannot be used ({error.strerror or error}): "
            "repair it, or choose another folder with --data"
        ) from None
    return namespace


def _read_hub_file(file: Path) -> tuple[int, int]:
    try:
        content = json.loads(file.read_bytes())
        return int(content["partitions"]), int(content["created_at_ms"])
    except (ValueError, KeyError, TypeError):
        raise CorruptLogError(f"{file} is damaged: restore it from a copy, or move the hub's folder away") from None


def _lock(data: Path) -> BinaryIO:
    """Lock the folder while the returned file is open; the end of the process, even a crash, unlocks it."""
    file = (data / _LOCK_FILE).open("a+b")
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().decode(errors="replace").strip() or "unknown"
            file.close()
            raise FolderLockedError(
                f"another hub (process {owner}) uses {data}: stop it, or choose another folder with --data"
            ) from None
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    file.flush()
    return file
