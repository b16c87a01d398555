"""``patient-flow demo``: starts each part as a process, watches them, and stops them in reverse.

The parts are the commands dashboard, hub, simulate, import (of the history that the simulator writes) and ``dagster
dev``. None waits for another, and there is no deadline: on a busy machine a part may take minutes. Not here: what they
do.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

from patient_flow.contracts.fullness import Limits
from patient_flow.errors import OperatorError
from patient_flow.monitoring.rules.disks import Disk
from patient_flow.orchestration.local import PATIENCE, prepare_home
from patient_flow.services import Services
from patient_flow.settings import Settings, load, local_hub_connection
from patient_flow.simulator import history
from patient_flow.status import progress

NOTE_SECONDS = 30.0
"""How often a part that is still starting is named."""
POLL_SECONDS, ASK_SECONDS = 0.25, 3.0
"""How often processes are looked at while one starts, and the warehouse is asked for a new load."""
ANSWER_SECONDS = 60.0
STOP_SECONDS = 20.0
RESTART_SECONDS = 10.0
"""A part that was up and has ended starts again after this time: the disk may have been full."""
DAYS, SPEED, DIRTY, DEMAND, RESERVE = 38.0, 1.0, 0.004, 1.2, 0.1
"""Of a new demo: days of history (a forecast needs 38 to judge 28), speed, fraction of corrupted events, demand and the
reserve of beds: 80 to 90 % of the beds are occupied by day, and now and then a department is full for hours."""
LIMITS = {
    "PATIENT_FLOW_ALERT_OCCUPANCY_PCT": "98",
    "PATIENT_FLOW_ALERT_OCCUPANCY_CRITICAL_PCT": "100",
    "PATIENT_FLOW_ALERT_OCCUPANCY_CLOSES_PCT": "94",
}
"""Of bed alerts, unless they are set: at the usual ones, half of such a network would be alerts."""
RESERVE_MIB = 16
UI_PORT, DASHBOARD_PORT = 3000, 8050
_IDENTITY = re.compile(
    r"(?P<days>[\d.]+) days, \w+, dirty (?P<dirty>[\d.]+), speed (?P<speed>[\d.e+]+)"
    r"(?P<spared>, moves spared)?(, demand (?P<demand>[\d.]+))?(, free beds (?P<reserve>[\d.]+))?"
)


class DemoError(OperatorError):
    """A part of the demo did not start, or ended unexpectedly; the message names its log."""


@dataclass(frozen=True)
class Options:
    """Options of ``patient-flow demo``; None: that of the feed in the folder, else the default, else a free port."""

    days: float | None = None
    speed: float | None = None
    hub_port: int | None = None
    ui_port: int | None = None
    dashboard_port: int | None = None


@dataclass
class Part:
    """One process of the demo, with its own log and process group. ``is_up`` says when it is of use."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    spawn: Callable[[], subprocess.Popen[bytes]]
    is_up: Callable[[], bool] = lambda: True
    address: str = ""
    may_end: bool = False
    began: float = field(default_factory=time.monotonic)
    noted: float = field(default_factory=time.monotonic)
    was_up: bool = False
    has_been_up: bool = False
    ended_at: float | None = None

    def stop(self) -> None:
        """Sends SIGINT (as Ctrl-C would), then kills what is left of its process group."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def check(self) -> None:
        """Reports that it is up, or still starting; starts it again when it has ended.

        Raises :class:`DemoError` when it ended before it ever was up.
        """
        code = self.process.poll()
        if code is not None and not (self.may_end and code == 0):
            self._revive(code)
            return
        if self.was_up:
            return
        seconds = time.monotonic() - self.began
        if self.is_up():
            self.was_up = self.has_been_up = True
            click.echo(f"{self.name:<14}{self.address}  up after {seconds:.0f} s")
        elif time.monotonic() - self.noted > NOTE_SECONDS:
            self.noted = time.monotonic()
            click.echo(f"{self.name} is still starting after {seconds:.0f} seconds; its log is {self.log}")

    def _revive(self, code: int) -> None:
        """Starts it again some seconds after it ended."""
        now = time.monotonic()
        reason = f"{self.name} ended, exit code {code}: {_last_words(self.log)} (see {self.log})"
        if not self.has_been_up:
            raise DemoError(reason)
        if self.ended_at is None:
            self.ended_at = now
            click.echo(f"{reason}; it starts again in {RESTART_SECONDS:.0f} s")
        elif now - self.ended_at > RESTART_SECONDS:
            self.process, self.was_up, self.ended_at = self.spawn(), False, None
            self.began = self.noted = now


class Reserve:
    """Room for Dagster's database on the demo's disk: given up when the disk is full, so that the UI can say so."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._was_full = False

    def check(self, disk: Disk) -> None:
        """Reports a disk that is full; gives the reserve up when no room is left, and takes it again later."""
        if disk.is_full and not self._was_full:
            click.echo(f"{disk}: no micro-batch starts until there is more (infra/docs/runbook/disk_full.md)")
        self._was_full = disk.is_full
        with contextlib.suppress(OSError):
            if disk.free < 1:
                self._file.unlink()
            elif disk.free > 2 * disk.minimum and not self._file.exists():
                # Less than a micro-batch may use: one must not start for it.
                self._file.write_bytes(bytes(int(min(RESERVE_MIB, disk.minimum / 2) * 2**20)))


