"""What went in equals what came out; where not, it is named."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts.rules import ALL
from patient_flow.contracts.tables import INSTANT
from patient_flow.health.reconciliation import (
    accounted_for,
    events_arrive_once,
    every_event_counted,
    identities_accepted_once,
    rows_equal,
    same_rows,
)

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def coordinates(**numbers: list[int]) -> pl.DataFrame:
    """Coordinates by partition (p0=[1, 2])."""
    rows = [(CREATED, partition[1:], number) for partition, found in numbers.items() for number in found]
    schema = {"hub_created_at": INSTANT, "partition_id": pl.String(), "sequence_number": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def counts(**events: int) -> pl.DataFrame:
    schema = {"partition_id": pl.String(), "events": pl.Int64()}
    return pl.DataFrame([(name[1:], count) for name, count in events.items()], schema=schema, orient="row")


def test_numbers_without_gap_arrived_once() -> None:
    assert events_arrive_once(coordinates(p0=[4, 5, 6], p1=[0])).is_fine
    assert events_arrive_once(coordinates()).is_fine


def test_a_number_that_is_missing_warns_and_one_that_is_there_twice_is_grave() -> None:
    gap = events_arrive_once(coordinates(p0=[4, 6], p1=[0, 1]))
    assert not gap.is_fine
    assert not gap.is_grave
    assert gap.figures["missing"] == 1
    twice = events_arrive_once(coordinates(p0=[4, 5, 5]))
    assert twice.is_grave
    assert twice.figures["twice"] == 1


def test_received_is_accepted_plus_quarantined() -> None:
    finding = accounted_for(counts(p0=3, p1=2), counts(p0=2, p1=2), counts(p0=1), (105, 100, 5))
    assert finding.is_fine
    assert finding.rows[0] == {"partition_id": "0", "received": 3, "accepted": 2, "quarantined": 1}


def test_an_event_that_quarantine_gives_back_to_silver_keeps_the_balance() -> None:
    assert accounted_for(counts(), counts(p0=1), counts(p0=-1), (10, 9, 1)).is_fine


def test_a_partition_out_of_balance_is_grave_although_the_total_is_right() -> None:
    finding = accounted_for(counts(p0=1, p1=1), counts(p0=2), counts(), (10, 9, 1))
    assert finding.is_grave
    assert "partitions 0, 1" in finding.sentence


def test_a_total_out_of_balance_is_grave_although_the_changes_are_right() -> None:
    finding = accounted_for(counts(p0=1), counts(p0=1), counts(), (10, 8, 1))
    assert finding.is_grave
    assert finding.figures["unaccounted"] == 1


def test_an_identity_or_a_place_in_the_hub_accepted_twice_is_grave() -> None:
    events = coordinates(p0=[1, 2]).with_columns(event_key=pl.Series([10, 11]))
    assert identities_accepted_once(events).is_fine
    assert identities_accepted_once(events.with_columns(event_key=pl.lit(10))).is_grave
    assert identities_accepted_once(events.with_columns(sequence_number=pl.lit(1))).is_grave


def test_the_quality_table_counts_every_event() -> None:
    quality = pl.DataFrame({"rule": [ALL, ALL, "patient_is_missing"], "accepted": [5, 2, 0], "quarantined": [1, 0, 1]})
    assert every_event_counted(quality, 7, 1).is_fine
    assert every_event_counted(quality, 8, 1).is_grave
    assert every_event_counted(quality, 7, 0).is_grave


def test_rows_of_lake_and_warehouse() -> None:
    assert rows_equal(3, 3).is_fine
    assert rows_equal(3, 2).is_grave


def test_rows_made_again_show_what_is_missing_surplus_and_different() -> None:
    right = pl.DataFrame({"hour": [1, 2, 3], "beds": [4, None, 6]})
    assert same_rows(right, right.reverse(), ["hour"], ["beds"]).is_fine
    stored = pl.DataFrame({"hour": [1, 2, 4], "beds": [4, 5, 6]})
    finding = same_rows(stored, right, ["hour"], ["beds"])
    assert finding.is_grave
    assert (finding.figures["missing"], finding.figures["surplus"], finding.figures["different"]) == (1, 1, 1)
