"""The project's commands as processes on a machine of their own, and the certainty that all of them end.

A :class:`Machine` is a folder: commands run in it with settings that name only places inside it, and log into it. Every
process started on it, and whatever those start, carries a mark in its environment; so none can hide when the test is
over, not even one whose parent was killed. Not here: what the commands do, assertions.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import patient_flow
from patient_flow.orchestration.local import prepare_home
from patient_flow.services import Services
from patient_flow.settings import load, local_hub_connection
from patient_flow_tests.stacks import OWN_KEYS, Stack

ROOT = Path(patient_flow.__file__).parents[1]
"""The checkout."""
COMMANDS = Path(sys.executable).parent
"""Where the commands of this Python environment are."""
_MARK = "PATIENT_FLOW_TESTS_MACHINE"
_FOREIGN = ("PATIENT_FLOW_", "DAGSTER_")


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    exit_code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both outputs."""
        return self.out + self.err

    def assert_success(self) -> None:
        """Fails with the end of what it said unless it ended well."""
        assert self.exit_code == 0, self.said[-3000:]


class Program:
    """A running command. Its output goes to a log that grows over restarts under the same name."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, already_logged: int) -> None:
        self._process = process
        self._log = log
        self._already_logged = already_logged

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._log.read_bytes()[self._already_logged :].decode(errors="replace")

    @property
    def has_ended(self) -> bool:
        """True once the process is gone."""
        return self._process.poll() is not None

    def wait_for(self, pattern: str, seconds: float = 120.0) -> re.Match[str]:
        """Waits until the output matches; fails when the program ends or the time is over before."""
        deadline = time.monotonic() + seconds
        while True:
            ended = self.has_ended
            found = re.search(pattern, self.output)
            if found:
                return found
            assert not ended, f"ended with exit code {self._process.returncode} before {pattern!r}:\n{self.output}"
            assert time.monotonic() < deadline, f"no {pattern!r} within {seconds:.0f} s:\n{self.output}"
            time.sleep(0.01)

    def wait(self, seconds: float = 120.0) -> int:
        """Waits for the end; gives the exit code."""
        return self._process.wait(seconds)

    def interrupt(self, seconds: float = 120.0) -> int:
        """Presses Ctrl-C, which a terminal sends to the whole group, and waits for the end; gives the exit code."""
        os.killpg(self.pid, signal.SIGINT)
        return self.wait(seconds)

    def kill(self) -> None:
        """Ends the process and its group at once, as the kernel would for want of memory."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class Machine:
    """A folder in which commands run. When the ``with`` block ends, so has every process.

    Without ``has_settings`` the commands find no setting at all and take their defaults, as on a fresh machine. With a
    ``stack`` lake, warehouse and Dagster's storage are that stack's; without one everything is in the folder.
    """

    def __init__(self, folder: Path, *, has_settings: bool = True, stack: Stack | None = None) -> None:
        self.folder = folder
        self.hub_port = free_port()
        self.lake_uri = stack.lake_uri() if stack else f"{folder}/data/{{layer}}"
        self.warehouse_url = stack.warehouse_url() if stack else f"sqlite:///{folder}/data/warehouse.db"
        self.dagster_home = stack.dagster_home() if stack else prepare_home(folder / "dagster")
        self._has_settings = has_settings
        self._stack = stack
        self._started: list[Program] = []
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for program in self._started:
            program.kill()
        for pid in self.processes():  # grandchildren in process groups of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def connection(self) -> str:
        """Connection string of the hub of this machine, running or not."""
        return local_hub_connection(self.hub_port)

    @property
    def settings(self) -> dict[str, str]:
        """Settings that keep everything on this machine, or on its stack."""
        return {
            "PATIENT_FLOW_LAKE_URI": self.lake_uri,
            "PATIENT_FLOW_EVENTHUB_CONNECTION": self.connection,
            "PATIENT_FLOW_WAREHOUSE_URL": self.warehouse_url,
            **(
                {
                    **self._stack.environment,
                    **OWN_KEYS,
                    **({"DAGSTER_HOME": str(self.dagster_home)} if self._stack.commands_share_a_home else {}),
                }
                if self._stack
                else {}
            ),
        }

    @contextlib.contextmanager
    def services(self) -> Iterator[Services]:
        """The test's own look at hub, lake and warehouse of this machine."""
        services = Services(load(self.settings, environ={}))
        try:
            yield services
        finally:
            services.warehouse.dispose()

    def start(self, name: str, *command: str | Path, **settings: str) -> Program:
        """Starts a command (its first word is looked up in this Python environment) in a process group of its own."""
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        already_logged = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            process = subprocess.Popen(
                _resolved(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._environment(settings),
                start_new_session=True,
            )
        program = Program(process, log, already_logged)
        self._started.append(program)
        return program

    def run(self, *command: str | Path, seconds: float = 180.0, **settings: str) -> Outcome:
        """Runs a command to its end."""
        done = subprocess.run(
            _resolved(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self._environment(settings),
            timeout=seconds,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def start_hub(self, *options: str) -> Program:
        """Starts ``patient-flow hub`` on this machine's port and waits until it accepts connections."""
        connection = {"PATIENT_FLOW_EVENTHUB_CONNECTION": self.connection}
        hub = self.start("hub", "patient-flow", "hub", *options, **connection)
        hub.wait_for("^ready: ")
        return hub

    def start_dagster_dev(self, **settings: str) -> tuple[Program, int]:
        """Starts the Dagster UI and its daemon as the README does, and gives the UI's port."""
        port = free_port()
        command = ("dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-w", ROOT / "workspace.yaml")
        return self.start("dagster", *command, DAGSTER_HOME=str(self.dagster_home), **settings), port

    def processes(self) -> list[int]:
        """Ids of all living processes of this machine."""
        mark = f"{_MARK}={self.folder}".encode()
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if mark in _environment_of(entry)]

    def wait_for_silence(self, *but: Program, seconds: float = 60.0) -> None:
        """Waits until no process is left but the given programs; fails when one outlives the patience."""
        deadline = time.monotonic() + seconds
        while left := set(self.processes()) - {program.pid for program in but}:
            assert time.monotonic() < deadline, f"left over: {[_command_line(pid) for pid in left]}"
            time.sleep(0.1)

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        ours = self.settings if self._has_settings else {}
        return {**inherited, _MARK: str(self.folder), "DAGSTER_DISABLE_TELEMETRY": "yes", **ours, **settings}


def micro_batch(select: str = "*") -> tuple[str, ...]:
    """The command that materialises assets."""
    return ("dagster", "asset", "materialize", "--select", select, "-m", "patient_flow.definitions")


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _resolved(command: tuple[str | Path, ...]) -> list[str]:
    program, *arguments = map(str, command)
    return [str(COMMANDS / program), *arguments]


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return f"process {pid}"


def _environment_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return []
