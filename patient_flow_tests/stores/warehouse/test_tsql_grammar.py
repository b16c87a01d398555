"""Scripts and statements as Microsoft's T-SQL parsers read them, for each engine of the family.

The checker (Microsoft's ScriptDom; ``PATIENT_FLOW_TSQL_CHECK``, else the shared tools beside the checkout) knows the
grammar and the types that an engine can store, not names. Without it these tests skip.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from patient_flow.contracts.access_log import Entry, Kind
from patient_flow.contracts.tables import FACT_BED_CENSUS, WAREHOUSE_TABLES
from patient_flow.stores.warehouse import reconciliation
from patient_flow.stores.warehouse.access_log import AccessLog, ChainWriter
from patient_flow.stores.warehouse.aggregates import Aggregates
from patient_flow.stores.warehouse.schema import AGGREGATE_DAY, TABLES
from patient_flow.stores.warehouse.scripts import scripts
from patient_flow.stores.warehouse.views import TABLES as VIEWS
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stores.warehouse.builders import census_of, changed, whole
from patient_flow_tests.stores.warehouse.replaying import Recorded, replay, statements
from patient_flow_tests.stores.warehouse.test_transact_sql import KINDS, Recorder, load, server, warehouse

__all__ = ["server", "warehouse"]

ROOT = Path(__file__).parents[3]
CHECKER = Path(os.environ.get("PATIENT_FLOW_TSQL_CHECK", ROOT.parent / "shared" / "tools" / "tsql-check"))
NOW = datetime(2026, 11, 20, tzinfo=UTC)

pytestmark = pytest.mark.skipif(
    not CHECKER.is_file(), reason="no T-SQL checker: set PATIENT_FLOW_TSQL_CHECK to a program on Microsoft's ScriptDom"
)


def faults(kind: str, text: str) -> str:
    """What the checker says about ``text``, whose batches end with GO."""
    done = subprocess.run([CHECKER, kind, "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize("kind", KINDS)
def test_every_script_is_in_the_grammar_of_its_engine(kind: str) -> None:
    for name, text in scripts(kind).items():
        assert faults(kind, text) == "", name


def test_a_fault_is_found() -> None:
    assert faults("synapse", "SELECT FROM WHERE\nGO\n")
    assert faults("fabric", "CREATE TABLE t (a NVARCHAR(10))\nGO\n")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """What each method of the warehouse, the access log and the published days sends, on a database that answers."""
    warehouse = Warehouse(f"sqlite:///{tmp_path_factory.mktemp('recorded')}/warehouse.db", "sqlite")
    warehouse.init()
    log, published = AccessLog(warehouse), Aggregates(warehouse)
    with statements() as found:
        load(warehouse, whole(FACT_BED_CENSUS, census_of({1: 1})))
        warehouse.loaded_versions(), warehouse.loaded_identities(), warehouse.row_counts()
        for days_ago in (40, 2, 1):
            writer = ChainWriter(log, "key", lambda days=days_ago: NOW - timedelta(days=days))  # type: ignore[misc]
            writer.write([Entry(NOW - timedelta(days=days_ago), "somebody", "page", "hospitals *", Kind.PAGE, "r")])
            writer.end()
        assert not log.review("key", NOW).findings
        assert log.views(NOW - timedelta(days=3)) != []
        assert log.prune("key", NOW - timedelta(days=10), NOW) > 0
        row = {column.name: _value(column) for column in AGGREGATE_DAY.columns}
        published.add([{**row, "department": "", "gender": ""}])
        assert published.published() != {}
        published.days(NOW.date()), published.months()
        for view in VIEWS.values():
            warehouse.query(view.select())
    warehouse.dispose()
    assert len(found) > 40
    return found


class Empty:
    """A warehouse without rows: sends queries, and answers each with zeros."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.target, self._warehouse = warehouse.target, warehouse

    def query(self, statement: sa.Select[Any]) -> pl.DataFrame:
        with self._warehouse.reading() as connection:
            connection.execute(statement)
        return pl.DataFrame({column.name: [0] for column in statement.selected_columns})


def _value(column: sa.Column[Any]) -> object:
    kind = column.type.python_type
    return NOW.date() if kind is date else NOW.replace(tzinfo=None) if kind is datetime else kind(1)


@pytest.mark.embedded_only("it records on SQLite and replays on a recorder")
def test_every_method_sends_statements_in_the_grammar_of_its_engine(
    warehouse: Warehouse, server: Recorder, recorded: Recorded
) -> None:
    replay(warehouse, recorded)
    gold = {
        table.path: pl.LazyFrame(schema={column.name: column.dtype for column in table.warehouse_columns})
        for table in WAREHOUSE_TABLES
    }
    assert reconciliation.verify(Empty(warehouse), gold) == []
    assert len(server.statements) >= len(recorded) + 2 * len(gold)
    assert faults(warehouse.kind, "\nGO\n".join(server.statements) + "\nGO\n") == ""


def test_a_migration_and_a_purge_are_in_the_grammar_of_their_engine(warehouse: Warehouse, server: Recorder) -> None:
    """Columns that are missing, views that changed, tables written again after an erasure."""
    server.columns = [
        (table, column) for table, column in server.columns if column not in ("staffed_beds", "gold_table_id")
    ]
    planned = warehouse.migrate(dry_run=True)
    warehouse.migrate(dry_run=False)
    assert any("staffed_beds" in statement for statement in planned)
    assert any("VIEW" in statement for statement in planned)
    sent = len(server.statements)
    warehouse.purge()
    purged = server.statements[sent:]
    if warehouse.kind == "synapse":  # a heap has no index that could be rebuilt
        assert [statement for statement in purged if statement.startswith("ALTER")] == [
            f"ALTER TABLE [{table.name}] REBUILD" for table in TABLES.values()
        ]
    if warehouse.kind == "mssql":
        assert sum("ALTER INDEX ALL ON" in statement for statement in purged) == len(TABLES)
        assert any("sp_clean_db_free_space" in statement for statement in purged)
    assert faults(warehouse.kind, "\nGO\n".join(server.statements) + "\nGO\n") == ""


def test_every_statement_at_the_driver_is_in_the_grammar_of_its_engine(warehouse: Warehouse, server: Recorder) -> None:
    load(warehouse, changed(FACT_BED_CENSUS, census_of({1: 1}), census_of({2: 2}), since=None, version=1))
    load(warehouse, whole(FACT_BED_CENSUS, census_of(dict.fromkeys(range(1000), 1))))
    server.tables.clear()
    warehouse.init()
    assert len(server.statements) > 50
    assert faults(warehouse.kind, "\nGO\n".join(server.statements) + "\nGO\n") == ""
