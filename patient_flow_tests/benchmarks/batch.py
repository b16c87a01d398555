"""One batch job by several engines: bronze's bodies → silver, quarantine, dimensions, stays, census, daily measures.

The product runs `rebuild`: Delta tables, exactly once, flushed to disk, and every rule. The peers make the same tables
as Parquet files from the same bronze, and do less (``peers/duckdb_batch.py`` says what). The floor decodes each body
once and writes its columns. The department list states no classes and one version of each department: the peers have no
rules for classes, and count a patient who stays beyond a change of the list in the version of the admission.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from patient_flow.contracts import tables
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.reference import read_departments
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.benchmarks import feed, measuring, report
from patient_flow_tests.benchmarks.measuring import Contender
from patient_flow_tests.benchmarks.sizes import Size

TITLE = "Batch"
PEERS = Path(__file__).parent / "peers"
ROWS_A_COMMIT = 250_000
ZONE = "Europe/Paris"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
DEPARTMENTS = (
    read_departments()
    .unique(["hospital_id", "department"], keep="first", maintain_order=True)
    .with_columns(pl.lit(None, pl.String).alias("class"))
)
PRODUCT, DUCKDB, SPARK, FLOOR = "patient_flow", "DuckDB", "PySpark local[2]", "floor"

c = pl.col


def run(folder: Path, size: Size) -> report.Section:
    """Bronze to gold, by several engines."""
    figures = measuring.compare(contenders(folder, size.events, with_spark=size.has_spark), size.rounds)
    text = (
        f"{size.events:,} events from bronze's bodies to silver, quarantine and gold; medians of {size.rounds}. The "
        "product runs `rebuild` with all of its rules and guarantees. The peers make the same tables as Parquet and do "
        "less (no sorting, cancels, updates, attendances, canonical hashes, commits, change feed or flushing). The "
        "floor only decodes each body once and writes the columns.\n\n"
        f"{report.comparison(figures)}\n\nSeconds by step, "
        "starts of processes left out (of steps that run side by side, the time since the one before had ended):\n\n"
        f"{report.steps(figures)}"
    )
    seconds = ", ".join(f"{name} {one.wall_seconds:.0f} s ({one.peak_mib:,.0f} MiB)" for name, one in figures.items())
    return report.Section(text, f"{size.events:,} events: {seconds}")


def contenders(folder: Path, total: int, *, with_spark: bool) -> list[Contender]:
    """Makes bronze with about ``total`` events in ``folder``; what is to be compared on it."""
    lake = folder / "bronze-alone"
    fill(Lake(f"{lake}/{{layer}}"), feed.events(total))
    DEPARTMENTS.write_parquet(lake / "departments.parquet")
    product = folder / "product"
    found = [
        Contender(PRODUCT, _on_copy(lake, product), lambda: totals(_tables_of_lake(product))),
        _peer(DUCKDB, [sys.executable, str(PEERS / "duckdb_batch.py")], lake, folder / "duckdb"),
        Contender(FLOOR, lambda: [sys.executable, str(PEERS / "floor.py"), str(lake), str(folder / "floor")], dict),
    ]
    if with_spark:
        spark = ["uv", "run", "--quiet", "--script", str(PEERS / "spark_batch.py")]
        found.insert(2, _peer(SPARK, spark, lake, folder / "spark"))
    return found


def fill(lake: Lake, events: pl.DataFrame) -> None:
    """Bronze with ``events``, as micro-batches would have written them."""
    bronze = lake.open(tables.BRONZE_EVENTS)
    for number, rows in enumerate(events.iter_slices(ROWS_A_COMMIT), start=1):
        bronze.append(
            rows.with_columns(
                hub_created_at=pl.lit(feed.START),
                offset=c("sequence_number").cast(pl.String),
                partition_key=pl.lit(None, pl.String),
                properties=pl.lit(None, pl.String),
                ingested_at="enqueued_at",
                run_id=pl.lit("benchmark"),
                ingested_date=c("enqueued_at").dt.date(),
            ),
            {"benchmark": number},
        )


def run_product(lake: Path) -> dict[str, float]:
    """The rebuild in this process; seconds by table."""
    context = StepContext(Lake(f"{lake}/{{layer}}"), ParserConfig(DEPARTMENTS, "benchmark"), ZONE, NOW, "benchmark")
    seconds, last = {}, time.perf_counter()
    for result in rebuild(context):
        seconds[result.table.name] = round(time.perf_counter() - last, 2)
        last = time.perf_counter()
    return seconds


def totals(table: Callable[[str], pl.LazyFrame]) -> dict[str, Any]:
    """Counts and sums of what an engine wrote. ``table`` gives a table by the peers' name for it."""
    stays = table("fact").select(
        facts=pl.len(),
        visit_starts=c("is_visit_start").sum(),
        visit_ends=c("is_visit_end").sum(),
        stay_hours=c("length_of_stay_hours").sum(),
        visit_hours=c("visit_length_of_stay_hours").sum(),
        wait_minutes=c("wait_minutes").sum(),
        with_patient=(c("patient_key") != 0).sum(),
    )
    departments = table("fact").group_by("department_key").len().select(c("len").sort().implode())
    reasons = table("quarantine").select(c("reasons").explode().alias("reason")).group_by("reason").len().sort("reason")
    return {
        **{name: table(name).select(pl.len()).collect().item() for name in ("silver", "quarantine", "ignored")},
        "reasons": dict(reasons.collect().iter_rows()),
        "flagged": table("silver").filter(c("quality_flags").list.len() > 0).select(pl.len()).collect().item(),
        "patient_versions": table("dim_patient").filter(c("patient_key") != 0).select(pl.len()).collect().item(),
        **stays.collect().row(0, named=True),
        "stays_by_department": departments.collect().item().to_list(),
        "bed_hours": float(table("census").select(c("occupied_beds").sum()).collect().item()),
        "census_rows": table("census").select(pl.len()).collect().item(),
    }


_IN_LAKE = {
    "silver": tables.SILVER_EVENTS,
    "quarantine": tables.QUARANTINE,
    "ignored": tables.IGNORED,
    "dim_patient": tables.DIM_PATIENT,
    "fact": tables.FACT_PATIENT_FLOW,
    "census": tables.FACT_BED_CENSUS,
}


def _tables_of_lake(place: Path) -> Callable[[str], pl.LazyFrame]:
    lake = Lake(f"{place}/{{layer}}")
    return lambda name: lake.open(_IN_LAKE[name]).scan()


def _tables_of_files(place: Path) -> Callable[[str], pl.LazyFrame]:
    def table(name: str) -> pl.LazyFrame:
        found = place / f"{name}.parquet"
        return pl.scan_parquet(found / "*.parquet" if found.is_dir() else found)

    return table


def _peer(name: str, program: Sequence[str], lake: Path, out: Path) -> Contender:
    def command() -> list[str]:
        shutil.rmtree(out, ignore_errors=True)
        return [*program, str(lake), str(out)]

    return Contender(name, command, lambda: totals(_tables_of_files(out)))


def _on_copy(lake: Path, copy: Path) -> Callable[[], list[str]]:
    """Every rebuild is the first one of its lake; data files never change, so the copy shares them."""

    def command() -> list[str]:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(lake, copy, copy_function=os.link)
        return [sys.executable, "-m", __name__, str(copy)]

    return command


def main(lake: str) -> None:
    print(json.dumps({"steps": run_product(Path(lake))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
