"""The graph: it loads with nothing around it, and a change of it is a change of the snapshot in this file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from patient_flow.contracts.tables import LAKE_TABLES, WAREHOUSE_TABLES
from patient_flow.definitions import build_defs

GRAPH = """
bronze/patient_events            <- source/event_hub
gold/data_quality_day            <- silver/patient_events, silver/quarantine
gold/dim_department              <- silver/patient_events, source/department_list
gold/dim_patient                 <- silver/patient_events
gold/dim_time                    <- silver/patient_events
gold/fact_bed_census             <- gold/dim_department, gold/fact_patient_flow, silver/patient_events
gold/fact_patient_flow           <- gold/dim_department, gold/dim_patient, silver/patient_events
gold/kpi_department_day          <- gold/dim_department, gold/fact_bed_census, gold/fact_patient_flow
silver/patient_events            <- bronze/patient_events, source/department_list
silver/quarantine                <- bronze/patient_events, silver/patient_events
source/department_list           <-
source/event_hub                 <-
warehouse/DataQualityDay         <- gold/data_quality_day
warehouse/DimDepartment          <- gold/dim_department
warehouse/DimPatient             <- gold/dim_patient
warehouse/DimTime                <- gold/dim_time
warehouse/FactBedCensus          <- gold/fact_bed_census
warehouse/FactPatientFlow        <- gold/fact_patient_flow
warehouse/KpiDepartmentDay       <- gold/kpi_department_day
"""


@pytest.fixture(scope="module")
def specs() -> list[dg.AssetSpec]:
    return list(build_defs().resolve_all_asset_specs())


def test_the_graph_is_the_way_of_an_event(specs: list[dg.AssetSpec]) -> None:
    lines = sorted(
        f"{spec.key.to_user_string():<32} <- {', '.join(sorted(dep.asset_key.to_user_string() for dep in spec.deps))}"
        for spec in specs
    )
    assert "\n".join(line.rstrip() for line in lines) == GRAPH.strip()


def test_every_table_of_the_contract_is_an_asset(specs: list[dg.AssetSpec]) -> None:
    keys = {spec.key.to_user_string() for spec in specs}
    assert {table.path for table in LAKE_TABLES} <= keys
    assert {f"warehouse/{table.warehouse_name}" for table in WAREHOUSE_TABLES} <= keys


def test_every_asset_says_what_it_is(specs: list[dg.AssetSpec]) -> None:
    for spec in specs:
        assert spec.description, spec.key
        assert spec.group_name in {"source", "bronze", "silver", "gold", "warehouse"}, spec.key
        if spec.group_name != "source":
            assert spec.owners, spec.key
            assert spec.metadata["dagster/column_schema"].columns, spec.key
            assert spec.freshness_policy, spec.key


def test_what_would_spread_an_error_is_stopped_by_a_blocking_check() -> None:
    graph = build_defs().resolve_asset_graph()
    blocking = {key.asset_key.to_user_string() for key in graph.asset_check_keys if graph.get(key).blocking}
    assert {"silver/quarantine", *(f"warehouse/{table.warehouse_name}" for table in WAREHOUSE_TABLES)} <= blocking


def test_definitions_are_loadable() -> None:
    dg.Definitions.validate_loadable(build_defs())


def test_loading_reads_no_setting_and_contacts_nobody(tmp_path: Path) -> None:
    """In an empty folder, with settings that would fail if anybody read them, and no network to be had."""
    code = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('contacted somebody')\n"
        "socket.socket.connect = refuse\n"
        "import patient_flow.definitions, sys\n"
        "assert 'pyodbc' not in sys.modules and 'azure.eventhub' not in sys.modules"
    )
    environment = {"PATH": os.environ["PATH"], "PATIENT_FLOW_LAKE_URI": "nonsense", "PATIENT_FLOW_TIMEZONE": "nowhere"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
