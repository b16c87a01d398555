"""What checks look at: little in a micro-batch, everything in the audit, the same figures in both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from patient_flow.contracts import tables
from patient_flow.monitoring import thresholds
from patient_flow.monitoring.rules import keys, senders
from patient_flow.pipeline import inspection, key_inspection
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.builders import (
    ENQUEUED,
    ZONE,
    Delivery,
    at,
    event,
    receive,
    run_micro_batches,
    run_step,
)
from patient_flow_tests.builders import EVENT_STEPS as ALL_BUT_TIME

EVENT_STEPS = ("accept_events", "quarantine_events", "data_quality_day")


def batch(lake: Lake, departments: pl.DataFrame, *deliveries: Delivery, steps: tuple[str, ...] = EVENT_STEPS) -> None:
    receive(lake, deliveries)
    for step in steps:
        run_step(step, lake, departments)


def delivery(number: int, *, partition: str = "0", at: datetime = ENQUEUED, **changes: object) -> Delivery:
    return Delivery(event(visit_id=f"v{partition}{number}", **changes), at, partition, number)


def rubbish(number: int, partition: str = "0") -> Delivery:
    return Delivery(b"rubbish", ENQUEUED, partition, number)


def counted(frame: pl.DataFrame) -> dict[str, int]:
    return dict(frame.select("partition_id", "events").iter_rows())


@pytest.mark.embedded_only("which rows are compared, on any storage")
def test_accounts_of_a_micro_batch_are_of_what_came_since_and_totals_of_everything(
    lake: Lake, departments: pl.DataFrame
) -> None:
    batch(lake, departments, delivery(0), delivery(1), rubbish(2))
    batch(lake, departments, delivery(3), rubbish(0, "1"), steps=EVENT_STEPS[:2])
    recent, whole = (inspection.reconciliation_counts(lake, everything=everything) for everything in (False, True))
    assert recent is not None
    assert whole is not None
    assert (counted(recent.received), counted(recent.accepted), counted(recent.quarantined)) == (
        {"0": 1, "1": 1},
        {"0": 1},
        {"1": 1},
    )
    assert (counted(whole.received), counted(whole.accepted), counted(whole.quarantined)) == (
        {"0": 4, "1": 1},
        {"0": 3},
        {"0": 1, "1": 1},
    )
    assert recent.totals == whole.totals == (5, 3, 0, 0, 2)


def test_accounts_are_of_the_versions_that_belong_together_while_another_run_drains(
    lake: Lake, departments: pl.DataFrame
) -> None:
    batch(lake, departments, delivery(0), rubbish(1))
    receive(lake, [delivery(2)])
    run_step("accept_events", lake, departments)
    receive(lake, [delivery(3)])
    for everything in (False, True):
        found = inspection.reconciliation_counts(lake, everything=everything)
        assert found is not None
        assert found.totals == (2, 1, 0, 0, 1)


def test_before_anything_was_judged_there_are_no_accounts(lake: Lake) -> None:
    assert inspection.reconciliation_counts(lake, everything=False) is None


def test_only_bronze_rows_that_silver_has_not_consumed_are_looked_at(lake: Lake, departments: pl.DataFrame) -> None:
    batch(lake, departments, delivery(0), delivery(1))
    receive(lake, [delivery(2)])
    assert inspection.new_bronze_events(lake, "hub").events["sequence_number"].to_list() == [2]
    assert sorted(inspection.all_bronze_events(lake).events["sequence_number"]) == [0, 1, 2]


@pytest.mark.parametrize("now", [datetime(2026, 3, 31, 10, 30, tzinfo=UTC), datetime(2026, 6, 17, 10, 30, tzinfo=UTC)])
def test_the_same_hour_is_that_of_the_wall_clock_also_over_a_change_of_time(now: datetime, lake: Lake) -> None:
    local_hour = now.astimezone(inspection.ZoneInfo(ZONE)).replace(minute=10) - timedelta(hours=1)
    weeks = [(local_hour - timedelta(weeks=week)).astimezone(UTC) for week in range(4)]
    receive(
        lake, [delivery(number, at=at) for number, at in enumerate([*weeks, weeks[0], weeks[3] - timedelta(days=1)])]
    )
    found = inspection.volume(lake, ZONE, now, weeks=4)
    assert (found.events, found.earlier) == (2, [1, 1, 1])
    assert found.hour.hour == local_hour.hour


@pytest.mark.parametrize("night", [datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)])
def test_every_hour_of_a_night_with_a_change_of_time_is_judged_once_when_it_is_over(
    night: datetime, lake: Lake
) -> None:
    receive(lake, [delivery(0, at=night)])
    looks = [night + timedelta(hours=number, minutes=41) for number in range(6)]
    judged = [inspection.volume(lake, ZONE, look, weeks=4).hour.astimezone(UTC) for look in looks]
    assert judged == [look.replace(minute=0) - timedelta(hours=1) for look in looks]


def test_a_field_is_new_for_a_day_and_known_afterwards(lake: Lake, departments: pl.DataFrame) -> None:
    day = timedelta(days=1)
    batch(
        lake,
        departments,
        delivery(0, at=ENQUEUED, nurse="Jane Roe"),
        delivery(1, at=ENQUEUED + 3 * day, nurse="Jane Roe", ward_phone="123"),
    )

    assert (
        inspection.new_fields(lake, ENQUEUED + timedelta(hours=1), 24, 30) == set()
    )  # a young lake: every field is new
    assert inspection.new_fields(lake, ENQUEUED + 3.5 * day, 24, 30) == {"ward_phone"}
    assert inspection.new_fields(lake, ENQUEUED + 4.5 * day, 24, 30) == set()


def test_a_field_that_was_not_sent_for_weeks_is_new_again(lake: Lake, departments: pl.DataFrame) -> None:
    now = ENQUEUED + timedelta(days=60)
    batch(
        lake,
        departments,
        delivery(0, at=now - timedelta(days=40), nurse="Jane Roe", ward_phone="123"),
        delivery(1, at=now - timedelta(days=20), ward_phone="123"),
        delivery(2, at=now - timedelta(days=1, hours=1)),
        delivery(3, at=now - timedelta(hours=1), nurse="Jane Roe", ward_phone="456"),
    )
    assert inspection.new_fields(lake, now, 24, 30) == {"nurse"}


@pytest.mark.embedded_only("it deletes files of the lake's folder")
def test_the_hourly_checks_do_not_read_old_hours(lake: Lake, departments: pl.DataFrame) -> None:
    """Its cost does not follow the history: files in the midst of it that cannot be read do not matter."""
    now = ENQUEUED + timedelta(days=90)
    batch(lake, departments, delivery(0, at=ENQUEUED))
    before = {table: _data_files(lake, table) for table in (tables.BRONZE_EVENTS, tables.SILVER_EVENTS)}
    batch(lake, departments, delivery(1, at=now - timedelta(days=50), note=1))
    for table, files in before.items():
        for file in _data_files(lake, table) - files:
            file.write_bytes(bytes(file.stat().st_size))
    batch(lake, departments, delivery(2, at=now - timedelta(days=7, hours=1)), delivery(3, at=now, note=1))
    assert inspection.new_fields(lake, now, 24, 30) == {"note"}
    assert inspection.last_sent(lake, now, days=7)["last_at"].to_list() == [now]
    found = inspection.volume(lake, ZONE, now + timedelta(hours=1), weeks=4)
    assert (found.events, found.earlier) == (1, [0, 0, 0, 0])


def _data_files(lake: Lake, table: tables.Table) -> set[Path]:
    return set(Path(lake.uri(table)).rglob("*.parquet"))


def test_hospitals_that_sent_in_the_last_days_are_looked_at(lake: Lake, departments: pl.DataFrame) -> None:
    now = ENQUEUED + timedelta(days=10)
    batch(
        lake,
        departments,
        delivery(0, hospital_id=1),
        delivery(1, hospital_id=2, at=now - timedelta(hours=9)),
        delivery(2, hospital_id=3, at=now - timedelta(minutes=1)),
    )
    sent = inspection.last_sent(lake, now, days=7)
    assert set(sent["hospital_id"]) == {"2", "3"}
    found = senders.every_hospital_sends(
        sent, departments["hospital_id"], thresholds.SENDER_SILENT, now=now, read_until=now
    )
    assert [row["hospital_id"] for row in found.rows] == ["2"]


def test_silver_is_complete_when_it_has_consumed_what_bronze_holds(lake: Lake, departments: pl.DataFrame) -> None:
    assert inspection.silver_is_behind(lake)
    batch(lake, departments, delivery(0))
    assert not inspection.silver_is_behind(lake)
    receive(lake, [delivery(1)])
    assert inspection.silver_is_behind(lake)


def test_the_audit_takes_recent_census_hours_from_the_data_not_from_the_clock(
    lake: Lake, departments: pl.DataFrame
) -> None:
    assert inspection.all_hours(lake, 48)[1] == 0
    run_micro_batches(
        lake,
        [[delivery(0), delivery(1, event_time=at("09:30 +2"), at=at("09:30 +2"))]],
        departments,
        steps=ALL_BUT_TIME,
    )
    hours, since = inspection.all_hours(lake, 48)
    assert (hours["time_key"].min(), since, hours["time_key"].max()) == (2026032010, 2026032009, 2026032209)


@pytest.mark.embedded_only("which rows are compared, on any storage")
def test_recomputed_rows_use_the_dimension_versions_of_the_facts_while_the_pipeline_is_between_steps(
    lake: Lake, departments: pl.DataFrame
) -> None:
    run_micro_batches(lake, [[delivery(0), delivery(1)]], departments, steps=ALL_BUT_TIME)
    later = departments.filter(hospital_id="1", department="ICU").with_columns(
        staffed_beds=pl.lit(99, dtype=pl.Int64), valid_from=pl.lit(at("05:00"))
    )
    receive(lake, [delivery(2, event_time=at("09:00"))])  # the patient is known since then
    for step in ("accept_events", "dim_department", "dim_patient"):
        run_step(step, lake, pl.concat([departments, later]))
    every_part = [
        inspection.recompute_facts(lake, tables.FACT_PATIENT_FLOW, part, ZONE, 90)
        for part in range(inspection.AUDIT_PARTS)
    ]
    stored = pl.concat([both.stored for both in every_part])
    recomputed = pl.concat([both.recomputed for both in every_part])
    assert stored.height == 2
    assert_frame_equal(recomputed, stored, check_row_order=False)
    hours = inspection.recompute_census(lake)
    assert_frame_equal(hours.recomputed, hours.stored, check_row_order=False)


def test_a_table_counts_its_rows_at_an_earlier_version_too(lake: Lake) -> None:
    receive(lake, [delivery(0)])
    version = lake.open(tables.BRONZE_EVENTS).version
    receive(lake, [delivery(1), delivery(2)])
    bronze = lake.open(tables.BRONZE_EVENTS)
    assert (bronze.row_count(version), bronze.row_count()) == (1, 3)
    assert bronze.changes(version, ["partition_id"]).grown_by == 2
    assert bronze.changes(None, ["partition_id"]).grown_by == 3


def test_keys_of_a_fact_are_held_against_the_dimension_that_it_has_consumed(
    lake: Lake, departments: pl.DataFrame
) -> None:
    run_micro_batches(lake, [[delivery(1, gender="Female")]], departments)
    # An import has committed an earlier beginning of the patient; its step of the fact is still to come.
    earlier = delivery(2, gender="Female", event_time=ENQUEUED - timedelta(days=2))
    batch(lake, departments, earlier, steps=("accept_events", "dim_patient"))
    fact = lake.open(tables.FACT_PATIENT_FLOW)
    references = {"patient_key": tables.DIM_PATIENT}
    whole = fact.changes_or_all(None, ["stay_key", "patient_key"])
    patients = lake.open(tables.DIM_PATIENT).scan().collect()
    assert not set(whole.after["patient_key"]) <= set(patients["patient_key"])
    assert keys.foreign_keys_exist(
        key_inspection.foreign_keys(lake, whole, tables.FACT_PATIENT_FLOW, references, {})
    ).is_ok

    run_step("fact_patient_flow", lake, departments)
    whole = lake.open(tables.FACT_PATIENT_FLOW).changes_or_all(None, ["stay_key", "patient_key"])
    found = key_inspection.foreign_keys(lake, whole, tables.FACT_PATIENT_FLOW, references, {})
    assert keys.foreign_keys_exist(found).is_ok
    assert set(found.known["patient_key"]) <= set(patients["patient_key"])
