"""The two stacks that tests run on: the one place where they are told apart.

``embedded`` is the default of one machine: a lake in a folder, a warehouse and Dagster's storage on SQLite.
``production`` is what Azure has, each part from its package: the lake on Blob Storage (Azurite) through ``abfss://``,
warehouse and Dagster's storage on PostgreSQL, Dagster's own settings from ``infra/compose``. Both are fed by the local
Event Hub. A test asks for the fixtures of ``conftest`` (``lake``, ``lakes``, ``warehouse_url``, ``outside``,
``instance``, ``machine``) and cannot tell which stack it has.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest
import yaml
from azure.storage.blob import BlobServiceClient, ContainerClient

from patient_flow.orchestration.local import prepare_home
from patient_flow.settings import LAYERS
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests import servers
from patient_flow_tests.servers import ACCOUNT, AZURITE_KEY

EMBEDDED, PRODUCTION = "embedded", "production"
STACKS = (EMBEDDED, PRODUCTION)
ROOT = Path(__file__).parents[1]
OWN_KEYS = {
    f"PATIENT_FLOW_{name}_KEY": hashlib.sha256(name.encode()).hexdigest()
    for name in ("PSEUDONYM", "ERASURE", "ACCESS_LOG")
}
"""Settings refuse the key that everyone knows when the lake is not local."""


class Servers:
    """The servers of one test process: each starts when first asked for and ends with the ``with`` block."""

    def __init__(self) -> None:
        self._running = contextlib.ExitStack()
        self._numbers = count(1)
        self._templates: set[str] = set()

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_error: object) -> None:
        self._running.close()

    @cached_property
    def postgresql(self) -> int:
        """Port of a PostgreSQL whose administrator ``postgres`` needs no password."""
        return self._running.enter_context(servers.postgresql())

    @cached_property
    def azurite(self) -> dict[str, str]:
        """Environment that leads the lake to an Azurite with the containers of all layers.

        It holds for this process too, as delta-rs takes an emulator's address from nowhere else; paths of a disk and
        accounts that name their own address are not touched by it.
        """
        folder = Path(tempfile.mkdtemp(prefix="patient-flow-azurite-"))
        self._running.callback(shutil.rmtree, folder)
        address = f"http://127.0.0.1:{self._running.enter_context(servers.azurite(folder))}"
        with BlobServiceClient(f"{address}/{ACCOUNT}", credential=AZURITE_KEY) as client:
            for layer in LAYERS:
                client.create_container(layer)
        environment = {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": address}
        patch = self._running.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment.items():
            patch.setenv(name, value)
        return environment

    def new_database(self, template: str = "template0") -> str:
        """Name of a new database, empty or a copy of ``template``."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(
            f"host=127.0.0.1 port={self.postgresql} user=postgres dbname=postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # type: ignore[call-overload]
        return name

    def new_url(self) -> str:
        """SQLAlchemy's URL of a new, empty database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.postgresql}/{self.new_database()}"

    @cached_property
    def dagster_template(self) -> str:
        """A database with Dagster's tables, which take seconds to make."""
        name = self.new_database()
        home = Path(tempfile.mkdtemp(prefix="patient-flow-dagster-"))
        self._running.callback(shutil.rmtree, home)
        write_home(home, self.postgresql, name)
        with dg.DagsterInstance.from_config(str(home)):
            return name


