"""The committed folder is what the generator makes, and switches to DirectQuery as a whole."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import polars as pl

from patient_flow.powerbi import project
from patient_flow.powerbi.declarations import Storage
from patient_flow.powerbi.queries import Source
from patient_flow_tests.powerbi.conftest import COMMITTED
from patient_flow_tests.powerbi.star import Star


def written(folder: Path) -> dict[str, str]:
    """Every file below ``folder``, but for what Power BI Desktop keeps for itself."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes().decode()
        for file in folder.rglob("*")
        if file.is_file() and ".pbi" not in file.parts
    }


def test_committed_project_is_current(files: dict[str, str]) -> None:
    assert written(COMMITTED) == files, "run `patient-flow powerbi` and commit infra/powerbi"


def test_the_generator_is_deterministic(files: dict[str, str], departments: pl.DataFrame) -> None:
    assert project.files(departments) == files


def test_order_of_the_department_list_changes_nothing(files: dict[str, str], departments: pl.DataFrame) -> None:
    assert project.files(departments.reverse()).keys() == files.keys()


def test_writing_leaves_nothing_of_an_older_project(tmp_path: Path, departments: pl.DataFrame) -> None:
    project.write(tmp_path, departments)
    stale = tmp_path / project.REPORT / "definition" / "pages" / "gone" / "page.json"
    stale.parent.mkdir()
    stale.write_text("{}")
    own = tmp_path / project.REPORT / ".pbi" / "localSettings.json"
    own.parent.mkdir()
    own.write_text("{}")
    assert project.write(tmp_path, departments) == len(written(tmp_path))
    assert not stale.exists()
    assert own.exists()


def test_import_copies_every_table(star: Star) -> None:
    assert {table.one("partition").properties["mode"] for table in star.tables.values()} == {"import"}


def test_direct_query_asks_for_facts_and_keeps_dimensions(departments: pl.DataFrame) -> None:
    star = Star(project.files(departments, storage=Storage.DIRECT_QUERY))
    modes = {name: table.one("partition").properties["mode"] for name, table in star.tables.items()}
    assert {name for name, mode in modes.items() if mode == "directQuery"} == {
        "FactPatientFlow",
        "FactEdAttendance",
        "FactBedCensus",
        "KpiDepartmentDay",
        "DataQualityDay",
        "ForecastBeds",
        "ForecastArrivals",
        "ForecastScore",
        "ForecastShown",
        "BedsExpected",
        "DataFreshness",
    }
    assert set(modes.values()) == {"directQuery", "dual"}


def test_parameters_say_where_the_warehouse_is(departments: pl.DataFrame) -> None:
    star = Star(project.files(departments, source=Source('the "server"', "flow", "gold", "access")))
    said = {node.name: node.expression.split(" meta ")[0] for node in star.all("expression")}
    assert said == {
        "WarehouseServer": '"the ""server"""',
        "WarehouseDatabase": '"flow"',
        "WarehouseSchema": '"gold"',
        "SecuritySchema": '"access"',
    }


def test_items_have_identifiers_of_their_own(files: dict[str, str]) -> None:
    platforms = [json.loads(text)["config"]["logicalId"] for path, text in files.items() if path.endswith(".platform")]
    assert len(set(platforms)) == 2
    assert {uuid.UUID(identifier).version for identifier in platforms} == {5}
