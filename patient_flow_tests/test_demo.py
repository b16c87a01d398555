"""What the demo says when it starts, without its processes; the whole of it runs in ``e2e/test_demo.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from patient_flow import demo
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
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(demo, "_start", lambda *_: [])
    monkeypatch.setattr(demo, "_watch", lambda *_: None)
    demo.run(demo.Options(hub_port=free_port(), ui_port=free_port(), dashboard_port=free_port()))
    said = capsys.readouterr().out
    assert f"Warehouse     {shown}\n" in said


def test_it_waits_for_a_part_as_long_as_that_lives_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "NOTE_SECONDS", 0.0)
    part = started(tmp_path, "import time; time.sleep(60)")
    answers = iter([False, False, True])
    demo._wait_until(lambda: next(answers), part)
    part.stop()
    assert capsys.readouterr().out.count("dagster is still starting after 0 seconds; its log is") == 2


def test_a_part_that_ends_with_the_name_of_an_exception_is_quoted_with_the_line_before(tmp_path: Path) -> None:
    part = started(tmp_path, "print('no room on the disk'); raise TimeoutError")
    with pytest.raises(demo.DemoError, match=r"exit code 1: .* / TimeoutError \(see "):
        demo._wait_until(lambda: False, part)


def started(folder: Path, script: str) -> demo.Part:
    return demo._spawn("dagster", [sys.executable, "-c", script], {}, folder)
