"""``patient-flow demo``: starts each part as a process, in order, watches them, and stops them in reverse.

The parts are the commands hub, simulate, ``dagster dev`` and dashboard. Not here: what they do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from patient_flow.errors import OperatorError
from patient_flow.orchestration.local import PATIENCE, prepare_home
from patient_flow.services import Services
from patient_flow.settings import Settings, load, local_hub_connection
from patient_flow.status import Progress, progress

NOTE_SECONDS = 30.0
"""How often a part that is still starting is named. On a busy machine it may take minutes: there is no deadline."""
ANSWER_SECONDS = 60.0
STOP_SECONDS = 20.0
DIRTY = "0.02"
"""Fraction of corrupted events. A corrupted discharge leaves its patient in bed for ever, so it must be small."""


class DemoError(OperatorError):
    """A part of the demo did not start, or ended unexpectedly; the message names its log."""


@dataclass(frozen=True)
class Options:
    """Options of ``patient-flow demo``."""

    days: float = 3.0
    speed: float = 1.0
    hub_port: int | None = None
    ui_port: int = 3000
    dashboard_port: int = 8050


@dataclass
class Part:
    """One process of the demo, with its own log and process group."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        """Sends SIGINT (as Ctrl-C would), then kills what is left of its process group."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run(options: Options) -> None:
    """Runs the demo until Ctrl-C or SIGTERM. All of its processes have ended when it returns."""
    settings = load()
    if not settings.lake_is_folder:
        raise DemoError("the demo keeps its data on this machine: unset PATIENT_FLOW_LAKE_URI")
    Services(settings).require_strong_key()
    port = _hub_port(options.hub_port)
    _require_free(options.ui_port, "--ui-port")
    _require_free(options.dashboard_port, "--dashboard-port")
    connection = local_hub_connection(port)
    environment = {"PATIENT_FLOW_EVENTHUB_CONNECTION": connection}
    logs = settings.local_root / "logs"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    click.echo("Starting; the logs of all parts are in " + str(logs))
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        stack.callback(click.echo, f"Stopped. The data stays in {settings.local_root}/; start again to continue.")
        parts = _start(stack, options, settings, environment, port, logs)
        click.echo(f"Event Hub     {connection}")
        click.echo(f"Dashboard     http://127.0.0.1:{options.dashboard_port}")
        click.echo(f"Dagster UI    http://127.0.0.1:{options.ui_port}")
        click.echo(f"Warehouse     {Services(settings).warehouse.address}")
        click.echo("One line per micro-batch follows; Ctrl-C stops everything and keeps the data.")
        _watch(settings.model_copy(update={"eventhub_connection": connection}), parts)


def _start(
    stack: contextlib.ExitStack,
    options: Options,
    settings: Settings,
    environment: dict[str, str],
    port: int,
    logs: Path,
) -> list[Part]:
    parts: list[Part] = []

    def start(name: str, *command: str, **more: str) -> Part:
        part = _spawn(name, [sys.executable, *command], {**environment, **more}, logs)
        stack.callback(part.stop)
        stack.callback(_ignore_signals)  # runs before the stops: callbacks are last in, first out
        parts.append(part)
        return part

    root = settings.local_root
    flow = ("-m", "patient_flow")
    hub = start("hub", *flow, "hub", "--port", str(port), "--data", str(root / "hub"))
    _wait_until(lambda: not _is_free(port), hub)
    home = prepare_home(root / "dagster")
    dagster = start(
        "dagster",
        *("-W", "ignore", "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(options.ui_port)),
        *("-m", "patient_flow.definitions"),
        DAGSTER_HOME=str(home),
        **{name: os.environ.get(name, value) for name, value in PATIENCE.items()},
    )
    journal = root / "simulator.json"
    feed = ("--days", str(options.days), "--speed", str(options.speed), "--dirty", DIRTY, "--journal", str(journal))
    start("simulator", *flow, "simulate", *feed)
    start("dashboard", *flow, "dashboard", "--port", str(options.dashboard_port))
    _wait_until(lambda: _answers(f"http://127.0.0.1:{options.ui_port}/server_info"), dagster)
    return parts


def _ignore_signals() -> None:
    """Ignores further signals: a second Ctrl-C (`uv run` forwards it too) must not interrupt the clean-up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _spawn(name: str, command: list[str], environment: dict[str, str], logs: Path) -> Part:
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"{name}.log"
    with path.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  (our own commands)
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches only this process, which stops the parts in order
        )
    return Part(name, process, path)


def _watch(settings: Settings, parts: list[Part]) -> None:
    services = Services(settings)
    for number, line in enumerate(_micro_batches(services, parts), start=1):
        click.echo(f"{datetime.now().astimezone():%H:%M:%S}  micro-batch {number}: {line}")


def _micro_batches(services: Services, parts: list[Part]) -> Iterator[Progress]:
    """Totals after each load of the warehouse; raises :class:`DemoError` when a part has ended."""
    last: datetime | None = None
    while True:
        for part in parts:
            if part.process.poll() is not None:
                raise DemoError(f"{part.name} ended with exit code {part.process.returncode}; see {part.log}")
        seen = progress(services, datetime.now(UTC), since=last)
        if seen is not None:
            last = seen.loaded_at
            yield seen
        time.sleep(2.0)


def _wait_until(ready: Callable[[], bool], part: Part) -> None:
    """Waits as long as the part lives, and says so from time to time."""
    began = noted = time.monotonic()
    while not ready():
        if part.process.poll() is not None:
            words = f"exit code {part.process.returncode}: {_last_words(part.log)}"
            raise DemoError(f"{part.name} did not start, {words} (see {part.log})")
        if time.monotonic() - noted > NOTE_SECONDS:
            noted = time.monotonic()
            click.echo(f"{part.name} is still starting after {noted - began:.0f} seconds; its log is {part.log}")
        time.sleep(0.2)


def _last_words(log: Path) -> str:
    """The last line of a log, with the line before it when it is only the name of an exception."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-1:] if lines and " " in lines[-1] else lines[-2:]) or "no output"


def _hub_port(asked: int | None) -> int:
    """The given port, else the default one, or a free one when that is in use."""
    if asked:
        _require_free(asked, "--hub-port")
        return asked
    usual = load().hub_port
    if _is_free(usual):
        return usual
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    click.echo(f"Port {usual} is in use, so the Event Hub uses {port}. For other commands, run")
    click.echo(f"  export PATIENT_FLOW_EVENTHUB_CONNECTION='{local_hub_connection(port)}'")
    return port


def _require_free(port: int, option: str) -> None:
    if not _is_free(port):
        raise DemoError(f"port {port} is in use (another demo?): stop that program, or choose another {option}")


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
