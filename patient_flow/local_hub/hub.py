"""Hubs and their partitions: who stores what, in which order, for how long.

A :class:`Namespace` is a data folder that one process owns; a :class:`Hub` in it is a folder with ``hub.json`` and one
log per partition. Everything runs on one asyncio event loop; only the writing to disk happens on other threads.

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
from patient_flow.local_hub.log import Draft, PartitionLog, replace_file

_HUB_FILE = "hub.json"
_LOCK_FILE = "hub.lock"
_HUB_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,254}[A-Za-z0-9])?")
_GROUP_EVENTS = 20_000  # in one record, or one delivery more: bounds what a reader must hold at once

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long events stay: for at least ``time``, and (if given) in at most about ``max_bytes`` per partition."""

    time: timedelta
    max_bytes: int | None = None


class Partition:
    """One partition: its log, the deliveries that wait for the disk, and the readers that wait for events."""

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
        """Write what has gathered since the last flush as one group, until nothing waits."""
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
        """The oldest waiting deliveries; never part of one, and not so many that a record gets huge."""
        events = taken = 0
        while taken < len(self._waiting) and (taken == 0 or events < _GROUP_EVENTS):
            events += len(self._waiting[taken][0])
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    async def expire(self, before: int, max_bytes: int | None = None) -> None:
        """Drop events older than ``before`` (ms since 1970 UTC), in whole segments."""
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

    def route(self, key: bytes | None, turn: int) -> Partition:
        """The partition for a delivery: the key decides, else they take turns."""
        number = turn if key is None else zlib.crc32(key)
        return self.partitions[number % len(self.partitions)]


class Namespace:
    """All hubs of one data folder, locked against other processes. Close it in the end."""

    def __init__(self, data: Path, *, segment_bytes: int) -> None:
        """Make the folder if need be and lock it. Raises :class:`FolderLockedError`."""
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
        """Open hubs, making those that do not exist. A stored hub keeps its creation time and may gain partitions.

        Raises a :class:`HubError` for a bad name, for fewer partitions than are stored and for a damaged log.
        """
        for name in names:
            if not _HUB_NAME.fullmatch(name):
                raise HubNameError(f"{name!r} cannot name a hub: use letters, digits, dots, dashes and underscores")
            if name.lower() not in self._hubs:
                self._hubs[name.lower()] = self._open_hub(name, partitions)

    def _open_hub(self, name: str, partitions: int) -> Hub:
        folder = self._data / name.lower()
        file = folder / _HUB_FILE
        stored, created_at = _read_hub_file(file) if file.exists() else (0, time.time_ns() // 1_000_000)
        if partitions < stored:
            raise PartitionCountError(
                f"hub {name} has {stored} partitions, and partitions cannot be taken away: "
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
                raise CorruptLogError(f"{file} is lost or does not fit the folders beside it: restore it from a copy")
            if stored != partitions:
                content = {"name": name, "created_at_ms": created_at, "partitions": partitions}
                replace_file(file, json.dumps(content).encode())
            undo.pop_all()
        return Hub(name, created_at, [Partition(number, log) for number, log in enumerate(logs)])

    async def recreate(self, name: str) -> None:
        """Delete a hub with everything in it and make it anew, as an operator in a portal would."""
        hub = self._hubs.pop(name.lower())
        for partition in hub.partitions:
            await partition.flush()
            partition.close()
        shutil.rmtree(self._data / name.lower())
        self.open([hub.name], len(hub.partitions))

    async def keep(self, retention: Retention, every: float = 60.0) -> None:
        """Apply the retention now and ``every`` seconds; runs until cancelled."""
        while True:
            before = time.time_ns() // 1_000_000 - retention.time // timedelta(milliseconds=1)
            for partition in self.partitions:
                try:
                    await partition.expire(before, retention.max_bytes)
                except OSError:
                    _logger.exception("old events cannot be dropped; trying again later")
            await asyncio.sleep(every)

    async def flush(self) -> None:
        """Wait until everything published so far is stored."""
        for partition in self.partitions:
            await partition.flush()

    def close(self) -> None:
        """Close all files and let go of the folder."""
        for partition in self.partitions:
            partition.close()
        self._lock_file.close()


def open_namespace(data: Path, hubs: Iterable[str], partitions: int, *, segment_bytes: int) -> Namespace:
    """Lock a data folder and open hubs in it. Raises a :class:`HubError` for whatever stands in the way."""
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
    """Lock the folder for as long as the returned file stays open; the process's end, however sudden, unlocks it."""
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
