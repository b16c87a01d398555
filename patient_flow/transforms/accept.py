"""The read frame → accepted events and reasons for the others. Every row ends in exactly one of the two.

An event's identity is (``event_id``, ``event_time``). Of all events with one identity the first to reach the hub is
the one accepted, whichever batch brought it: an earlier one that arrives here late displaces the accepted one.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from patient_flow.contracts import rules
from patient_flow.contracts.tables import COORDINATES, QUARANTINE, SILVER_EVENTS
from patient_flow.transforms.read import pseudonymise

HUB_ORDER = ("enqueued_at", *COORDINATES)
"""Order in which events reached the hub; total."""

IDENTITY = ("event_id", "event_time")


@dataclass(frozen=True)
class Accepted:
    """``rows`` to add to silver, and ``displaced`` rows of silver that an earlier event takes the place of."""

    rows: pl.DataFrame
    displaced: pl.DataFrame


def validate(read: pl.DataFrame) -> pl.DataFrame:
    """``read`` with ``reasons`` (quarantine rules broken; empty for a candidate) and ``quality_flags``."""
    return read.with_columns(
        reasons=_broken(read, rules.QUARANTINE_RULES), quality_flags=_broken(read, rules.FLAG_RULES)
    )


def candidates(validated: pl.DataFrame, secret: str) -> pl.DataFrame:
    """The events of ``validated`` that break no quarantine rule, as silver rows (identity not yet looked at)."""
    return pseudonymise(with_raw_ids(validated), secret)


def with_raw_ids(validated: pl.DataFrame) -> pl.DataFrame:
    """:func:`candidates` before they get their pseudonyms: under their own identifiers, keys and short hashes null."""
    valid = validated.filter(pl.col("reasons").list.len() == 0)
    return valid.with_columns(
        event_key=pl.lit(None),
        event_month=pl.col("event_time").dt.strftime("%Y-%m"),
        visit_hash=pl.lit(None),
        patient_hash=pl.lit(None),
    ).select(pl.col(name).cast(dtype) for name, dtype in SILVER_EVENTS.schema.items())


def accept(candidate: pl.DataFrame, known: pl.DataFrame) -> Accepted:
    """Which candidates enter silver, given the ``known`` silver rows with the same ``event_key``."""
    contenders = pl.concat([candidate.with_columns(is_known=pl.lit(False)), known.with_columns(is_known=pl.lit(True))])
    first = contenders.sort(HUB_ORDER).unique(IDENTITY, keep="first", maintain_order=True)
    rows = first.filter(~pl.col("is_known")).drop("is_known")
    return Accepted(rows, displaced=known.join(rows, on=list(IDENTITY), how="semi"))


def identity_reasons(losers: pl.DataFrame, winners: pl.DataFrame) -> pl.DataFrame:
    """Coordinates and ``reasons`` of the ``losers`` whose identity one of the ``winners`` has (both silver rows)."""
    winning = winners.select(*IDENTITY, winning_body="body_hash").unique(IDENTITY)
    return losers.join(winning, on=list(IDENTITY), how="inner").select(
        *COORDINATES,
        reasons=pl.when(pl.col("body_hash") == pl.col("winning_body"))
        .then(pl.lit([rules.DUPLICATE]))
        .otherwise(pl.lit([rules.REUSED_ID])),
    )


def quarantined(rejected: pl.DataFrame) -> pl.DataFrame:
    """Quarantine rows of ``rejected``, which has all their columns but the partition's."""
    return rejected.with_columns(enqueued_month=pl.col("enqueued_at").dt.strftime("%Y-%m")).select(
        QUARANTINE.schema.names()
    )


def _broken(read: pl.DataFrame, of: tuple[rules.Rule, ...]) -> pl.Series:
    """Names of the rules that each row breaks. Lists are built only for rows that break one: most break none."""
    marks = read.select(rule.violation.fill_null(False).alias(rule.name) for rule in of if rule.violation is not None)
    breaks_any = marks.select(pl.any_horizontal(pl.all())).to_series()
    names = (
        marks.with_row_index("row")
        .filter(breaks_any)
        .select(
            "row",
            names=pl.concat_list(pl.when(pl.col(name)).then(pl.lit(name)) for name in marks.columns).list.drop_nulls(),
        )
    )
    return (
        pl.DataFrame({"row": pl.int_range(read.height, dtype=pl.get_index_type(), eager=True)})
        .join(names, on="row", how="left", maintain_order="left")
        .select(pl.col("names").fill_null(pl.lit([], dtype=pl.List(pl.String))))
        .to_series()
    )
