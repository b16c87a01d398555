"""What tests are made of: full valid events with one thing changed, bronze rows, and runs of every step of the lake.

Time stands still: the hospital's day is 20 March 2026 and the hub stamps events from the evening of that day on.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
from deltalake import DeltaTable

from patient_flow.contracts.events import NO_HUB
from patient_flow.contracts.tables import BRONZE_EVENTS, EVENT_COORDINATES, QUARANTINE, SILVER_EVENTS, Table
from patient_flow.pipeline import graph
from patient_flow.pipeline.steps import StepContext, StepResult
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.stores.reference import COLUMNS as DEPARTMENT_COLUMNS
from patient_flow.transforms import accept
from patient_flow.transforms.read import ParserConfig, read_events

Body = dict[str, Any]

ZONE = "Europe/Paris"
SECRET = "a test's secret: 9f86d081884c7d659a2feaa0c55ad015"
MIDNIGHT = datetime(2026, 3, 20, tzinfo=UTC)
NOW = datetime(2026, 3, 23, 12, tzinfo=UTC)
"""When steps run, where they ask for it; later than everything that the hub stamps by default."""
ENQUEUED = datetime(2026, 3, 22, tzinfo=UTC)
"""When the hub stamps the first event, unless a test says otherwise."""
HUB_CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def at(clock: str) -> datetime:
    """``"10:00"`` on 20 March 2026 in UTC; ``"10:00 +1"`` on the day after it, as in a timetable."""
    said = re.fullmatch(r"(\d\d):(\d\d)(?: ([+-]\d+))?", clock)
    if said is None:
        raise ValueError(f"{clock!r} is no time such as 10:00 or 10:00 +1")
    hours, minutes, days = (int(part or 0) for part in said.groups())
    return MIDNIGHT + timedelta(days=days, hours=hours, minutes=minutes)


def event(**changes: Any) -> Body:
    """A full valid lifecycle event, an admission to the ICU, with some things changed; None leaves a field out."""
    body: Body = {
        "schema_version": "1",
        "event_type": "admission",
        "visit_id": "v1",
        "event_time": at("10:00"),
        "patient_id": "p1",
        "hospital_id": 1,
        "department": "ICU",
        "gender": "Female",
        "age": 42,
        **changes,
    }
    body.setdefault("event_id", f"{body['event_type']} of {body['visit_id']} at {_said(body['event_time'])}")
    return _wire(body)


def snapshot(**changes: Any) -> Body:
    """A full valid event of the reference format, one per visit, with some things changed; None leaves a field out."""
    return _wire(
        {
            "patient_id": "p1",
            "gender": "Female",
            "age": 42,
            "department": "ICU",
            "admission_time": at("10:00"),
            "discharge_time": at("15:00 +1"),
            "bed_id": 311,
            "hospital_id": 1,
            **changes,
        }
    )


class Delivery(NamedTuple):
    """One event as the hub holds it."""

    body: Body | list[Body] | bytes
    enqueued_at: datetime
    partition: str
    number: int
    imported_at: datetime | None = None
    """Of a row of a file: when it was imported. Its partition is named as imported ones are."""

    @property
    def coordinates(self) -> tuple[str, int]:
        """What tells it from every other event of the hub."""
        return self.partition, self.number


def deliveries(
    bodies: Iterable[Body | list[Body] | bytes], *, partitions: int = 1, start: datetime = ENQUEUED, every: float = 1.0
) -> list[Delivery]:
    """``bodies`` as the hub accepts them one after another, dealt to its partitions in turn."""
    return [
        Delivery(body, start + timedelta(seconds=every * turn), str(turn % partitions), turn // partitions)
        for turn, body in enumerate(bodies)
    ]


def bronze(received: Iterable[Delivery | Body | bytes]) -> pl.DataFrame:
    """Bronze rows of what the hub holds; plain bodies are delivered one after another to one partition."""
    given = list(received)
    if not all(isinstance(item, Delivery) for item in given):
        given = list(deliveries(given))  # type: ignore[arg-type]
    rows = [
        {
            "hub_created_at": HUB_CREATED if item.imported_at is None else NO_HUB,
            "partition_id": item.partition,
            "sequence_number": item.number,
            "offset": str(item.number),
            "enqueued_at": item.enqueued_at,
            "body": item.body if isinstance(item.body, bytes) else json.dumps(item.body).encode(),
            "ingested_at": item.imported_at or NOW,
            "run_id": "test",
            "ingested_date": NOW.date(),
        }
        for item in given
    ]
    return pl.DataFrame(rows, schema=BRONZE_EVENTS.schema)


def accepted(received: Iterable[Delivery | Body | bytes], departments: pl.DataFrame) -> pl.DataFrame:
    """The silver rows of what the hub holds, without a lake."""
    return accepted_and_repeated(received, departments)[0]


def accepted_and_repeated(
    received: Iterable[Delivery | Body | bytes], departments: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The silver rows of what the hub holds, and the snapshots received again (visit_hash, enqueued_at)."""
    judged = accept.validate(read_events(bronze(received), ParserConfig(departments, SECRET)))
    candidates = accept.candidates(judged, SECRET)
    rows = accept.accept(candidates, SILVER_EVENTS.empty()).rows
    losers = candidates.join(rows, on=EVENT_COORDINATES, how="anti")
    repeated = accept.identity_outcomes(losers, rows).filter(pl.col("ignored_as").is_not_null())
    return rows, losers.join(repeated, on=EVENT_COORDINATES, how="semi").select("visit_hash", "enqueued_at")


