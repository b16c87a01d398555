"""Clusters of visits: what has to be folded together, found in silver.

Visits belong together that share a patient, one whose number was given up for the other's (F3), or a number without its
scope (F2). Nearly always a cluster is the visits of one patient. A cluster is found by growing from what a change
touches, in narrow passes over silver, until a pass finds nothing new: two for a patient with earlier visits. Each pass
seeks only what the one before found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.tables import SILVER_EVENTS
from patient_flow.pipeline import incremental
from patient_flow.stores.lake.spans import spans_of, within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.visits.fold import RECEIVED_AGAIN, VISIT_COLUMNS

c = pl.col

LINKS = ("visit_hash", "visit_number_hash", "patient_hash", "merged_patient_hash")
"""Columns of silver that link visits."""
LINK_COLUMNS = (*LINKS, "event_time")


@dataclass(frozen=True)
class Keys:
    """Visits, their numbers and patients that belong together, each by its hash."""

    visits: pl.Series
    numbers: pl.Series
    patients: pl.Series

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Keys:
        """The keys that ``rows`` with the columns :data:`LINKS` name."""
        patients = pl.concat([rows["patient_hash"], rows["merged_patient_hash"]])
        return cls(*(_distinct(keys) for keys in (rows["visit_hash"], rows["visit_number_hash"], patients)))

    @property
    def size(self) -> int:
        """Number of keys; it grows with every key that joins."""
        return self.visits.len() + self.numbers.len() + self.patients.len()

    def by_column(self) -> dict[str, pl.Series]:
        """The keys by the columns :data:`LINKS` of their events."""
        return dict(zip(LINKS, (self.visits, self.numbers, self.patients, self.patients), strict=True))

    def and_those_of(self, other: Keys) -> Keys:
        """The keys of both."""
        return Keys(*(_distinct(pl.concat(pair)) for pair in self._pairs(other)))

    def without(self, other: Keys) -> Keys:
        """The keys that ``other`` does not have."""
        return Keys(*(ours.filter(~ours.is_in(theirs.implode())) for ours, theirs in self._pairs(other)))

    def _pairs(self, other: Keys) -> tuple[tuple[pl.Series, pl.Series], ...]:
        return (self.visits, other.visits), (self.numbers, other.numbers), (self.patients, other.patients)


@dataclass(frozen=True)
class Grown:
    """Whole clusters, and their events in silver: the columns :data:`LINK_COLUMNS`, some events twice."""

    keys: Keys
    events: pl.DataFrame


def grown(silver: LakeTable, touched: Keys) -> Grown:
    """The whole clusters of what is ``touched``."""
    keys, sought = touched, touched
    events = [SILVER_EVENTS.empty().select(LINK_COLUMNS)]
    while sought.size:
        rows = silver.having(sought.by_column()).select(LINK_COLUMNS).collect(engine="streaming")
        events.append(rows)
        found = keys.and_those_of(Keys.of(rows))
        keys, sought = found, found.without(keys)
    return Grown(keys, pl.concat(events))


def divided(whole: Grown) -> list[Grown]:
    """``whole`` in parts of at most about ``EVENTS_AT_ONCE`` events each; keys without an event are with the first."""
    count = _part_count(whole.events.height)
    if count == 1:
        return [whole]
    parts = [whole.events.filter(part) for part in cut(whole.events.lazy(), count)]
    keys = [Keys.of(events) for events in parts]
    keys[0] = keys[0].and_those_of(whole.keys.without(Keys.of(whole.events)))
    return [Grown(*part) for part in zip(keys, parts, strict=True)]


def history(silver: LakeTable, whole: Grown, columns: tuple[str, ...] = VISIT_COLUMNS) -> pl.DataFrame:
    """All events of whole clusters, from the spans of time in which they happened.

    Of a whole cluster each event has one of its patients, so no other key needs to be compared.
    """
    spans = spans_of(whole.events["event_time"])
    return (
        silver.having({"patient_hash": whole.keys.patients})
        .filter(within_spans("event_time", spans))
        .select(columns)
        .collect(engine="streaming")
    )


def parts(silver: LakeTable) -> list[pl.Expr]:
    """Filters that cut silver into parts of whole clusters, of at most about ``EVENTS_AT_ONCE`` events each."""
    count = _part_count(silver.row_count())
    return [pl.lit(value=True)] if count == 1 else cut(silver.scan(), count)


def _part_count(events: int) -> int:
    """Parts have half as many events while that makes eight of them at most: :func:`flow.fold_all` has two in memory.

    More would make too many files: each part adds some to every month.
    """
    whole, halves = (-(-number * events // incremental.EVENTS_AT_ONCE) for number in (1, 2))
    return max(1, whole, min(halves, 8))


def cut(silver: pl.LazyFrame, count: int) -> list[pl.Expr]:
    """Filters that cut events into ``count`` parts of whole clusters."""
    leaders = joined_patients(silver)
    leader = c("patient_hash").replace(leaders) if leaders else c("patient_hash")
    return [leader % count == number for number in range(count)]


def joined_patients(silver: pl.LazyFrame) -> dict[int, int]:
    """patient_hash → patient_hash of the one that stands for its cluster, of patients that share one with others."""
    links = silver.select(LINKS)
    merged = links.filter(c("merged_patient_hash").is_not_null()).unique().collect(engine="streaming")
    return leaders_of(_linked(links, "visit_hash"), _linked(links, "visit_number_hash"), merged_pairs(merged))


def merged_pairs(merges: pl.DataFrame) -> pl.DataFrame:
    """The two patients of each merge."""
    return merges.select("patient_hash", other="merged_patient_hash").drop_nulls()


def leaders_of(*pairs: pl.DataFrame) -> dict[int, int]:
    """Patient → the one that stands for all that pairs connect with it; those that stand for themselves left out."""
    leaders: dict[int, int] = {}
    for one, other in (pair for frame in pairs for pair in frame.iter_rows()):
        first, second = sorted((_leader(leaders, one), _leader(leaders, other)))
        leaders[second] = first
    return {patient: _leader(leaders, patient) for patient in leaders if _leader(leaders, patient) != patient}


def _linked(links: pl.LazyFrame, key: str) -> pl.DataFrame:
    """Pairs of patients that share a ``key``, with the first of them."""
    known = links.filter(c(key).is_not_null()).select(key, "patient_hash")
    first = known.group_by(key).agg(first=c("patient_hash").min(), last=c("patient_hash").max())
    several = first.filter(c("first") != c("last"))
    pairs = known.join(several, on=key).filter(c("patient_hash") != c("first"))
    return pairs.select("patient_hash", other="first").unique().collect(engine="streaming")


def _leader(leaders: dict[int, int], patient: int) -> int:
    while leaders.get(patient, patient) != patient:
        patient = leaders[patient]
    return patient


def of_merges(silver: pl.LazyFrame) -> pl.DataFrame:
    """All merges of patients, which are few."""
    is_merge = c("merged_patient_hash").is_not_null() & (c("event_type") == events.MERGE)
    return silver.filter(is_merge).select(*VISIT_COLUMNS, "merged_patient_hash").collect(engine="streaming")


def received_again(ignored: pl.LazyFrame) -> pl.DataFrame:
    """When the hub took repeated snapshots, of the ``ignored`` events: each confirms its visit (F8)."""
    repeats = ignored.filter(c("name") == events.ALREADY_RECEIVED)
    return repeats.select(RECEIVED_AGAIN.names()).collect(engine="streaming")


def _distinct(keys: pl.Series | Iterable[int]) -> pl.Series:
    series = keys if isinstance(keys, pl.Series) else pl.Series(list(keys), dtype=pl.Int64)
    return series.drop_nulls().unique()
