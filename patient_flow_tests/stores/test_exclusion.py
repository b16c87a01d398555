"""Many writers share a lake, one at a time works alone, and a dead process holds nobody back."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import pytest

from patient_flow.stores.lake.exclusion import alone, shared

HOLD = """
import sys
from pathlib import Path
from patient_flow.stores.lake import exclusion
held = exclusion.shared(Path(sys.argv[1])) if sys.argv[2] == "shared" else exclusion.alone(Path(sys.argv[1]), print)
with held:
    print("inside", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path, kind: str) -> subprocess.Popen[str]:
    """Another process that is inside until it is killed."""
    command = [sys.executable, "-c", HOLD, str(folder), kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_one_that_works_alone_waits_for_writers_and_holds_back_new_ones(tmp_path: Path) -> None:
    writer, said = holder(tmp_path, "shared"), []
    with shared(tmp_path), shared(tmp_path):
        pass
    inside, entered = threading.Event(), threading.Event()
    leave = threading.Event()

    def work_alone() -> None:
        with alone(tmp_path, lambda: said.append("waiting")):
            inside.set()
            leave.wait(60)

    def write() -> None:
        with shared(tmp_path):
            entered.set()

    lonely = threading.Thread(target=work_alone)
    lonely.start()
    assert not inside.wait(0.3)
    assert said == ["waiting"]
    late = threading.Thread(target=write)
    late.start()
    assert not entered.wait(0.3)
    killed(writer)
    assert inside.wait(60)
    assert not entered.wait(0.3)
    leave.set()
    assert entered.wait(60)
    lonely.join()
    late.join()


def test_a_step_inside_another_enters_also_while_somebody_waits_to_be_alone(tmp_path: Path) -> None:
    begun, done = threading.Event(), threading.Event()

    def work_alone() -> None:
        with alone(tmp_path, begun.set):
            done.set()

    with shared(tmp_path):
        lonely = threading.Thread(target=work_alone)
        lonely.start()
        assert begun.wait(60)
        with shared(tmp_path):
            assert not done.is_set()
    assert done.wait(60)
    lonely.join()


def test_a_dead_process_holds_nobody_back_and_a_folder_that_refuses_no_reader(tmp_path: Path) -> None:
    killed(holder(tmp_path, "alone"))
    with alone(tmp_path, lambda: pytest.fail("it waited")):
        pass
    (tmp_path / "file").write_text("")
    with shared(tmp_path / "file"):
        pass


def test_a_step_in_a_thread_of_one_that_is_inside_enters_while_somebody_waits_to_be_alone(tmp_path: Path) -> None:
    begun, done = threading.Event(), threading.Event()

    def work_alone() -> None:
        with alone(tmp_path, begun.set):
            done.set()

    def write() -> bool:
        with shared(tmp_path):
            return not done.is_set()

    with shared(tmp_path), ThreadPoolExecutor(1) as thread:
        lonely = threading.Thread(target=work_alone)
        lonely.start()
        assert begun.wait(60)
        assert thread.submit(copy_context().run, write).result(timeout=60)
    lonely.join()
    assert done.is_set()
