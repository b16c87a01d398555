"""A whole micro-batch in process: real hub, real Delta tables, real database; and each asset alone."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Protocol

import dagster as dg
import polars as pl
import pytest
from azure.eventhub import EventData, EventHubProducerClient

from patient_flow.contracts.tables import DIM_TIME
from patient_flow.definitions import build_defs
from patient_flow.local_hub.testing import HubThread
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline.load import load_warehouse
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import NOW
from patient_flow_tests.stacks import Stack

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@pytest.fixture
def patient_flow(stack: Stack, hub_thread: HubThread) -> PatientFlow:
    return PatientFlow(overrides={**stack.settings(), "PATIENT_FLOW_EVENTHUB_CONNECTION": hub_thread.connection})


def send(hub: HubThread, bodies: Sequence[bytes]) -> None:
    with EventHubProducerClient.from_connection_string(hub.connection, eventhub_name="patient-flow") as producer:
        batch = producer.create_batch(partition_id="0")
        for body in bodies:
            batch.add(EventData(body))
        producer.send_batch(batch)


def snapshot(patient: str, **changes: object) -> bytes:
    stated = {
        "patient_id": patient,
        "hospital_id": 3,
        "department": "ICU",
        "gender": "Female",
        "age": 42,
        "admission_time": "2026-11-20T10:15:00",
        **changes,
    }
    return json.dumps(stated).encode()


class Materialize(Protocol):
    """Runs the chosen assets, or all, in this process."""

    def __call__(self, patient_flow: PatientFlow, *selection: str, **options: object) -> dg.ExecuteInProcessResult: ...


@pytest.fixture
def materialize(instance: dg.DagsterInstance) -> Materialize:
    return functools.partial(materialize_on, instance)


def materialize_on(
    instance: dg.DagsterInstance, patient_flow: PatientFlow, *selection: str, **options: object
) -> dg.ExecuteInProcessResult:
    defs = build_defs(patient_flow)
    chosen = (
        dg.AssetSelection.assets(*(dg.AssetKey(key.split("/")) for key in selection))
        if selection
        else dg.AssetSelection.all()
    )
    job = dg.define_asset_job("chosen", selection=chosen)
    resolved = dg.Definitions(
        assets=defs.assets, asset_checks=defs.asset_checks, jobs=[job], resources={"patient_flow": patient_flow}
    ).resolve_job_def("chosen")
    return resolved.execute_in_process(instance=instance, raise_on_error=False, **options)  # type: ignore[arg-type]


def rows(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    return {
        event.asset_key.to_user_string(): int(event.materialization.metadata["dagster/row_count"].value)  # type: ignore[arg-type,union-attr]
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


@pytest.mark.embedded_only("e2e/test_foreign_producer runs micro-batches on both stacks")
def test_one_run_takes_events_from_the_hub_to_the_views(
    patient_flow: PatientFlow, hub_thread: HubThread, materialize: Materialize
) -> None:
    send(hub_thread, [snapshot("a"), snapshot("b", gender="Male"), snapshot("b", gender="Male"), b"no JSON"])
    result = materialize(patient_flow)
    assert result.success
    counted = rows(result)
    assert counted["bronze/patient_events"] == 4
    assert counted["silver/patient_events"] == 2
    assert (counted["silver/ignored"], counted["silver/quarantine"]) == (1, 1)
    assert counted["gold/fact_patient_flow"] == counted["warehouse/FactPatientFlow"] == 2
    failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
    assert failed == []  # a quarter of them is quarantined, but of four events that says nothing
    warehouse = Services(load(patient_flow.overrides)).warehouse
    beds = warehouse.query('SELECT gender, occupied_beds FROM "FactBedCensus" ORDER BY gender').rows()
    warehouse.dispose()
    assert set(beds) == {("Female", 1), ("Male", 1)}  # one bed each in every hour until the plan ends it


@pytest.mark.embedded_only("e2e/test_foreign_producer runs micro-batches on both stacks")
def test_running_again_without_news_changes_nothing(
    patient_flow: PatientFlow, hub_thread: HubThread, materialize: Materialize
) -> None:
    send(hub_thread, [snapshot("a")])
    first = rows(materialize(patient_flow))
    assert rows(materialize(patient_flow)) == first


@pytest.mark.embedded_only("what the steps decide, on any storage")
@pytest.mark.parametrize(
    "asset",
    [
        "silver/patient_events",
        "silver/quarantine",
        "gold/dim_time",
        "gold/dim_department",
        "gold/dim_patient",
        "gold/fact_patient_flow",
        "gold/fact_bed_census",
        "gold/kpi_department_day",
        "gold/data_quality_day",
        "warehouse/DimTime",
        "warehouse/FactPatientFlow",
    ],
)
def test_every_asset_can_be_made_alone_on_an_empty_lake(asset: str, stack: Stack, materialize: Materialize) -> None:
    assert materialize(PatientFlow(overrides=stack.settings()), asset).success


@pytest.mark.embedded_only("what Dagster is told, on any storage")
def test_a_run_may_be_limited_by_config(
    patient_flow: PatientFlow, hub_thread: HubThread, materialize: Materialize
) -> None:
    send(hub_thread, [snapshot(str(number)) for number in range(10)])
    config = {"ops": {"bronze__patient_events": {"config": {"max_events": 4}}}}
    result = materialize(patient_flow, run_config=config)
    assert rows(result)["bronze/patient_events"] == 4
    metadata = result.asset_materializations_for_node("bronze__patient_events")[0].metadata
    assert "6 events remain" in str(metadata["notices"].value)


@pytest.mark.embedded_only("what Dagster is told, on any storage")
@pytest.mark.parametrize("is_loaded", [False, True], ids=["gold alone", "gold and warehouse"])
def test_what_others_bring_between_load_and_check_is_no_difference(
    patient_flow: PatientFlow,
    hub_thread: HubThread,
    materialize: Materialize,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_loaded: bool,
) -> None:
    """As a rebuild, or a run of single assets, may."""
    count, happened = Warehouse.row_counts, []

    def overtaken(warehouse: Warehouse) -> dict[str, int]:
        if not happened:
            happened.append(warehouse)
            services = patient_flow.services()
            gold = services.lake.open(DIM_TIME)
            latest = gold.scan().collect().sort("time_key").tail(1)
            gold.append(latest.with_columns(pl.col("time_key") + 1), {})
            if is_loaded:
                load_warehouse(services.lake, warehouse, [DIM_TIME], now=NOW, run_id="other")
        return count(warehouse)

    send(hub_thread, [snapshot("a")])
    monkeypatch.setattr(Warehouse, "row_counts", overtaken)
    result = materialize(patient_flow)
    assert happened
    assert result.success
    assert [check.check_name for check in result.get_asset_check_evaluations() if not check.passed] == []


@pytest.mark.embedded_only("what Dagster is told, on any storage")
def test_settings_that_make_no_sense_fail_the_run_with_what_to_do_and_no_retry(materialize: Materialize) -> None:
    wrong = PatientFlow(overrides={"PATIENT_FLOW_LAKE_URI": "nowhere"})
    result = materialize(wrong, "bronze/patient_events")
    failure = result.failure_data_for_node("bronze__patient_events")
    assert not result.success
    assert "{layer}" in str(failure)


def test_lake_and_warehouse_that_differ_fail_a_blocking_check(
    patient_flow: PatientFlow, hub_thread: HubThread, materialize: Materialize
) -> None:
    send(hub_thread, [snapshot("a")])
    materialize(patient_flow)
    warehouse = Services(load(patient_flow.overrides)).warehouse
    with warehouse._engine.begin() as connection:
        connection.exec_driver_sql('DELETE FROM "FactPatientFlow"')
    warehouse.dispose()
    result = materialize(patient_flow)
    checks = result.get_asset_check_evaluations()
    assert [check.asset_key.to_user_string() for check in checks if not check.passed] == ["warehouse/FactPatientFlow"]
    assert not result.success
