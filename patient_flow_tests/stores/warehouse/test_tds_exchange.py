"""SQL Server and Synapse through Microsoft's own driver, against a responder on loopback.

What this shows: the statements that leave the machine, their order, which transaction the driver sends each in, where
it begins and how it ends, that autocommit and arrays of parameters reach the wire, and how the driver words errors.
What it cannot show: that a server would take the statements. The responder accepts every type and constraint and makes
up the numbers of changed rows; it knows no locks, no TLS and no logins. What columns a warehouse has is not asked here
either: a load is told that all are there. Nor is a rollback refused for want of a transaction (111214).
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from patient_flow.contracts.tables import FACT_BED_CENSUS, WAREHOUSE_TABLES
from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse.errors import WarehouseConflict
from patient_flow.stores.warehouse.schema import ALL_TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.required import require, require_module
from patient_flow_tests.stores.warehouse.builders import census_of, changed

require_module("mssql_python_odbc", "uv sync --all-groups")

RESPONDER = "patient_flow_tests.stores.warehouse.tds_responder"
NOW = datetime(2026, 11, 20, tzinfo=UTC)
HELD = 41
"""Gold version that the responder says every table is at."""

LOG = {"[LoadLog].gold_version \nFROM": [[table.warehouse_name, HELD] for table in WAREHOUSE_TABLES]}
COLUMNS = {
    "INFORMATION_SCHEMA.COLUMNS": [[table.name, column.name] for table in ALL_TABLES for column in table.columns]
}
POOL = {
    "sys.system_views": [["dm_pdw_nodes_exec_sessions"]],
    "transaction_isolation_level": [["READ UNCOMMITTED"]],
}
"""What a dedicated pool answers differently on a new connection."""

CREATE_STAGING = "auto: CREATE TABLE staging.[FactBedCensus_LOAD]"
DROP_STAGING = (
    "auto: IF OBJECT_ID('staging.[FactBedCensus_LOAD]', 'U') IS NOT NULL DROP TABLE staging.[FactBedCensus_LOAD]"
)


class Exchange:
    """A warehouse on a responder, and what the responder was sent."""

    def __init__(self, warehouse: Warehouse, log: Path) -> None:
        self.warehouse = warehouse
        self.log = log

    def load(self) -> None:
        """One key goes, two rows come."""
        batch = changed(FACT_BED_CENSUS, census_of({1: 1}), census_of({2: 2, 3: 3}), since=HELD, version=HELD + 1)
        self.warehouse.load([batch], newest_event_at=NOW, loaded_at=NOW, run_id="test")

    def requests(self) -> list[dict[str, Any]]:
        """Requests in the order in which they came."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def statements(self, part: str) -> list[dict[str, Any]]:
        """Requests that run a statement with ``part`` in it."""
        return [
            request
            for request in self.requests()
            if part in (request["statement"] or "") and request["what"] != "sp_prepare"
        ]

    def loading(self) -> list[str]:
        """The load: from where staging is created to where it is dropped; what repeats is there once."""
        lines = [line for line, _ in groupby(filter(None, map(_line, self.requests())))]
        return lines[lines.index(CREATE_STAGING) : lines.index(DROP_STAGING) + 1]


def _line(request: dict[str, Any]) -> str | None:
    """A request that changes something: statements up to their object, after the mode they were sent in."""
    if request["what"] in ("begin", "commit", "rollback"):
        return str(request["what"])
    statement = " ".join((request["statement"] or "").split())
    if request["what"] == "sp_prepare" or not statement or statement.startswith("SELECT"):
        return None
    plain = re.sub(r"_[0-9a-f]{12}", "_LOAD", statement)
    short = re.sub(r" (\(|WITH|SET|FROM \[FactBed|WHERE).*", "", plain)
    return f"{'tx' if request['in_transaction'] else 'auto'}: {short}"


@pytest.fixture(scope="session")
def driver() -> str:
    """Path of Microsoft's driver, in the package's folder for Debian."""
    try:
        import pyodbc  # noqa: F401
    except ImportError:
        require(None, "the ODBC driver manager", "apt-get install -y unixodbc")
        raise
    (package,) = importlib.util.find_spec("mssql_python_odbc").submodule_search_locations
    found = sorted(Path(package).glob("libs/linux/debian_ubuntu/*/lib/libmsodbcsql-*.so*"))
    require(found, "Microsoft's ODBC driver", "uv sync --all-groups, on Linux")
    return str(found[-1])


