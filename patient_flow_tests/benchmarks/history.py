"""A lake with a long history, made fast: steady traffic, so a longer history means more days and not busier ones.

Some patients come back, soon or after months, and a year older where a birthday lies between. One visit in a hundred
is corrected weeks after it ended. So every batch also touches rows that lie anywhere in the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES
from patient_flow.pipeline import received, silver
from patient_flow.pipeline.graph import STEPS
from patient_flow.pipeline.maintenance import maintain
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.reference import read_departments
from patient_flow.transforms.read import ParserConfig

EVENTS_A_VISIT = 4
START = datetime(2023, 1, 1, tzinfo=UTC)
ZONE = "Europe/Paris"
NAMES = ("Emergency", "Surgery", "ICU", "Pediatrics", "Maternity", "Oncology", "Cardiology")

c = pl.col


@dataclass(frozen=True)
class Traffic:
    """What happens on a day.

    ``returning``: share of visits whose patient was here before, most of them lately, some as long ago as a year.
    ``corrected``: share of visits with a correction, five days to a month after they began.
    """

    visits_a_day: int = 10_000
    hospitals: int = 7
    returning: float = 0.3
    corrected: float = 0.01

    def departments(self) -> pl.DataFrame:
        """The shipped list, repeated for further hospitals."""
        shipped = read_departments()
        number = c("hospital_id").cast(pl.Int64)
        copies = [
            shipped.with_columns(hospital_id=(number + first).cast(pl.String)) for first in range(0, self.hospitals, 7)
        ]
        return pl.concat(copies)


MIXED = Traffic()
STEADY = Traffic(returning=0.0, corrected=0.0)


def events(first_visit: int, visits: int, traffic: Traffic = MIXED) -> pl.DataFrame:
    """Bodies of ``visits`` visits in the order in which they happen: enqueued_at, body."""
    visit = _visits(pl.int_range(first_visit, first_visit + visits, eager=True), traffic)
    kinds = pl.DataFrame(
        {"event_type": ["arrival", "admission", "transfer", "discharge"], "share": [0.0, 0.05, 0.5, 1.0]}
    )
    lived = visit.join(kinds, how="cross").with_columns(
        at=c("at") + c("lasts") * c("share"),
        department=pl.when(c("event_type") == "transfer").then((c("department") + 1) % 7).otherwise("department"),
    )
    corrected = _visits(visit.filter("corrects", c("earlier") >= 0)["earlier"], traffic)
    corrections = corrected.with_columns(
        at=c("at") + c("lasts"), event_type=pl.lit("update"), department=pl.lit(None, dtype=pl.Int64)
    )
    stated = pl.concat([lived.with_columns(known_at="at"), _known_later(corrections, visit)], how="diagonal")
    body = pl.struct(
        event_id=pl.format("{}-{}", "visit", "event_type"),
        event_type="event_type",
        visit_id=pl.format("v{}", "visit"),
        event_time=c("at").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        patient_id=pl.format("p{}", "patient"),
        hospital_id="hospital",
        department=c("department").replace_strict(dict(enumerate(NAMES)), default=None, return_dtype=pl.String),
        discharge_status=pl.when(c("event_type") == "update").then(pl.lit("home")),
        gender=pl.when(c("patient") % 2 == 0).then(pl.lit("Female")).otherwise(pl.lit("Male")),
        age=(c("patient").hash(3) % (90 * 365) + (c("at") - START).dt.total_days()) // 365,
    )
    without_nulls = body.struct.json_encode().str.replace_all(r'"[a-z_]+":null,', "").cast(pl.Binary)
    return stated.sort("known_at").select(enqueued_at="known_at", body=without_nulls)


def _visits(number: pl.Series, traffic: Traffic) -> pl.DataFrame:
    """What is known of visits by their number alone; ``earlier`` is a visit of the last month."""
    n, dice = c("visit"), c("visit").hash(1) % 2**31
    days = 1 + 364 * (n.hash(4) % 1000 / 1000) ** 4
    long_ago = n - (days * traffic.visits_a_day).cast(pl.Int64)
    is_returning = (n.hash(5) % 1000 < int(traffic.returning * 1000)) & (long_ago > 0)
    return pl.DataFrame({"visit": number}, schema={"visit": pl.Int64}).select(
        "visit",
        at=(pl.lit(START).cast(INSTANT) + pl.duration(days=1) * (n / traffic.visits_a_day)),
        lasts=pl.duration(hours=6 + dice % 90),
        department=(dice % 7).cast(pl.Int64),
        hospital=(dice % traffic.hospitals + 1).cast(pl.Int64),
        patient=pl.when(is_returning).then(long_ago).otherwise(n),  # half of them were here in the last three weeks
        corrects=n.hash(2) % 10_000 < int(traffic.corrected * 10_000),
        earlier=n - 5 * traffic.visits_a_day - (dice % (25 * traffic.visits_a_day)).cast(pl.Int64),
    )


def _known_later(corrections: pl.DataFrame, visit: pl.DataFrame) -> pl.DataFrame:
    """``corrections`` become known when the visits begin that they are told with."""
    told = visit.filter("corrects", c("earlier") >= 0).select(known_at="at")
    return pl.concat([corrections, told], how="horizontal")


def append(lake: Lake, rows: pl.DataFrame) -> None:
    """Commits of bronze, as large as those of the hub's events."""
    for part in rows.iter_slices(received.ROWS_AT_ONCE):
        bronze = lake.open(BRONZE_EVENTS)
        start = (bronze.checkpoint("benchmark") or 0) + 1
        coordinates = part.with_columns(
            hub_created_at=pl.lit(START),
            partition_id=pl.lit("0"),
            sequence_number=pl.int_range(start, start + part.height),
            offset=pl.lit("0"),
            partition_key=pl.lit(None, dtype=pl.String),
            properties=pl.lit(None, dtype=pl.String),
            ingested_at="enqueued_at",
            run_id=pl.lit("benchmark"),
            ingested_date=c("enqueued_at").dt.date(),
        )
        bronze.append(coordinates, {"benchmark": start + part.height})


