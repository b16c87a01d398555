"""A simulated network whose stream loses messages, and a ward list every morning: what the census says without them.

The simulator's whole feed is the truth.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS, DIM_DEPARTMENT, FACT_BED_CENSUS
from patient_flow.importing import Options
from patient_flow.pipeline.checkpoints import READ_UNTIL
from patient_flow.pipeline.reconciliation import Report
from patient_flow.reconciling import Outcome, reconcile
from patient_flow.services import Services
from patient_flow.simulator import departments
from patient_flow.simulator.feed import Plan, messages
from patient_flow.transforms import dimensions
from patient_flow.transforms.reconciliation import Kind, Side
from patient_flow.transforms.visits.fold import fold
from patient_flow_tests.builders import ZONE, Delivery, accepted_and_repeated, bronze

START = datetime(2026, 1, 9, 23, tzinfo=UTC)
"""Midnight in Paris."""
AFTER = timedelta(hours=2)
"""How long after an extract was taken it is compared with the stream."""
RULES = '[[rule]]\nwins = ["admission", "transfer", "discharge", "confirmation"]\n'

_RESTATES = {"admission", "transfer", "discharge", "cancel_admission", "cancel_discharge", "cancel_transfer"}

Places = Counter[tuple[str, str, str]]
"""Patients in bed by hospital, department and gender."""


@dataclass
class Morning:
    """What a morning's extract has found, and the census of its hour with and without corrections."""

    taken_at: datetime
    report: Report
    truth: Places
    census: Places
    uncorrected: Places
    lost: dict[str, set[Kind]] = field(default_factory=dict)
    """Visits that a message lost since the morning before left wrong, and the kind that names it."""

    @property
    def named(self) -> dict[str, Kind]:
        """Visits that the report names, by their numbers."""
        numbers = self.report.numbers
        return {str(numbers[each.visit]["visit_id"]): each.kind for each in self.report.named if each.kind is not None}

    @property
    def wrong_beds(self) -> int:
        """Beds by which the census would be wrong without corrections."""
        return sum(abs(self.truth[key] - self.uncorrected[key]) for key in self.truth | self.uncorrected)


def feed(listed: str, days: int, seed: int) -> list[dict[str, Any]]:
    """The simulator's events of some days, in their order."""
    begins = int(START.timestamp() * 1_000_000)
    ends = begins + int(timedelta(days=days, hours=12).total_seconds()) * 1_000_000
    plan = Plan(seed, begins, ends, departments.load(listed), ZoneInfo(ZONE), dirty=0.0, ends_now=True)
    return [json.loads(message.body) for message in messages(plan)]


def losses(events: list[dict[str, Any]], rates: dict[str, float], seed: int) -> list[bool]:
    """Which events the stream loses; what the simulation began with is there."""
    chance = Random(seed)
    return [
        chance.random() < rates.get(event["event_type"], 0.0) and _time(event) > START + timedelta(hours=1)
        for event in events
    ]


def mornings(services: Services, folder: Path, *, days: int, seed: int, rates: dict[str, float]) -> Iterator[Morning]:
    """The stream without its lost messages reaches the lake, and each morning's list of the truth is reconciled."""
    events = feed(services.settings.departments, days, seed)
    lost = losses(events, rates, seed)
    deliveries = [
        Delivery(event, max(_time(event), START) + timedelta(seconds=20), "0", number)
        for number, event in enumerate(events)
    ]
    truth, _ = accepted_and_repeated(deliveries, services.departments)
    stream, _ = accepted_and_repeated(
        [each for each, is_lost in zip(deliveries, lost, strict=True) if not is_lost], services.departments
    )
    numbers = dict(
        truth.filter(pl.col("visit_id").is_not_null())
        .select("visit_id", "sequence_number")
        .unique("visit_id")
        .iter_rows()
    )
    places = dimensions.department_versions(services.departments, truth.select("hospital_id", "department"))
    sent = 0
    for day in range(1, days + 1):
        taken_at = START + timedelta(days=day, hours=6)
        until = sum(delivery.enqueued_at <= taken_at + AFTER for delivery in deliveries)
        arriving = [each for each, is_lost in zip(deliveries[sent:until], lost[sent:until], strict=True) if not is_lost]
        sent = until
        services.lake.open(BRONZE_EVENTS).append(bronze(arriving), READ_UNTIL.of(taken_at + AFTER))
        listed = _beds(truth, places, taken_at, known_at=taken_at)
        right, alone = (_beds(silver, places, taken_at, known_at=taken_at + AFTER) for silver in (truth, stream))
        path = folder / f"wards-{day:03}.csv"
        _write(path, listed, numbers, events)
        outcome = Outcome()
        for _ in reconcile(services, [str(path)], Options(taken_at), outcome):
            pass
        genders = {number: events[number].get("gender", "Unknown") for number in numbers.values()}
        yield Morning(
            taken_at,
            outcome.reports[0],
            _count(right, numbers, genders),
            _census(services, taken_at),
            _count(alone, numbers, genders),
            _visible(events, lost, {events[numbers[visit]]["visit_id"] for visit in alone.in_bed()}, taken_at),
        )


