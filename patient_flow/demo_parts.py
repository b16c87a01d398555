"""One process of the demo: started with a log and a process group of its own, watched, and started again when it ends.

Not here: which parts there are (``demo``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import click

from patient_flow.errors import OperatorError
from patient_flow.wording import plural

NOTE_SECONDS = 30.0
"""How often a part that is still starting is named."""
ANSWER_SECONDS = 60.0
STOP_SECONDS = 20.0
RESTART_SECONDS = 10.0
"""A part that was up and has ended starts again after this time: the disk may have been full."""


class DemoError(OperatorError):
    """A part of the demo did not start, or ended unexpectedly; the message names its log."""


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
        self._kill_group()
        self.process.wait()

    def _kill_group(self) -> None:
        """Kills what is left of its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

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
            click.echo(f"{self.name} is still starting after {plural(round(seconds), 'second')}; its log is {self.log}")

    def _revive(self, code: int) -> None:
        """Starts it again some seconds after it ended."""
        now = time.monotonic()
        how = f"exit code {code}: {_last_words(self.log)}" if code >= 0 else f"killed by {_signal_name(-code)}"
        reason = f"{self.name} ended, {how} (see {self.log})"
        if not self.has_been_up:
            raise DemoError(reason)
        if self.ended_at is None:
            self.ended_at = now
            self._kill_group()  # its child processes would keep its port
            click.echo(f"{reason}; it starts again in {RESTART_SECONDS:.0f} s")
        elif now - self.ended_at > RESTART_SECONDS:
            self.process, self.was_up, self.ended_at = self.spawn(), False, None
            self.began = self.noted = now


def spawn_part(
    name: str, command: list[str], environment: dict[str, str], logs: Path, kept: Collection[int] = ()
) -> Part:
    """Starts a part with these variables besides the demo's own; its log is a file in ``logs``.

    ``kept`` are file descriptors that stay open in the part.
    """
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
                pass_fds=tuple(kept),
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the parts in order
            )

    return Part(name, spawn(), path, spawn)


def _last_words(log: Path) -> str:
    """The last line of a log, with the line before it when it is only the name of an exception."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-1:] if lines and " " in lines[-1] else lines[-2:]) or "no output"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def is_free(port: int) -> bool:
    """True while no program listens on the port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def answers(url: str) -> bool:
    """True when the page is there."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as reply:  # noqa: S310  (our own loopback address)
            return bool(reply.status == 200)
    except OSError:
        return False
