"""Scripts and statements as Microsoft's T-SQL parsers read them, for each engine of the family.

The checker (Microsoft's ScriptDom; ``PATIENT_FLOW_TSQL_CHECK``, else the shared tools beside the checkout) knows the
grammar and the types that an engine can store, not names. Without it these tests skip.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from patient_flow.contracts.tables import FACT_BED_CENSUS
from patient_flow.stores.warehouse.scripts import scripts
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stores.warehouse.builders import census_of, changed, whole
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


def test_every_statement_at_the_driver_is_in_the_grammar_of_its_engine(warehouse: Warehouse, server: Recorder) -> None:
    load(warehouse, changed(FACT_BED_CENSUS, census_of({1: 1}), census_of({2: 2}), since=None, version=1))
    load(warehouse, whole(FACT_BED_CENSUS, census_of(dict.fromkeys(range(1000), 1))))
    server.tables.clear()
    warehouse.init()
    assert len(server.statements) > 50
    assert faults(warehouse.kind, "\nGO\n".join(server.statements) + "\nGO\n") == ""