def _visible(
    events: list[dict[str, Any]], lost: list[bool], in_bed: set[str], taken_at: datetime
) -> dict[str, set[Kind]]:
    """Lost messages of the last day after which the stream stated nothing else of the visit until the morning.

    ``in_bed`` are the visits of the stream: a patient without a discharge who is in a ward elsewhere is in none (F17).
    """
    since, found = taken_at - timedelta(days=1), dict[str, set[Kind]]()
    kinds = {
        "discharge": Kind.MISSING_DISCHARGE,
        "admission": Kind.MISSING_ADMISSION,
        "transfer": Kind.OTHER_DEPARTMENT,
    }
    received: dict[str, set[str]] = {}
    for event, is_lost in zip(events, lost, strict=True):
        if not is_lost and event.get("visit_id") and _time(event) <= taken_at:
            received.setdefault(event["visit_id"], set()).add(event["event_type"])
    for number, (event, is_lost) in enumerate(zip(events, lost, strict=True)):
        if not is_lost or not since < _time(event) <= taken_at:
            continue
        visit, kind = event["visit_id"], event["event_type"]
        later = {
            other["event_type"]
            for other in events[number + 1 :]
            if other.get("visit_id") == visit and _time(other) <= taken_at
        }
        if later & _RESTATES or (kind == "transfer" and "update" in later):
            continue
        is_placed = bool(received.get(visit, set()) & {"admission", "transfer"})
        if kind == "discharge" and visit not in in_bed:
            continue
        found.setdefault(visit, set()).add(kinds[kind] if is_placed else Kind.MISSING_ADMISSION)
    return found


def _time(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["event_time"])


def _beds(silver: pl.DataFrame, places: pl.DataFrame, at: datetime, *, known_at: datetime) -> Side:
    known = silver.filter(pl.col("enqueued_at") <= known_at)
    folded = fold(known, places, unconfirmed_days=90, zone=ZONE)
    return Side.of(folded.stays, known["visit_id"].drop_nulls(), at)


def _count(side: Side, numbers: dict[str, int], genders: dict[int, str]) -> Places:
    return Counter((stay.hospital, stay.department, genders[numbers[visit]]) for visit, stay in side.in_bed().items())


def _census(services: Services, at: datetime) -> Places:
    """The table's beds in the hour that begins at ``at``."""
    hour = int(f"{at:%Y%m%d%H}")
    places = services.lake.open(DIM_DEPARTMENT).scan().select("department_key", "hospital_id", "department")
    rows = (
        services.lake.open(FACT_BED_CENSUS).scan().filter(pl.col("time_key") == hour).join(places, on="department_key")
    )
    counted = rows.select("hospital_id", "department", "gender", "occupied_beds").collect()
    return Counter({(hospital, name, gender): beds for hospital, name, gender, beds in counted.iter_rows() if beds})


def _write(path: Path, side: Side, numbers: dict[str, int], events: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["visit_id", "patient_id", "hospital_id", "department", "gender", "age", "admission_time"])
        for visit, stay in side.in_bed().items():
            event = events[numbers[visit]]
            first = side.stays[visit][0].since.isoformat()
            named = [event["visit_id"], event["patient_id"], stay.hospital, stay.department]
            writer.writerow([*named, event.get("gender", ""), event.get("age", ""), first])
