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
import sys
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from patient_flow.contracts.fullness import Limits
from patient_flow.demo_parts import DemoError, Part, answers, is_free, spawn_part
from patient_flow.monitoring.rules.disks import Disk
from patient_flow.orchestration.local import PATIENCE, prepare_home
from patient_flow.services import Services
from patient_flow.settings import Settings, load, local_hub_connection
from patient_flow.simulator import history
from patient_flow.status import progress
from patient_flow.stores.warehouse.errors import WarehouseError, WarehouseNotInitialised
from patient_flow.wording import plural

POLL_SECONDS, ASK_SECONDS = 0.25, 3.0
"""How often processes are looked at while one starts, and the warehouse is asked for a new load."""
QUIET_SECONDS = 180.0
"""After this time without a load of the warehouse, and again each time, a line says where the reason is."""
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


Feed = tuple[float, float, tuple[str, ...]]
"""Days of history, speed, and further options of the simulator."""


@dataclass(frozen=True)
class Options:
    """Options of ``patient-flow demo``; None: that of the feed in the folder, else the default, else a free port."""

    days: float | None = None
    speed: float | None = None
    hub_port: int | None = None
    ui_port: int | None = None
    dashboard_port: int | None = None


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

    def __init__(
        self,
        stack: contextlib.ExitStack,
        settings: Settings,
        environment: dict[str, str],
        locks: Collection[int],
    ) -> None:
        self.parts: list[Part] = []
        self._stack = stack
        self._services = Services(settings)
        self._reserve = Reserve(settings.local_root / "reserve")
        stack.callback(lambda: self._services.warehouse.dispose())
        self._environment, self._locks = environment, locks
        self._root = settings.local_root
        self._files = [self._root / "history" / name for name in (history.RECENT, history.OLDER)]
        self._importing: Part | None = None
        self._loaded_at = datetime.now(UTC)  # of the loads before this start there is no line
        self._asked = 0.0
        self._number = 0
        self._quiet_since = self._noted = time.monotonic()
        self._alerts = "the asset audit/open_alerts"

    def start(self, name: str, *command: str, **more: str) -> Part:
        """Starts a part."""
        environment = {**self._environment, **more}
        part = spawn_part(name, [sys.executable, *command], environment, self._root / "logs", self._locks)
        self._stack.callback(part.stop)
        self._stack.callback(_ignore_signals)  # runs before the stops: callbacks are last in, first out
        self.parts.append(part)
        return part

    def start_all(self, feed: Feed, ports: Ports) -> None:
        """Starts everything but the import, which needs the simulator's files."""
        flow = ("-m", "patient_flow")
        days, speed, more = feed
        page = ("--port", str(ports.dashboard), "--history-days", str(int(days)))
        dashboard = self.start("Dashboard", *flow, "dashboard", *page)
        dashboard.address = f"http://127.0.0.1:{ports.dashboard}"
        dashboard.is_up = lambda: not is_free(ports.dashboard)
        hub = self.start("Event Hub", *flow, "hub", "--port", str(ports.hub), "--data", str(self._root / "hub"))
        hub.address, hub.is_up = local_hub_connection(ports.hub), lambda: not is_free(ports.hub)
        folder = ("--history-to", str(self._root / "history")) if days else ()
        simulator = self.start(
            "Simulator", *flow, "simulate", "--days", str(days), "--speed", str(speed), *more, *folder
        )
        simulator.address = f"{plural(days, 'day')} of history written; live at {speed:g} × real time"
        newest = self._files[0]
        simulator.is_up = lambda: not days or newest.exists()
        home = prepare_home(self._root / "dagster")
        dagster = self.start(
            "Dagster UI",
            *("-W", "ignore", "-m", "patient_flow.orchestration.dev", "-h", "127.0.0.1", "-p", str(ports.ui)),
            *("-m", "patient_flow.definitions"),
            DAGSTER_HOME=str(home),
            **{name: os.environ.get(name, value) for name, value in PATIENCE.items()},
        )
        dagster.address = f"http://127.0.0.1:{ports.ui}"
        self._alerts = f"{dagster.address}/assets/audit/open_alerts"
        dagster.is_up = lambda: answers(f"http://127.0.0.1:{ports.ui}/server_info")

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
            self._quiet_since = self._noted = time.monotonic()
            self._say(f"micro-batch {self._number}: {seen}")
        elif time.monotonic() - self._noted > QUIET_SECONDS:
            self._noted = time.monotonic()
            minutes = (time.monotonic() - self._quiet_since) / 60
            where = f"{self._alerts} names what is wrong, if anything"
            self._say(f"no micro-batch has loaded the warehouse for {minutes:.0f} min; {where}{self._trouble()}")

    def _trouble(self) -> str:
        """The error of the warehouse, where it cannot be read. Before the first load it has no tables."""
        try:
            self._services.warehouse.loaded_versions()
        except WarehouseNotInitialised:
            return ""
        except WarehouseError as error:
            return f" ({error})"
        return ""

    def _say(self, line: str) -> None:
        click.echo(f"{datetime.now().astimezone():%H:%M:%S}  {line}")

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
    stopped = _stop_on_signals()
    with contextlib.ExitStack() as stack:
        locks = stack.enter_context(_alone(settings.local_root))
        feed = _feed(options, settings.local_root / "simulator.json")
        ports = Ports.of(options, settings.hub_port)
        connection = local_hub_connection(ports.hub)
        click.echo("Starting; the logs of all parts are in " + str(settings.local_root / "logs"))
        click.echo(f"{'Warehouse':<14}{Services(settings).warehouse.address}")
        stack.callback(click.echo, f"Stopped. The data stays in {settings.local_root}/; start again to continue.")
        demo = Demo(
            stack,
            settings.model_copy(update={"eventhub_connection": connection}),
            {**_limits(settings), "PATIENT_FLOW_EVENTHUB_CONNECTION": connection},
            locks,
        )
        demo.start_all(feed, ports)
        click.echo("One line per part that is up and per load of the warehouse; Ctrl-C stops all and keeps the data.")
        while not stopped.wait(POLL_SECONDS if demo.is_starting else 2 * POLL_SECONDS):
            demo.look()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[tuple[int, ...]]:
    """Keeps a second demo out of the folder: both would end each other's runs.

    The file descriptors are for the parts: the lock ends with the last process that has one, since parts outlive a demo
    that was killed. A file system without locks has none.
    """
    try:
        import fcntl
    except ImportError:
        raise DemoError("the demo needs POSIX calls: on Windows, run it in WSL") from None
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "demo.lock"
    with file.open("w") as lock:
        locks: tuple[int, ...] = (lock.fileno(),)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"another demo uses {folder}: stop it, or start this one from another working directory. "
                f"If it was killed, its parts still run: `fuser {file}` names their processes"
            ) from None
        except OSError:
            locks = ()
        yield locks


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
        ports = cls(
            hub,
            _port(options.ui_port, UI_PORT, "--ui-port", "the Dagster UI"),
            _port(options.dashboard_port, DASHBOARD_PORT, "--dashboard-port", "the dashboard"),
        )
        if len({ports.hub, ports.ui, ports.dashboard}) < 3:
            raise DemoError(
                "hub, Dagster UI and dashboard need a port each; these are not three: "
                f"{ports.hub}, {ports.ui}, {ports.dashboard}"
            )
        return ports


