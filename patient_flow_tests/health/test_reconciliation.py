"""What went in equals what came out; where not, it is named."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.rules import ALL
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


def seen(**partitions: tuple[int | None, int]) -> pl.DataFrame:
    """The last number judged before, and how many events were lost since, by partition (p0=(50, 100))."""
    rows = [(CREATED, partition[1:], *known) for partition, known in partitions.items()]
    schema = {"hub_created_at": INSTANT, "partition_id": pl.String(), "read": pl.Int64(), "lost": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_batch_goes_on_where_the_one_before_it_ended() -> None:
    going_on = events_arrive_once(coordinates(p0=[51, 52], p1=[0]), since=seen(p0=(50, 0), p1=(None, 0), p2=(7, 0)))
    assert going_on.is_fine
    assert [row["partition_id"] for row in going_on.rows] == ["0", "1"]
    assert events_arrive_once(coordinates(), since=seen(p0=(50, 0))).is_fine
    skipped = events_arrive_once(coordinates(p0=[53, 54]), since=seen(p0=(50, 0)))
    assert not skipped.is_fine
    assert skipped.figures["missing"] == 2


def test_what_retention_dropped_between_two_batches_warns_with_the_batch_after_it_and_says_how_many() -> None:
    finding = events_arrive_once(coordinates(p0=[151, 152, 153], p1=[4]), since=seen(p0=(50, 100), p1=(3, 0)))
    assert not finding.is_fine
    assert not finding.is_grave
    assert finding.sentence == "The hub's retention dropped 100 events before they could be read."
    assert finding.figures == {"events": 4, "missing": 0, "twice": 0, "lost": 100}


def test_a_loss_is_said_although_no_event_of_its_partition_was_left_to_arrive() -> None:
    finding = events_arrive_once(coordinates(p1=[4]), since=seen(p0=(50, 100), p1=(3, 0)))
    assert not finding.is_fine
    assert finding.rows[0] == {"partition_id": "0", "events": 0, "first": None, "last": None, "lost": 100} | {
        "twice": 0,
        "missing": 0,
    }


def test_what_no_retention_explains_is_missing_beside_what_it_dropped() -> None:
    finding = events_arrive_once(coordinates(p0=[151, 153]), since=seen(p0=(50, 100)))
    assert (finding.figures["lost"], finding.figures["missing"]) == (100, 1)
    assert "dropped 100 events" in finding.sentence
    assert "1 sequence numbers" in finding.sentence


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
