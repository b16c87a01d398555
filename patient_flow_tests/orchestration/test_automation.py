"""The sensor: at most one run, asked for only when events wait, and a reason in every other tick."""

from __future__ import annotations

import uuid
from pathlib import Path

import dagster as dg
import pytest
from azure.eventhub import EventData, EventHubProducerClient

from patient_flow.contracts.tables import DIM_TIME
from patient_flow.local_hub.testing import HubThread
from patient_flow.orchestration.automation import (
    ACTIVE,
    PIPELINE_TAG,
    decide,
    event_hub_backlog,
    lake_maintenance,
    micro_batch,
)
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline.backlog import Backlog, PartitionBacklog


def backlog(*events: int, notices: tuple[str, ...] = ()) -> Backlog:
    parts = tuple(PartitionBacklog(str(n), -1, count - 1, count) for n, count in enumerate(events))
    return Backlog("hub/h/patient-flow", 0, parts, len(parts), notices)


def tick(instance: dg.DagsterInstance, tmp_path: Path, connection: str) -> object:
    resource = PatientFlow(
        overrides={
            "PATIENT_FLOW_LAKE_URI": f"{tmp_path}/{{layer}}",
            "PATIENT_FLOW_EVENTHUB_CONNECTION": connection,
        }
    )
    return event_hub_backlog(dg.build_sensor_context(instance=instance), patient_flow=resource)


def test_events_that_wait_ask_for_one_run_without_a_run_key() -> None:
    request = decide(backlog(3, 4), is_active=False)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key is None
    assert request.tags == {"events": "7", "backlog": "7"}


def test_without_events_there_is_no_run_and_what_is_odd_is_named() -> None:
    reason = decide(backlog(notices=("partition 3 is new",)), is_active=False)
    assert isinstance(reason, dg.SkipReason)
    assert reason.skip_message == "no new events; partition 3 is new"


@pytest.mark.parametrize("status", [status for status in ACTIVE if status is not dg.DagsterRunStatus.QUEUED])
def test_while_a_micro_batch_is_on_its_way_no_other_is_asked_for(
    status: dg.DagsterRunStatus, tmp_path: Path, hub_thread: HubThread
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(
            dg.DagsterRun(job_name=micro_batch.name, run_id=uuid.uuid4().hex, status=status, tags=PIPELINE_TAG)
        )
        reason = tick(instance, tmp_path, hub_thread.connection)
    assert isinstance(reason, dg.SkipReason)
    assert reason.skip_message == "a micro-batch is queued or running"


def test_a_hub_that_is_down_is_named_in_the_tick_and_fails_nothing(tmp_path: Path, hub_thread: HubThread) -> None:
    hub_thread.stop()
    with dg.DagsterInstance.ephemeral() as instance:
        reason = tick(instance, tmp_path, hub_thread.connection)
    assert isinstance(reason, dg.SkipReason)
    assert "patient-flow hub" in str(reason.skip_message)


def test_the_sensor_peeks_and_does_not_consume(tmp_path: Path, hub_thread: HubThread) -> None:
    with EventHubProducerClient.from_connection_string(hub_thread.connection, eventhub_name="patient-flow") as producer:
        batch = producer.create_batch(partition_id="1")
        batch.add(EventData(b"{}"))
        producer.send_batch(batch)
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            request = tick(instance, tmp_path, hub_thread.connection)
            assert isinstance(request, dg.RunRequest)
            assert request.tags["events"] == "1"


def test_maintenance_runs_in_the_slot_of_the_micro_batch_and_leaves_the_tables_as_they_are(tmp_path: Path) -> None:
    resource = PatientFlow(
        overrides={
            "PATIENT_FLOW_LAKE_URI": f"{tmp_path}/{{layer}}",
            "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{tmp_path}/warehouse.db",
        }
    )
    services = resource.services()
    services.warehouse.init()
    before = services.lake.open(DIM_TIME).version
    result = lake_maintenance.execute_in_process(resources={"patient_flow": resource})
    assert result.success
    assert lake_maintenance.tags.items() >= PIPELINE_TAG.items()
    assert services.lake.open(DIM_TIME).changes(before).both.is_empty()
    services.warehouse.dispose()
