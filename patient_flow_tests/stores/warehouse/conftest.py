"""Fixtures: warehouses on SQLite and on a private PostgreSQL that the tests start from Debian's packages."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from patient_flow.stores.warehouse.warehouse import Warehouse

RUNNING_KINDS = ("sqlite", "postgresql")
"""Targets that can run here; the others are checked by the text they would be sent."""

INSTALL_POSTGRESQL = "apt-get install -y postgresql"
_numbers = count(1)


def require(found: object, what: str, command: str) -> None:
    """Skips the test when a program is not installed; fails it where CI is set, so that nothing is skipped unseen."""
    if found:
        return
    message = f"{what} is not installed: {command}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL cluster of our own, without its database, on a free loopback port."""
    initdb = shutil.which("initdb") or max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)
    require(initdb, "PostgreSQL", INSTALL_POSTGRESQL)
    programs = Path(str(initdb)).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="patient-flow-postgresql-"))
    # initdb refuses to run as root.
    account = _account() if os.geteuid() == 0 else None
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    port = _free_port()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **user,
        )
        settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "fsync": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = stack.enter_context((folder / "log").open("wb"))
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *options], stderr=log, stdout=log, cwd=folder, **user
        )
        stack.callback(_stop, server)
        _wait_until_open(port, server, folder / "log")
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}"


def new_database(postgresql: str) -> str:
    """URL of a new, empty database of the cluster."""
    name = f"test_{next(_numbers)}"
    engine = sa.create_engine(f"{postgresql}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return f"{postgresql}/{name}"


@pytest.fixture
def database(postgresql: str) -> str:
    """URL of a new, empty PostgreSQL database."""
    return new_database(postgresql)


def new_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """URL of a warehouse that does not exist yet, of the kind that the fixture is parametrised with."""
    if request.param == "sqlite":
        return f"sqlite:///{folder / 'warehouse.db'}"
    return new_database(request.getfixturevalue("postgresql"))


@pytest.fixture(params=RUNNING_KINDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse that nobody has initialised, on each target that runs here."""
    warehouse = Warehouse(new_url(request, tmp_path), request.param)
    yield warehouse
    warehouse.dispose()


@pytest.fixture
def warehouse(empty: Warehouse) -> Warehouse:
    """An initialised warehouse without rows, on each target that runs here."""
    empty.init()
    return empty


@pytest.fixture
def twin(warehouse: Warehouse) -> Iterator[Callable[[], Warehouse]]:
    """Makes further Warehouse objects on the same database, as other processes would have."""
    twins: list[Warehouse] = []

    def make() -> Warehouse:
        twins.append(Warehouse(url_of(warehouse), warehouse.kind))
        return twins[-1]

    yield make
    for made in twins:
        made.dispose()


def url_of(warehouse: Warehouse) -> str:
    """The URL a warehouse was made with."""
    return warehouse._url


def _account() -> pwd.struct_passwd | None:
    """The account that Debian's package made for the server, else one without rights."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    require(None, "an account postgres to run PostgreSQL as", INSTALL_POSTGRESQL)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_open(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        try:
            engine = sa.create_engine(f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres")
            engine.connect().close()
        except sa.exc.OperationalError:
            time.sleep(0.1)
        else:
            engine.dispose()
            return
    pytest.fail(f"PostgreSQL did not start: {log.read_text()}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGQUIT)  # at once: nobody needs the data again
    server.wait(timeout=60)
