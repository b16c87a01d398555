"""SQL Server and Synapse through Microsoft's own driver, against a responder on loopback.

What this shows: the statements that leave the machine, their order, which transaction the driver sends each in, where
it begins and how it ends, and that the engine's options reach the wire. What it cannot show: that a server would take
them. The responder accepts every type, constraint and statement and makes up the numbers of changed rows; it knows no
locks, no TLS and no logins. What columns a warehouse has is not asked here either: a load is told that all are there.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from patient_flow.contracts.tables import FACT_BED_CENSUS, WAREHOUSE_TABLES
from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse.schema import ALL_TABLES
from patient_flow.stores.warehouse.warehouse import Batch, Conflict, Warehouse
from patient_flow_tests.conftest import require_module
from patient_flow_tests.stores.warehouse.builders import census_of, changed
from patient_flow_tests.stores.warehouse.conftest import require

require_module("mssql_python_odbc", "uv sync --all-groups")

NOW = datetime(2026, 11, 20, tzinfo=UTC)
HELD = 41
"""Gold version that the responder says every table is at."""

SYNAPSE = {"sys.system_views": [["dm_pdw_nodes_exec_sessions"]]}
Server = Callable[..., "Exchange"]


class Exchange:
    """A warehouse on a responder, and what the responder was sent."""

    def __init__(self, warehouse: Warehouse, log: Path) -> None:
        self.warehouse = warehouse
        self.log = log

    def requests(self) -> list[dict[str, Any]]:
        """Requests in the order in which they came."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def lines(self) -> list[str]:
        """What changes something, short: ``tx`` or ``auto`` and the statement up to its object."""
        return [line for request in self.requests() if (line := _short(request))]


def _short(request: dict[str, Any]) -> str | None:
    if request["what"] in ("begin", "commit", "rollback"):
        return str(request["what"])
    statement = " ".join((request["statement"] or "SELECT").split())
    if statement.startswith("SELECT"):
        return None
    plain = re.sub(r"_[0-9a-f]{12}", "_LOAD", statement)
    short = re.sub(r" (\(|WITH|SET|FROM \[FactBed|WHERE).*", "", plain)
    return f"{'tx' if request['in_transaction'] else 'auto'}: {short}"


def driver() -> Path:
    """Microsoft's driver, out of the package's folder for Debian."""
    require(ctypes.util.find_library("odbc"), "the ODBC driver manager", "apt-get install -y unixodbc")
    (package,) = importlib.util.find_spec("mssql_python_odbc").submodule_search_locations
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    found = sorted(Path(package).glob(f"libs/linux/debian_ubuntu/{machine}/lib/libmsodbcsql-*.so*"))
    require(found, "Microsoft's driver for Debian", "uv sync --all-groups, on Linux")
    return found[-1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Starts a responder, with further script if wanted, and gives a warehouse of a kind on it."""
    path = driver()
    with ExitStack() as stack:

        def start(kind: str, **counts: int) -> Exchange:
            log = tmp_path / f"{kind}.jsonl"
            rows = {"[LoadLog].gold_version \nFROM": [[table.warehouse_name, HELD] for table in WAREHOUSE_TABLES]}
            script = {"rows": rows | (SYNAPSE if kind == "synapse" else {}), "counts": counts}
            module = "patient_flow_tests.stores.warehouse.tds_responder"
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", module, log, json.dumps(script)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=Path(__file__).parents[3],
                )
            )
            port = process.stdout.readline().removeprefix("ready: ")
            url = sa.URL.create(
                "mssql+pyodbc",
                username="login",
                password="s3cret",
                host="127.0.0.1",
                port=int(port),
                database="patient_flow",
                query={"driver": str(path), "Encrypt": "no", "LoginTimeout": "10"},
            )
            warehouse = Warehouse(url.render_as_string(hide_password=False), kind)
            warehouse._is_complete = True
            stack.callback(warehouse.dispose)
            return Exchange(warehouse, log)

        yield start


def load(warehouse: Warehouse, batch: Batch) -> None:
    warehouse.load([batch], newest_event_at=NOW, loaded_at=NOW, run_id="test")


def census_batch() -> Batch:
    """One key goes, two rows come."""
    return changed(FACT_BED_CENSUS, census_of({1: 1}), census_of({2: 2, 3: 3}), since=HELD, version=HELD + 1)


def test_probe(server: Server) -> None:
    for kind in ("mssql", "synapse"):
        e = server(kind)
        load(e.warehouse, census_batch())
        for r in e.requests():
            print(r)
        print(*e.lines(), sep="\n")