class Demo:
    """The running parts. They have all ended when the ``with`` block of ``stack`` ends."""

    def __init__(self, stack: contextlib.ExitStack, settings: Settings, environment: dict[str, str]) -> None:
        self.parts: list[Part] = []
        self._stack = stack
        self._services = Services(settings)
        self._reserve = Reserve(settings.local_root / "reserve")
        stack.callback(lambda: self._services.warehouse.dispose())
        self._environment = environment
        self._root = settings.local_root
        self._files = [self._root / "history" / name for name in (history.RECENT, history.OLDER)]
        self._importing: Part | None = None
        self._loaded_at = datetime.now(UTC)  # of the loads before this start there is no line
        self._asked = 0.0
        self._number = 0

    def start(self, name: str, *command: str, **more: str) -> Part:
        """Starts a part."""
        part = _spawn(name, [sys.executable, *command], {**self._environment, **more}, self._root / "logs")
        self._stack.callback(part.stop)
        self._stack.callback(_ignore_signals)  # runs before the stops: callbacks are last in, first out
        self.parts.append(part)
        return part

    def start_all(self, options: Options, ports: Ports) -> None:
        """Starts everything but the import, which needs the simulator's files."""
        flow = ("-m", "patient_flow")
        days, speed, feed = _feed(options, self._root / "simulator.json")
        page = ("--port", str(ports.dashboard), "--history-days", str(int(days)))
        dashboard = self.start("Dashboard", *flow, "dashboard", *page)
        dashboard.address = f"http://127.0.0.1:{ports.dashboard}"
        dashboard.is_up = lambda: not _is_free(ports.dashboard)
        hub = self.start("Event Hub", *flow, "hub", "--port", str(ports.hub), "--data", str(self._root / "hub"))
        hub.address, hub.is_up = local_hub_connection(ports.hub), lambda: not _is_free(ports.hub)
        folder = ("--history-to", str(self._root / "history")) if days else ()
        simulator = self.start(
            "Simulator", *flow, "simulate", "--days", str(days), "--speed", str(speed), *feed, *folder
        )
        simulator.address = f"{days:g} days of history written; live at {speed:g} × real time"
        newest = self._files[0]
        simulator.is_up = lambda: not days or newest.exists()
        home = prepare_home(self._root / "dagster")
        dagster = self.start(
            "Dagster UI",
            *("-W", "ignore", "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(ports.ui)),
            *("-m", "patient_flow.definitions"),
            DAGSTER_HOME=str(home),
            **{name: os.environ.get(name, value) for name, value in PATIENCE.items()},
        )
        dagster.address = f"http://127.0.0.1:{ports.ui}"
        dagster.is_up = lambda: _answers(f"http://127.0.0.1:{ports.ui}/server_info")

    def look(self) -> None:
        """Reports what is new. Raises :class:`DemoError` when a part has ended."""
        for part in self.parts:
            part.check()
        self._import_next()
        if time.monotonic() - self._asked < ASK_SECONDS:
            return
        self._asked = time.monotonic()
        for disk in self._services.settings.disks[:1]:
            self._reserve.check(disk)
        seen = progress(self._services, datetime.now(UTC), since=self._loaded_at)
        if seen is not None:
            self._loaded_at, self._number = seen.loaded_at, self._number + 1
            click.echo(f"{datetime.now().astimezone():%H:%M:%S}  micro-batch {self._number}: {seen}")

    @property
    def is_starting(self) -> bool:
        """True while a part is not up."""
        return not all(part.was_up for part in self.parts)

    def _import_next(self) -> None:
        """One file after the other; what was imported before is not imported again."""
        if self._importing is not None:
            if self._importing.process.poll() is None:
                return
            done = self._files.pop(0)
            done.with_suffix(".imported").touch()
            left = "the last days are there, the rest follows" if self._files else "all of it is there"
            click.echo(f"{'History':<14}{left}, after {time.monotonic() - self._importing.began:.0f} s")
            self.parts.remove(self._importing)
            self._importing = None
        while self._files and self._files[0].with_suffix(".imported").exists():
            self._files.pop(0)
        if not self._files or not self._files[0].exists():
            return
        if not self._files[0].stat().st_size:
            self._files.pop(0)
            return
        self._importing = self.start("import", "-m", "patient_flow", "import", str(self._files[0]))
        self._importing.may_end = True
        self._importing.was_up = True


def run(options: Options) -> None:
    """Runs the demo until Ctrl-C or SIGTERM. All of its processes have ended when it returns."""
    settings = load()
    if not settings.lake_is_folder:
        raise DemoError("the demo keeps its data on this machine: unset PATIENT_FLOW_LAKE_URI")
    Services(settings).require_strong_key()
    ports = Ports.of(options, settings.hub_port)
    connection = local_hub_connection(ports.hub)
    stopped = _stop_on_signals()
    click.echo("Starting; the logs of all parts are in " + str(settings.local_root / "logs"))
    click.echo(f"{'Warehouse':<14}{Services(settings).warehouse.address}")
    with contextlib.ExitStack() as stack:
        stack.callback(click.echo, f"Stopped. The data stays in {settings.local_root}/; start again to continue.")
        demo = Demo(
            stack,
            settings.model_copy(update={"eventhub_connection": connection}),
            {**_limits(settings), "PATIENT_FLOW_EVENTHUB_CONNECTION": connection},
        )
        demo.start_all(options, ports)
        click.echo("One line per part that is up and per load of the warehouse; Ctrl-C stops all and keeps the data.")
        while not stopped.wait(POLL_SECONDS if demo.is_starting else 2 * POLL_SECONDS):
            demo.look()


@dataclass(frozen=True)
class Ports:
    """The ports of hub, Dagster UI and dashboard."""

    hub: int
    ui: int
    dashboard: int

    @classmethod
    def of(cls, options: Options, usual_hub: int) -> Ports:
        """Those of the options, which must be free; else the usual ones, or free ones where these are in use."""
        hub = _port(options.hub_port, usual_hub, "--hub-port", "the Event Hub")
        if hub != usual_hub and not options.hub_port:
            click.echo("For other commands, run")
            click.echo(f"  export PATIENT_FLOW_EVENTHUB_CONNECTION='{local_hub_connection(hub)}'")
        return cls(
            hub,
            _port(options.ui_port, UI_PORT, "--ui-port", "the Dagster UI"),
            _port(options.dashboard_port, DASHBOARD_PORT, "--dashboard-port", "the dashboard"),
        )


def _limits(settings: Settings) -> dict[str, str]:
    """The demo's limits of bed alerts, unless one is set."""
    return LIMITS if settings.alerts.occupancy_limits == Limits() else {}


def _port(asked: int | None, usual: int, option: str, name: str) -> int:
    if asked:
        if not _is_free(asked):
            raise DemoError(f"port {asked} is in use (another demo?): stop that program, or choose another {option}")
        return asked
    if _is_free(usual):
        return usual
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    click.echo(f"Port {usual} is in use, so {name} uses {port}.")
    return port


def _feed(options: Options, journal: Path) -> tuple[float, float, tuple[str, ...]]:
    """Days, speed and further options of the simulator: a demo that goes on keeps those it began with."""
    began = _IDENTITY.search(journal.read_text(errors="replace")) if journal.exists() else None
    days, speed, dirty, demand, reserve, spares = DAYS, SPEED, DIRTY, DEMAND, RESERVE, True
    if began:
        days, speed, dirty = (float(began[name]) for name in ("days", "speed", "dirty"))
        demand, reserve, spares = float(began["demand"] or 1), float(began["reserve"] or 0), bool(began["spared"])
    days = days if options.days is None else options.days
    speed = speed if options.speed is None else options.speed
    flow = ("--demand", str(demand), "--reserve", str(reserve))
    feed = ("--dirty", str(dirty), *flow, "--journal", str(journal))
    return days, speed, (*feed, *(("--spare-moves",) if spares else ()))


def _stop_on_signals() -> threading.Event:
    """An event that Ctrl-C or SIGTERM sets: no exception interrupts what runs at that moment."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _ignore_signals() -> None:
    """Ignores further signals: a second Ctrl-C (`uv run` forwards it too) must not interrupt the clean-up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _spawn(name: str, command: list[str], environment: dict[str, str], logs: Path) -> Part:
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"{name.casefold().replace(' ', '-')}.log"

    def spawn() -> subprocess.Popen[bytes]:
        with path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  (our own commands)
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the parts in order
            )

    return Part(name, spawn(), path, spawn)


def _last_words(log: Path) -> str:
    """The last line of a log, with the line before it when it is only the name of an exception."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-1:] if lines and " " in lines[-1] else lines[-2:]) or "no output"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as reply:  # noqa: S310  (our own loopback address)
            return bool(reply.status == 200)
    except OSError:
        return False