def step_context(lake: Lake, now: datetime, traffic: Traffic = MIXED) -> StepContext:
    """What steps of a benchmark may use."""
    return StepContext(lake, ParserConfig(traffic.departments(), "benchmark"), ZONE, now, "benchmark")


def fill(lake: Lake, total: int, traffic: Traffic = MIXED, at_once: int = 500_000) -> int:
    """A lake with ``total`` events of history, as a rebuild leaves it; gives the number of the next visit."""
    visits = total // EVENTS_A_VISIT
    now = datetime.now(UTC)
    for first in range(0, visits, at_once // EVENTS_A_VISIT):
        append(lake, events(first, min(at_once // EVENTS_A_VISIT, visits - first), traffic))
        silver.accept_events(step_context(lake, now, traffic))
    context = step_context(lake, now, traffic)
    for step in STEPS[1:]:
        step.run(context)
    return visits


def receive(lake: Lake, total: int, at_once: int = 500_000) -> None:
    """Bronze with ``total`` events; one in eight reaches the hub once more an hour later, and is rejected."""
    visits = total // EVENTS_A_VISIT
    for first in range(0, visits, at_once // EVENTS_A_VISIT):
        rows = events(first, min(at_once // EVENTS_A_VISIT, visits - first))
        again = rows.gather_every(8).with_columns(c("enqueued_at") + pl.duration(hours=1))
        append(lake, pl.concat([rows, again]).sort("enqueued_at"))


def maintain_all(lake: Lake) -> None:
    """Maintenance of every table, as an hourly job does it."""
    for table in LAKE_TABLES:
        maintain(lake, table, {}, now=datetime.now(UTC))
