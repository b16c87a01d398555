"""Synapse, SQL Server and Fabric as their driver sees them: which statements, in what order, in which transaction.

The driver's ``connect`` is replaced by a recorder that answers what SQLAlchemy asks on the way in. That shows what is
sent, not that a server would take it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
import sqlglot

from patient_flow.contracts.tables import DATA_QUALITY_DAY, FACT_BED_CENSUS, WAREHOUSE_TABLES
from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse.errors import WarehouseConflict, WarehouseError
from patient_flow.stores.warehouse.kinds import target_of
from patient_flow.stores.warehouse.schema import ALL_TABLES
from patient_flow.stores.warehouse.views import definition
from patient_flow.stores.warehouse.warehouse import Batch, Warehouse
from patient_flow_tests.required import require
from patient_flow_tests.stores.warehouse.builders import census_of, changed, whole

NOW = datetime(2026, 11, 20, tzinfo=UTC)
URL = "mssql+pyodbc://login:s3cret@pool.example/patient_flow?driver=ODBC+Driver+18+for+SQL+Server"
KINDS = ("synapse", "mssql", "fabric")
LEVELS = {"synapse": "READ UNCOMMITTED", "mssql": "READ COMMITTED", "fabric": "SNAPSHOT"}
"""What each kind has where nobody asks for another."""


class Recorder:
    """A server that takes everything; ``fails`` are statements (a part of them) that end in an error."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.statements: list[str] = []
        self.fails: dict[str, str] = {}
        self.moved = 1
        self.levels: set[str] = set()
        self.columns = [(table.name, column.name) for table in ALL_TABLES for column in table.columns]
        self.tables = {table.name for table in ALL_TABLES}
        self.held: dict[str, int | None] = {table.warehouse_name: None for table in WAREHOUSE_TABLES}

    def connect(self, text: str, **options: object) -> Connection:
        return Connection(self)

    def answer(self, statement: str) -> list[tuple[Any, ...]]:
        if "INFORMATION_SCHEMA.COLUMNS" in statement:
            return [row for row in self.columns if row[0] in self.tables]
        assert "sys.extended_properties" not in statement, "a dedicated pool has no such view"
        if "ProductVersion" in statement:
            return [("12.0.2000.8",)]
        if "schema_name()" in statement:
            return [("dbo",)]
        if "test max support" in statement or "fn_listextendedproperty" in statement:
            return [("x",)]
        if "transaction_isolation_level" in statement:
            return [("READ UNCOMMITTED",)]
        if "system_views" in statement:
            return [("dm_pdw_nodes_exec_sessions",)]
        if "[LoadLog].gold_version \nFROM" in statement:
            return list(self.held.items())
        if "SELECT [LoadLog].table_name \nFROM" in statement:
            return [(name,) for name in self.held]
        return []


class Connection:
    """One connection; statements carry ``auto`` or ``tx`` for the mode they were sent in."""

    def __init__(self, server: Recorder) -> None:
        self.server = server
        self.autocommit = False
        self.is_dirty = False

    def cursor(self) -> Cursor:
        return Cursor(self)

    def commit(self) -> None:
        if self.is_dirty:
            self.server.log.append("COMMIT")
        self.is_dirty = False

    def rollback(self) -> None:
        if self.is_dirty:
            self.server.log.append("ROLLBACK")
        self.is_dirty = False

    def close(self) -> None:
        pass

    def add_output_converter(self, *_: object) -> None:
        pass


