"""Disaster recovery: bronze is gone, and comes back from Capture (infra/docs/disaster-recovery.md)."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fastavro
import polars as pl
import pytest
from azure.eventhub import EventData, EventHubProducerClient

from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.local_hub.testing import HubThread
from patient_flow.monitoring.finding import Severity
from patient_flow.monitoring.rules.arrival import all_events_arrive_once
from patient_flow.pipeline import bronze, capture
from patient_flow.pipeline.hub_probe import peek
from patient_flow.pipeline.inspection import all_bronze_events
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.capture import CaptureRefused
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.builders import EVENT_STEPS, HUB_CREATED, at, contents, event, run_step, step_context
from patient_flow_tests.scenarios.agreement import assert_same, everything
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS

SCHEMA = {
    "type": "record",
    "name": "EventData",
    "namespace": "Microsoft.ServiceBus.Messaging",
    "fields": [
        {"name": "SequenceNumber", "type": "long"},
        {"name": "Offset", "type": "string"},
        {"name": "EnqueuedTimeUtc", "type": "string"},
        {"name": "SystemProperties", "type": {"type": "map", "values": ["long", "double", "string", "bytes"]}},
        {"name": "Properties", "type": {"type": "map", "values": ["long", "double", "string", "bytes", "null"]}},
        {"name": "Body", "type": ["null", "bytes"]},
    ],
}
"""Of the files that Azure writes."""


def write(path: Path, rows: pl.DataFrame, *, cut: int = 0) -> Path:
    """Bronze ``rows`` as Capture writes them; without the last ``cut`` bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [
        {
            "SequenceNumber": row["sequence_number"],
            "Offset": row["offset"],
            "EnqueuedTimeUtc": f"{row['enqueued_at']:%m/%d/%Y %I:%M:%S %p}",
            "SystemProperties": {} if row["partition_key"] is None else {"x-opt-partition-key": row["partition_key"]},
            "Properties": json.loads(row["properties"] or "{}"),
            "Body": row["body"],
        }
        for row in rows.sort("sequence_number").iter_rows(named=True)
    ]
    with path.open("wb") as file:
        fastavro.writer(file, SCHEMA, records, sync_interval=300)
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path


def place(folder: Path, partition: str, minute: int) -> Path:
    """As the templates' format has it."""
    return folder / f"ns/patient-flow/2026/11/29/10/{minute:02}/00/{partition}.avro"


def send(hub: HubThread, numbers: range) -> None:
    with EventHubProducerClient.from_connection_string(hub.connection, eventhub_name="patient-flow") as producer:
        for number in numbers:
            body = event(visit_id=f"v{number}", patient_id=f"p{number}", event_time=at("10:00"))
            data = EventData(json.dumps(body))
            data.properties = {"feed": "adt", "attempt": number}
            producer.send_batch([data], partition_id=str(number % 2))


def hub_of(thread: HubThread) -> Hub:
    return Hub(connection=thread.connection, host="127.0.0.1", name="patient-flow", consumer_group="$Default")


def context_of(lake: Lake, hub: Hub | None = None) -> StepContext:
    return step_context(lake, DEPARTMENTS, now=datetime.now(UTC), hub=hub, max_events=1_000)


def follow(lake: Lake) -> None:
    for step in EVENT_STEPS:
        run_step(step, lake, DEPARTMENTS)


