"""``infra/dagster`` with the services it names: PostgreSQL, Blob Storage and managed identities, on loopback.

What differs from production here: ports and the storage's host name. Sign-in is the real path of Container Apps, with
an endpoint that hands out unsigned tokens; PostgreSQL and Azurite take them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import yaml
from azure.core.credentials import AccessToken
from azure.eventhub import EventData, EventHubProducerClient
from azure.storage.blob import BlobServiceClient, ContainerClient

from patient_flow.local_hub.testing import HubThread
from patient_flow.settings import LAYERS
from patient_flow_tests import servers
from patient_flow_tests.infra.resolving.sitecustomize import resolve
from patient_flow_tests.required import require_program
from patient_flow_tests.schedules import stop_schedules
from patient_flow_tests.servers import ACCOUNT, AZURITE_KEY, TokenEndpoint
from patient_flow_tests.stacks import OWN_KEYS

ROOT = Path(__file__).parents[2]
DAGSTER = ROOT / "infra" / "dagster"
POSTGRESQL_RESOURCE = "https://ossrdbms-aad.database.windows.net"
EVENTS = [
    {
        "patient_id": f"p{number}",
        "gender": "Female",
        "age": 40,
        "department": "ICU",
        "admission_time": "2026-01-01T10:00:00",
        "discharge_time": "2026-01-02T10:00:00",
        "bed_id": number,
        "hospital_id": 1,
    }
    for number in range(20)
]


@dataclass
class Production:
    """What a test needs to know of the services that run."""

    home: Path
    environment: dict[str, str]
    lake_port: int
    log_port: int
    certificate: Path
    tokens: TokenEndpoint
    code_port: int


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """PostgreSQL with the roles of infra/dagster/roles.sql, two Azurites (run logs, lake), identities."""
    folder = tmp_path_factory.mktemp("production")
    certificate = servers.make_certificate(folder)
    with contextlib.ExitStack() as stack:
        postgresql = stack.enter_context(servers.postgresql(certificate))
        logs = stack.enter_context(servers.azurite(folder / "logs", certificate))
        lake = stack.enter_context(servers.azurite(folder / "lake"))
        tokens = stack.enter_context(TokenEndpoint())
        _create_roles(postgresql)
        with BlobServiceClient(f"http://127.0.0.1:{lake}/{ACCOUNT}", credential=AZURITE_KEY) as client:
            for layer in LAYERS:
                client.create_container(layer)
        with _log_container(logs, certificate.certificate) as container:
            container.create_container()
        code_port = servers.free_port()
        home = _home(folder / "home", postgresql, logs, code_port)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AZURE", "PATIENT_FLOW"))},
            **tokens.environment,
            "DAGSTER_HOME": str(home),
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_USER": "id-pf-test-pipeline",
            "DAGSTER_PG_DATABASE": "dagster",
            "DAGSTER_LOG_ACCOUNT": ACCOUNT,
            "DAGSTER_CODE_HOST": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(certificate.certificate),
            "PYTHONPATH": str(Path(__file__).parent / "resolving"),
            "PYTHONUNBUFFERED": "1",
        }
        yield Production(home, environment, lake, logs, certificate.certificate, tokens, code_port)


def _create_roles(port: int) -> None:
    """roles.sql as an administrator runs it, who on Azure is no superuser. Azure's function is played by one that gives
    the role its token as password; as there, only the database "postgres" has it, and the roles it makes are not the
    administrator's own.
    """
    password = TokenEndpoint.token(POSTGRESQL_RESOURCE)
    with psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE ROLE administrators LOGIN CREATEROLE PASSWORD '{password}'")
        connection.execute("CREATE DATABASE dagster OWNER administrators")
        connection.execute(
            f"""CREATE FUNCTION pgaadauth_create_principal(name text, is_admin boolean, is_mfa boolean) RETURNS text
            LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', name, '{password}');
                RETURN name;
            END $$"""
        )
    psql = require_program("psql", servers.INSTALL_POSTGRESQL)
    address = f"host=127.0.0.1 port={port} user=administrators dbname=postgres sslmode=require"
    identities = ("-v", "pipeline=id-pf-test-pipeline", "-v", "control=id-pf-test-control")
    for _ in range(2):  # a deployment that goes on after a failure runs it again
        done = subprocess.run(
            [psql, address, *identities, "-f", DAGSTER / "roles.sql"],
            env={**os.environ, "PGPASSWORD": password},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


class _StorageToken:
    """Credential of whoever looks into the run logs."""

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        return AccessToken(TokenEndpoint.token("https://storage.azure.com"), int(time.time()) + 3600)


@contextlib.contextmanager
def _log_container(port: int, certificate: Path) -> Iterator[ContainerClient]:
    url = f"https://{ACCOUNT}.blob.localhost:{port}"
    with (
        pytest.MonkeyPatch.context() as patch,
        ContainerClient(url, "dagster-logs", credential=_StorageToken(), connection_verify=str(certificate)) as client,
    ):
        patch.setattr(socket, "getaddrinfo", resolve)
        yield client


def _home(home: Path, postgresql: int, logs: int, code: int) -> Path:
    """A Dagster home with production's files, ports and the storage's host name changed."""
    home.mkdir()
    instance: dict[str, Any] = yaml.safe_load((DAGSTER / "dagster.yaml").read_text())
    instance["storage"]["postgres"]["postgres_db"]["port"] = postgresql
    instance["compute_logs"]["config"]["endpoint_suffix"] = f"localhost:{logs}"
    instance["compute_logs"]["config"]["local_dir"] = str(home.parent / "staging")
    instance["local_artifact_storage"]["config"]["base_dir"] = str(home.parent / "artifacts")
    (home / "dagster.yaml").write_text(yaml.safe_dump(instance))
    workspace: dict[str, Any] = yaml.safe_load((DAGSTER / "workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"]["port"] = code
    (home / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    return home


@contextlib.contextmanager
def _running(name: str, command: list[str], environment: dict[str, str], folder: Path) -> Iterator[Path]:
    log = folder / f"{name}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *command], env=environment, stdout=output, stderr=output, cwd=folder
        ) as process,
    ):
        try:
            yield log
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def instance(production: Production, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Dagster's own view of that home, as the web UI's identity."""
    for name, value in production.environment.items():
        if name.startswith(("AZURE", "DAGSTER", "IDENTITY", "REQUESTS")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_PG_USER", "id-pf-test-control")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with dg.DagsterInstance.from_config(str(production.home)) as instance:
        yield instance


def test_two_identities_share_dagsters_tables(production: Production, instance: dg.DagsterInstance) -> None:
    """Tables belong to the role both act as, whoever came first; nobody has a password."""
    as_control = {**production.environment, "DAGSTER_PG_USER": "id-pf-test-control"}
    script = "import dagster as dg; dg.DagsterInstance.get().add_run(dg.DagsterRun('job', '{}'))"
    for number, environment in enumerate((production.environment, as_control), start=1):
        done = subprocess.run(
            [sys.executable, "-c", script.replace("{}", f"00000000-0000-0000-0000-00000000000{number}")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert instance.get_runs_count(dg.RunsFilter(job_name="job")) == 2
    assert POSTGRESQL_RESOURCE in {request.resource for request in production.tokens.requests}


def test_an_administrator_changes_no_role_that_is_not_his_own() -> None:
    """PostgreSQL 16 asks for ADMIN OPTION on it, which who calls Azure's function does not get; 15 lets it pass."""
    assert "ALTER ROLE" not in (DAGSTER / "roles.sql").read_text()


@pytest.mark.long
def test_a_sensor_asks_for_a_run_that_goes_through_the_queue_and_leaves_its_logs(
    production: Production, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Hub, sensor, PostgreSQL's queue, code location over gRPC, lake and run logs on Azurite: production's way."""
    with HubThread(tmp_path / "hub") as hub, contextlib.ExitStack() as stack:
        _send(hub.connection)
        environment = {
            **production.environment,
            "PATIENT_FLOW_EVENTHUB_CONNECTION": hub.connection,
            "PATIENT_FLOW_LAKE_URI": f"abfss://{{layer}}@{ACCOUNT}.dfs.core.windows.net",
            **OWN_KEYS,
            "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{tmp_path}/warehouse.db",
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{production.lake_port}",
        }
        code = ["dagster", "api", "grpc", "--host", "127.0.0.1", "--port", str(production.code_port)]
        code += ["--module-name", "patient_flow.definitions", "--location-name", "patient_flow"]
        code_log = stack.enter_context(_running("code", code, environment, tmp_path))
        _wait(lambda: _listens(production.code_port), code_log)
        stop_schedules(instance, "patient_flow")
        daemon = ["dagster._daemon", "run", "--workspace", str(production.home / "workspace.yaml")]
        as_control = {**production.environment, "DAGSTER_PG_USER": "id-pf-test-control"}
        daemon_log = stack.enter_context(_running("daemon", daemon, as_control, tmp_path))

        _wait(lambda: instance.get_runs_count(_FINISHED) > 0, daemon_log, code_log)

        run = instance.get_runs(_FINISHED)[0]
        assert run.status is dg.DagsterRunStatus.SUCCESS, code_log.read_text(errors="replace")[-5000:]
        assert run.tags["dagster/sensor_name"] == "event_hub_backlog"
        assert run.tags["pipeline"] == "patient_flow"
        loaded = instance.get_latest_materialization_event(dg.AssetKey(["warehouse", "FactPatientFlow"]))
        assert loaded is not None
        assert loaded.asset_materialization is not None
        assert loaded.asset_materialization.metadata["dagster/row_count"].value == len(EVENTS)
        _wait(lambda: bool(_run_logs(production, run.run_id)), daemon_log, code_log)
        # What the alerts of infra/bicep/modules/alerts.bicep look for in the daemon's and the code location's output.
        assert "event_hub_backlog" in daemon_log.read_text()
        assert "RUN_SUCCESS" in code_log.read_text()


_FINISHED = dg.RunsFilter(
    statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
)


def _listens(port: int) -> bool:
    """True when somebody listens on ``port``."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _send(connection: str) -> None:
    with EventHubProducerClient.from_connection_string(connection, eventhub_name="patient-flow") as producer:
        batch = producer.create_batch()
        for event in EVENTS:
            batch.add(EventData(json.dumps(event)))
        producer.send_batch(batch)


def _run_logs(production: Production, run_id: str) -> list[str]:
    """Names of the run's log files in Azurite."""
    with _log_container(production.log_port, production.certificate) as container:
        return list(container.list_blob_names(name_starts_with=f"patient-flow/storage/{run_id}"))


def _wait(ready: Any, *logs: Path, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            tails = "\n".join(f"{log.name}: {log.read_text(errors='replace')[-4000:]}" for log in logs)
            pytest.fail(f"nothing after {seconds:.0f} s\n{tails}")
        time.sleep(0.3)
