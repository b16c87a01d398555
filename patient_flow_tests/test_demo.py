"""What the demo says when it starts, without its processes; the whole of it runs in ``e2e/test_demo.py``."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from patient_flow import demo, demo_parts
from patient_flow.monitoring.rules.disks import Disk
from patient_flow.simulator.run import Options
from patient_flow_tests.servers import free_port


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///data/warehouse.db", "sqlite:///data/warehouse.db"),
        ("postgresql://flow:s3cret@db.example/flow", "postgresql://flow:***@db.example/flow"),
    ],
)
def test_it_names_the_warehouse_of_the_settings_without_its_password(
    url: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATIENT_FLOW_WAREHOUSE_URL", url)
    said = run_without_parts(
        monkeypatch, capsys, demo.Options(hub_port=free_port(), ui_port=free_port(), dashboard_port=free_port())
    )
    assert f"Warehouse     {shown}\n" in said


def run_without_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: demo.Options
) -> str:
    stopped = threading.Event()
    stopped.set()
    monkeypatch.setattr(demo, "_stop_on_signals", lambda: stopped)
    monkeypatch.setattr(demo.Demo, "start_all", lambda *_: None)
    demo.run(options)
    return capsys.readouterr().out


def test_usual_ports_that_are_in_use_are_replaced_and_given_ones_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        used = other.getsockname()[1]
        monkeypatch.setattr(demo, "UI_PORT", used)
        ports = demo.Ports.of(demo.Options(hub_port=free_port(), dashboard_port=free_port()), 5672)
        assert ports.ui != used
        assert f"Port {used} is in use, so the Dagster UI uses {ports.ui}." in capsys.readouterr().out
        with pytest.raises(demo_parts.DemoError, match=rf"port {used} is in use .* choose another --ui-port"):
            demo.Ports.of(demo.Options(ui_port=used), free_port())
    with pytest.raises(demo_parts.DemoError, match="need a port each"):
        demo.Ports.of(demo.Options(ui_port=used, dashboard_port=used), free_port())


def test_a_second_demo_in_a_folder_is_refused(tmp_path: Path) -> None:
    refused = pytest.raises(demo_parts.DemoError, match="another demo uses")
    with demo._alone(tmp_path), refused, demo._alone(tmp_path):
        pass
    with demo._alone(tmp_path):
        pass


def test_the_parts_of_a_demo_that_was_killed_keep_a_second_one_out(tmp_path: Path) -> None:
    with demo._alone(tmp_path) as locks:
        part = started(tmp_path, "import time; time.sleep(60)", locks)
    try:
        with pytest.raises(demo_parts.DemoError, match=r"`fuser .*/demo\.lock`"), demo._alone(tmp_path):
            pass
    finally:
        part.stop()
    with demo._alone(tmp_path):
        pass


def test_a_demo_that_is_refused_says_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as other, demo._alone(demo.load().local_root):
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(demo, "UI_PORT", other.getsockname()[1])
        with pytest.raises(demo_parts.DemoError, match="another demo uses"):
            run_without_parts(monkeypatch, capsys, demo.Options())
    assert capsys.readouterr().out == ""


def test_a_file_system_without_locks_is_no_error_and_a_system_without_them_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with demo._alone(tmp_path) as locks:
        assert locks == ()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(demo_parts.DemoError, match="on Windows, run it in WSL"), demo._alone(tmp_path):
        pass


def test_a_warehouse_before_its_first_load_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = demo.load()
    with contextlib.ExitStack() as stack:
        running = demo.Demo(stack, settings, {}, ())
        assert running._trouble() == ""
    shutil.rmtree(settings.local_root)
    (settings.local_root / "warehouse.db").mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        assert "warehouse.db is a folder" in demo.Demo(stack, settings, {}, ())._trouble()


def test_a_demo_goes_on_with_the_feed_that_it_began_with(tmp_path: Path) -> None:
    journal = tmp_path / "simulator.json"
    assert demo._feed(demo.Options(), journal)[:2] == (demo.DAYS, demo.SPEED)
    before = Options(days=3.0, speed=1.0, dirty=0.02)
    journal.write_text(json.dumps({"identity": before.identity, "began": 0, "sent": 9}))
    days, speed, feed = demo._feed(demo.Options(), journal)
    assert (days, speed) == (3.0, 1.0)
    assert "--spare-moves" not in feed
    assert feed[feed.index("--dirty") + 1] == "0.02"
    assert feed[feed.index("--demand") + 1] == "1.0"
    assert demo._feed(demo.Options(days=3, speed=60), journal)[1] == 60
    with pytest.raises(demo_parts.DemoError, match=r"began with 3 days of history, .* leave out --days"):
        demo._feed(demo.Options(days=7), journal)
    now = Options(days=3.0, speed=1e6, dirty=0.004, spares_moves=True, demand=0.8)
    journal.write_text(json.dumps({"identity": now.identity, "began": 0, "sent": 9}))
    days, speed, feed = demo._feed(demo.Options(), journal)
    assert (days, speed) == (3.0, 1e6)
    assert "--spare-moves" in feed
    assert feed[feed.index("--demand") + 1] == "0.8"


def test_a_part_that_is_not_up_is_named_from_time_to_time_and_once_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_parts, "NOTE_SECONDS", 0.0)
    part = started(tmp_path, "import time; time.sleep(60)")
    answers = iter([False, False, True])
    part.is_up = lambda: next(answers)
    for _ in range(5):
        part.check()
    part.stop()
    said = capsys.readouterr().out
    assert said.count("dagster is still starting after 0 seconds; its log is") == 2
    assert said.count("up after 0 s") == 1


def test_a_part_that_ends_with_the_name_of_an_exception_is_quoted_with_the_line_before(tmp_path: Path) -> None:
    part = started(tmp_path, "print('no room on the disk'); raise TimeoutError")
    part.process.wait()
    with pytest.raises(demo_parts.DemoError, match=r"exit code 1: .* / TimeoutError \(see "):
        part.check()


def test_a_part_that_was_up_and_ended_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_parts, "RESTART_SECONDS", 0.0)
    part = started(tmp_path, "print('No space left on device'); raise SystemExit(1)")
    part.has_been_up = part.was_up = True
    part.process.wait()
    first = part.process.pid
    part.check()
    assert "No space left on device (see " in capsys.readouterr().out
    part.check()
    assert part.process.pid != first
    part.stop()


def test_a_part_that_ended_leaves_no_process_that_keeps_its_port(tmp_path: Path) -> None:
    child = "[sys.executable, '-c', 'import time; time.sleep(60)']"
    with demo._alone(tmp_path) as locks:
        script = f"import subprocess, sys; subprocess.Popen({child}, pass_fds={locks})"
        part = started(tmp_path, script, locks)
    part.has_been_up = part.was_up = True
    part.process.wait()
    try:
        with pytest.raises(demo_parts.DemoError), demo._alone(tmp_path):
            pass
        part.check()
        for _ in range(300):  # until the child process, which has the lock too, is gone
            with contextlib.suppress(demo_parts.DemoError), demo._alone(tmp_path):
                break
            time.sleep(0.1)
        else:
            pytest.fail("the child process still runs")
    finally:
        part.stop()


def test_a_part_that_may_end_is_no_error_unless_it_failed(tmp_path: Path) -> None:
    part = started(tmp_path, "pass")
    part.process.wait()
    with pytest.raises(demo_parts.DemoError):
        part.check()
    part.may_end = True
    part.check()


def started(folder: Path, script: str, kept: Collection[int] = ()) -> demo_parts.Part:
    return demo_parts.spawn_part("dagster", [sys.executable, "-c", script], {}, folder, kept)


def test_a_full_disk_is_reported_once_and_leaves_room_for_the_ui(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reserve"
    reserve = demo.Reserve(file)
    for free, has_reserve in (
        (20, False),
        (300, True),
        (5, True),
        (0.5, False),
        (0.2, False),
        (15, False),
        (200, True),
    ):
        reserve.check(Disk("/data", free, 500))
        assert file.exists() is has_reserve, free
        assert not has_reserve or file.stat().st_size == 5 * 2**20  # less than the 10 MiB below which no run starts
    assert capsys.readouterr().out.splitlines() == [
        "5 of 500 MiB free on the disk of /data: no micro-batch starts until there is more "
        "(infra/docs/runbook/disk_full.md)"
    ]
