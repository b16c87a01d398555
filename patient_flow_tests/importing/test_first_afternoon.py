"""The guide infra/docs/your-hospital.md, word by word: its files, its commands, and the figures of the dashboard."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from patient_flow.cli import cli
from patient_flow.contracts.tables import DIM_DEPARTMENT
from patient_flow.dashboard.server import Dashboard
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow_tests.builders import contents

GUIDE = (Path(__file__).parents[2] / "infra" / "docs" / "your-hospital.md").read_text(encoding="utf-8")
PARIS = ZoneInfo("Europe/Paris")


def test_the_guide_leads_from_a_folder_of_files_to_the_figures_of_the_dashboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = re.findall(r"^```\w+ (\S+)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    for name, content in files:
        encoding = "windows-1252" if name == "admissions.csv" else "utf-8"
        (tmp_path / name).write_text(content, encoding=encoding)
    assert len(files) == 4
    printed = ""
    for command in re.findall(r"^patient-flow (.*)$", GUIDE, re.MULTILINE):
        if command == "dashboard":
            continue
        result = CliRunner().invoke(cli, shlex.split(command), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        printed += result.output
    assert "admissions.csv: 12 rows imported: 12 accepted, 0 ignored, 0 quarantined" in printed
    assert "department list is the demo" not in printed
    services = Services(load())
    assert set(contents(services.lake, DIM_DEPARTMENT)["hospital_id"]) == {"1", "Unknown"}
    clock = datetime(2026, 11, 25, 7, tzinfo=PARIS).astimezone(UTC)
    application = Dashboard(services.warehouse, PARIS, None, lambda: clock).application()
    with TestClient(application, base_url="http://localhost") as client:
        page = ""
        for _ in range(100):
            page = " ".join(re.sub(r"<[^>]*>", " ", client.get("/").text).split())
            if "Patients in beds now" in page:
                break
    for figure, value in re.findall(r"^\| (\w.* now) \| (.*) \|$", GUIDE, re.MULTILINE):
        assert f"{figure} {value}" in page, page[page.find(figure) :][:80]
    assert "Saint-Roch" in page
    services.warehouse.dispose()


def test_a_real_hub_has_no_departments_of_the_demo() -> None:
    connection = "Endpoint=sb://hospital.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=b"
    settings = {"PATIENT_FLOW_EVENTHUB_CONNECTION": connection}
    assert Services(load(settings, environ={})).departments.is_empty()
    assert not Services(load({}, environ={})).departments.is_empty()