def department(**changes: Any) -> dict[str, Any]:
    """One line of a department list with some things changed."""
    return {
        "hospital_id": "1",
        "hospital_name": "Saint-Aubin",
        "department": "ICU",
        "staffed_beds": 10,
        "staff": 30,
        "expected_los_hours": 48.0,
        "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
        **changes,
    }


def department_list(*lines: Mapping[str, Any]) -> pl.DataFrame:
    """A department list of these lines."""
    return pl.DataFrame(list(lines), schema=DEPARTMENT_COLUMNS)


_RUNS = {step.run.__name__: step.run for step in graph.STEPS[1:]}
STEPS = tuple(_RUNS)
"""Every step from bronze to gold, in the order of a micro-batch."""
EVENT_STEPS = tuple(step for step in STEPS if step != "dim_time")
"""Without DimTime, which is large and the same for all events of the calendar's years."""


def run_step(name: str, lake: Lake, departments: ParserConfig | pl.DataFrame) -> StepResult:
    """Runs one of :data:`STEPS`."""
    return _RUNS[name](step_context(lake, departments))


def step_context(lake: Lake, parser: ParserConfig | pl.DataFrame, **more: Any) -> StepContext:
    """What a step may use in a test; of a department list a parser is made."""
    if isinstance(parser, pl.DataFrame):
        parser = ParserConfig(parser, SECRET)
    return StepContext(lake, parser, **{"timezone": ZONE, "now": NOW, "run_id": "test", **more})


def receive(lake: Lake, batch: Iterable[Delivery | Body | bytes]) -> None:
    """Bronze takes in one micro-batch, with the position of every partition it came from."""
    rows = bronze(batch)
    last = rows.group_by("partition_id").agg(pl.col("sequence_number").max())
    lake.open(BRONZE_EVENTS).append(rows, {f"hub/{partition}": number for partition, number in last.iter_rows()})


def forget_log(table: LakeTable) -> None:
    """Drops the log of everything before the present version, as maintenance does once it is old enough."""
    handle = DeltaTable(table.uri)
    handle.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    time.sleep(1)  # a blob's time of modification is kept in whole seconds
    handle.create_checkpoint()
    handle.cleanup_metadata()


def run_micro_batches(
    lake: Lake,
    batches: Iterable[Iterable[Delivery | Body | bytes]],
    departments: ParserConfig | pl.DataFrame,
    *,
    steps: Sequence[str] = STEPS,
) -> None:
    """Each batch reaches bronze and then every step runs."""
    for batch in batches:
        receive(lake, batch)
        for step in steps:
            run_step(step, lake, departments)


def contents(lake: Lake, table: Table) -> pl.DataFrame:
    """All rows of a table, in the order of its key; of quarantine without the moment it was written."""
    rows = lake.open(table).scan().collect().sort(table.key)
    return rows.drop("rejected_at") if table is QUARANTINE else rows


def _wire(body: Body) -> Body:
    return {name: _said(value) for name, value in body.items() if value is not None}


def _said(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
