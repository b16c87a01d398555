"""Writes the access log: one chain per process, its lines in order, from one thread.

A request adds its line and waits a few seconds at most until it is in the table. The thread goes on trying: a page may
be shown before, an export may not. Where the log cannot be written at all, lines wait in memory up to a limit.

Not here: the form of lines and chains (``contracts.access_log``).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Collection
from datetime import datetime
from uuid import uuid4

from patient_flow.contracts.access_log import HEARTBEAT, MAX_SCOPE, MAX_VIEWER, MAX_WHAT, Entry, Kind
from patient_flow.dashboard.access import EVERYTHING, Viewer
from patient_flow.dashboard.selection import Selection
from patient_flow.dashboard.spreadsheet import visible
from patient_flow.errors import TransientError
from patient_flow.stores.warehouse.access_log import AccessLog, ChainWriter
from patient_flow.wording import plural

LOCK_SECONDS = 5.0
"""How long a request waits for its line."""
RETRY_SECONDS = 2.0
MAX_WAITING_LINES = 10_000
"""Lines that wait for a table that cannot be written; beyond these nothing is shown any more."""
UNKNOWN = "?"
"""In place of a name in an address that no hospital or department has: it could be a patient's."""

CANNOT_BE_WRITTEN = (
    "the access log cannot be written: pages are shown and their lines wait, exports are refused. If its table is "
    "missing, run `patient-flow warehouse migrate`, then the GRANT statements of access.sql"
)

_LOG = logging.getLogger("uvicorn.error")


class LogFull(TransientError):
    """The access log takes no line now, so nothing is shown."""


def scope_of(viewer: Viewer) -> str:
    """The viewer's limits as text."""
    return f"hospitals {_names(viewer.hospitals)}; departments {_names(viewer.departments)}"


def _names(names: Collection[str] | None) -> str:
    if names is None:
        return EVERYTHING
    room, listed = MAX_SCOPE // 2 - 40, sorted(map(visible, names))
    while len(text := json.dumps(listed, ensure_ascii=False)) > room:
        listed = listed[: len(listed) // 2]
    return text if len(listed) == len(names) else f"{text} and {len(names) - len(listed)} more"


def what_of(page: str, selection: Selection, known: Collection[str]) -> str:
    """A page and its filters. Of typed and given names only ``known`` ones: others could be anything."""
    filters = selection.parameters
    for name in ("hospital", "department", "search"):
        if name in filters and filters[name] not in known:
            filters[name] = UNKNOWN
    return " ".join([page, *(f"{name}={visible(value)}" for name, value in filters.items())])[:MAX_WHAT]


class Ticket:
    """A line on its way to the table."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.is_withdrawn = False
        self._deadline = time.monotonic() + LOCK_SECONDS
        self._is_tried = threading.Event()
        self._is_written = threading.Event()

    def wait_for_attempt(self) -> None:
        """Returns once the line is written, an attempt to write it has failed, or the time is over."""
        self._is_tried.wait(self._seconds_left)

    def wait(self) -> bool:
        """True once the line is in the table, False when the time is over."""
        return self._is_written.wait(self._seconds_left)

    def withdraw(self) -> None:
        """Nothing was shown: the line is left out, unless it is being written already."""
        self.is_withdrawn = True

    def mark(self, *, is_written: bool) -> None:
        """Tells those who wait about an attempt."""
        if is_written:
            self._is_written.set()
        self._is_tried.set()

    @property
    def _seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())


class Recorder:
    """Writes the lines of this process's requests. Its thread starts with the first one."""

    def __init__(self, log: AccessLog, key: str, clock: Callable[[], datetime]) -> None:
        self._writer = ChainWriter(log, key, clock)
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._being_written: list[Ticket] = []
        self._refreshed: dict[tuple[str, str, str], float] = {}
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._is_failing = False

    def record(self, kind: Kind, viewer: Viewer, what: str) -> Ticket | None:
        """Adds a line about ``viewer``; None where the refresh of a page needs none.

        Raises :class:`LogFull` when too many lines wait.
        """
        name, scope = visible(viewer.name)[:MAX_VIEWER], scope_of(viewer)
        with self._changed:
            if not self._is_due(kind, (name, scope, what)):
                return None
            if self._number_waiting >= MAX_WAITING_LINES:
                raise LogFull("too many lines of the access log wait for its table")
            ticket = Ticket(Entry(self._clock(), name, what, scope, kind, uuid4().hex))
            if self._is_failing:
                ticket.mark(is_written=False)
            self._waiting.append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return ticket

    def close(self, timeout: float) -> None:
        """Ends the chain; waits ``timeout`` seconds for the lines that are not yet written."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
            if self._number_waiting:
                lost = plural(self._number_waiting, "line is", "lines are")
                _LOG.error("%s lost: the access log could not be written", lost)

    @property
    def _number_waiting(self) -> int:
        return len(self._waiting) + len(self._being_written)

    def _is_due(self, kind: Kind, page: tuple[str, str, str]) -> bool:
        """False for the refresh of a page that has left a line within the hour."""
        now, hour = time.monotonic(), HEARTBEAT.total_seconds()
        if kind == Kind.REFRESH and now - self._refreshed.get(page, float("-inf")) < hour:
            return False
        if kind in (Kind.PAGE, Kind.REFRESH):
            if len(self._refreshed) > MAX_WAITING_LINES:
                self._refreshed = {known: at for known, at in self._refreshed.items() if now - at < hour}
            self._refreshed[page] = now
        return True

    def _pause(self) -> None:
        """Between attempts; short at the end of the process."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing, RETRY_SECONDS)
        if self._is_closing:
            time.sleep(RETRY_SECONDS / 10)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._is_closing,
                    RETRY_SECONDS if self._is_failing else max(0.0, self._writer.seconds_to_heartbeat),
                )
                is_closing = self._is_closing
                taken = [ticket for ticket in self._waiting if not ticket.is_withdrawn]
                self._being_written += taken
                self._waiting = []
            self._is_failing = not self._write([ticket.entry for ticket in taken], is_last=is_closing)
            for ticket in self._being_written:
                ticket.mark(is_written=not self._is_failing)
            if self._is_failing:
                self._pause()
                continue
            self._being_written = []
            if is_closing:
                return

    def _write(self, entries: list[Entry], *, is_last: bool) -> bool:
        """False when the table cannot be written."""
        try:
            self._writer.write(entries)
            if is_last:
                self._writer.end()
        except Exception as error:  # noqa: BLE001  (whatever a driver raises, the next lines must be written)
            if not self._is_failing:
                _LOG.error("%s: %s", CANNOT_BE_WRITTEN, error)
            return False
        return True
