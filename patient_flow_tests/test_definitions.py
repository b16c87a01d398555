"""The graph: it loads with nothing around it, and a change of it is a change of the snapshot in this file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from patient_flow import definitions
from patient_flow.contracts.tables import LAKE_TABLES, WAREHOUSE_TABLES
from patient_flow.definitions import build_defs

GRAPH = """
audit/open_alerts                <-
audit/whole_history              <- WAREHOUSE
bronze/patient_events            <- source/event_hub
consumers/dashboard              <- WAREHOUSE
consumers/power_bi               <- WAREHOUSE
gold/data_quality_day            <- silver/ignored, silver/patient_events, silver/quarantine
gold/dim_department              <- silver/patient_events, source/department_list
gold/dim_patient                 <- silver/patient_events
gold/dim_time                    <- silver/patient_events
gold/fact_bed_census             <- gold/dim_department, gold/fact_patient_flow, silver/patient_events
gold/fact_ed_attendance          <- gold/dim_department, gold/dim_patient, silver/ignored, silver/patient_events
gold/fact_patient_flow           <- gold/dim_department, gold/dim_patient, silver/ignored, silver/patient_events
gold/forecast_arrivals           <- gold/dim_department, gold/fact_bed_census, gold/fact_ed_attendance, \
gold/kpi_department_day, silver/patient_events
gold/forecast_beds               <- gold/dim_department, gold/fact_bed_census, gold/fact_patient_flow, \
gold/kpi_department_day, silver/patient_events
gold/forecast_score              <- gold/data_quality_day, gold/dim_department, gold/fact_bed_census, gold/forecast_beds
gold/forecast_shown              <- gold/dim_department, gold/fact_bed_census, gold/forecast_beds, gold/forecast_score
gold/kpi_department_day          <- gold/dim_department, gold/fact_bed_census, gold/fact_ed_attendance, \
gold/fact_patient_flow
reconciliation/differences       <- silver/patient_events
silver/erased                    <- bronze/patient_events, silver/patient_events
silver/ignored                   <- bronze/patient_events, silver/erased, silver/patient_events
silver/patient_events            <- bronze/patient_events, source/department_list
silver/quarantine                <- bronze/patient_events, silver/erased, silver/ignored, silver/patient_events
source/department_list           <-
source/event_hub                 <-
warehouse/DataQualityDay         <- gold/data_quality_day
warehouse/DimDepartment          <- gold/dim_department
warehouse/DimPatient             <- gold/dim_patient
warehouse/DimTime                <- gold/dim_time
warehouse/FactBedCensus          <- gold/fact_bed_census
warehouse/FactEdAttendance       <- gold/fact_ed_attendance
warehouse/FactPatientFlow        <- gold/fact_patient_flow
warehouse/ForecastArrivals       <- gold/forecast_arrivals
warehouse/ForecastBeds           <- gold/forecast_beds
warehouse/ForecastScore          <- gold/forecast_score
warehouse/ForecastShown          <- gold/forecast_shown
warehouse/KpiDepartmentDay       <- gold/kpi_department_day
"""


@pytest.fixture(scope="module")
def specs() -> list[dg.AssetSpec]:
    return list(build_defs().resolve_all_asset_specs())


def test_the_graph_is_the_way_of_an_event(specs: list[dg.AssetSpec]) -> None:
    warehouse = ", ".join(sorted(f"warehouse/{table.warehouse_name}" for table in WAREHOUSE_TABLES))
    lines = sorted(
        f"{spec.key.to_user_string():<32} <- {', '.join(sorted(dep.asset_key.to_user_string() for dep in spec.deps))}"
        for spec in specs
    )
    assert "\n".join(line.rstrip() for line in lines) == GRAPH.strip().replace("WAREHOUSE", warehouse)


def test_every_table_of_the_contract_is_an_asset(specs: list[dg.AssetSpec]) -> None:
    keys = {spec.key.to_user_string() for spec in specs}
    assert {table.path for table in LAKE_TABLES} <= keys
    assert {f"warehouse/{table.warehouse_name}" for table in WAREHOUSE_TABLES} <= keys


def test_every_asset_has_a_description(specs: list[dg.AssetSpec]) -> None:
    for spec in specs:
        assert spec.description, spec.key
        assert spec.group_name in {"source", "bronze", "silver", "gold", "warehouse", "consumers", "audit"}, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        if spec.group_name in {"bronze", "silver", "gold", "warehouse"}:
            assert spec.freshness_policy, spec.key
            assert "event_hub_backlog" in spec.description, spec.key  # where to see why it is late
            assert spec.code_version, spec.key
            assert spec.metadata["dagster/table_name"], spec.key


def test_every_column_shows_its_sources_and_these_are_columns_of_the_graph(specs: list[dg.AssetSpec]) -> None:
    schemas = {
        spec.key: {column.name: column for column in spec.metadata["dagster/column_schema"].columns}
        for spec in specs
        if "dagster/column_schema" in spec.metadata
    }
    upstream = {spec.key: {dep.asset_key for dep in spec.deps} for spec in specs}
    for spec in specs:
        if "dagster/column_lineage" not in spec.metadata:
            continue
        lineage = spec.metadata["dagster/column_lineage"].deps_by_column
        assert set(lineage) <= set(schemas[spec.key])
        assert all(" ← " in str(column.description) for column in schemas[spec.key].values()), spec.key
        for column, sources in lineage.items():
            for source in sources:
                assert source.column_name in schemas[source.asset_key], (spec.key, column)
                assert source.asset_key in upstream[spec.key], (spec.key, column)


CHECKS = """
bronze/patient_events     stops  events_arrive_once
gold/data_quality_day     stops  keys_unique
gold/data_quality_day     stops  quality_counts_reconcile
gold/data_quality_day     warns  quarantine_rate_acceptable
gold/dim_department       warns  department_list_current
gold/dim_department       stops  keys_unique
gold/dim_department       stops  scd2_intervals_valid
gold/dim_patient          stops  keys_unique
gold/dim_patient          stops  scd2_intervals_valid
gold/dim_time             stops  keys_unique
gold/fact_bed_census      stops  foreign_keys_exist
gold/fact_bed_census      stops  keys_unique
gold/fact_bed_census      stops  occupancy_plausible
gold/fact_ed_attendance   stops  foreign_keys_exist
gold/fact_ed_attendance   stops  keys_unique
gold/fact_patient_flow    stops  foreign_keys_exist
gold/fact_patient_flow    stops  keys_unique
gold/forecast_arrivals    stops  foreign_keys_exist
gold/forecast_arrivals    stops  keys_unique
gold/forecast_beds        stops  foreign_keys_exist
gold/forecast_beds        stops  keys_unique
gold/forecast_score       stops  foreign_keys_exist
gold/forecast_score       stops  keys_unique
gold/forecast_shown       stops  foreign_keys_exist
gold/forecast_shown       stops  keys_unique
gold/kpi_department_day   stops  foreign_keys_exist
gold/kpi_department_day   stops  keys_unique
reconciliation/differences warns  stream_matches_extract
silver/patient_events     stops  event_identities_unique
silver/quarantine         stops  counts_reconcile
warehouse/FactPatientFlow warns  data_fresh
"""
"""Of a micro-batch, besides ``row_counts_match`` of every table of the warehouse."""


def test_what_would_spread_an_error_is_stopped_by_a_blocking_check() -> None:
    graph = build_defs().resolve_asset_graph()
    lines, rows_equal = [], set()
    for key in graph.asset_check_keys:
        asset, blocks = key.asset_key.to_user_string(), graph.get(key).blocking
        if key.name == "row_counts_match":
            assert blocks, asset
            rows_equal.add(asset)
        elif asset == "audit/whole_history":
            assert not blocks, key.name
        else:
            lines.append(f"{asset:<25} {'stops' if blocks else 'warns'}  {key.name}")
    assert "\n".join(sorted(lines, key=lambda line: (line.split()[0], line.split()[2]))) == CHECKS.strip()
    assert rows_equal == {f"warehouse/{table.warehouse_name}" for table in WAREHOUSE_TABLES}


def test_neither_a_micro_batch_nor_all_assets_by_hand_pay_for_the_audit() -> None:
    graph = build_defs().resolve_asset_graph()
    for selection in (dg.AssetSelection.all(), dg.AssetSelection.from_string("*")):
        chosen = selection.resolve_checks(graph)
        assert chosen
        assert not {key for key in chosen if key.asset_key.to_user_string() == "audit/whole_history"}
    jobs = {job: build_defs().resolve_job_def(job) for job in ("micro_batch", "hourly_checks", "audit")}
    assert "check_whole_history" not in {node.name for node in jobs["micro_batch"].nodes}
    assert {node.name for node in jobs["audit"].nodes} == {"check_recent_data", "check_whole_history"}
    assert {node.name for node in jobs["hourly_checks"].nodes} == {"check_recent_data"}
    for name in ("audit", "hourly_checks"):
        assert jobs[name].run_tags.items() >= {"pipeline": "patient_flow"}.items()


def test_every_check_names_its_remedy_and_runbook_page() -> None:
    graph = build_defs().resolve_asset_graph()
    for key in graph.asset_check_keys:
        description = str(graph.get(key).description)
        assert "If not: " in description, key
        assert f"See infra/docs/runbook/{key.name}.md." in description, key


def test_definitions_are_loadable() -> None:
    dg.Definitions.validate_loadable(build_defs())


@pytest.mark.parametrize(("cadence", "ticks_every"), [("60", 50), ("10", 8), ("5", 50)])
def test_the_sensor_has_the_cadence_of_the_settings_and_an_invalid_one_stops_no_loading(
    cadence: str, ticks_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks come at multiples of the daemon's five seconds."""
    monkeypatch.setenv("PATIENT_FLOW_CADENCE_SECONDS", cadence)
    definitions._definitions.cache_clear()
    loaded = definitions.defs()
    definitions._definitions.cache_clear()
    assert loaded.resolve_sensor_def("event_hub_backlog").minimum_interval_seconds == ticks_every


def test_loading_reads_no_setting_and_opens_no_connection(tmp_path: Path) -> None:
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
