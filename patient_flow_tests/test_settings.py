"""Settings: defaults that work on one machine, and refusals that say what to do."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from patient_flow import settings as settings_module
from patient_flow.contracts.tables import SILVER_EVENTS
from patient_flow.key_strength import weakness
from patient_flow.mounts import network_file_system
from patient_flow.orchestration.probes import judge_keys
from patient_flow.services import Services
from patient_flow.settings import LOCAL_HUB_PORT, Settings, SettingsError, load, unknown_variables
from patient_flow_tests.stacks import OWN_KEYS

ELSEWHERE = {"LAKE_URI": "abfss://{layer}@flow.dfs.core.windows.net"}
STRONG = "51c3a8f0e1b94d7fa2c6d80b97e4135f"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(**values: str) -> Settings:
    return load(environ={f"PATIENT_FLOW_{name}": value for name, value in values.items()})


def test_by_default_everything_is_on_this_machine() -> None:
    settings = read()
    assert settings == Settings()
    assert settings.lake_is_local
    assert settings.hub_port == LOCAL_HUB_PORT
    assert settings.hub_host == "127.0.0.1"
    assert settings.warehouse_kind == "sqlite"


def test_a_dotenv_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PATIENT_FLOW_TIMEZONE=Europe/Berlin\nPATIENT_FLOW_EVENTHUB_NAME=flow\n")
    settings = read(TIMEZONE="Europe/Madrid")
    assert (settings.timezone, settings.eventhub_name) == ("Europe/Madrid", "flow")


def test_misspelt_names_are_reported_with_the_nearest_setting_and_without_values(tmp_path: Path) -> None:
    assert unknown_variables({"PATIENT_FLOW_TIMEZONE": "UTC", "patient_flow_eventhub_name": "x", "PATH": "p"}) == ""
    assert unknown_variables({"PATIENT_FLOW_CADENCE_SECOND": "10"}) == (
        "PATIENT_FLOW_CADENCE_SECOND (did you mean PATIENT_FLOW_CADENCE_SECONDS?) is no setting and is ignored"
    )
    (tmp_path / ".env").write_text("PATIENT_FLOW_ALERT_SMPT_PASSWORD=s3cret\nCOMPOSE_PROJECT_NAME=flow\n")
    assert unknown_variables({"PATIENTFLOW_TIMEZONE": "UTC", "PATIENT_FLOW_XYZ": "1"}) == (
        "PATIENTFLOW_TIMEZONE (did you mean PATIENT_FLOW_TIMEZONE?), PATIENT_FLOW_ALERT_SMPT_PASSWORD in .env (did you "
        "mean PATIENT_FLOW_ALERT_SMTP_PASSWORD?), PATIENT_FLOW_XYZ are no settings and are ignored"
    )


def test_variables_of_kubernetes_and_of_the_tests_are_no_misspelt_settings() -> None:
    service = {
        "PATIENT_FLOW_DASHBOARD_SERVICE_HOST": "10.0.0.1",
        "PATIENT_FLOW_DASHBOARD_SERVICE_PORT_HTTP": "8050",
        "PATIENT_FLOW_DASHBOARD_PORT": "tcp://10.0.0.1:8050",
        "PATIENT_FLOW_DASHBOARD_PORT_8050_TCP_ADDR": "10.0.0.1",
    }
    assert unknown_variables({**service, "PATIENT_FLOW_TOOLS": "/tools", "PATIENT_FLOW_BICEP": "/bicep"}) == ""
    assert unknown_variables({"PATIENT_FLOW_ALERT_SMPT_PORT": "25"}) != ""


def test_a_dotenv_file_that_is_no_text_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PATIENT_FLOW_TIMEZONE=\xff\xfe")
    with pytest.raises(SettingsError, match=r"\.env is no text in UTF-8"):
        read()


def test_a_namespace_alone_is_not_mistaken_for_the_local_hub() -> None:
    assert read(EVENTHUB_NAMESPACE="flow.servicebus.windows.net").hub_host == "flow.servicebus.windows.net"


def test_an_empty_connection_with_a_namespace_means_entra_id() -> None:
    settings = read(EVENTHUB_CONNECTION="", EVENTHUB_NAMESPACE="flow.servicebus.windows.net")
    assert settings.hub_host == "flow.servicebus.windows.net"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"LAKE_URI": "data"}, "{layer}"),
        ({"EVENTHUB_CONNECTION": ""}, "EVENTHUB_NAMESPACE"),
        ({"EVENTHUB_CONNECTION": "nonsense"}, "Endpoint=sb://"),
        ({"TIMEZONE": "Mars/Olympus"}, "IANA"),
        ({"TIMEZONE": "../etc"}, "IANA"),
        ({"MAX_EVENTS_PER_RUN": "0"}, "above 0"),
        ({"MAX_EVENTS_PER_RUN": "many"}, "whole number"),
        ({"CADENCE_SECONDS": "9"}, "from 10 to 60"),
        ({"CADENCE_SECONDS": "61"}, "from 10 to 60"),
        ({"WAREHOUSE_URL": "oracle://x"}, "sqlite, postgresql or mssql"),
        ({"WAREHOUSE_URL": "mssql+pyodbc://x"}, "synapse, mssql or fabric"),
        ({"WAREHOUSE_KIND": "oracle"}, "WAREHOUSE_KIND"),
        (ELSEWHERE, "PSEUDONYM_KEY"),
        ({**ELSEWHERE, "PSEUDONYM_KEY": "a", "ACCESS_LOG_KEY": STRONG}, "ERASURE_KEY is required"),
        ({**ELSEWHERE, "PSEUDONYM_KEY": "a", "ERASURE_KEY": STRONG}, "ACCESS_LOG_KEY is required"),
        ({**ELSEWHERE, **dict.fromkeys(("PSEUDONYM_KEY", "ERASURE_KEY", "ACCESS_LOG_KEY"), STRONG)}, "three different"),
        ({**ELSEWHERE, "PSEUDONYM_KEY": "a", "ERASURE_KEY": "b", "ACCESS_LOG_KEY": STRONG}, "ERASURE_KEY has 1 char"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(values: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says.replace("{", r"\{")):
        read(**values)


def test_a_lake_elsewhere_is_accepted_with_a_key_of_its_own() -> None:
    settings = load(environ={"PATIENT_FLOW_LAKE_URI": "abfss://{layer}@flow.dfs.core.windows.net", **OWN_KEYS})
    assert not settings.lake_is_local
    assert not settings.uses_demo_key


def test_the_dashboard_requires_a_key_of_its_own_unless_its_warehouse_is_on_this_machine() -> None:
    for url in ("sqlite:///data/warehouse.db", "postgresql+psycopg://u@127.0.0.1/d"):
        read(WAREHOUSE_URL=url).require_access_log_key()
    elsewhere = "postgresql+psycopg://u@db.hospital.example/d"
    read(WAREHOUSE_URL=elsewhere, ACCESS_LOG_KEY=STRONG).require_access_log_key()
    with pytest.raises(SettingsError, match="ACCESS_LOG_KEY is required when the warehouse"):
        read(WAREHOUSE_URL=elsewhere).require_access_log_key()


@pytest.mark.parametrize("make", [lambda: secrets.token_hex(16), lambda: secrets.token_urlsafe(24)])
def test_a_random_key_is_strong(make: Callable[[], str]) -> None:
    assert [key for key in (make() for _ in range(200)) if weakness(key)] == []


@pytest.mark.parametrize(
    "key", ["", "s3cret", "a" * 64, "0123456789" * 4, "password" * 5, "0123456789abcdef" * 2, "patient-flow-key " * 3]
)
def test_a_key_that_can_be_guessed_is_weak(key: str) -> None:
    why = weakness(key)
    assert why is not None
    assert not key or key not in why


def test_a_mounted_share_is_not_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    share = tmp_path / "the share"
    table.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"40 22 0:52 / {tmp_path} rw - tmpfs tmpfs rw\n"
        f"41 40 0:53 / {tmp_path}/the\\040share rw,nosuid shared:2 master:7 - fuse.blobfuse2 blobfuse2 rw\n"
        f"42 41 0:54 / {tmp_path}/the\\040share/disk rw - xfs /dev/sdb1 rw\n"
    )
    monkeypatch.setattr(settings_module, "network_file_system", partial(network_file_system, mounts=table))
    assert read(LAKE_URI=f"{share}/lake/{{layer}}").lake_share == "blobfuse2"
    assert not read(LAKE_URI=f"file://{tmp_path}/the%20share/{{layer}}").lake_is_local
    for folder in (f"{share}/disk/{{layer}}", f"{share}2/{{layer}}", "data/{layer}"):
        assert read(LAKE_URI=folder).lake_is_local
    weak = read(LAKE_URI=f"{share}/{{layer}}")
    with pytest.raises(SettingsError, match=r"key of the demo, and the lake is on a mounted share \(blobfuse2"):
        Services(weak).require_strong_key()
    Services(read(LAKE_URI=f"{share}/{{layer}}", PSEUDONYM_KEY=STRONG)).require_strong_key()
    lake = Services(weak).lake
    lake.open(SILVER_EVENTS).record({"anything": 1})
    Services(weak).require_strong_key()
    (firing,) = judge_keys(weak).firings
    assert "run `patient-flow rebuild`" in firing.finding.message
    assert judge_keys(read()).firings == ()


def test_the_disks_of_this_machine_are_those_of_lake_and_warehouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = read(LAKE_URI=f"{tmp_path}/lake/{{layer}}", WAREHOUSE_URL=f"sqlite:///{tmp_path}/w/w.db")
    (disk,) = here.disks  # one disk once, although neither folder exists yet
    assert disk.place == f"{tmp_path}/lake"
    assert 0 < disk.free <= disk.size
    monkeypatch.setattr(settings_module, "room", lambda folder: (len(str(folder)), 300 * 2**20, 2**40))
    assert [(disk.place, disk.is_full, disk.is_scarce) for disk in here.disks] == [
        (f"{tmp_path}/lake", False, True),
        (f"{tmp_path}/w", False, True),
    ]
    elsewhere = {
        "PATIENT_FLOW_WAREHOUSE_URL": "postgresql://h/d",
        **{f"PATIENT_FLOW_{k}": v for k, v in ELSEWHERE.items()},
    }
    assert load(environ={**elsewhere, **OWN_KEYS}).disks == ()


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = read(
        PSEUDONYM_KEY="s3cret-key",
        ERASURE_KEY="s3cret-too",
        ACCESS_LOG_KEY="s3cret-three",
        EVENTHUB_CONNECTION="Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=s3cret-hub",
        WAREHOUSE_URL="postgresql://u:s3cret-db@h/d",
    )
    assert "s3cret" not in repr(settings)
