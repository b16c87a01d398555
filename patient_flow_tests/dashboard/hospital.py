"""A small hospital group in plain Python, and a warehouse that the real pipeline filled with its events.

The visits are the independent truth: what the page shows is held against sums over this list.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from patient_flow.contracts.tables import (
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    FACT_BED_CENSUS,
    FACT_PATIENT_FLOW,
    FORECAST_BEDS,
    FORECAST_SCORE,
    WAREHOUSE_TABLES,
    Table,
)
from patient_flow.forecasting.forecast import STAY_COLUMNS, forecast_beds
from patient_flow.forecasting.scores import score
from patient_flow.monitoring.rules.forecasts import BASELINES
from patient_flow.pipeline.forecast import forecast_shown, morning_of
from patient_flow.pipeline.load import load_warehouse
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.dimensions import age_band
from patient_flow.transforms.keys import with_surrogate_key
from patient_flow_tests.builders import (
    ZONE,
    Body,
    Delivery,
    department,
    department_list,
    event,
    run_micro_batches,
    step_context,
)
from patient_flow_tests.stacks import Stack

DAYS = 42
"""Long enough for readmissions of a whole week whose 30 days have passed."""
VISITS = 1200
PATIENTS = 500
MINUTE = timedelta(minutes=1)
DEPARTMENTS = department_list(
    department(department="Emergency", staffed_beds=3, expected_los_hours=6.0),
    department(department="ICU", staffed_beds=7, expected_los_hours=60.0),
    department(department="Surgery", staffed_beds=9, expected_los_hours=72.0),
    department(
        hospital_id="2", hospital_name="La Rivière", department="Emergency", staffed_beds=5, expected_los_hours=6.0
    ),
    department(hospital_id="2", hospital_name="La Rivière", department="ICU", staffed_beds=9, expected_los_hours=60.0),
)
PLACED = ("hospital_id", "department_key", "gender")
WARDS = {"1": ("ICU", "Surgery"), "2": ("ICU",)}


@dataclass(frozen=True)
class Stay:
    """A patient in a bed of a department."""

    hospital: str
    department: str
    gender: str
    age: int
    patient: str
    came_from: str
    began: datetime
    ended: datetime | None
    wait: float | None
    visit_hours: float | None
    """Length of the visit, on its last stay."""

    @property
    def age_band(self) -> str:
        return str(pl.select(age_band(pl.lit(self.age))).item())

    @property
    def is_first(self) -> bool:
        return not self.came_from

    def is_in_bed(self, at: datetime) -> bool:
        return self.began <= at and (self.ended is None or self.ended > at)


@dataclass(frozen=True)
class Attendance:
    """A patient who came to the emergency department and went home, or is there still."""

    hospital: str
    department: str
    gender: str
    age: int
    arrived: datetime
    departed: datetime | None
    status: str

    @property
    def age_band(self) -> str:
        return str(pl.select(age_band(pl.lit(self.age))).item())

    @property
    def minutes(self) -> float | None:
        return None if self.departed is None else (self.departed - self.arrived) / MINUTE


@dataclass(frozen=True)
class Hospital:
    """What happened, and the warehouse that knows of it."""

    lake: Lake
    warehouse: Warehouse
    stays: list[Stay]
    attended: list[Attendance]
    now: datetime


def hospital(stack: Stack, now: datetime, seed: int = 11) -> Hospital:
    """Random visits up to ``now``, through bronze, silver and gold into a warehouse."""
    chance = random.Random(seed)
    stays: list[Stay] = []
    told: list[tuple[datetime, Body]] = []
    people = {
        f"p{number}": (chance.choice(("Female", "Male", "Other")), chance.randint(0, 99)) for number in range(PATIENTS)
    }
    free_from = dict.fromkeys(people, datetime.min.replace(tzinfo=UTC))
    for number in range(VISITS):
        arrived = now - timedelta(days=DAYS) + chance.random() * timedelta(days=DAYS)
        patient = chance.choice(sorted(people))
        if arrived < free_from[patient] or arrived > now - timedelta(hours=2):
            continue
        free_from[patient] = arrived + timedelta(days=40) * chance.random()
        visit = list(_visit(chance, f"v{number}", patient, *people[patient], arrived, now))
        # Nobody lies in two beds: a second one would end what confirms the first.
        left = visit[-1][0].ended
        free_from[patient] = max(free_from[patient], left) if left else datetime.max.replace(tzinfo=UTC)
        stays += [stay for stay, _ in visit]
        told += [said for _, events in visit for said in events]
    attended = []
    for number in range(VISITS // 4):
        one, events = _attendance(chance, number, now)
        attended.append(one)
        told += events
    # A dozen bodies that nobody can read, for the quality panel.
    told += [(now - timedelta(hours=hours), event(visit_id=f"x{hours}", patient_id=None)) for hours in range(1, 13)]
    told.sort(key=lambda said: said[0])
    lake = Lake(stack.lake_uri())
    deliveries = [Delivery(body, at, "0", number) for number, (at, body) in enumerate(told)]
    run_micro_batches(lake, [deliveries], DEPARTMENTS)
    _forecast(lake, now)
    warehouse = Warehouse(stack.warehouse_url(), stack.warehouse_kind)
    load_warehouse(lake, warehouse, WAREHOUSE_TABLES, now=now, run_id="test")
    return Hospital(lake, warehouse, stays, attended, now)


def _forecast(lake: Lake, now: datetime) -> None:
    """The forecast of this hour, and its scores as if it had been made on each morning of five weeks.

    The hospital is steady, so that this is no bad forecast. Backtests of real ones: ``pipeline.test_forecast``.
    """
    stays, departments = (lake.open(table).scan().collect() for table in (FACT_PATIENT_FLOW, DIM_DEPARTMENT))
    made_at = now.replace(minute=0)
    rows = forecast_beds(stays.select(STAY_COLUMNS), departments, made_at, ZONE)
    rows = with_surrogate_key(rows, "forecast_key", [pl.col(name) for name in ("made_at", "target_at", *PLACED)])
    rows = rows.with_columns(is_morning=pl.lit(False), is_backcast=pl.lit(False))
    _fill(lake, FORECAST_BEDS, rows)
    mornings = []
    for back in range(1, 36):
        earlier = morning_of((now - timedelta(days=back)).date(), ZONE) - made_at
        mornings.append(rows.with_columns(pl.col("made_at", "target_at") + earlier))
    census, quality = (lake.open(table).scan().collect() for table in (FACT_BED_CENSUS, DATA_QUALITY_DAY))
    days = quality.select("date", "hospital_id").unique()
    scores = score(pl.concat(mornings), census, departments, days, now, ZONE)
    # In wards of a few beds the better of model and baseline is a matter of luck, and so of the time of day.
    beaten = [(pl.col("pinball_loss") + 1).alias(f"{name}_pinball_loss") for name in BASELINES]
    _fill(lake, FORECAST_SCORE, scores.with_columns(*beaten, covered_80=0.8, covered_95=0.95))
    forecast_shown(step_context(lake, DEPARTMENTS, now=now))


def _fill(lake: Lake, table: Table, rows: pl.DataFrame) -> None:
    typed = rows.select(pl.col(name).cast(dtype) for name, dtype in table.schema.items())
    lake.open(table).replace(table.empty(), typed, {}, run_id="test")


def _attendance(chance: random.Random, number: int, now: datetime) -> tuple[Attendance, list[tuple[datetime, Body]]]:
    """One attendance without a bed, and its events; every tenth is of the last hours."""
    place, gender, age = chance.choice(sorted(WARDS)), chance.choice(("Female", "Male", "Other")), chance.randint(0, 99)
    back = timedelta(hours=6) if number % 10 == 0 else timedelta(days=DAYS)
    arrived = now - timedelta(minutes=3) - chance.random() * back
    left = arrived + chance.choice([240.0, 60 + 300 * chance.random()]) * MINUTE
    departed = left if left <= now - MINUTE else None
    status = chance.choice(("home", "left_without_being_seen"))
    said = {"visit_id": f"e{number}", "patient_id": f"e{number}", "hospital_id": int(place), "gender": gender}
    events = [(arrived, event(event_type="arrival", event_time=arrived, department="Emergency", age=age, **said))]
    if departed is not None:
        end = {"event_type": "discharge", "event_time": departed, "department": None, "discharge_status": status}
        events.append((departed, event(**end, age=age, **said)))
    return Attendance(place, "Emergency", gender, age, arrived, departed, status), events


def _visit(
    chance: random.Random, visit: str, patient: str, gender: str, age: int, arrived: datetime, now: datetime
) -> Iterator[tuple[Stay, list[tuple[datetime, Body]]]]:
    """The stays of one visit, each with the events that tell of it; nothing later than ``now`` is told."""
    place = chance.choice(sorted(WARDS))
    said = {"visit_id": visit, "patient_id": patient, "hospital_id": int(place), "gender": gender, "age": age}
    path = ["Emergency", *([chance.choice(WARDS[place])] if chance.random() < 0.6 else [])]
    began = arrived + chance.randint(5, 300) * MINUTE
    first, came_from = began, ""
    for number, ward in enumerate(path):
        hours = chance.expovariate(1 / (5 if ward == "Emergency" else 55))
        ended = began + timedelta(hours=hours)
        is_last = number == len(path) - 1
        events: list[tuple[datetime, Body]] = []
        if not came_from:
            events.append((arrived, event(event_type="arrival", event_time=arrived, department=ward, **said)))
        kind = "transfer" if came_from else "admission"
        events.append((began, event(event_type=kind, event_time=began, department=ward, **said)))
        known_end = ended if ended <= now - MINUTE else None
        if is_last and known_end:
            left = event(event_type="discharge", event_time=ended, department=None, discharge_status="home", **said)
            events.append((ended, left))
        yield (
            Stay(
                place,
                ward,
                gender,
                age,
                patient,
                came_from,
                began,
                known_end,
                None if came_from else (first - arrived) / MINUTE,
                (ended - first) / timedelta(hours=1) if is_last and known_end else None,
            ),
            events,
        )
        if known_end is None:
            return
        began, came_from = ended, ward
