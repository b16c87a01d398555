"""The scripts under ``infra/sql``: they are what the code generates, they run where they can, and read like Synapse."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from sqlalchemy.sql import visitors

from patient_flow.contracts.columns import TEXTS
from patient_flow.contracts.tables import FACT_BED_CENSUS, WAREHOUSE_TABLES
from patient_flow.contracts.views import VIEWS
from patient_flow.dashboard import queries
from patient_flow.settings import WAREHOUSE_KINDS
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.kinds import target_of
from patient_flow.stores.warehouse.schema import INDEXES, KEY_LED_BY, TABLES
from patient_flow.stores.warehouse.scripts import ddl, scripts
from patient_flow.stores.warehouse.targets.synapse import Synapse
from patient_flow.stores.warehouse.warehouse import Warehouse

INFRA = Path(__file__).parents[3] / "infra" / "sql"
NAMES = [
    *(table.warehouse_name for table in WAREHOUSE_TABLES),
    *("AccessLog", "AggregateDay", "LoadLog"),
    *(view.name for view in VIEWS),
    *("AccessLogHeads", "AggregateMonth"),
]


class Asked(Warehouse):
    """Notes the tables that are asked for."""

    def __init__(self) -> None:
        super().__init__("sqlite://", "sqlite")
        self.tables: set[str] = set()

    def query(self, statement: Any, params: Mapping[str, object] | None = None) -> pl.DataFrame:
        self.tables |= {part.name for part in visitors.iterate(statement) if isinstance(part, sa.Table)}
        return pl.DataFrame()


@pytest.mark.parametrize("kind", WAREHOUSE_KINDS)
def test_the_scripts_in_infra_are_the_generated_ones(kind: str) -> None:
    """Golden text: a change of the generated SQL is a reviewed diff. Regenerate with scripts.scripts(kind)."""
    on_disk = {path.name: path.read_text() for path in (INFRA / kind).glob("*.sql")}
    assert on_disk == scripts(kind)


def test_there_is_a_target_for_every_kind_the_settings_know_and_no_other() -> None:
    assert tuple(target_of(kind).kind for kind in WAREHOUSE_KINDS) == WAREHOUSE_KINDS
    with pytest.raises(WarehouseError, match=f"'oracle': use one of {', '.join(WAREHOUSE_KINDS)}$"):
        target_of("oracle")


@pytest.mark.parametrize("kind", WAREHOUSE_KINDS)
def test_every_table_and_view_is_created_once(kind: str) -> None:
    created = re.findall(r"CREATE (?:TABLE|VIEW) [\[\"]?(\w+)", ddl(kind))
    assert created == NAMES


@pytest.mark.parametrize("kind", ["synapse", "mssql", "fabric"])
def test_no_column_is_unbounded_or_generated(kind: str) -> None:
    text = ddl(kind).lower()
    for word in ("(max)", "identity", "datetimeoffset", " text", " datetime ", "uniqueidentifier"):
        assert word not in text


@pytest.mark.parametrize("kind", ["synapse", "mssql", "fabric"])
def test_views_use_only_transact_sql(kind: str) -> None:
    for word in ("LIMIT", "::", "FILTER (", "INTERVAL", "TRUE", "strftime", "julianday", "||", '"', "{", "}"):
        assert word not in ddl(kind)


@pytest.mark.parametrize(("kind", "told_apart"), [("synapse", True), ("mssql", True), ("fabric", False)])
def test_names_that_differ_only_in_case_are_two_wherever_they_are_compared(kind: str, told_apart: bool) -> None:
    """Their databases take "H1" and "h1" for one; two columns of different collations could not be compared at all.

    A Fabric Warehouse compares by bytes.
    """
    text = "".join(scripts(kind).values())
    names = re.findall(r"^ +(?:hospital_id|department) \w+\(\d+\)(.*?) (?:NOT )?NULL", text, re.MULTILINE)
    assert names == [" COLLATE Latin1_General_100_BIN2" if told_apart else ""] * 11
    assert text.count("COLLATE") == 11 * told_apart


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        ("synapse", lambda text: len(text.encode("utf-16-le")) // 2),
        ("mssql", lambda text: len(text.encode("utf-16-le")) // 2),
        ("fabric", lambda text: len(text.encode())),
        ("postgresql", len),
    ],
)
@pytest.mark.parametrize("character", ["a", "€", "𝄞"])
def test_a_text_as_long_as_declared_fits_whatever_its_characters(
    kind: str, needed: Callable[[str], int], character: str
) -> None:
    """What counts characters, units of UTF-16 or bytes must all have room for what the load lets pass."""
    dialect = target_of(kind).dialect()
    for table in WAREHOUSE_TABLES:
        for column in table.warehouse_columns:
            if column.dtype in (pl.String(), TEXTS):
                declared = TABLES[table.path].c[column.name].type.compile(dialect=dialect)
                (length,) = re.findall(r"^N?VARCHAR\((\d+)\)", declared)
                assert needed(character * column.length) <= int(length)


def test_synapse_distributes_every_table_and_enforces_no_key() -> None:
    statements = ddl("synapse").split("\nGO\n")
    tables = [statement for statement in statements if statement.strip().startswith("CREATE TABLE")]
    assert len(tables) == len(WAREHOUSE_TABLES) + 3
    for table in tables:
        assert re.search(r"WITH \(DISTRIBUTION = (HASH\(\w+\)|REPLICATE|ROUND_ROBIN), ", table)
        assert "NOT ENFORCED" in table
        assert "FOREIGN KEY" not in table
    assert "CREATE INDEX" not in ddl("synapse")
    assert "CREATE STATISTICS [st_FactBedCensus_time_key] ON [FactBedCensus] (time_key)" in ddl("synapse")


def test_synapse_has_statistics_of_every_column_that_is_looked_up() -> None:
    made = set(re.findall(r"^CREATE STATISTICS \[st_\w+\] ON \[(\w+)\] \(\[?(\w+)\]?\)", ddl("synapse"), re.MULTILINE))
    looked_up = {(table, columns[0]) for table, indexes in INDEXES.items() for columns in indexes}
    assert looked_up | {(t.name, key.name) for t in TABLES.values() for key in t.primary_key.columns} <= made
    assert {("FactPatientFlow", "visit_id"), ("FactPatientFlow", "discharge_at"), ("DimPatient", "patient_id")} <= made


def test_synapse_hash_columns_are_not_null_and_never_updated() -> None:
    distributed = {
        found[1]: found[2]
        for statement in ddl("synapse").split("\nGO\n")
        if (found := re.search(r"CREATE TABLE \[(\w+)\].*HASH\((\w+)\)", statement, re.DOTALL))
    }
    assert set(distributed) == {"DimPatient", "FactEdAttendance", "FactPatientFlow", "FactBedCensus"}
    for name, column in distributed.items():
        table = next(table for table in TABLES.values() if table.name == name)
        assert table.c[column].primary_key
        assert not table.c[column].nullable


@pytest.mark.parametrize("name", KEY_LED_BY)
def test_synapse_clusters_facts_by_the_key_that_loads_delete_by(name: str) -> None:
    (table,) = (table for table in TABLES.values() if table.name == name)
    (made,) = (text for text in ddl("synapse").split("\nGO\n") if f"CREATE TABLE [{name}]" in text)
    assert f"CLUSTERED INDEX ({', '.join(table.primary_key.columns.keys())}))" in made


def test_fabric_declares_keys_by_alter_and_has_no_physical_options() -> None:
    text = ddl("fabric")
    assert "WITH (" not in text
    assert "NVARCHAR" not in text
    assert "CREATE INDEX" not in text
    assert text.count("PRIMARY KEY NONCLUSTERED") == text.count("ALTER TABLE") == len(WAREHOUSE_TABLES) + 3


@pytest.mark.parametrize("kind", ["synapse", "mssql"])
def test_statements_for_master_are_in_their_own_file(kind: str) -> None:
    """sqlcmd runs a whole file in one database, and a pool takes this setting from a connection to master only."""
    setting = "SET READ_COMMITTED_SNAPSHOT ON"
    assert [name for name, text in scripts(kind).items() if setting in text] == ["master.sql"]
    assert scripts(kind)["master.sql"].count("\nGO\n") == 1


def test_the_sqlite_script_runs_and_init_finds_nothing_missing(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.db"
    connection = sqlite3.connect(file)
    connection.executescript(ddl("sqlite"))
    connection.close()
    warehouse = Warehouse(f"sqlite:///{file}", "sqlite")
    warehouse.init()
    assert warehouse.migrate(dry_run=True) == []
    warehouse.dispose()


def test_the_postgresql_script_runs_and_init_finds_nothing_missing(database: str) -> None:
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.exec_driver_sql(ddl("postgresql"))
    engine.dispose()
    warehouse = Warehouse(database, "postgresql")
    warehouse.init()
    assert warehouse.migrate(dry_run=True) == []
    warehouse.dispose()


@pytest.fixture(params=["synapse", "mssql", "fabric"])
def access(request: pytest.FixtureRequest) -> str:
    return scripts(request.param)["access.sql"]


def granted(access: str, right: str, role: str) -> set[str]:
    """Objects on which ``role`` has ``right``."""
    grants = re.findall(rf"^GRANT ([A-Z, ]+) ON OBJECT::dbo\.(\w+) TO patient_flow_{role}$", access, re.MULTILINE)
    return {name for rights, name in grants if right in rights.split(", ")}


def test_on_transact_sql_a_loader_may_all_that_a_load_and_its_checks_ask(access: str) -> None:
    """Without a right on it, a view is not even listed; without that on its definition, it looks like another one."""
    views = {*(view.name for view in VIEWS), "AccessLogHeads", "AggregateMonth"}
    assert granted(access, "SELECT", "loader") == {*NAMES}
    assert granted(access, "VIEW DEFINITION", "loader") == views
    written = {*NAMES} - views - {"LoadLog"}
    assert (granted(access, "INSERT", "loader"), granted(access, "DELETE", "loader")) == (
        written,
        written - {"AggregateDay"},
    )
    assert granted(access, "UPDATE", "loader") == {"LoadLog"}


def test_on_transact_sql_the_dashboard_may_read_what_it_asks(access: str) -> None:
    asked = Asked()
    day, hours = date(2026, 11, 20), queries.Hours(1, 2)
    for query in (queries.loads, queries.departments):
        query(asked)
    for query in (queries.admissions, queries.discharges, queries.census, queries.returns):
        query(asked, hours)
    for query in (queries.daily, queries.quality):
        query(asked, day, day)
    queries.present(asked, 1)
    queries.last_sent(asked, 1)
    assert asked.tables <= granted(access, "SELECT", "dashboard")
    assert granted(access, "INSERT", "dashboard") == {"AccessLog"}
    assert not granted(access, "UPDATE", "dashboard") | granted(access, "DELETE", "dashboard")


def test_on_transact_sql_the_dashboard_reads_nothing_of_the_access_log_but_heads(access: str) -> None:
    assert "AccessLogHeads" in granted(access, "SELECT", "dashboard")
    for role in ("dashboard", "reader"):
        assert "AccessLog" not in granted(access, "SELECT", role)
        denied = re.findall(rf"^DENY (.*) ON OBJECT::dbo\.AccessLog TO patient_flow_{role}$", access, re.MULTILINE)
        assert {"SELECT", "UPDATE", "DELETE"} <= set(denied[0].split(", "))


def test_on_transact_sql_whatever_names_a_place_is_filtered(access: str) -> None:
    """The dashboard reads tables: nothing but these filters stands between it and the rows."""
    filtered = set(re.findall(r"ADD FILTER PREDICATE \S+\(.*\) ON dbo\.(\w+)", access))
    assert granted(access, "SELECT", "dashboard") - filtered == {
        *("DimTime", "DimPatient", "LoadLog", "AccessLogHeads", "AggregateDay", "AggregateMonth"),
    }
    assert granted(access, "SELECT", "aggregates") == {"AggregateDay", "AggregateMonth"}
    assert len(re.findall("TO patient_flow_aggregates$", access, re.MULTILINE)) == 2
    assert granted(access, "SELECT", "reader") == {*(view.name for view in VIEWS), "DimTime"}


@pytest.mark.parametrize(
    ("kind", "asked"), [("synapse", "IS_MEMBER"), ("mssql", "IS_MEMBER"), ("fabric", "IS_ROLEMEMBER")]
)
def test_a_row_of_reader_scope_may_name_a_group_where_the_database_has_groups(kind: str, asked: str) -> None:
    """IS_ROLEMEMBER says of a group that it is no role, so that its members would see nothing."""
    text = scripts(kind)["access.sql"]
    assert re.findall(r"(\w+)\(s\.principal_name\) = 1", text) == [asked] * 4


def test_the_guide_gives_roles_that_the_script_makes(access: str) -> None:
    guide = (INFRA.parent / "docs" / "deploy.md").read_text()
    given = re.findall(r"sp_addrolemember 'patient_flow_(\w+)', 'id-pf-prod-(\w+)'", guide)
    assert dict(given) == {"loader": "pipeline", "dashboard": "dashboard"}
    assert set(re.findall(r"^CREATE ROLE patient_flow_(\w+)$", access, re.MULTILINE)) == {
        *dict(given),
        "reader",
        "aggregates",
    }


def test_copy_into_reads_a_parquet_file_with_the_managed_identity() -> None:
    stage = TABLES[FACT_BED_CENSUS.path]
    assert Synapse().copy_statement(stage, "https://account.dfs.core.windows.net/gold/a'b.parquet") == (
        "COPY INTO [FactBedCensus] (time_key, department_key, gender, occupied_beds)\n"
        "FROM 'https://account.dfs.core.windows.net/gold/a''b.parquet'\n"
        "WITH (FILE_TYPE = 'PARQUET', CREDENTIAL = (IDENTITY = 'Managed Identity'))"
    )