class Cursor:
    """One cursor of it."""

    fast_executemany = False

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.rows: list[tuple[Any, ...]] = []
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def execute(self, statement: str, *parameters: object) -> Cursor:
        import pyodbc

        server = self.connection.server
        server.statements.append(statement)
        mode = "auto" if self.connection.autocommit else "tx"
        if level := re.match(r"SET TRANSACTION ISOLATION LEVEL (.*)", statement):
            server.levels.add(level[1])
        self.rows = server.answer(statement)
        width = len(self.rows[0]) if self.rows else 1
        self.description = (
            [(f"c{n}", str, None, None, None, None, True) for n in range(width)]
            if statement.lstrip().upper().startswith("SELECT")
            else None
        )
        self.rowcount = server.moved
        if re.match(r"\s*(UPDATE|DELETE|INSERT|COPY|CREATE|DROP|IF|ALTER)", statement):
            self.connection.is_dirty = mode == "tx"
            server.log.append(f"{mode}: {' '.join(statement.split())}")
        for part, message in server.fails.items():
            if part in statement:
                raise pyodbc.ProgrammingError("42000", message)
        return self

    def executemany(self, statement: str, parameters: list[object]) -> Cursor:
        self.connection.server.statements.append(statement)
        how = "fast" if self.fast_executemany else "slow"
        self.connection.server.log.append(f"{how} × {len(parameters)}: {' '.join(statement.split())}")
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        return self.rows.pop(0) if self.rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows, self.rows = self.rows, []
        return rows

    def setinputsizes(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recording server in place of the driver's."""
    try:
        import pyodbc
    except ImportError:
        require(None, "the ODBC driver manager", "apt-get install -y unixodbc")
        raise
    recorder = Recorder()
    monkeypatch.setattr(pyodbc, "connect", recorder.connect)
    return recorder


@pytest.fixture(params=KINDS)
def warehouse(request: pytest.FixtureRequest, server: Recorder) -> Iterator[Warehouse]:
    """A warehouse of each kind of the family, complete, with a place to export files to."""
    made = Warehouse(
        URL, request.param, export=lambda name, _: f"https://lake.example/{name.partition('_')[0]}.parquet"
    )
    yield made
    made.dispose()


def load(warehouse: Warehouse, *batches: Batch) -> None:
    warehouse.load(batches, newest_event_at=NOW, loaded_at=NOW, run_id="test")


def statements(server: Recorder) -> list[str]:
    """The log with the load's own names made plain, each statement cut after its object."""
    plain = [re.sub(r"_[0-9a-f]{12}", "_LOAD", line) for line in server.log]
    return [re.sub(r" (\(|WITH|SET|FROM \[FactBed|WHERE|FROM 'h).*", "", line) for line in plain]


def test_a_loader_that_may_not_ask_for_its_isolation_level_loads_all_the_same(
    warehouse: Warehouse, server: Recorder
) -> None:
    server.fails["transaction_isolation_level"] = "VIEW DATABASE STATE permission denied in database 'flow'. (262)"
    load(warehouse, changed(FACT_BED_CENSUS, census_of({1: 1}), census_of({2: 2}), since=None, version=1))
    load(warehouse, changed(FACT_BED_CENSUS, census_of({2: 2}), census_of({3: 3}), since=None, version=2))
    assert server.log.count("COMMIT") == 2
    assert server.levels <= {LEVELS[warehouse.kind]}


def test_staging_comes_first_and_the_log_and_the_rows_are_one_transaction(
    warehouse: Warehouse, server: Recorder
) -> None:
    load(warehouse, changed(FACT_BED_CENSUS, census_of({1: 1}), census_of({2: 2}), since=None, version=1))
    filled = "fast × 2: INSERT INTO" if warehouse.kind == "mssql" else "auto: INSERT INTO"
    expected = [
        "auto: CREATE TABLE staging.[FactBedCensus_LOAD]",
        f"{filled} staging.[FactBedCensus_LOAD]",
        "tx: UPDATE [LoadLog]",
        "tx: DELETE",
        "tx: INSERT INTO [FactBedCensus]",
        "tx: UPDATE [LoadLog]",
        "COMMIT",
        "auto: IF OBJECT_ID('staging.[FactBedCensus_LOAD]', 'U') IS NOT NULL DROP TABLE staging.[FactBedCensus_LOAD]",
    ]
    if warehouse.kind == "synapse":
        expected.append("auto: UPDATE STATISTICS [FactBedCensus]")
    assert statements(server) == expected


def test_staging_distinguishes_names_by_case_under_any_collation(warehouse: Warehouse, server: Recorder) -> None:
    """A table that an earlier version made has its database's; two implicit ones would be a conflict (468)."""
    named = pl.DataFrame([[NOW.date(), "h1", "all", 1, 0, 0, 0]], schema=DATA_QUALITY_DAY.schema, orient="row")
    load(warehouse, changed(DATA_QUALITY_DAY, named, named, since=None, version=1))
    (made,) = [line for line in server.log if "CREATE TABLE staging" in line]
    (gone,) = [line for line in server.log if line.startswith("tx: DELETE")]
    if warehouse.kind == "fabric":
        assert "COLLATE" not in made + gone
    else:
        assert "hospital_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2" in made
        assert "hospital_id COLLATE Latin1_General_100_BIN2) = [DataQualityDay].hospital_id" in gone
    load(warehouse, changed(FACT_BED_CENSUS, census_of({1: 1}), census_of({2: 2}), since=None, version=1))
    assert "COLLATE" not in [line for line in server.log if line.startswith("tx: DELETE")][-1]


def test_many_rows_come_from_a_file_where_single_rows_are_slow(warehouse: Warehouse, server: Recorder) -> None:
    load(warehouse, whole(FACT_BED_CENSUS, census_of(dict.fromkeys(range(1000), 1))))
    (fill,) = [line for line in server.log if "COPY" in line or "executemany" in line or "fast" in line]
    if warehouse.kind == "mssql":
        assert fill.startswith("fast × 1000: INSERT INTO staging.[FactBedCensus_")
    else:
        assert "FROM 'https://lake.example/FactBedCensus.parquet'" in fill
        assert ("Managed Identity" in fill) is (warehouse.kind == "synapse")


def test_no_insert_has_more_than_one_row_of_values(warehouse: Warehouse, server: Recorder) -> None:
    load(warehouse, whole(FACT_BED_CENSUS, census_of(dict.fromkeys(range(290), 1))))
    for line in server.log:
        assert not re.search(r"VALUES \([^)]*\), ?\(", line)
    if warehouse.kind != "mssql":
        assert any("UNION ALL SELECT" in line for line in server.log)


def test_a_failure_in_the_transaction_rolls_back_and_drops_staging(warehouse: Warehouse, server: Recorder) -> None:
    server.fails = {"DELETE": "disk full (1105)"}
    with pytest.raises(WarehouseError, match="disk full") as raised:
        load(warehouse, changed(FACT_BED_CENSUS, census_of({}), census_of({2: 2}), since=None, version=1))
    assert "s3cret" not in str(raised.value)
    assert "COMMIT" not in server.log
    assert statements(server)[-2:] == [
        "ROLLBACK",
        "auto: IF OBJECT_ID('staging.[FactBedCensus_LOAD]', 'U') IS NOT NULL DROP TABLE staging.[FactBedCensus_LOAD]",
    ]


def test_an_update_conflict_is_a_conflict(warehouse: Warehouse, server: Recorder) -> None:
    server.fails = {"DELETE": "Snapshot isolation transaction aborted due to update conflict. (24556)"}
    with pytest.raises(WarehouseConflict):
        load(warehouse, changed(FACT_BED_CENSUS, census_of({}), census_of({2: 2}), since=None, version=1))


def test_a_log_that_did_not_move_is_a_conflict(warehouse: Warehouse, server: Recorder) -> None:
    server.moved = 0
    with pytest.raises(WarehouseConflict):
        load(warehouse, changed(FACT_BED_CENSUS, census_of({}), census_of({2: 2}), since=None, version=1))
    assert "COMMIT" not in server.log


def test_a_log_with_two_lines_for_a_table_stops_the_load(warehouse: Warehouse, server: Recorder) -> None:
    """Nobody enforces the log's key either."""
    server.moved = 2
    with pytest.raises(WarehouseError, match="2 rows for FactBedCensus"):
        load(warehouse, changed(FACT_BED_CENSUS, census_of({}), census_of({2: 2}), since=None, version=1))


def test_many_rows_without_a_place_for_files_are_refused(server: Recorder) -> None:
    warehouse = Warehouse(URL, "synapse")
    with pytest.raises(WarehouseError, match="need COPY INTO"):
        load(warehouse, whole(FACT_BED_CENSUS, census_of(dict.fromkeys(range(1000), 1))))
    warehouse.dispose()


def test_all_ddl_of_init_is_sent_outside_transactions(warehouse: Warehouse, server: Recorder) -> None:
    server.tables.clear()
    warehouse.init()
    ddl = [line for line in server.log if "CREATE" in line]
    assert all(line.startswith("auto: ") for line in ddl)
    assert sum("CREATE TABLE" in line for line in ddl) == len(ALL_TABLES)
    assert sum("CREATE VIEW" in line for line in ddl) == len(VIEWS) + 2


def reset_of(table: str) -> str:
    return f"auto: UPDATE [LoadLog] SET gold_version=NULL WHERE [LoadLog].table_name = N'{table}'"


@pytest.mark.parametrize("is_killed", [False, True], ids=["whole", "killed after the column"])
def test_a_table_with_a_new_column_is_loaded_as_a_whole_also_after_a_killed_migration(
    warehouse: Warehouse, server: Recorder, is_killed: bool
) -> None:
    """Each statement is a transaction of its own."""
    server.columns.remove(("FactBedCensus", "occupied_beds"))
    column = "ALTER TABLE [FactBedCensus] ADD occupied_beds BIGINT NULL"
    if is_killed:
        server.fails = {column: "Cannot continue the execution because the session is in the kill state. (596)"}
        with pytest.raises(WarehouseError, match="kill state"):
            warehouse.migrate(dry_run=False)
    else:
        warehouse.migrate(dry_run=False)
    changes = [line for line in server.log if "CREATE" not in line]
    after = [] if is_killed else [reset_of("FactBedCensus")]
    assert changes == [reset_of("FactBedCensus"), f"auto: {column}", *after]


def test_a_migration_in_the_way_of_a_load_says_so_and_does_not_claim_that_nothing_was_changed(
    warehouse: Warehouse, server: Recorder
) -> None:
    server.columns.remove(("FactBedCensus", "occupied_beds"))
    server.fails = {"ALTER TABLE": "Transaction was deadlocked and has been chosen as the deadlock victim. (1205)"}
    with pytest.raises(WarehouseConflict) as raised:
        warehouse.migrate(dry_run=False)
    said = str(raised.value)
    assert said.startswith("a load or a reader was in the way: run `patient-flow warehouse migrate` again (")


def test_what_another_process_created_meanwhile_is_as_good(warehouse: Warehouse, server: Recorder) -> None:
    server.tables.clear()
    server.fails = {"CREATE TABLE [DimTime]": "There is already an object named 'DimTime' in the database. (2714)"}
    warehouse.init()
    server.fails = {"CREATE TABLE [DimTime]": "CREATE TABLE permission denied (262)"}
    with pytest.raises(WarehouseError, match="permission denied"):
        warehouse.init()


def test_lines_of_the_log_that_are_there_are_not_sent_again(warehouse: Warehouse, server: Recorder) -> None:
    """A loader may not insert them."""
    del server.held["FactPatientFlow"]
    warehouse.init()
    assert sum("INSERT INTO [LoadLog]" in line for line in server.log) == 1
    del server.log[:]
    server.held["FactPatientFlow"] = None
    warehouse.init()
    assert not [line for line in server.log if "INSERT" in line]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_parser_of_transact_sql_understands_the_views(kind: str, view: Any) -> None:
    (statement,) = target_of(kind).view_statements(definition(view, target_of(kind)), exists=False)
    (parsed,) = sqlglot.parse(statement, dialect="tsql")
    assert isinstance(parsed, sqlglot.exp.Create)
    assert [column.alias_or_name for column in parsed.expression.selects] == [column.name for column in view.columns]


def test_a_changed_view_is_altered_so_that_its_permissions_stay() -> None:
    (statement,) = target_of("synapse").view_statements(definition(VIEWS[0], target_of("synapse")), exists=True)
    assert statement.startswith("ALTER VIEW [BedOccupancyHourly] AS\nSELECT")
    assert target_of("synapse").drop_statements(definition(VIEWS[0], target_of("synapse"))) == []
