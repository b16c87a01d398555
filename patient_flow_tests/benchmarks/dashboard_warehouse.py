"""A warehouse (SQLite or PostgreSQL) with millions of made-up facts, to measure the dashboard on.

    python -m patient_flow_tests.benchmarks.dashboard_warehouse big.db --stays 10000000

The history ends now and reaches back as far as it must; census and daily measures cover the last 60 days only, more
than any page reads. Not here: realistic paths of patients; the simulator has those.
"""

from __future__ import annotations

import argparse
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
from sqlalchemy import make_url

from patient_flow.contracts import tables
from patient_flow.stores.reference import read_departments
from patient_flow.stores.warehouse.schema import LOAD_LOG, STORED_BY
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.calendar import dim_time, time_key
from patient_flow.transforms.census import bed_hours, spans
from patient_flow.transforms.dimensions import age_band, department_versions
from patient_flow.transforms.kpis import every_department, kpi_department_day
from patient_flow.transforms.staffing import staffing

c = pl.col

ZONE = "Europe/Paris"
STAYS_PER_PATIENT = 3
STAYS_PER_ATTENDANCE = 4
MEASURED_DAYS = 60
OCCUPANCY = 0.86
HOUR = 3600e6


def build(url: str, stays: int, copies: int) -> None:
    """Fills a new warehouse at ``url``; ``copies`` times the shipped hospitals set how long the history is."""
    now = datetime.now(UTC).replace(microsecond=0)
    departments = _departments(copies)
    patients = _patients(max(stays // STAYS_PER_PATIENT, 1), now)
    facts = _facts(stays, departments, patients, now)
    attendances = _attendances(stays // STAYS_PER_ATTENDANCE, departments, patients, now)
    recent = (now - timedelta(days=MEASURED_DAYS)).replace(minute=0, second=0)
    live = facts.filter(c("discharge_at").is_null() | (c("discharge_at") > recent))
    census = bed_hours(spans(live, until=now, after=recent), departments)
    dates = pl.date_range(recent.date(), now.date(), eager=True)
    kpis = kpi_department_day(
        live,
        attendances.filter(c("arrival_at") > recent),
        census,
        departments,
        wanted=every_department(dates, departments),
        staffed=staffing(census, departments, ZONE),
        until=now,
        zone=ZONE,
    )
    warehouse = Warehouse(url, make_url(url).get_backend_name())
    warehouse.init()
    insert: Callable[[Any, tables.Table, pl.DataFrame], None] = _insert if warehouse.kind == "sqlite" else _copy
    with warehouse.writing() as connection:
        for table, rows in (
            (tables.DIM_TIME, dim_time([], ZONE)),
            (tables.DIM_DEPARTMENT, departments),
            (tables.DIM_PATIENT, patients),
            (tables.FACT_PATIENT_FLOW, facts),
            (tables.FACT_ED_ATTENDANCE, attendances),
            (tables.FACT_BED_CENSUS, census),
            (tables.KPI_DEPARTMENT_DAY, kpis),
            (tables.DATA_QUALITY_DAY, _quality(dates, departments)),
        ):
            insert(connection.connection.driver_connection, table, rows)
        connection.execute(LOAD_LOG.update().values(gold_version=1, loaded_at=now, newest_event_at=now, lag_seconds=1))
        connection.exec_driver_sql("ANALYZE")
    warehouse.dispose()


def _departments(copies: int) -> pl.DataFrame:
    shipped = read_departments()
    repeated = pl.concat(
        shipped.with_columns(
            hospital_id=c("hospital_id") + (f"-{copy}" if copy else ""),
            hospital_name=c("hospital_name") + (f" {copy + 1}" if copy else ""),
        )
        for copy in range(copies)
    )
    return department_versions(repeated, repeated.select("hospital_id", "department").clear())


def _patients(count: int, now: datetime) -> pl.DataFrame:
    age = (_share(1) * 100).cast(pl.Int16)
    is_female = _share(2) < 0.515
    return _declared(
        tables.DIM_PATIENT,
        _numbers(count).select(
            patient_key=_scattered_key(),
            patient_id=_text_id(),
            gender=pl.when(is_female).then(pl.lit("Female")).otherwise(pl.lit("Male")),
            age=age,
            age_band=age_band(age),
            valid_from=pl.lit(now - timedelta(days=36_500)),
            is_current=True,
        ),
    )


def _facts(count: int, departments: pl.DataFrame, patients: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Stays spread evenly over the history, as many a day as fill the beds; one in four is a move."""
    usual = departments.filter(c("is_current") & c("staffed_beds").is_not_null()).select(
        "department_key",
        "class",
        hours=c("expected_los_hours") * 0.75,
        hourly=OCCUPANCY * c("staffed_beds") / (c("expected_los_hours") * 0.75),
    )
    hourly = float(usual["hourly"].sum())
    places = usual.select("department_key", "hours", "class", share=(c("hourly").cum_sum() - c("hourly")) / hourly)
    origins = places.select(origin="department_key", origin_row=pl.int_range(pl.len(), dtype=pl.Int64))
    people = patients.select("patient_key", "gender", patient_row=pl.int_range(pl.len(), dtype=pl.Int64))
    stays = (
        _numbers(count)
        .with_columns(
            share=_share(3),
            origin_row=(_share(4) * origins.height).cast(pl.Int64),
            patient_row=(_share(5) * people.height).cast(pl.Int64),
        )
        .sort("share")
        .join_asof(places, on="share")
        .join(origins, on="origin_row")
        .join(people, on="patient_row")
        .sort("number")
        .with_columns(
            is_visit_start=_share(6) > 0.25,
            admission_at=pl.lit(now) - ((count - c("number")) / hourly * HOUR).cast(pl.Duration("us")),
            length=(-(_share(7) + 1e-9).log() * c("hours") * HOUR).cast(pl.Duration("us")),
        )
    )
    end = c("admission_at") + c("length")
    return _declared(
        tables.FACT_PATIENT_FLOW,
        stays.with_columns(discharge_at=pl.when(end <= now).then(end)).with_columns(
            stay_key=_scattered_key(),
            visit_id=_text_id(),
            stay_number=1,
            from_department_key=pl.when("is_visit_start").then(0).otherwise("origin"),
            arrival_at="admission_at",
            arrival_time_key=time_key(c("admission_at")),
            admission_time_key=time_key(c("admission_at")),
            discharge_time_key=time_key(c("discharge_at")),
            wait_minutes=pl.when("is_visit_start").then(-45 * (_share(8) * _share(9) + 1e-9).log()),
            wait_source=pl.lit("derived"),
            length_of_stay_hours=c("length").dt.total_seconds(fractional=True) / 3600,
            visit_length_of_stay_hours=pl.when(end <= now).then(c("length").dt.total_seconds(fractional=True) / 3600),
            is_visit_end=end <= now,
            is_transfer=~c("is_visit_start"),
            is_day_case=False,
            is_observation=False,
            stay_kind=pl.when(c("class") == "emergency").then(pl.lit("emergency")).otherwise(pl.lit("ward")),
            planned_discharge_at=pl.when(_share(11) < 0.7).then(
                end + (_share(12) * 24 * HOUR).cast(pl.Duration("us")) - pl.duration(hours=12)
            ),
            bed_id=(_share(10) * 500).cast(pl.Int64).cast(pl.String),
            discharge_status=pl.when(end <= now).then(pl.lit("home")),
            quality_flags=pl.lit([], dtype=pl.List(pl.String)),
            last_enqueued_at="admission_at",
            visit_hash=0,
        ),
    )


def _attendances(count: int, departments: pl.DataFrame, patients: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Attendances spread evenly over the history as the stays are; one in four gets a decision to admit."""
    usual = departments.filter(c("is_current") & (c("class") == "emergency")).select("department_key")
    beds = departments.filter(c("is_current") & c("staffed_beds").is_not_null())
    hourly = (
        float((OCCUPANCY * beds["staffed_beds"] / (beds["expected_los_hours"] * 0.75)).sum()) / STAYS_PER_ATTENDANCE
    )
    places = usual.with_row_index("place").with_columns(c("place").cast(pl.Int64))
    people = patients.select("patient_key", "gender", patient_row=pl.int_range(pl.len(), dtype=pl.Int64))
    arrival = pl.lit(now) - ((count - c("number")) / hourly * HOUR).cast(pl.Duration("us"))
    minutes = 30 - 180 * (_share(23) + 1e-9).log()
    departure = c("arrival_at") + (minutes * HOUR / 60).cast(pl.Duration("us"))
    return _declared(
        tables.FACT_ED_ATTENDANCE,
        _numbers(count)
        .with_columns(
            place=(_share(21) * places.height).cast(pl.Int64), patient_row=(_share(22) * people.height).cast(pl.Int64)
        )
        .join(places, on="place")
        .join(people, on="patient_row")
        .with_columns(arrival_at=arrival, is_admitted=_share(24) < 0.25)
        .with_columns(departure_at=pl.when(departure <= now).then(departure))
        .with_columns(
            attendance_key=_scattered_key(),
            visit_id=_text_id(),
            arrival_time_key=time_key(c("arrival_at")),
            departure_time_key=time_key(c("departure_at")),
            decision_at=pl.when("is_admitted").then(c("arrival_at") + pl.duration(minutes=60)),
            outcome=pl.when(c("departure_at").is_not_null()).then(pl.lit("discharged")),
            minutes_in_department=(c("departure_at") - c("arrival_at")).dt.total_seconds() / 60,
            quality_flags=pl.lit([], dtype=pl.List(pl.String)),
            last_enqueued_at="arrival_at",
            visit_hash=0,
        ),
    )


def _quality(dates: pl.Series, departments: pl.DataFrame) -> pl.DataFrame:
    hospitals = departments.select("hospital_id").unique()
    rules = pl.DataFrame({"rule": ["all", "event_is_a_duplicate", "age_is_out_of_range"], "accepted": [4000, 0, 0]})
    days = dates.alias("date").to_frame().join(hospitals, how="cross").join(rules, how="cross")
    return _declared(tables.DATA_QUALITY_DAY, days.with_columns(flagged=20, quarantined=40, ignored=0))


def _numbers(count: int) -> pl.DataFrame:
    return pl.DataFrame({"number": pl.int_range(count, eager=True)})


def _share(seed: int) -> pl.Expr:
    """Evenly spread over 0 to 1, the same in every run."""
    return c("number").hash(seed).cast(pl.Float64) / 2.0**64


def _scattered_key() -> pl.Expr:
    """As a hashed key: neighbours in time lie anywhere in the table."""
    return (c("number").hash(0) // 4 + 1).cast(pl.Int64)


def _text_id() -> pl.Expr:
    return c("number").cast(pl.String).str.zfill(32)


def _declared(table: tables.Table, rows: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(None).alias(name) for name in table.schema if name not in rows.columns]
    return rows.with_columns(missing).select(c(name).cast(dtype) for name, dtype in table.schema.items())


def _insert(connection: sqlite3.Connection, table: tables.Table, rows: pl.DataFrame) -> None:
    """Rows in the loader's formats and order; indexes are made at the end."""
    name = table.warehouse_name
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (name,)
    ).fetchall()
    for index, _ in indexes:
        connection.execute(f'DROP INDEX "{index}"')
    columns = [column.name for column in table.warehouse_columns]
    insert = f'INSERT INTO "{name}" ({", ".join(columns)}) VALUES ({", ".join("?" for _ in columns)})'
    for part in rows.select(columns).sort(STORED_BY.get(name, table.key)).iter_slices(500_000):
        connection.executemany(insert, _texts(part).iter_rows())
    for _, definition in indexes:
        connection.execute(definition)


def _copy(connection: psycopg.Connection, table: tables.Table, rows: pl.DataFrame) -> None:
    """The same with COPY."""
    name = table.warehouse_name
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname LIKE 'ix\\_%%'", (name,)
    ).fetchall()
    for index, _ in indexes:
        connection.execute(f'DROP INDEX "{index}"'.encode())
    columns = [column.name for column in table.warehouse_columns]
    ordered = rows.select(columns).sort(STORED_BY.get(name, table.key))
    copy = f"""COPY "{name}" ({", ".join(columns)}) FROM STDIN WITH (FORMAT csv, NULL '\\N')"""
    with connection.cursor() as cursor, cursor.copy(copy.encode()) as lines:
        for part in ordered.iter_slices(500_000):
            lines.write(_texts(part).write_csv(include_header=False, null_value="\\N"))
    for _, definition in indexes:
        connection.execute(definition.encode())


def _texts(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        pl.selectors.datetime().dt.strftime("%Y-%m-%d %H:%M:%S%.6f"),
        pl.selectors.date().dt.strftime("%Y-%m-%d"),
        pl.selectors.by_dtype(pl.List(pl.String)).list.join(","),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--stays", type=int, default=10_000_000)
    parser.add_argument("--copies", type=int, default=2, help="times the 7 shipped hospitals")
    given = parser.parse_args()
    given.path.unlink(missing_ok=True)
    build(f"sqlite:///{given.path.resolve()}", given.stays, given.copies)
