"""What is read from the warehouse, and how often: once per load, and only what changed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal

from patient_flow.contracts.tables import FACT_PATIENT_FLOW, KPI_DEPARTMENT_DAY, WAREHOUSE_TABLES
from patient_flow.dashboard import queries, reading
from patient_flow.dashboard import snapshot as module
from patient_flow.dashboard.snapshot import Returns, Snapshots
from patient_flow.pipeline.load import load_warehouse
from patient_flow.stores.warehouse import frames
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import ZONE
from patient_flow_tests.dashboard.conftest import settled
from patient_flow_tests.dashboard.hospital import Hospital
from patient_flow_tests.stacks import Servers, Stack


class Counting(Warehouse):
    """A warehouse that counts what is asked, and can be away, refuse a table, or answer about loads only."""

    def __init__(self, url: str, kind: str) -> None:
        super().__init__(url, kind)
        self.asked: Counter[str] = Counter()
        self.is_away = False
        self.refuses = ""
        self.hangs: threading.Event | None = None

    def query(self, statement: Any, params: Mapping[str, object] | None = None) -> pl.DataFrame:
        if self.is_away:
            raise WarehouseError("no route to host")
        table = str(statement).split("FROM")[1].split()[0].strip('"')
        self.asked[table] += 1
        if self.refuses == table:
            raise WarehouseError(f"no permission to read {table}")
        if self.hangs and table != "LoadLog":
            self.hangs.wait(10)
        return super().query(statement, params)


@pytest.fixture
def warehouse(stack: Stack, group: Hospital, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    monkeypatch.setattr(module, "LOAD_TTL_SECONDS", 0.0)
    made = Counting(stack.warehouse_url(), stack.warehouse_kind)
    load_warehouse(group.lake, made, WAREHOUSE_TABLES, now=group.now, run_id="test")
    yield made
    made.dispose()


def change(warehouse: Warehouse, *statements: str) -> None:
    """A load as another process makes it."""
    with warehouse._engine.begin() as connection:
        for statement in (*statements, 'UPDATE "LoadLog" SET gold_version = gold_version + 1'):
            connection.exec_driver_sql(statement)


def test_any_number_of_viewers_costs_one_set_of_queries(warehouse: Counting, group: Hospital) -> None:
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    settled(snapshots, 28)
    asked = Counter(warehouse.asked)
    for days in (1, 7, 14, 28) * 5:
        settled(snapshots, days)
    assert {name for name, times in warehouse.asked.items() if times > asked[name]} <= {"LoadLog"}


def test_rows_that_arrive_in_parts_are_those_of_the_driver_in_the_declared_types(
    group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "PART_ROWS", 7)
    for table in (TABLES[FACT_PATIENT_FLOW.path], TABLES[KPI_DEPARTMENT_DAY.path]):
        statement = table.select().order_by(*table.primary_key.columns)
        with group.warehouse.reading() as connection:
            rows = [tuple(row) for row in connection.execute(statement)]
        found = group.warehouse.query(statement)
        assert found.with_columns(pl.selectors.datetime().dt.replace_time_zone(None)).rows() == rows
        assert group.warehouse.query(statement.where(sa.false())).schema == found.schema


def test_a_load_reads_the_running_day_and_the_days_it_changed(
    warehouse: Counting, group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    before = settled(snapshots, 28)
    read: list[queries.Hours] = []
    real = queries.admissions
    monkeypatch.setattr(queries, "admissions", lambda asked, hours: (read.append(hours), real(asked, hours))[1])
    late = before.admissions.filter(pl.col("date") == before.today - timedelta(days=5))
    place = f"date = '{late['date'][0]}' AND department_key = {late['department_key'][0]}"
    change(
        warehouse,
        f"UPDATE \"FactPatientFlow\" SET wait_minutes = 999 WHERE admission_at = '{_text(late['admission_at'][0])}'",
        f'UPDATE "KpiDepartmentDay" SET wait_minutes_sum = 999 WHERE {place}',
    )
    after = settled(snapshots, 28)
    zone = ZoneInfo(ZONE)
    changed, today = (queries.hours_of(day, day, zone) for day in (late["date"][0], before.today))
    assert read == [changed, today]
    assert after.admissions.height == before.admissions.height
    assert after.admissions["wait_minutes"].max() == 999


def test_a_longer_period_reads_the_days_that_are_missing_and_nothing_of_the_running_day(
    warehouse: Counting, group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    real = queries.present
    monkeypatch.setattr(queries, "present", lambda asked, since: (read.append(since), real(asked, since))[1])
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    settled(snapshots, 7)
    grown = settled(snapshots, 28)
    assert len(read) == 1
    at_once = settled(Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now), 28)
    for rows in ("admissions", "discharges", "attended", "census", "quality"):
        assert_frame_equal(getattr(grown, rows), getattr(at_once, rows), check_row_order=False)


@pytest.mark.embedded_only("what the snapshot keeps, of any database")
def test_a_page_is_as_old_as_the_oldest_of_its_tables(warehouse: Counting, group: Hospital) -> None:
    """A load of the quality table alone makes no stay newer."""
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    before = snapshots.load()
    later = f"newest_event_at = '{_text(group.now + timedelta(hours=3))}', loaded_at = '{_text(group.now)}'"
    change(warehouse, f"UPDATE \"LoadLog\" SET {later} WHERE table_name IN ('DataQualityDay', 'DimTime')")
    assert snapshots.load().newest_event_at == before.newest_event_at
    change(warehouse, f"UPDATE \"LoadLog\" SET {later} WHERE table_name <> 'DimTime'")
    assert snapshots.load().newest_event_at == group.now + timedelta(hours=3)


def test_a_warehouse_whose_facts_wait_for_a_new_column_is_not_empty(warehouse: Counting, group: Hospital) -> None:
    """As `warehouse migrate` leaves it: the rows are there, and the next load brings the whole table."""
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    change(warehouse)
    with warehouse._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE \"LoadLog\" SET gold_version = NULL WHERE table_name = 'FactPatientFlow'")
    assert not snapshots.load().is_empty
    assert settled(snapshots, 7).admissions.height > 0


@pytest.mark.embedded_only("what the snapshot keeps, of any database")
def test_the_next_day_makes_the_running_day_a_past_one(warehouse: Counting, group: Hospital) -> None:
    now = group.now
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: now)
    before = settled(snapshots, 14)
    now = group.now + timedelta(days=1)
    after = settled(snapshots, 14)
    assert after.today == before.today + timedelta(days=1)
    assert after.first == before.first + timedelta(days=1)
    assert (
        after.admissions.filter(pl.col("date") <= before.today).height
        == before.admissions.filter(pl.col("date") >= after.first).height
    )


def test_while_the_warehouse_is_away_the_last_figures_stay(
    warehouse: Counting, group: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    seen = settled(snapshots, 7)
    warehouse.is_away = True
    answer = snapshots.answer(7)
    assert answer.problem == "no route to host"
    assert answer.snapshot is seen
    assert "no route to host" in caplog.text
    warehouse.is_away = False
    assert snapshots.answer(7).problem == ""


@pytest.mark.embedded_only("what the snapshot keeps, of any database")
def test_figures_that_a_newer_load_cannot_replace_keep_their_own_age(
    warehouse: Counting, group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load log answers, the facts do not: the page must not give old figures the age of the new load."""
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    seen = settled(snapshots, 7)
    monkeypatch.setattr(module, "PAGE_TIMEOUT_SECONDS", 0.0)
    warehouse.hangs = threading.Event()
    change(warehouse, f"UPDATE \"LoadLog\" SET newest_event_at = '{_text(group.now + timedelta(hours=3))}'")
    answer = snapshots.answer(7)
    assert snapshots.load().newest_event_at == group.now + timedelta(hours=3)
    assert answer.snapshot is seen
    assert answer.load is seen.load
    assert answer.is_reading
    warehouse.hangs.set()
    assert settled(snapshots, 7).load.newest_event_at == group.now + timedelta(hours=3)