class Stack(ABC):
    """Makes what a test needs, new and empty each time."""

    name: str
    warehouse_kind: str
    is_slow = False
    commands_share_a_home = False
    """On SQLite each command has a home of its own, as without settings: two that make its tables at once fail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """What processes need in their environment besides settings."""

    @abstractmethod
    def lake_uri(self) -> str:
        """Pattern of a new lake."""

    @abstractmethod
    def warehouse_url(self) -> str:
        """URL of a new database."""

    @abstractmethod
    def dagster_home(self) -> Path:
        """A Dagster home with storage of its own."""

    def settings(self) -> dict[str, str]:
        """Settings that name a new lake and a new warehouse."""
        return {
            "PATIENT_FLOW_LAKE_URI": self.lake_uri(),
            "PATIENT_FLOW_WAREHOUSE_URL": self.warehouse_url(),
            **OWN_KEYS,
        }

    @abstractmethod
    def data_files(self, table_uri: str) -> list[str]:
        """Names of the Parquet files that lie in a table's place, whether it still needs them or not."""

    @contextlib.contextmanager
    def lakes(self, number: int) -> Iterator[list[Lake]]:
        """So many empty lakes."""
        yield [Lake(self.lake_uri()) for _ in range(number)]

    def _new_folder(self) -> Path:
        return self._folder / str(next(self._numbers))


class Embedded(Stack):
    """A folder and SQLite."""

    name = EMBEDDED
    warehouse_kind = "sqlite"
    environment: dict[str, str] = {}  # noqa: RUF012  (never changed)

    def lake_uri(self) -> str:
        """A folder of this machine."""
        return f"{self._new_folder()}/{{layer}}"

    def warehouse_url(self) -> str:
        """A database file."""
        folder = self._new_folder()
        folder.mkdir(parents=True)
        return f"sqlite:///{folder}/warehouse.db"

    def data_files(self, table_uri: str) -> list[str]:
        """Of one folder."""
        return [file.name for file in Path(table_uri.removeprefix("file://")).glob("*.parquet")]

    def dagster_home(self) -> Path:
        """As the demo makes it."""
        return prepare_home(self._new_folder())

    @contextlib.contextmanager
    def lakes(self, number: int) -> Iterator[list[Lake]]:
        """Gone afterwards: a search for counterexamples makes hundreds."""
        with super().lakes(number) as made:
            yield made
        for lake in made:
            shutil.rmtree(Path(lake._uri).parent, ignore_errors=True)


class Production(Stack):
    """Azurite and PostgreSQL."""

    name = PRODUCTION
    warehouse_kind = "postgresql"
    is_slow = True
    commands_share_a_home = True

    def __init__(self, folder: Path, running: Servers) -> None:
        super().__init__(folder)
        self._servers = running

    @property
    def environment(self) -> dict[str, str]:
        """The way to Azurite."""
        return self._servers.azurite

    def lake_uri(self) -> str:
        """A prefix of its own in the three containers."""
        assert self.environment, "Azurite runs"
        return f"abfss://{{layer}}@{ACCOUNT}.dfs.core.windows.net/lake-{next(self._numbers)}-{self._folder.name}"

    def warehouse_url(self) -> str:
        """A database of its own."""
        return self._servers.new_url()

    def data_files(self, table_uri: str) -> list[str]:
        """Of one prefix."""
        place = urlsplit(table_uri)
        address = f"{self.environment['AZURITE_BLOB_STORAGE_URL']}/{ACCOUNT}"
        with ContainerClient(address, str(place.username), credential=AZURITE_KEY) as client:
            blobs = client.walk_blobs(name_starts_with=f"{place.path.strip('/')}/")  # no deeper: the log lies below
            return [blob.name.rpartition("/")[2] for blob in blobs if blob.name.endswith(".parquet")]

    def dagster_home(self) -> Path:
        """As on one host with compose, over a database of its own."""
        home = self._new_folder()
        home.mkdir(parents=True)
        write_home(home, self._servers.postgresql, self._servers.new_database(self._servers.dagster_template))
        return home


def write_home(home: Path, port: int, database: str) -> None:
    """``infra/compose/dagster.yaml``, whose server, database and folders are those of a test."""
    configuration: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "compose" / "dagster.yaml").read_text())
    server = {"hostname": "127.0.0.1", "port": port, "username": "postgres", "db_name": database}
    configuration["storage"]["postgres"]["postgres_db"].update(server)
    for part in ("compute_logs", "local_artifact_storage"):
        configuration[part]["config"]["base_dir"] = str(home / part)
    (home / "dagster.yaml").write_text(yaml.safe_dump(configuration))
