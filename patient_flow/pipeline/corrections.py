"""Corrections from a second source: bronze rows of a partition of their own (contract 3.6), written and withdrawn.

The steps that follow bronze do the rest, as for every other event.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from patient_flow.contracts.events import NO_HUB, RECONCILIATION, UNKNOWN
from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.pipeline.checkpoints import LAST_CORRECTION
from patient_flow.pipeline.reconciliation import Report
from patient_flow.pipeline.steps import ATTEMPTS, StepContext
from patient_flow.stores.lake.errors import CommitConflict
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import corrections
from patient_flow.transforms.json_objects import json_object
from patient_flow.transforms.reconciliation import Correction, Difference

_ROWS_OF_A_DELETE = 1000

c = pl.col


def write(context: StepContext, report: Report) -> int:
    """Appends the corrections of ``report`` that bronze lacks; returns how many."""
    for attempt in range(ATTEMPTS):
        with context.lake.writing():
            bronze = context.lake.open(BRONZE_EVENTS)
            bodies = [body for body in _bodies(report) if body["event_id"] not in _event_ids(bronze, report)]
            if not bodies:
                return 0
            first = (LAST_CORRECTION.read(bronze.checkpoint) or 0) + 1
            last = LAST_CORRECTION.of(first + len(bodies) - 1)
            try:
                bronze.append(
                    _bronze_rows(bodies, first, report.extract.taken_at, context), last, run_id=context.run_id
                )
            except CommitConflict:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * (attempt + 1))
                continue
            return len(bodies)
    return 0


def _bodies(report: Report) -> Iterator[dict[str, object]]:
    for difference in report.to_correct:
        numbers = report.numbers[difference.visit]
        for correction in difference.corrections:
            yield _body(correction, difference, numbers, report)


def _body(
    correction: Correction, difference: Difference, numbers: Mapping[str, Any], report: Report
) -> dict[str, object]:
    observed = {} if difference.stream_visit else {"gender": numbers["gender"], "age": numbers["age"]}
    if observed.get("gender") == UNKNOWN:
        del observed["gender"]
    stated = {
        "event_id": correction.event_id(report.extract.taken_at, difference.visit),
        "event_type": correction.event_type,
        "event_time": correction.event_time.isoformat(),
        **{name: numbers[name] for name in ("visit_id", "patient_id", "hospital_id")},
        **observed,
        **correction.stated,
    }
    scopes = numbers["visit_scope"], numbers["patient_scope"]
    return corrections.body_of(stated, *scopes, is_estimated=correction.is_estimated)


def _event_ids(bronze: LakeTable, report: Report) -> set[str]:
    rows = _corrections(bronze).filter(c("enqueued_at") == report.extract.taken_at).select("body").collect()
    stated = (json_object(body) for body in rows["body"] if body)
    return {str(body["event_id"]) for body in stated if body and "event_id" in body}  # not of an erased person


def _corrections(bronze: LakeTable) -> pl.LazyFrame:
    return bronze.scan().filter(c("hub_created_at") == NO_HUB, c("partition_id") == RECONCILIATION)


def _bronze_rows(
    bodies: Sequence[Mapping[str, object]], first: int, taken_at: datetime, context: StepContext
) -> pl.DataFrame:
    rows = [
        {
            "hub_created_at": NO_HUB,
            "partition_id": RECONCILIATION,
            "sequence_number": number,
            "enqueued_at": taken_at,
            "body": json.dumps(body, ensure_ascii=False).encode(),
            "ingested_at": context.now,
            "run_id": context.run_id,
            "ingested_date": context.now.date(),
        }
        for number, body in enumerate(bodies, start=first)
    ]
    return pl.DataFrame(rows, schema=BRONZE_EVENTS.schema)


def withdraw(context: StepContext, day: date) -> int:
    """Deletes the corrections of extracts taken on the local ``day`` from bronze; returns how many.

    Raises :class:`OperatorError` where there are none.
    """
    with context.lake.writing():
        bronze = context.lake.open(BRONZE_EVENTS)
        local = c("enqueued_at").dt.convert_time_zone(context.timezone).dt.date()
        numbers = _corrections(bronze).filter(local == day).select("sequence_number").collect()["sequence_number"]
        if numbers.is_empty():
            raise OperatorError(f"no corrections of an extract taken on {day:%Y-%m-%d} are in the lake")
        for part in numbers.sort().to_frame().iter_slices(_ROWS_OF_A_DELETE):
            listed = ", ".join(map(str, part["sequence_number"]))
            predicate = f"partition_id = '{RECONCILIATION}' and sequence_number in ({listed})"
            bronze.delete(predicate, {}, run_id=context.run_id)
        return numbers.len()
