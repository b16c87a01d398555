"""After an outage the next micro-batch is asked for as soon as one that left events behind has ended, and only then.

The sensor is ticked as the daemon does it, with its cursor, over the runs that an instance remembers.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from azure.eventhub import EventData, EventHubProducerClient
from dagster._core.events import StepMaterializationData

from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.definitions import build_defs
from patient_flow.local_hub.testing import HubThread
from patient_flow.orchestration import automation
from patient_flow.orchestration.automation import (
    ACTIVE,
    ASSET_JOB,
    catch_up,
    event_hub_backlog,
    lake_maintenance,
    micro_batch,
)
from patient_flow.orchestration.reports import lake_key
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import PIPELINE_TAG

LEFT_BEHIND = {"events": "2", "backlog": "5"}
NOTHING_LEFT = {"events": "5", "backlog": "5"}


class Daemon:
    """Ticks ``catch_up`` with the cursor of the tick before; its first tick only finds out where to begin."""

    def __init__(self, instance: dg.DagsterInstance, patient_flow: PatientFlow) -> None:
        self.instance = instance
        self._patient_flow = patient_flow
        self._repository = build_defs(patient_flow).get_repository_def()
        self._cursor: str | None = None
        self.tick()

    def tick(self) -> list[dict[str, str]]:
        """Tags of the runs that a tick asks for."""
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self._cursor,
            repository_def=self._repository,
            resources={"patient_flow": self._patient_flow},
        )
        done = catch_up.evaluate_tick(context)
        self._cursor = done.cursor
        return [dict(request.tags) for request in done.run_requests or []]

    def run(
        self,
        status: dg.DagsterRunStatus,
        tags: dict[str, str],
        job: str = micro_batch.name,
        figures: dict[str, int] | None = None,
    ) -> None:
        """A run that ended as ``status`` says, or is still at it; ``figures`` of its bronze step, if it had one."""
        run = dg.DagsterRun(
            job_name=job, run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED, tags={**PIPELINE_TAG, **tags}
        )
        self.instance.add_run(run)
        if figures is not None:
            done = StepMaterializationData(dg.AssetMaterialization(lake_key(BRONZE_EVENTS), metadata=dict(figures)))
            event = _event(dg.DagsterEventType.ASSET_MATERIALIZATION, job, done)
            self.instance.report_dagster_event(event, run.run_id)
        if status is dg.DagsterRunStatus.SUCCESS:
            self.instance.report_dagster_event(_event(dg.DagsterEventType.RUN_SUCCESS, job), run.run_id)
        elif status is dg.DagsterRunStatus.FAILURE:
            self.instance.report_run_failed(run)


def _event(kind: dg.DagsterEventType, job: str, data: StepMaterializationData | None = None) -> dg.DagsterEvent:
    return dg.DagsterEvent(event_type_value=kind.value, job_name=job, event_specific_data=data)


SUCCESS, FAILURE, STARTED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED


@pytest.fixture
def patient_flow(tmp_path: Any, hub_thread: HubThread) -> PatientFlow:
    with EventHubProducerClient.from_connection_string(hub_thread.connection, eventhub_name="patient-flow") as producer:
        batch = producer.create_batch(partition_id="1")
        for _ in range(5):
            batch.add(EventData(b"{}"))
        producer.send_batch(batch)
    return PatientFlow(
        overrides={
            "PATIENT_FLOW_LAKE_URI": f"{tmp_path}/{{layer}}",
            "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{tmp_path}/warehouse.db",
            "PATIENT_FLOW_EVENTHUB_CONNECTION": hub_thread.connection,
            "PATIENT_FLOW_MAX_EVENTS_PER_RUN": "2",
        }
    )


@pytest.fixture
def daemon(patient_flow: PatientFlow) -> Iterator[Daemon]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(instance, patient_flow)


def test_a_run_with_deferred_events_is_followed_by_one_that_knows_their_number(daemon: Daemon) -> None:
    daemon.run(SUCCESS, LEFT_BEHIND)
    (asked,) = daemon.tick()
    assert (asked["events"], asked["backlog"]) == ("2", "5")


def test_each_finished_run_is_followed_once(daemon: Daemon) -> None:
    daemon.run(SUCCESS, LEFT_BEHIND)
    assert [len(daemon.tick()) for _ in range(3)] == [1, 0, 0]


def test_in_daily_life_it_asks_for_nothing(daemon: Daemon) -> None:
    daemon.run(SUCCESS, NOTHING_LEFT)
    daemon.run(SUCCESS, {})  # from the UI
    assert [daemon.tick() for _ in range(3)] == [[], [], []]


def test_a_run_that_had_no_room_for_all_it_was_to_read_is_followed(daemon: Daemon) -> None:
    daemon.run(SUCCESS, NOTHING_LEFT, figures={"backlog": 3, "deferred_events": 3})
    assert [len(daemon.tick()) for _ in range(2)] == [1, 0]
    daemon.run(SUCCESS, NOTHING_LEFT, figures={"backlog": 0, "deferred_events": 0})
    assert daemon.tick() == []


def test_what_a_partition_in_trouble_holds_is_left_to_the_next_minute(daemon: Daemon) -> None:
    daemon.run(SUCCESS, NOTHING_LEFT, figures={"backlog": 3, "deferred_events": 0})
    assert daemon.tick() == []


def test_events_deferred_by_an_earlier_run_are_not_requested_again(daemon: Daemon) -> None:
    daemon.run(FAILURE, NOTHING_LEFT, figures={"backlog": 3, "deferred_events": 3})
    daemon.run(SUCCESS, NOTHING_LEFT)
    assert daemon.tick() == []


def test_a_failed_run_is_left_to_the_next_minute(daemon: Daemon) -> None:
    for _ in range(3):
        daemon.run(FAILURE, LEFT_BEHIND)
        assert daemon.tick() == []


def test_other_jobs_are_not_followed(daemon: Daemon) -> None:
    daemon.run(SUCCESS, LEFT_BEHIND, lake_maintenance.name)
    assert daemon.tick() == []


@pytest.mark.parametrize("job", [micro_batch.name, lake_maintenance.name, ASSET_JOB])
def test_it_never_asks_beside_a_run_that_is_on_its_way(job: str, daemon: Daemon) -> None:
    daemon.run(SUCCESS, LEFT_BEHIND)
    daemon.run(STARTED, {}, job)
    assert daemon.tick() == []


def test_both_sensors_together_ask_for_one_run(daemon: Daemon, patient_flow: PatientFlow) -> None:
    daemon.run(SUCCESS, LEFT_BEHIND)
    (asked,) = daemon.tick()
    daemon.run(STARTED, asked)
    reason = event_hub_backlog(dg.build_sensor_context(instance=daemon.instance), patient_flow=patient_flow)
    assert isinstance(reason, dg.SkipReason)
    assert daemon.instance.get_runs_count(dg.RunsFilter(statuses=ACTIVE)) == 1


def test_a_run_requested_by_the_other_sensor_during_the_probe_is_noticed(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe_hub = automation.probe_hub

    def meanwhile(*arguments: Any) -> Any:
        daemon.run(STARTED, LEFT_BEHIND)
        return probe_hub(*arguments)

    daemon.run(SUCCESS, LEFT_BEHIND)
    monkeypatch.setattr(automation, "probe_hub", meanwhile)
    assert daemon.tick() == []


def test_a_hub_that_went_away_again_asks_for_nothing_and_is_left_to_the_minute(
    daemon: Daemon, hub_thread: HubThread
) -> None:
    daemon.run(SUCCESS, LEFT_BEHIND)
    hub_thread.stop()
    assert daemon.tick() == []