@pytest.fixture
def exchange(tmp_path: Path, driver: str) -> Iterator[Callable[..., Exchange]]:
    """Starts a responder that has all tables and makes a warehouse of a kind on it."""
    with ExitStack() as stack:

        def start(kind: str, **script: dict[str, Any]) -> Exchange:
            log = tmp_path / "log"
            script["rows"] = COLUMNS | LOG | script.get("rows", {}) | (POOL if kind == "synapse" else {})
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", RESPONDER, log, json.dumps(script)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=Path(__file__).parents[3],
                )
            )
            url = sa.URL.create(
                "mssql+pyodbc",
                username="login",
                password="s3cret",
                host="127.0.0.1",
                port=int(process.stdout.readline().removeprefix("ready: ")),
                database="patient_flow",
                query={"driver": driver, "Encrypt": "no"},
            )
            warehouse = Warehouse(url.render_as_string(hide_password=False), kind)
            stack.callback(warehouse.dispose)
            return Exchange(warehouse, log)

        yield start


@pytest.mark.parametrize("kind", ["mssql", "synapse"])
def test_a_load_is_one_transaction_after_staging(exchange: Callable[..., Exchange], kind: str) -> None:
    running = exchange(kind)
    running.load()
    assert running.loading() == [
        CREATE_STAGING,
        "auto: INSERT INTO staging.[FactBedCensus_LOAD]",
        "begin",
        "tx: UPDATE [LoadLog]",
        "tx: DELETE",
        "tx: INSERT INTO [FactBedCensus]",
        "tx: UPDATE [LoadLog]",
        "commit",
        DROP_STAGING,
    ]
    (compared,) = running.statements("SET gold_version")
    assert compared["values"] == [[HELD + 1, "FactBedCensus", HELD]]
    within = [request["what"] for request in running.requests() if request["connection"] == compared["connection"]]
    assert within[: within.index("commit")].count("begin") == 1


def test_sql_server_gets_many_rows_in_one_request(exchange: Callable[..., Exchange]) -> None:
    running = exchange("mssql")
    running.load()
    gone, come = running.statements("INSERT INTO staging.")
    assert [row[0] for row in gone["values"]] == ["1"]
    assert [row[0] for row in come["values"]] == ["2", "3"]


def test_all_ddl_for_synapse_is_sent_outside_transactions(exchange: Callable[..., Exchange]) -> None:
    running = exchange("synapse", rows={"INFORMATION_SCHEMA.COLUMNS": []})
    running.warehouse.init()
    ddl = running.statements("CREATE ")
    assert [request["statement"] for request in ddl if request["in_transaction"]] == []
    assert len(running.statements("CREATE TABLE [")) == len(ALL_TABLES)
    assert len(running.statements("CREATE VIEW ")) == len(VIEWS) + 2


def test_all_ddl_of_loads_on_synapse_is_sent_outside_transactions(exchange: Callable[..., Exchange]) -> None:
    running = exchange("synapse")
    running.load()
    running.load()  # on connections that were used before
    ddl = [*running.statements("CREATE "), *running.statements("DROP "), *running.statements("UPDATE STATISTICS")]
    assert [request["statement"] for request in ddl if request["in_transaction"]] == []
    assert len(running.statements("DROP TABLE staging.")) == len(running.statements("UPDATE STATISTICS")) == 2


def test_synapse_never_gets_rows_as_values(exchange: Callable[..., Exchange]) -> None:
    running = exchange("synapse")
    running.warehouse.init()
    running.load()
    assert running.statements("VALUES") == []
    (filled,) = running.statements("INSERT INTO staging.")
    assert filled["statement"].count("UNION ALL SELECT") == 2
    assert len(filled["values"]) == 1


@pytest.mark.parametrize("kind", ["mssql", "synapse"])
def test_a_log_that_did_not_move_is_a_conflict_and_rolled_back(exchange: Callable[..., Exchange], kind: str) -> None:
    running = exchange(kind, counts={"SET gold_version": 0})
    with pytest.raises(WarehouseConflict):
        running.load()
    assert running.loading()[2:] == ["begin", "tx: UPDATE [LoadLog]", "rollback", DROP_STAGING]


def test_what_another_process_created_meanwhile_is_as_good(exchange: Callable[..., Exchange]) -> None:
    """The error's number is read from the driver's message."""
    taken = {"CREATE TABLE [DimTime]": [2714, "There is already an object named 'DimTime' in the database."]}
    running = exchange("synapse", errors=taken)
    running.warehouse.init()
    assert len(running.statements("CREATE VIEW ")) == len(VIEWS) + 2


@pytest.mark.parametrize(
    ("number", "end"),
    [
        (1205, ["tx: DELETE", DROP_STAGING]),  # the driver knows that the server has rolled back its victim
        (24556, ["rollback", DROP_STAGING]),
    ],
)
def test_a_load_that_the_server_ends_for_another_is_a_conflict(
    exchange: Callable[..., Exchange], number: int, end: list[str]
) -> None:
    running = exchange("synapse", errors={"DELETE FROM": [number, "ended for another one"]})
    with pytest.raises(WarehouseConflict, match="ended for another one"):
        running.load()
    assert running.loading()[-2:] == end