def in_seconds(frames: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Without the fractions of the hub's clock, which Capture does not state."""
    return {
        path: frame.with_columns(
            pl.col(name).dt.truncate("1s") for name in ("enqueued_at", "last_enqueued_at") if name in frame.columns
        )
        for path, frame in frames.items()
    }


@pytest.mark.embedded_only("deletes the folder of bronze")
def test_the_drill_a_deleted_bronze_comes_back_and_a_rebuild_needs_nothing_else(lake: Lake, tmp_path: Path) -> None:
    thread = HubThread(tmp_path / "hub", partitions=2)
    with thread:
        hub = hub_of(thread)
        send(thread, range(20))
        bronze.ingest(context_of(lake, hub))
        follow(lake)
        captured, created = contents(lake, BRONZE_EVENTS), peek(hub).created_at
        for partition in ("0", "1"):
            rows = captured.filter(partition_id=partition)
            write(place(tmp_path / "capture", partition, 1), rows.head(6))
            write(place(tmp_path / "capture", partition, 6), rows.tail(6))
        send(thread, range(20, 24))
    before = in_seconds(everything(lake))
    files = sorted((tmp_path / "capture").rglob("*.avro"))

    shutil.rmtree(Path(lake.uri(BRONZE_EVENTS).removeprefix("file://")))
    found = capture.survey(files, None)
    assert found.rows.height == 20
    assert "overlap with others" in next(found.notes())
    context = context_of(lake, hub)  # the hub is down
    assert capture.created_at(context, found, None, None) == created
    report = list(capture.restore(context, found, created, None))
    assert report[0].startswith("partition 0: 10 events restored, bronze holds 0 to 9")
    assert capture.record_losses(context, found, created) == 0
    names = ("partition_id", "sequence_number", "offset", "partition_key", "properties", "body", "hub_created_at")
    assert contents(lake, BRONZE_EVENTS).select(names).equals(captured.select(names))
    again = capture.restore(context, capture.survey(files, None), created, None)
    assert next(again).startswith("partition 0: 0 events restored")
    list(rebuild(context_of(lake)))
    assert_same(in_seconds(everything(lake)), before)

    with HubThread(tmp_path / "hub", partitions=2) as again:
        done = bronze.ingest(context_of(lake, hub_of(again)))
    assert done.written.inserted == 4
    assert not done.notices
    assert all_events_arrive_once(all_bronze_events(lake)).severity is Severity.OK


@pytest.fixture
def captured() -> pl.DataFrame:
    """Twelve events of one partition."""
    return pl.DataFrame(
        [
            {
                "sequence_number": number,
                "offset": str(number),
                "enqueued_at": at("12:00") + timedelta(minutes=number),
                "partition_key": None,
                "properties": None,
                "body": json.dumps(event(visit_id=f"v{number}")).encode(),
            }
            for number in range(12)
        ],
        schema_overrides={"partition_key": pl.String(), "properties": pl.String()},
    )


def test_holes_are_named_as_lost_and_the_check_knows_of_them(
    lake: Lake, tmp_path: Path, captured: pl.DataFrame
) -> None:
    files = [
        write(place(tmp_path, "0", 1), captured.head(4), cut=30),
        write(place(tmp_path, "0", 6), captured.tail(4)),
        place(tmp_path, "0", 11),
    ]
    files[2].parent.mkdir(parents=True)
    files[2].write_bytes(b"Obj")
    found = capture.survey(files, None)
    assert [path.name for path in found.cut_off] == ["0.avro", "0.avro"]
    assert "cut off" in next(found.notes())
    context = context_of(lake)
    report = list(capture.restore(context, found, HUB_CREATED, None))
    assert "LOST: 6 events, in no file (2 to 7)" in report[0]
    assert capture.record_losses(context, found, HUB_CREATED) == 6
    finding = all_events_arrive_once(all_bronze_events(lake))
    assert finding.severity is Severity.OK
    assert "6 that retention deleted" in finding.message


def test_files_of_two_hubs_and_foreign_files_are_refused_before_a_row_is_written(
    lake: Lake, tmp_path: Path, captured: pl.DataFrame
) -> None:
    other = captured.with_columns(pl.col("enqueued_at") + timedelta(days=9), body=pl.lit(b'{"patient_id": "another"}'))
    first, second = write(place(tmp_path, "0", 1), captured), write(place(tmp_path, "0", 6), other)
    with pytest.raises(CaptureRefused, match="start again"):
        capture.survey([first, second], None)
    with pytest.raises(CaptureRefused, match="--partition"):
        capture.survey([write(tmp_path / "events.avro", captured)], None)
    assert capture.survey([tmp_path / "events.avro"], "7").rows["partition_id"].unique().to_list() == ["7"]
    default = write(tmp_path / "ns/patient-flow/3/2026/11/29/10/06/00.avro", captured)
    assert capture.survey([default], None).rows["partition_id"].unique().to_list() == ["3"]
    context = context_of(lake)
    with pytest.raises(CaptureRefused, match="--hub-created-at"):
        capture.created_at(context, capture.survey([first], None), None, None)
    list(capture.restore(context, capture.survey([first], None), HUB_CREATED, None))
    with pytest.raises(CaptureRefused, match="another body"):
        list(capture.restore(context, capture.survey([second], None), HUB_CREATED, None))
    later = HUB_CREATED + timedelta(days=80)
    list(capture.restore(context, capture.survey([second], None), later, None))
    assert contents(lake, BRONZE_EVENTS)["hub_created_at"].value_counts().height == 2
    wrong = tmp_path / "wrong" / place(tmp_path, "0", 1).relative_to(tmp_path)
    wrong.parent.mkdir(parents=True)
    with wrong.open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "X", "fields": [{"name": "a", "type": "int"}]}, [{"a": 1}])
    with pytest.raises(CaptureRefused, match="no file of Event Hubs Capture"):
        capture.survey([wrong], None)