@pytest.mark.embedded_only("what the snapshot keeps, of any database")
def test_a_failure_after_the_page_timed_out_is_logged_and_shown_by_the_next_page(
    warehouse: Counting, group: Hospital, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PAGE_TIMEOUT_SECONDS", 0.0)
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    seen = settled(snapshots, 7)
    warehouse.refuses = "FactPatientFlow"
    change(warehouse)
    snapshots.answer(7)
    wait_until(lambda: bool(snapshots.answer(7).problem))
    answer = snapshots.answer(7)
    assert answer.problem == "no permission to read FactPatientFlow"
    assert (answer.snapshot, answer.load, answer.is_reading) == (seen, seen.load, False)
    assert "no permission to read FactPatientFlow" in caplog.text
    warehouse.refuses = ""
    wait_until(lambda: not snapshots.answer(7).problem)
    assert snapshots.answer(7).load.versions != seen.load.versions


@pytest.mark.embedded_only("what the snapshot keeps, of any database")
def test_unreadable_readmissions_are_logged_once_and_retried_after_a_minute(
    warehouse: Counting, group: Hospital, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    returns = Returns(warehouse, ZoneInfo(ZONE))
    last = local_date(group.now) - timedelta(days=31)
    dates = (last - timedelta(days=6), last)
    warehouse.refuses = "FactPatientFlow"
    assert returns.between(*dates).is_pending
    wait_until(lambda: not returns.between(*dates).is_pending)
    asked = warehouse.asked["FactPatientFlow"]
    for _ in range(3):
        assert returns.between(*dates).problem == "no permission to read FactPatientFlow"
    assert warehouse.asked["FactPatientFlow"] == asked == 1
    assert caplog.text.count("no permission to read FactPatientFlow") == 1
    warehouse.refuses = ""
    monkeypatch.setattr(reading, "RETRY_SECONDS", 0.0)
    wait_until(lambda: returns.between(*dates).rows is not None)
    assert returns.between(*dates).problem == ""


def test_readmissions_are_read_when_the_periods_have_been(
    warehouse: Counting, group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    returns = Returns(warehouse, ZoneInfo(ZONE), snapshots)
    has_periods: list[bool] = []
    is_read = threading.Event()

    def read(*_: object) -> pl.DataFrame:
        has_periods.append(snapshots.answer(28).snapshot is not None)
        is_read.set()
        return pl.DataFrame()

    monkeypatch.setattr(queries, "returns", read)
    warehouse.hangs = threading.Event()
    snapshots.warm()
    returns.between(local_date(group.now) - timedelta(days=37), local_date(group.now) - timedelta(days=31))
    warehouse.hangs.set()
    assert is_read.wait(60)
    assert has_periods == [True]


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")


def test_a_warehouse_that_was_never_there_gives_nothing_but_the_reason(warehouse: Counting, group: Hospital) -> None:
    warehouse.is_away = True
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    snapshots.warm()
    answer = snapshots.answer(7)
    assert (answer.snapshot, answer.problem) == (None, "no route to host")


@pytest.mark.embedded_only("what the snapshot keeps, of any database")
def test_no_page_takes_the_days_that_it_lacks_for_days_without_patients(warehouse: Counting, group: Hospital) -> None:
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    settled(snapshots, 7)
    warehouse.is_away = True
    assert snapshots.answer(28).snapshot is None
    assert snapshots.answer(7).snapshot is not None


def test_no_page_waits_for_a_slow_warehouse(
    warehouse: Counting, group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_TIMEOUT_SECONDS", 0.0)
    snapshots = Snapshots(warehouse, ZoneInfo(ZONE), lambda: group.now)
    answer = snapshots.answer(28)
    assert (answer.snapshot, answer.is_reading) == (None, True)
    assert settled(snapshots, 28).first == answer_first(group)


def answer_first(group: Hospital) -> object:
    return local_date(group.now) - timedelta(days=27)


def local_date(instant: datetime) -> date:
    return instant.astimezone(ZoneInfo(ZONE)).date()


@pytest.mark.embedded_only("it compares the two databases")
def test_postgresql_gives_the_same_rows(running: Servers, group: Hospital) -> None:
    warehouse = Warehouse(running.new_url(), "postgresql")
    load_warehouse(group.lake, warehouse, WAREHOUSE_TABLES, now=group.now, run_id="test")
    theirs, ours = (
        settled(Snapshots(made, ZoneInfo(ZONE), lambda: group.now), 28) for made in (warehouse, group.warehouse)
    )
    for name in ("departments", "admissions", "discharges", "census", "quality"):
        assert_frame_equal(getattr(theirs, name), getattr(ours, name), check_row_order=False)
    assert theirs.last_sent == ours.last_sent
    hours = queries.hours_of(ours.today - timedelta(days=38), ours.today, ZoneInfo(ZONE))
    assert_frame_equal(*(queries.returns(made, hours) for made in (warehouse, group.warehouse)), check_row_order=False)
    warehouse.dispose()


def test_local_dates_begin_at_the_first_full_utc_hour() -> None:
    """Where midnight lies within a UTC hour, the hour counts for the date on which it begins."""
    day = date(2026, 3, 29)
    assert queries.hours_of(day, day, ZoneInfo("Europe/Paris")) == queries.Hours(2026032823, 2026032921)
    assert queries.hours_of(day, day, ZoneInfo("Asia/Kolkata")) == queries.Hours(2026032819, 2026032918)


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S.%f")
