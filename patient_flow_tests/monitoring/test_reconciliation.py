"""What went in equals what came out; where not, it is named."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.rules import ALL
from patient_flow.monitoring.finding import Finding
from patient_flow.monitoring.inputs import BronzeEvents, Recomputed, ReconciliationCounts
from patient_flow.monitoring.rules import reconciliation
from patient_flow.monitoring.rules.arrival import all_events_arrive_once, new_events_arrive_once
from patient_flow.monitoring.rules.reconciliation import (
    event_identities_unique,
    quality_counts_reconcile,
    row_counts_match,
    rows_match,
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


def everything(events: pl.DataFrame, expired: int = 0) -> Finding:
    partitions = events.select("hub_created_at", "partition_id").unique()
    return all_events_arrive_once(BronzeEvents(events, partitions.with_columns(expired=pl.lit(expired, pl.Int64()))))


def new(events: pl.DataFrame, since: pl.DataFrame) -> Finding:
    return new_events_arrive_once(BronzeEvents(events, since))


def test_numbers_without_gap_arrived_once() -> None:
    assert everything(coordinates(p0=[4, 5, 6], p1=[0])).is_ok
    assert everything(coordinates()).is_ok


def test_among_all_rows_a_gap_that_retention_explains_is_no_loss_and_a_wider_one_is() -> None:
    explained = everything(coordinates(p0=[4, 7]), expired=2)
    assert explained.is_ok
    assert explained.figures["expired"] == 2
    assert everything(coordinates(p0=[4, 8]), expired=2).figures["missing"] == 1


def test_a_number_that_is_missing_warns_and_one_that_is_there_twice_is_an_error() -> None:
    gap = everything(coordinates(p0=[4, 6], p1=[0, 1]))
    assert not gap.is_ok
    assert not gap.is_error
    assert gap.figures["missing"] == 1
    twice = everything(coordinates(p0=[4, 5, 5]))
    assert twice.is_error
    assert twice.figures["duplicates"] == 1


def seen(**partitions: tuple[int | None, int]) -> pl.DataFrame:
    """The last number judged before, and how many events were lost since, by partition (p0=(50, 100))."""
    rows = [(CREATED, partition[1:], *known) for partition, known in partitions.items()]
    schema = {"hub_created_at": INSTANT, "partition_id": pl.String(), "read": pl.Int64(), "expired": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_batch_goes_on_where_the_one_before_it_ended() -> None:
    going_on = new(coordinates(p0=[51, 52], p1=[0]), since=seen(p0=(50, 0), p1=(None, 0), p2=(7, 0)))
    assert going_on.is_ok
    assert [row["partition_id"] for row in going_on.rows] == ["0", "1"]
    assert new(coordinates(), since=seen(p0=(50, 0))).is_ok
    skipped = new(coordinates(p0=[53, 54]), since=seen(p0=(50, 0)))
    assert not skipped.is_ok
    assert skipped.figures["missing"] == 2


def test_events_dropped_by_retention_between_two_batches_warn_with_their_number_in_the_next_batch() -> None:
    finding = new(coordinates(p0=[151, 152, 153], p1=[4]), since=seen(p0=(50, 100), p1=(3, 0)))
    assert not finding.is_ok
    assert not finding.is_error
    assert finding.message == "The hub's retention deleted 100 events before they could be read."
    assert finding.figures == {"events": 4, "missing": 0, "duplicates": 0, "expired": 100}


def test_a_loss_is_reported_although_its_partition_is_empty() -> None:
    finding = new(coordinates(p1=[4]), since=seen(p0=(50, 100), p1=(3, 0)))
    assert not finding.is_ok
    assert finding.rows[0] == {"partition_id": "0", "events": 0, "first": None, "last": None, "expired": 100} | {
        "duplicates": 0,
        "missing": 0,
    }


def test_what_no_retention_explains_is_missing_beside_what_it_dropped() -> None:
    finding = new(coordinates(p0=[151, 153]), since=seen(p0=(50, 100)))
    assert (finding.figures["expired"], finding.figures["missing"]) == (100, 1)
    assert "deleted 100 events" in finding.message
    assert "1 sequence number before the last one was not read." in finding.message


def accounted_for(
    received: pl.DataFrame,
    accepted: pl.DataFrame,
    quarantined: pl.DataFrame,
    totals: tuple[int, int, int],
    ignored: pl.DataFrame | None = None,
    erased: pl.DataFrame | None = None,
) -> Finding:
    """``totals`` of received, accepted and quarantined events; the others are those of the partitions."""
    gone, left_out = (counts() if side is None else side for side in (erased, ignored))
    total = (*totals[:2], *(int(side["events"].sum()) for side in (gone, left_out)), totals[2])
    sides = ReconciliationCounts(received, accepted, gone, left_out, quarantined, total)
    return reconciliation.counts_reconcile(sides)


def test_received_is_accepted_plus_quarantined() -> None:
    finding = accounted_for(counts(p0=3, p1=2), counts(p0=2, p1=2), counts(p0=1), (105, 100, 5))
    assert finding.is_ok
    row = {"partition_id": "0", "received": 3, "accepted": 2, "erased": 0, "ignored": 0, "quarantined": 1}
    assert finding.rows[0] == row


def test_erased_events_are_accounted_for() -> None:
    assert accounted_for(counts(p0=3), counts(p0=2), counts(), (3, 2, 0), erased=counts(p0=1)).is_ok
    assert not accounted_for(counts(p0=2), counts(p0=2), counts(), (2, 2, 0), erased=counts(p0=1)).is_ok


def test_an_ignored_event_is_accounted_for() -> None:
    assert accounted_for(counts(p0=3), counts(p0=1), counts(p0=1), (3, 1, 1), ignored=counts(p0=1)).is_ok
    assert accounted_for(counts(p0=3), counts(p0=1), counts(p0=1), (3, 1, 1)).is_error


def test_an_event_that_quarantine_gives_back_to_silver_keeps_the_balance() -> None:
    assert accounted_for(counts(), counts(p0=1), counts(p0=-1), (10, 9, 1)).is_ok


def test_a_partition_out_of_balance_is_an_error_although_the_total_is_right() -> None:
    finding = accounted_for(counts(p0=1, p1=1), counts(p0=2), counts(), (10, 9, 1))
    assert finding.is_error
    assert "partitions 0, 1" in finding.message


def test_a_total_out_of_balance_is_an_error_although_the_changes_are_right() -> None:
    finding = accounted_for(counts(p0=1), counts(p0=1), counts(), (10, 8, 1))
    assert finding.is_error
    assert finding.figures["unaccounted"] == 1


def test_an_identity_or_a_place_in_the_hub_accepted_twice_is_an_error() -> None:
    events = coordinates(p0=[1, 2]).with_columns(part=pl.lit(0), event_key=pl.Series([10, 11]))
    assert event_identities_unique(events).is_ok
    assert event_identities_unique(events.with_columns(event_key=pl.lit(10))).is_error
    assert event_identities_unique(events.with_columns(sequence_number=pl.lit(1))).is_error


def test_the_quality_table_counts_every_event() -> None:
    quality = pl.DataFrame(
        {
            "rule": [ALL, ALL, "patient_is_missing", "already_received"],
            "accepted": [5, 2, 0, 0],
            "ignored": [0, 3, 0, 3],
            "quarantined": [1, 0, 1, 0],
        }
    )
    assert quality_counts_reconcile(quality, (7, 3, 1)).is_ok
    assert quality_counts_reconcile(quality, (8, 3, 1)).is_error
    assert quality_counts_reconcile(quality, (7, 2, 1)).is_error
    assert quality_counts_reconcile(quality, (7, 3, 0)).is_error


def test_rows_of_lake_and_warehouse() -> None:
    assert row_counts_match(3, 3).is_ok
    assert row_counts_match(3, 2).is_error


def test_rows_made_again_show_what_is_missing_surplus_and_different() -> None:
    right = pl.DataFrame({"hour": [1, 2, 3], "beds": [4, None, 6]})
    assert rows_match(Recomputed(right, right.reverse()), ["hour"], ["beds"]).is_ok
    stored = pl.DataFrame({"hour": [1, 2, 4], "beds": [4, 5, 6]})
    finding = rows_match(Recomputed(stored, right), ["hour"], ["beds"])
    assert finding.is_error
    assert (finding.figures["missing"], finding.figures["unexpected"], finding.figures["different"]) == (1, 1, 1)
