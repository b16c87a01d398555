"""State of hub, lake and warehouse for ``patient-flow status`` and the demo's progress lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click
import polars as pl

from patient_flow.contracts import tables
from patient_flow.contracts.forecasts import JUDGED_DAYS
from patient_flow.contracts.measures import HEADLINE_CLASSES
from patient_flow.monitoring.notices import describe
from patient_flow.monitoring.rules.mapping import describe as describe_former_rows
from patient_flow.pipeline.backlog import HubRefused, plan
from patient_flow.pipeline.flow import visits_without_stay
from patient_flow.pipeline.hub_probe import peek
from patient_flow.pipeline.inspection import received_events
from patient_flow.pipeline.recomputation import waiting_visits
from patient_flow.pipeline.staleness import staleness
from patient_flow.services import Services
from patient_flow.stores.hub import HubUnavailable
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import STORE_ERRORS, LakeError
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.schema import LOAD_LOG, TABLES
from patient_flow.stores.warehouse.views import TABLES as VIEWS
from patient_flow.wording import plural


@dataclass(frozen=True)
class Progress:
    """Totals of the pipeline, and the age of its data."""

    loaded_at: datetime
    received: int
    accepted: int
    quarantined: int
    ignored: int
    in_beds: int
    occupancy_pct: float | None
    age: timedelta | None
    erased: int = 0
    days_judged: int | None = None
    is_forecast_shown: bool = False

    def __str__(self) -> str:
        occupancy = "" if self.occupancy_pct is None else f", bed occupancy {self.occupancy_pct:.1f} %"
        ignored = f" + {self.ignored:,} ignored" if self.ignored else ""
        erased = f" + {self.erased:,} erased" if self.erased else ""
        # An import may append events between the last judgement and this reading.
        waiting = self.received - self.accepted - self.quarantined - self.ignored - self.erased
        unjudged = f" + {waiting:,} not judged yet" if waiting > 0 else ""
        age = "" if self.age is None else f"; newest event {_duration(self.age)} old"
        in_beds = plural(self.in_beds, "patient in a bed", "patients in beds")
        return (
            f"{plural(self.received, 'event')} received = {self.accepted:,} accepted + {self.quarantined:,} quarantined"
            f"{ignored}{erased}{unjudged}; {in_beds}{occupancy}; {self._forecast}{age}"
        )

    @property
    def _forecast(self) -> str:
        if self.days_judged is None:
            return "no forecast yet"
        if self.is_forecast_shown:
            return "forecast shown"
        return f"forecast not shown yet, {self.days_judged} of {JUDGED_DAYS} days judged"


def progress(services: Services, now: datetime, *, since: datetime | None = None) -> Progress | None:
    """Totals at the last load of the warehouse; None before the first one, and when there is none after ``since``.

    While nothing is loaded, asking is cheap.
    """
    warehouse = services.warehouse
    try:
        loaded = _latest(warehouse.query(LOAD_LOG.select()), "loaded_at")
        if loaded is None or (since is not None and loaded <= since):
            return None
        fresh = warehouse.query(VIEWS["DataFreshness"].select())
        patients = warehouse.query(VIEWS["CurrentPatients"].select())
        ahead = TABLES[tables.FORECAST_SHOWN.path]
        judged = warehouse.query(ahead.select().with_only_columns(ahead.c.source, ahead.c.judged_days).distinct())
        departments = warehouse.query(TABLES[tables.DIM_DEPARTMENT.path].select())
        rows = _rows(services.lake)
        received = received_events(services.lake)
    except (WarehouseError, LakeError):
        return None  # not created yet, or busy: the caller asks again
    newest = _latest(fresh, "newest_event_at")
    # Patients in departments without known beds would inflate the occupancy of the others.
    is_headline = pl.col("class").fill_null(HEADLINE_CLASSES[0]).is_in(HEADLINE_CLASSES)
    listed = departments.filter("is_current", pl.col("staffed_beds").is_not_null(), is_headline)
    occupied = patients.join(listed, on=["hospital_id", "department"], how="semi").height
    staffed = int(listed["staffed_beds"].sum())
    return Progress(
        loaded_at=loaded,
        received=received,
        accepted=rows.get(tables.SILVER_EVENTS.path, 0),
        quarantined=rows.get(tables.QUARANTINE.path, 0),
        ignored=rows.get(tables.IGNORED.path, 0),
        erased=rows.get(tables.ERASED.path, 0),
        in_beds=patients.height,
        occupancy_pct=100 * occupied / staffed if staffed else None,
        age=None if newest is None else now - newest,
        days_judged=None if judged.is_empty() else max(judged["judged_days"]),
        is_forecast_shown=judged["source"].null_count() < judged.height,
    )


def report(services: Services, wait: float) -> None:
    """Prints lag, rows, quarantine and freshness: of each system what it answers within ``wait`` seconds."""
    now = datetime.now(UTC)
    settings = services.settings
    parts = {
        f"Event Hub {settings.eventhub_name} at {services.hub.host}": lambda: _hub_lines(services),
        "Lake": lambda: _lake_lines(services),
        f"Warehouse ({settings.warehouse_kind})": lambda: _warehouse_lines(services, now),
    }
    with ThreadPoolExecutor(len(parts)) as pool:
        answers = [pool.submit(_answered, lines, wait) for lines in parts.values()]
        for title, answer in zip(parts, answers, strict=True):
            click.echo(title)
            for line in answer.result():
                click.echo(f"  {line}")


def _answered(lines: Callable[[], Iterator[str]], wait: float) -> list[str]:
    """The lines that were there within ``wait`` seconds, and what hindered the others."""
    found: list[str] = []
    try:
        call_with_timeout(wait, lines, lambda: found.extend(lines()))
    except CallTimedOut:
        more = "no answer" if not found else "no further answer"
        return [*found, f"{more} within {wait:g} s; `patient-flow status --wait 60` waits longer"]
    except (HubUnavailable, HubRefused, LakeError, WarehouseError) as error:
        return [*found, str(error)]
    except STORE_ERRORS as error:
        return [*found, f"cannot read the lake: {' '.join(str(error).split())}"]
    return found


def _hub_lines(services: Services) -> Iterator[str]:
    state = peek(services.hub)
    bronze = services.lake.open(tables.BRONZE_EVENTS)
    backlog = plan(state, bronze.checkpoint, services.settings.max_events_per_run)
    behind = {part.partition_id: part.available for part in backlog.partitions}
    for part in state.partitions:
        yield f"partition {part.partition_id}: {plural(behind.get(part.partition_id, 0), 'event')} behind"
    for notice in backlog.notices:
        yield describe(notice)


def _lake_lines(services: Services) -> Iterator[str]:
    lake, settings = services.lake, services.settings
    for path, rows in _rows(lake).items():
        yield f"{path:<26} {rows:>12,} rows"
    if not lake.exists(tables.QUARANTINE):
        yield "empty: run a micro-batch (dagster dev, or dagster asset materialize --select '*')"
        return
    yield f"events in the bodies of bronze {received_events(lake):>8,}"
    if lake.exists(tables.FACT_PATIENT_FLOW):
        yield f"visits without a department {visits_without_stay(lake):>6,}"
        waiting = waiting_visits(lake, settings.timezone, settings.unconfirmed_days)
        yield f"visits to recompute        {waiting:>8,}"
    yield from describe_former_rows(staleness(lake, services.parser))
    reasons = lake.open(tables.QUARANTINE).scan().select(pl.col("reasons").explode()).collect()
    for reason, count in reasons.to_series().value_counts(sort=True).iter_rows():
        yield f"quarantined: {reason:<29} {count:>9,}"
    if lake.exists(tables.IGNORED):
        names = lake.open(tables.IGNORED).scan().select("name").collect()
        for name, count in names.to_series().value_counts(sort=True).iter_rows():
            yield f"ignored: {name:<33} {count:>9,}"


def _warehouse_lines(services: Services, now: datetime) -> Iterator[str]:
    for path, rows in services.warehouse.row_counts().items():
        yield f"{path:<26} {rows:>12,} rows"
    newest = _latest(services.warehouse.query(VIEWS["DataFreshness"].select()), "newest_event_at")
    yield "newest event: " + ("none" if newest is None else f"{_duration(now - newest)} old")


def _rows(lake: Lake) -> dict[str, int]:
    return {path: opened.row_count() for path, opened in lake.open_all(tables.LAKE_TABLES).items()}


def _latest(frame: pl.DataFrame, column: str) -> datetime | None:
    instant = frame[column].drop_nulls().max() if frame.height else None
    return instant.replace(tzinfo=UTC) if isinstance(instant, datetime) else None


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
