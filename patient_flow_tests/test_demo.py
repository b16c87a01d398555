"""What the demo says when it starts, without its processes; the whole of it runs in ``e2e/test_demo.py``."""

from __future__ import annotations

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
