"""Counts by rule, hospital and local date: nothing is counted twice, and nothing is left out."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from patient_flow.contracts.tables import DATA_QUALITY_DAY, IGNORED, QUARANTINE, SILVER_EVENTS
from patient_flow.transforms import quality
from patient_flow_tests.builders import ZONE, at

SILVER = {name: SILVER_EVENTS.schema[name] for name in quality.SILVER_COLUMNS}
LEFT_OUT = {name: IGNORED.schema[name] for name in quality.IGNORED_COLUMNS}
REJECTED = {name: QUARANTINE.schema[name] for name in quality.QUARANTINE_COLUMNS}


def silver(*rows: tuple[str | None, str, list[str]]) -> pl.DataFrame:
    return pl.DataFrame([(hospital, at(time), flags) for hospital, time, flags in rows], schema=SILVER, orient="row")


def rejected(*rows: tuple[str | None, str, list[str]]) -> pl.DataFrame:
    return pl.DataFrame(
        [(hospital, at(time), reasons) for hospital, time, reasons in rows], schema=REJECTED, orient="row"
    )


def ignored(*rows: tuple[str | None, str, str]) -> pl.DataFrame:
    return pl.DataFrame([(hospital, at(time), name) for hospital, time, name in rows], schema=LEFT_OUT, orient="row")


def rows_of(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return sorted(frame.select("hospital_id", "rule", "accepted", "flagged", "quarantined").rows())


def test_every_event_counts_once_under_all() -> None:
    counts = quality.data_quality_day(
        silver(("1", "10:00", []), ("1", "11:00", ["a", "b"])), ignored(), rejected(("1", "12:00", ["c", "d"])), ZONE
    )
    assert ("1", "all", 2, 0, 1) in rows_of(counts)


def test_each_broken_rule_counts_its_events() -> None:
    counts = quality.data_quality_day(
        silver(("1", "10:00", ["a"]), ("1", "11:00", ["a", "b"])), ignored(), rejected(("1", "12:00", ["c"])), ZONE
    )
    assert rows_of(counts) == [
        ("1", "a", 0, 2, 0),
        ("1", "all", 2, 0, 1),
        ("1", "b", 0, 1, 0),
        ("1", "c", 0, 0, 1),
    ]


def test_an_event_without_a_usable_hospital_counts_under_unknown() -> None:
    counts = quality.data_quality_day(silver(), ignored(), rejected((None, "12:00", ["hospital_is_missing"])), ZONE)
    assert {row[0] for row in rows_of(counts)} == {"Unknown"}


def test_ignored_events_count_in_all_and_by_what_ignored_them_and_break_no_rule() -> None:
    counts = quality.data_quality_day(
        silver(("1", "10:00", [])),
        ignored(("1", "11:00", "a"), ("1", "12:00", "a"), (None, "12:00", "b")),
        rejected(),
        ZONE,
    )
    found = counts.select("hospital_id", "rule", "accepted", "flagged", "quarantined", "ignored").rows()
    assert sorted(found) == [
        ("1", "a", 0, 0, 0, 2),
        ("1", "all", 1, 0, 0, 2),
        ("Unknown", "all", 0, 0, 0, 1),
        ("Unknown", "b", 0, 0, 0, 1),
    ]


def test_the_day_is_the_local_day_of_arrival_at_the_hub() -> None:
    counts = quality.data_quality_day(silver(("1", "22:59", []), ("1", "23:00", [])), ignored(), rejected(), ZONE)
    assert counts["date"].sort().to_list() == [date(2026, 3, 20), date(2026, 3, 21)]


def test_what_is_taken_away_leaves_no_row() -> None:
    """A rejected event that is accepted after all moves from one count to the other."""
    before = quality.data_quality_day(silver(("1", "10:00", [])), ignored(), rejected(("1", "11:00", ["c"])), ZONE)
    moved = quality.total(
        before,
        quality.negative(quality.data_quality_day(silver(), ignored(), rejected(("1", "11:00", ["c"])), ZONE)),
        quality.data_quality_day(silver(("1", "11:00", [])), ignored(), rejected(), ZONE),
    )
    assert rows_of(moved) == [("1", "all", 2, 0, 0)]


def test_nothing_counts_nothing() -> None:
    counts = quality.data_quality_day(silver(), ignored(), rejected(), ZONE)
    assert (counts.height, counts.schema) == (0, DATA_QUALITY_DAY.schema)
