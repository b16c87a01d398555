"""The sensor: at most one run, asked for only when events wait, and a reason in every other tick."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from azure.eventhub import EventData, EventHubProducerClient
from deltalake import DeltaTable

from patient_flow import settings
from patient_flow.contracts.tables import BRONZE_EVENTS, DIM_PATIENT, DIM_TIME, QUARANTINE
from patient_flow.local_hub.testing import HubThread
from patient_flow.monitoring.finding import Severity
from patient_flow.monitoring.notices import Notice, PartitionAdded, encode
from patient_flow.orchestration import automation
from patient_flow.orchestration.alert_sensor import judge_machine
from patient_flow.orchestration.automation import (
    ACTIVE,
    decide,
    event_hub_backlog,
    lake_maintenance,
    micro_batch,
)
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import PIPELINE_TAG
from patient_flow.pipeline import hub_probe
from patient_flow.pipeline.backlog import Backlog, PartitionBacklog
from patient_flow.pipeline.maintenance import KEEP_HOURS
from patient_flow_tests.orchestration.test_micro_batch import send, snapshot
from patient_flow_tests.stacks import Stack

STARTED, SUCCESS, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


def backlog(*events: int, notices: tuple[Notice, ...] = ()) -> Backlog:
    parts = tuple(PartitionBacklog(str(n), -1, count - 1, count) for n, count in enumerate(events))
    return Backlog("hub/h/patient-flow", 0, parts, len(parts), notices)


@pytest.fixture
def patient_flow(stack: Stack, hub_thread: HubThread) -> PatientFlow:
    return PatientFlow(overrides={**stack.settings(), "PATIENT_FLOW_EVENTHUB_CONNECTION": hub_thread.connection})


def tick(instance: dg.DagsterInstance, resource: PatientFlow) -> object:
    return event_hub_backlog(dg.build_sensor_context(instance=instance), patient_flow=resource)


def test_events_that_wait_ask_for_one_run_without_a_run_key() -> None:
    request = decide(backlog(3, 4), is_active=False)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key is None
    assert request.tags == {"events": "7", "backlog": "7"}


def test_without_events_there_is_no_run() -> None:
    reason = decide(backlog(), is_active=False)
    assert isinstance(reason, dg.SkipReason)
    assert reason.skip_message == "no new events"


def test_what_is_odd_asks_for_a_run_that_records_it_also_without_events() -> None:
    request = decide(backlog(notices=(PartitionAdded("3"),)), is_active=False)
    assert isinstance(request, dg.RunRequest)
    assert request.tags == {"events": "0", "backlog": "0", "notices": encode([PartitionAdded("3")])}


def test_a_slow_hub_is_named_with_and_without_a_run_request() -> None:
    reason = decide(backlog(), is_active=False, slow="Event Hub h took 12 s")
    assert isinstance(reason, dg.SkipReason)
    assert reason.skip_message == "no new events; Event Hub h took 12 s"
    request = decide(backlog(1), is_active=False, slow="Event Hub h took 12 s")
    assert isinstance(request, dg.RunRequest)
    assert request.tags["hub"] == "Event Hub h took 12 s"


def test_the_tick_reports_a_slow_hub(
    patient_flow: PatientFlow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_probe, "SLOW_SECONDS", 0.0)
    reason = tick(instance, patient_flow)
    assert isinstance(reason, dg.SkipReason)
    assert re.fullmatch("no new events; the hub took .* s to answer", str(reason.skip_message))


def ended(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> None:
    """Micro-batches that ended like this, one after another."""
    for status in statuses:
        run = dg.DagsterRun(job_name=micro_batch.name, run_id=str(uuid.uuid4()), tags=PIPELINE_TAG, status=STARTED)
        instance.add_run(run)
        if status is SUCCESS:
            kind = dg.DagsterEventType.RUN_SUCCESS.value
            instance.report_dagster_event(dg.DagsterEvent(event_type_value=kind, job_name=run.job_name), run.run_id)
        else:
            instance.report_run_failed(run)


def test_a_failed_run_is_requested_again_after_a_minute_without_new_events(
    patient_flow: PatientFlow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(instance, SUCCESS, FAILURE)
    assert isinstance(tick(instance, patient_flow), dg.SkipReason)  # what made it fail has just been there
    monkeypatch.setattr(automation, "RETRY_DELAY", timedelta(0))
    request = tick(instance, patient_flow)
    assert isinstance(request, dg.RunRequest)
    assert request.tags == {"events": "0", "backlog": "0", "again": "the previous run failed"}


@pytest.mark.parametrize(
    "statuses", [(FAILURE, SUCCESS), (SUCCESS, FAILURE, FAILURE, FAILURE)], ids=["healed", "lasting"]
)
def test_recovered_and_permanent_failures_are_not_requested_every_minute(
    statuses: tuple[dg.DagsterRunStatus, ...],
    patient_flow: PatientFlow,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(automation, "RETRY_DELAY", timedelta(0))
    ended(instance, *statuses)
    reason = tick(instance, patient_flow)
    assert isinstance(reason, dg.SkipReason)
    assert reason.skip_message == "no new events"


def test_lasting_failures_are_requested_again_without_new_events_but_later(
    patient_flow: PatientFlow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(instance, *[FAILURE] * 4)
    monkeypatch.setattr(automation, "LATER_RETRY_DELAY", timedelta(0))
    request = tick(instance, patient_flow)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["again"] == "the previous run failed"


@pytest.mark.embedded_only("disks of this machine")
def test_no_run_is_requested_while_a_disk_is_full(
    patient_flow: PatientFlow, instance: dg.DagsterInstance, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(hub_thread, [snapshot("a")])
    free = 3
    monkeypatch.setattr(settings, "room", lambda _: (1, free * 2**20, 500 * 2**20))
    full = tick(instance, patient_flow)
    assert isinstance(full, dg.SkipReason)
    assert str(full.skip_message).startswith("3 of 500 MiB free on the disk of ")
    assert str(full.skip_message).endswith("See infra/docs/runbook/disk_full.md.")
    assert [firing.finding.severity for firing in judge_machine(patient_flow.systems().settings).firings] == [
        Severity.ERROR
    ]
    free = 12  # more than 2 %, and less than 5 %: room to go on
    assert isinstance(tick(instance, patient_flow), dg.RunRequest)
    assert [firing.finding.severity for firing in judge_machine(patient_flow.systems().settings).firings] == [
        Severity.WARNING
    ]


@pytest.mark.parametrize("status", [status for status in ACTIVE if status is not dg.DagsterRunStatus.QUEUED])
def test_no_second_micro_batch_is_requested_while_one_is_active(
    status: dg.DagsterRunStatus, patient_flow: PatientFlow, instance: dg.DagsterInstance
) -> None:
    instance.add_run(
        dg.DagsterRun(job_name=micro_batch.name, run_id=uuid.uuid4().hex, status=status, tags=PIPELINE_TAG)
    )
    reason = tick(instance, patient_flow)
    assert isinstance(reason, dg.SkipReason)
    assert reason.skip_message == "a micro-batch is queued or running"


def test_a_hub_that_is_down_is_named_in_the_tick_and_fails_nothing(
    patient_flow: PatientFlow, hub_thread: HubThread, instance: dg.DagsterInstance
) -> None:
    hub_thread.stop()
    reason = tick(instance, patient_flow)
    assert isinstance(reason, dg.SkipReason)
    assert "patient-flow hub" in str(reason.skip_message)


def test_the_sensor_peeks_and_does_not_consume(
    patient_flow: PatientFlow, hub_thread: HubThread, instance: dg.DagsterInstance
) -> None:
    with EventHubProducerClient.from_connection_string(hub_thread.connection, eventhub_name="patient-flow") as producer:
        batch = producer.create_batch(partition_id="1")
        batch.add(EventData(b"{}"))
        producer.send_batch(batch)
    for _ in range(2):
        request = tick(instance, patient_flow)
        assert isinstance(request, dg.RunRequest)
        assert request.tags["events"] == "1"


def test_maintenance_runs_in_the_slot_of_the_micro_batch_and_leaves_the_tables_as_they_are(
    stack: Stack, instance: dg.DagsterInstance
) -> None:
    resource = PatientFlow(overrides=stack.settings())
    services = resource.services()
    services.warehouse.init()
    before = services.lake.open(DIM_TIME).version
    result = lake_maintenance.execute_in_process(resources={"patient_flow": resource}, instance=instance)
    assert result.success
    assert lake_maintenance.tags.items() >= PIPELINE_TAG.items()
    assert services.lake.open(DIM_TIME).changes(before).both.is_empty()
    services.warehouse.dispose()


@pytest.mark.embedded_only("a file is deleted")
def test_a_table_that_cannot_be_maintained_holds_up_no_other_and_is_named(
    stack: Stack, instance: dg.DagsterInstance
) -> None:
    resource = PatientFlow(overrides=stack.settings())
    services = resource.services()
    services.warehouse.init()
    opened = [services.lake.open(table) for table in (BRONZE_EVENTS, QUARANTINE)]
    for version in range(3):
        for table in opened:
            table.append(table.table.empty().clear(n=1), {"source": version})
    Path(DeltaTable(opened[0].uri).file_uris()[0].removeprefix("file://")).unlink()
    result = lake_maintenance.execute_in_process(
        resources={"patient_flow": resource}, instance=instance, raise_on_error=False
    )
    assert not result.success
    said = [str(entry.message) for entry in instance.all_logs(result.run_id)]
    assert f"{QUARANTINE.path}: 3 files compacted, 0 deleted" in said
    assert any(f"cannot compact {BRONZE_EVENTS.path}" in message for message in said)
    failed = result.failure_data_for_node("maintain_lake")
    assert failed is not None
    assert f"maintenance failed for {BRONZE_EVENTS.path}:" in failed.user_failure_data.description
    services.warehouse.dispose()


@pytest.mark.embedded_only("a file is cut off")
def test_damage_that_only_maintenance_meets_ends_with_its_page_after_the_last_table(
    stack: Stack, instance: dg.DagsterInstance
) -> None:
    resource = PatientFlow(overrides=stack.settings())
    services = resource.services()
    services.warehouse.init()
    opened = [services.lake.open(table) for table in (DIM_TIME, QUARANTINE)]
    for version in range(3):
        for table in opened:
            table.append(table.table.empty().clear(n=1), {"source": version})
    newest = max(Path(opened[1].uri.removeprefix("file://"), "_delta_log").glob("*.json"))
    newest.write_bytes(newest.read_bytes()[:50])
    result = lake_maintenance.execute_in_process(
        resources={"patient_flow": resource}, instance=instance, raise_on_error=False
    )
    assert not result.success
    assert f"{DIM_TIME.path}: 3 files compacted, 0 deleted" in [e.message for e in instance.all_logs(result.run_id)]
    failed = result.failure_data_for_node("maintain_lake")
    assert failed is not None
    description = str(failed.user_failure_data.description)
    assert description.startswith(f"{QUARANTINE.path} is damaged: {newest}")
    assert "damaged_table.md" in description
    services.warehouse.dispose()


def test_a_warehouse_that_does_not_answer_holds_up_no_upkeep_and_loses_no_file(
    stack: Stack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patient_flow.pipeline.maintenance.KEEP_HOURS", dict.fromkeys(KEEP_HOURS, 0))
    resource = PatientFlow(overrides=stack.settings())  # its warehouse has no table yet
    services = resource.services()
    in_gold, in_silver = services.lake.open(DIM_PATIENT), services.lake.open(QUARANTINE)
    for version in range(3):
        for opened in (in_gold, in_silver):
            opened.append(opened.table.empty().clear(n=1), {"source": version})
    result = lake_maintenance.execute_in_process(resources={"patient_flow": resource}, instance=instance)
    assert result.success
    said = [entry.message for entry in instance.all_logs(result.run_id)]
    assert any("gold tables are not vacuumed" in message for message in said)
    assert len(stack.data_files(in_gold.uri)) == 3 + 1  # joined, and what was joined is still there
    assert f"{QUARANTINE.path}: 3 files compacted, 3 deleted" in said
    services.warehouse.dispose()