def _limits(settings: Settings) -> dict[str, str]:
    """The demo's limits of bed alerts, unless one is set."""
    return LIMITS if settings.alerts.occupancy_limits == Limits() else {}


def _port(asked: int | None, usual: int, option: str, name: str) -> int:
    if asked:
        if not is_free(asked):
            raise DemoError(f"port {asked} is in use (another demo?): stop that program, or choose another {option}")
        return asked
    if is_free(usual):
        return usual
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    click.echo(f"Port {usual} is in use, so {name} uses {port}.")
    return port


def _feed(options: Options, journal: Path) -> Feed:
    """Days, speed and further options of the simulator: a demo that goes on keeps those it began with.

    Only its speed may change. Raises :class:`DemoError` for other days.
    """
    began = _IDENTITY.search(journal.read_text(errors="replace")) if journal.exists() else None
    days, speed, dirty, demand, reserve, spares = DAYS, SPEED, DIRTY, DEMAND, RESERVE, True
    if began:
        days, speed, dirty = (float(began[name]) for name in ("days", "speed", "dirty"))
        demand, reserve, spares = float(began["demand"] or 1), float(began["reserve"] or 0), bool(began["spared"])
        if options.days not in (None, days):
            raise DemoError(
                f"this demo began with {plural(days, 'day')} of history, which does not change: leave out --days, or "
                f"move the folder {journal.parent} away to begin again"
            )
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
