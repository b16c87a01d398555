"""Commands that are run or printed, and the file that records what is done."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def shell(command: Sequence[str]) -> str:
    """The command as one types it into a shell: quoted where that is needed."""
    return " ".join(
        f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word) for word in command
    )


class Stop(Exception):
    """The deployment cannot go on: what happened and what to do."""


class Commands:
    """Runs commands, or prints them. A value that a dry run does not know is printed as its name in angle brackets."""

    def __init__(self, *, dry_run: bool, variables: dict[str, str], pause: float) -> None:
        self.dry_run = dry_run
        self.variables = variables
        self.pause = pause

    def read(self, value: str, *command: str) -> str:
        """The output of a command that changes nothing; its name in a dry run."""
        if self.dry_run:
            print(f"  read {value}\n    {shell(command)}")
            return f"<{value}>"
        return self._run(command, capture=True)

    def change(self, effect: str, *command: str, shown: str = "", **variables: str) -> str:
        """Run a command that changes something; its output. ``variables``: for its environment, never printed."""
        print(f"  {effect}\n    {shown or shell(command)}", flush=True)
        return "" if self.dry_run else self._run(command, capture=True, **variables)

    def show(self, effect: str, *command: str, **variables: str) -> None:
        """Run a command whose output people read."""
        print(f"  {effect}\n    {shell(command)}", flush=True)
        if not self.dry_run:
            self._run(command, capture=False, **variables)

    def wait(self, what: str, ready: Callable[[], bool], *, attempts: int = 60) -> None:
        """Ask until it is so; ten minutes by default."""
        for attempt in range(attempts if not self.dry_run else 0):
            if ready():
                return
            if attempt == 0:
                print(f"  wait until {what}", flush=True)
            time.sleep(self.pause)
        if not self.dry_run:
            raise Stop(f"{what}: not after {attempts} attempts. Start again later: it goes on with this step")

    def _run(self, command: Sequence[str], *, capture: bool, **variables: str) -> str:
        environment = {**os.environ, **self.variables, **variables}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, text=True, check=False, stdout=subprocess.PIPE if capture else None,
                stderr=subprocess.PIPE if capture else None,
            )  # fmt: skip
        except FileNotFoundError:
            raise Stop(f"{command[0]} is not installed") from None
        if done.returncode:
            said = (done.stderr or "").strip()
            raise Stop(f"exit code {done.returncode} of: {shell(command)}" + (f"\n{said}" if said else ""))
        return (done.stdout or "").strip()


class State:
    """What is done and what the steps found out: a file that is replaced as a whole. Nothing in it is secret."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self._path, self._writable = path, writable
        self.known: dict[str, Any] = {"done": {}, "variables": {}, "outputs": {}}
        if path.is_file():
            self.known |= json.loads(path.read_text())

    def save(self) -> None:
        """Write the file."""
        if not self._writable:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self.known, indent=2) + "\n")
        new.replace(self._path)

    def finish(self, step: str) -> None:
        """Record that a step is done."""
        self.known["done"][step] = datetime.now(UTC).isoformat(timespec="seconds")
        self.save()

    def is_done(self, step: str) -> bool:
        """Whether the step was finished by an earlier start."""
        return step in self.known["done"]
