"""A processor quota for the processes of a machine, without rights: all of them are stopped most of the time."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from patient_flow_tests.e2e.processes import Machine

PERIOD_SECONDS = 1.0


@contextlib.contextmanager
def quota(machine: Machine, share: float) -> Iterator[None]:
    """The processes of ``machine`` run only during ``share`` of each second, as under a cgroup's quota."""
    over = threading.Event()

    def throttle() -> None:
        while not over.wait(PERIOD_SECONDS * share):
            stopped = machine.processes()
            _signal(stopped, signal.SIGSTOP)
            over.wait(PERIOD_SECONDS * (1 - share))
            _signal(stopped, signal.SIGCONT)

    thread = threading.Thread(target=throttle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
