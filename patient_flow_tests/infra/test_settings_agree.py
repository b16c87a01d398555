"""Settings of the contract and settings of infra are the same, both ways, wherever something is deployed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from patient_flow.settings import AlertSettings, Settings, SettingsError, load
from patient_flow.stores.warehouse import entra
from patient_flow_tests.stacks import OWN_KEYS

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
DOCUMENTS = {".md"}
NAME = re.compile(r"\bPATIENT_FLOW_[A-Z][A-Z_]+\b")


def _known() -> set[str]:
    """Names of all variables that the settings read."""
    return {*Settings.variables(), *AlertSettings.variables()}


def _documented() -> list[tuple[list[str], str]]:
    """Rows of the README's table: names, and the text of their defaults."""
    rows = re.findall(r"^\| (`PATIENT_FLOW_[^|]*) \| ([^|]*) \|", (ROOT / "README.md").read_text(), flags=re.M)
    return [(NAME.findall(names), default) for names, default in rows]


def _deployed(*parts: str) -> set[str]:
    files = [
        path for part in parts for path in ([INFRA / part] if (INFRA / part).is_file() else (INFRA / part).rglob("*"))
    ]
    return {
        name
        for path in files
        if path.is_file() and path.suffix not in {*DOCUMENTS, ".pyc"}
        for name in NAME.findall(path.read_text(errors="ignore"))
    }


def test_settings_are_found_at_all() -> None:
    assert {"PATIENT_FLOW_LAKE_URI", "PATIENT_FLOW_MAX_EVENTS_PER_RUN"} <= _known()


def test_the_readme_names_every_setting_and_no_other() -> None:
    in_cells = {name for names, _ in _documented() for name in names}
    in_notes = {"PATIENT_FLOW_EVENTHUB_NAMESPACE"}  # named beside the connection string that it replaces
    assert in_cells | in_notes == _known()


def test_the_readme_has_the_defaults_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(environ={})
    fields = {name: getattr(settings, field) for name, field in Settings.variables().items()}
    fields |= {name: getattr(settings.alerts, field) for name, field in AlertSettings.variables().items()}
    compared = 0
    for names, default in _documented():
        stated = [part.strip("`") for part in default.split(", ")] if len(names) > 1 else [default.strip("`")]
        for name, text in zip(names, stated, strict=False):
            value = fields[name]
            if isinstance(value, int) or f"`{text}`" in default:
                assert text == (",".join(value) if isinstance(value, tuple) else str(value)), name
                compared += 1
    assert compared > 15


def test_infra_sets_nothing_that_the_settings_do_not_know() -> None:
    places = ("bicep", "compose", "dagster", "images", "kubernetes", "pipelines")
    assert _deployed(*places) - _known() == set()


@pytest.mark.parametrize("place", [("bicep", "images"), ("compose",), ("kubernetes",)], ids=lambda place: place[0])
def test_every_setting_can_be_set_wherever_it_runs(place: tuple[str, ...]) -> None:
    missing = _known() - _deployed(*place)
    assert missing == set()


def _compose_example() -> dict[str, str]:
    lines = (INFRA / "compose" / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_example_for_one_host_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = _compose_example() | OWN_KEYS
    url = "mssql+pyodbc://sa:x@sqlserver:1433/patient_flow?driver=ODBC+Driver+18+for+SQL+Server"
    settings = load(environ={**example, "PATIENT_FLOW_WAREHOUSE_URL": url})
    assert settings.hub_host == "eventhubs"
    assert settings.warehouse_kind == "mssql"


def test_the_example_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = _compose_example()
    assert {name for name, value in example.items() if not value} == {
        "MSSQL_SA_PASSWORD",
        "DAGSTER_PG_PASSWORD",
        *OWN_KEYS,
        "ACCEPT_EULA",
    }
    with pytest.raises(SettingsError, match="PSEUDONYM_KEY"):
        load(environ=example)


def test_kubernetes_settings_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values: dict[str, str] = {}
    for file in ("base/settings.yaml", "overlays/prod/settings.yaml"):
        for manifest in yaml.safe_load_all((INFRA / "kubernetes" / file).read_text()):
            values |= manifest["data"]
    settings = load(environ={**values, **OWN_KEYS})
    assert settings.hub_host.endswith(".servicebus.windows.net")
    assert settings.warehouse_kind == "mssql"
    assert not settings.lake_is_local


@pytest.mark.parametrize("file", ["bicep/main.bicep", "compose/.env.example", "kubernetes/overlays/prod/settings.yaml"])
def test_the_warehouse_of_azure_is_opened_with_an_identity(file: str) -> None:
    """Its URL holds no login and has no place for one, so the container's identity signs in."""
    (text,) = re.findall(r"mssql\+pyodbc://[^\s']+", (INFRA / file).read_text())
    url = sa.make_url(re.sub(r"\$\{(\w+)\}", r"\1", text))
    assert url.host
    assert url.database
    assert url.username is None
    assert entra.is_wanted(url)


def test_the_hub_of_compose_has_the_group_that_the_example_names() -> None:
    hub = yaml.safe_load((INFRA / "compose" / "eventhubs.json").read_text())
    (entity,) = hub["UserConfig"]["NamespaceConfig"][0]["Entities"]
    example = _compose_example()
    assert entity["Name"] == example["PATIENT_FLOW_EVENTHUB_NAME"]
    assert [group["Name"] for group in entity["ConsumerGroups"]] == [example["PATIENT_FLOW_EVENTHUB_CONSUMER_GROUP"]]
