"""Which events are about an erased person: by the marker in their place, or by a number that is remembered.

An event stays erased that states a time before the erasure, or that the hub accepted before it, whatever brings it
back; what happens later is a new beginning. Of a body that states no patient in the contract's sense (it is ignored, or
cannot be read) the identifier fields are searched, and it is erased unless it states a later time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.erasure import marked_instant
from patient_flow.contracts.tables import COORDINATES, EVENT_COORDINATES
from patient_flow.transforms import scopes
from patient_flow.transforms.identifiers import find_identifiers
from patient_flow.transforms.keys import pseudonyms

_NUMBERS = (("patient_id", "patient_scope"), ("merged_patient_id", "merged_patient_scope"))

c = pl.col


@dataclass(frozen=True)
class Erasures:
    """The erasures that count: hash of each number → when its person was erased last. ``instants`` are all of them."""

    numbers: Mapping[str, datetime] = field(default_factory=dict)
    instants: frozenset[datetime] = frozenset()
    key: str = field(default="", repr=False)

    def hashes(self, numbers: pl.Series) -> pl.Series:
        """The hash of each number with its scope (``scopes.scoped``)."""
        return pseudonyms(numbers, self.key, "erasure")


def mark_erased(frame: pl.DataFrame, bodies: pl.DataFrame, erasures: Erasures) -> pl.DataFrame:
    """``frame`` (a read frame) with ``erased_at``: when the person of an event was erased, null for all others.

    ``bodies`` are the bronze rows that it was read from.
    """
    if not erasures.instants:
        return frame.with_columns(erased_at=pl.lit(None, INSTANT))
    known = pl.Series(sorted(erasures.instants), dtype=INSTANT).implode()
    marked = [pl.when((at := marked_instant(c(name))).is_in(known)).then(at) for name, _ in _NUMBERS]
    numbered = frame.with_columns(
        _marked_at=pl.coalesce(marked),
        _remembered_at=_remembered(frame, erasures),
    )
    stated = pl.when(c("event_type") == events.SNAPSHOT).then(pl.coalesce("admission_time", "event_time"))
    is_earlier = stated.otherwise(c("event_time")) < c("_remembered_at")
    is_old = is_earlier.fill_null(value=False) | (c("enqueued_at") < c("_remembered_at"))
    judged = numbered.with_columns(erased_at=pl.coalesce("_marked_at", pl.when(is_old).then("_remembered_at")))
    return _search_others(judged, bodies, erasures).drop("_marked_at", "_remembered_at")


def _remembered(frame: pl.DataFrame, erasures: Erasures) -> pl.Series:
    """When the patient of each event was erased, or the one whose number it gives up."""
    instants = pl.DataFrame(
        {"hash": list(erasures.numbers), "at": list(erasures.numbers.values())},
        schema={"hash": pl.String(), "at": INSTANT},
    )
    found = frame.select(scopes.scoped(number, scope) for number, scope in _NUMBERS)
    of_each = []
    for name in found.columns:
        distinct = found.select(number=name).drop_nulls().unique()
        hashed = distinct.with_columns(hash=erasures.hashes(distinct["number"])).join(instants, on="hash")
        pairs = hashed.select("number", "at")
        matched = found.select(number=name).join(pairs, on="number", how="left", maintain_order="left")
        of_each.append(matched["at"].alias(name))
    return pl.select(pl.coalesce(pl.lit(series) for series in of_each)).to_series().alias("_remembered_at")


def _search_others(frame: pl.DataFrame, bodies: pl.DataFrame, erasures: Erasures) -> pl.DataFrame:
    """``frame`` with ``erased_at`` of the bodies that state no patient to the parser."""
    is_other = c("ignored_as").is_not_null() | c("is_unreadable") | c("is_unsupported")
    others = frame.filter(is_other, c("erased_at").is_null(), c("patient_id").is_null())
    if others.is_empty() or not erasures.numbers:
        return frame
    whole = bodies.select(*COORDINATES, "body").join(others, on=list(COORDINATES), how="semi")
    parts = others.join(whole, on=list(COORDINATES), how="left").with_columns(body=pl.coalesce("part_body", "body"))
    found = []
    for *coordinates, enqueued_at, body in parts.select(*EVENT_COORDINATES, "enqueued_at", "body").iter_rows():
        erased_at = _erased_at(body or b"", enqueued_at, erasures)
        if erased_at is not None:
            found.append((*coordinates, erased_at))
    schema = {name: frame.schema[name] for name in EVENT_COORDINATES} | {"_found_at": INSTANT}
    matched = pl.DataFrame(found, schema=schema, orient="row")
    joined = frame.join(matched, on=list(EVENT_COORDINATES), how="left", maintain_order="left")
    return joined.with_columns(erased_at=pl.coalesce("erased_at", "_found_at")).drop("_found_at")


def _erased_at(body: bytes, enqueued_at: datetime, erasures: Erasures) -> datetime | None:
    stated = find_identifiers(body)
    texts = pl.Series(sorted({text for number in stated.numbers for text in number.scoped}), dtype=pl.String())
    instants = [erasures.numbers[text] for text in erasures.hashes(texts) if text in erasures.numbers]
    if not instants:
        return None
    newest = max(instants)
    is_old = stated.time is None or stated.time < newest or enqueued_at < newest
    return newest if is_old else None


def erasures_of(rows: pl.DataFrame, key: str, until: datetime | None) -> Erasures:
    """The erasures of ``rows`` of ErasedNumbers, those up to ``until``."""
    known = rows.filter(c("erased_at") <= until) if until is not None else rows
    latest = known.group_by("number_hash").agg(c("erased_at").max())
    return Erasures(dict(latest.iter_rows()), frozenset(known["erased_at"]), key)
