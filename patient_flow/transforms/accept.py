"""The read frame → accepted events, and reasons for the others. Every row ends accepted, rejected, ignored or erased.

An event's identity is (``event_id``, ``event_time``). Of all events with one identity the first to reach the hub is
the one accepted, whichever batch brought it: an earlier one that arrives here late displaces the accepted one. A
snapshot or imported row that only repeats the accepted one is ignored; imported rows give way to the hub's (flow F8).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from patient_flow.contracts import events, rules
from patient_flow.contracts.columns import TEXTS
from patient_flow.contracts.tables import (
    COORDINATES,
    ERASED,
    EVENT_COORDINATES,
    IGNORED,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.transforms import scopes
from patient_flow.transforms.details import describe
from patient_flow.transforms.read import pseudonymise

HUB_ORDER = ("enqueued_at", *EVENT_COORDINATES)
"""Order in which events reached the hub; total."""

IDENTITY = ("event_id", "event_time")
_IMPORT_ORDER = ("imported_at", "partition_id", "sequence_number", "part")
_NO_TEXTS = pl.lit([], dtype=TEXTS)
_SCOPES = tuple(scopes.resolved())

c = pl.col

_MONTH = c("enqueued_at").dt.strftime("%Y-%m")


@dataclass(frozen=True)
class Accepted:
    """``rows`` that silver is to hold and does not, and ``displaced``: its rows that others take the place of."""

    rows: pl.DataFrame
    displaced: pl.DataFrame


def validate(read: pl.DataFrame) -> pl.DataFrame:
    """``read`` with ``reasons`` (quarantine rules broken; empty for a candidate) and ``quality_flags``."""
    return read.with_columns(
        reasons=_broken(read, rules.QUARANTINE_RULES), quality_flags=_broken(read, rules.FLAG_RULES)
    )


def is_candidate() -> pl.Expr:
    """True for validated rows that break no quarantine rule, are not ignored by themselves and not erased."""
    return (c("reasons").list.len() == 0) & c("ignored_as").is_null() & c("erased_at").is_null()


def candidates(validated: pl.DataFrame, secret: str) -> pl.DataFrame:
    """The events of ``validated`` that break no quarantine rule, as silver rows, before deduplication by identity."""
    return pseudonymise(with_raw_ids(validated), secret)


def with_raw_ids(validated: pl.DataFrame) -> pl.DataFrame:
    """:func:`candidates` before they get their pseudonyms: under their own identifiers, keys and short hashes null."""
    hashes = ("event_key", "visit_hash", "patient_hash", "merged_patient_hash", "visit_number_hash")
    needed = (*SILVER_EVENTS.schema, "reasons", "ignored_as", "erased_at", *_SCOPES)
    valid = validated.select(name for name in needed if name in validated.columns).filter(is_candidate())
    return valid.with_columns(
        scopes.scoped("visit_id", "visit_scope"),
        scopes.scoped("patient_id", "patient_scope"),
        scopes.scoped("merged_patient_id", "merged_patient_scope"),
        *(pl.lit(None, pl.Int64).alias(name) for name in hashes),
        event_month=c("event_time").dt.strftime("%Y-%m"),
    ).select(c(name).cast(dtype) for name, dtype in SILVER_EVENTS.schema.items())


def accept(candidate: pl.DataFrame, known: pl.DataFrame) -> Accepted:
    """Which candidates enter silver, given the ``known`` silver rows that are their rivals.

    Of one identity the hub's first event counts, else the row of the latest import; of imported snapshots of one visit
    those of the latest import (flow F8). A snapshot of the hub that this import repeats keeps the time of the import,
    so that the outcome does not depend on the order in which rows arrive.
    """
    both = [candidate.with_columns(is_known=pl.lit(False)), known.with_columns(is_known=pl.lit(True))]
    contenders = pl.concat(both, rechunk=True)  # rows are gathered several times as fast from one chunk
    is_imported = imported()
    narrow = contenders.select(*HUB_ORDER, "event_key", "is_known").with_row_index("row")
    hub = narrow.filter(~is_imported).sort(*HUB_ORDER, "is_known")
    first = contenders[_first_of_each(hub, contenders)]
    if contenders["imported_at"].null_count() < contenders.height:
        latest = contenders.filter(is_imported).sort(*_IMPORT_ORDER, ~c("is_known"))
        last = latest.unique(IDENTITY, keep="last", maintain_order=True)
        first = _of_latest_import(pl.concat([first, last.join(first, on=IDENTITY, how="anti")]), contenders)
    rows = (first if known.is_empty() else first.filter(~c("is_known"))).drop("is_known")
    kept = first.filter("is_known")
    return Accepted(rows, displaced=known.join(kept, on=EVENT_COORDINATES, how="anti"))


def _first_of_each(hub: pl.DataFrame, contenders: pl.DataFrame) -> pl.Series:
    """The rows of ``contenders``, in the order of ``hub``, which are the first of their identity in it.

    Equal identities have equal keys, if they have any: only those that share one have to be compared.
    """
    may_repeat = hub["event_key"].is_duplicated() | hub["event_key"].is_null()
    repeated = hub.filter(may_repeat)
    firsts = repeated.hstack(contenders.select(IDENTITY)[repeated["row"]]).unique(IDENTITY, keep="first")
    later = repeated.join(firsts, on="row", how="anti")["row"]
    return hub["row"] if later.is_empty() else hub.filter(~c("row").is_in(later.implode()))["row"]


def imported() -> pl.Expr:
    """True for rows that came from a file."""
    return c("partition_id").str.starts_with(events.IMPORTED)


def imported_snapshots() -> pl.Expr:
    """True for silver's snapshots that a file states: of one visit, those of the latest import count."""
    return c("imported_at").is_not_null() & (c("event_type") == events.SNAPSHOT)


def _of_latest_import(first: pl.DataFrame, contenders: pl.DataFrame) -> pl.DataFrame:
    """``first`` of each identity, without imported snapshots whose visit a later import states.

    ``imported_at`` is that of the identity's latest import; of the hub's events only snapshots keep it, and only where
    no import of their visit is later.
    """
    stated = contenders.group_by(IDENTITY).agg(c("imported_at").max())
    is_snapshot = c("event_type") == events.SNAPSHOT
    newest = pl.when(is_snapshot).then("imported_at").max().over("visit_id")
    is_older = is_snapshot & (c("imported_at") < c("_newest")).fill_null(value=False)
    return (
        first.rename({"imported_at": "_before"})
        .join(stated, on=IDENTITY, how="left", maintain_order="left")
        .with_columns(_newest=newest)
        .filter(~(imported() & is_older))
        .with_columns(_stamp=pl.when(imported() | (is_snapshot & ~is_older)).then("imported_at"))
        # A row of silver that gets another time, or none any more, has to be written again.
        .with_columns(is_known=c("is_known") & c("_stamp").eq_missing(c("_before")), imported_at="_stamp")
        .select(first.columns)
    )


def identity_outcomes(losers: pl.DataFrame, winners: pl.DataFrame) -> pl.DataFrame:
    """What becomes of the ``losers`` that one of the ``winners`` keeps out of silver (both silver rows).

    Coordinates, and either ``ignored_as`` or one of the ``reasons``, each with a detail.
    """
    winning = winners.select(*IDENTITY, winning_body="body_hash", winner_is_imported=imported()).unique(IDENTITY)
    latest = winners.filter(imported_snapshots()).group_by("visit_id").agg(latest=c("imported_at").max())
    is_same = c("body_hash") == c("winning_body")
    is_superseded = imported() & (c("event_type") == events.SNAPSHOT) & (c("imported_at") < c("latest"))
    name = (
        pl.when(is_same & (imported() | (c("event_type") == events.SNAPSHOT)))
        .then(pl.lit(events.ALREADY_RECEIVED))
        .when(imported() & c("winner_is_imported"))
        .then(pl.lit(events.IMPORT_SUPERSEDED))
        .when(imported() & c("winning_body").is_not_null())
        .then(pl.lit(events.IMPORT_CONTRADICTS))
        .when(is_superseded.fill_null(value=False))
        .then(pl.lit(events.IMPORT_SUPERSEDED))
    )
    return (
        losers.join(winning, on=list(IDENTITY), how="left", maintain_order="left")
        .join(latest, on="visit_id", how="left", maintain_order="left")
        .with_columns(ignored_as=name)
        .filter(c("winning_body").is_not_null() | c("ignored_as").is_not_null())
        .with_columns(
            reasons=pl.when(c("ignored_as").is_not_null())
            .then(_NO_TEXTS)
            .when(is_same)
            .then(pl.lit([rules.DUPLICATE]))
            .otherwise(pl.lit([rules.REUSED_ID])),
        )
        .select(
            *EVENT_COORDINATES,
            "ignored_as",
            "reasons",
            details=c("reasons").list.eval(pl.lit("the first to reach the hub is accepted")),
        )
    )


def outcomes(validated: pl.DataFrame, losers: pl.DataFrame, winners: pl.DataFrame) -> pl.DataFrame:
    """Outcomes of validated events that silver does not hold: ``ignored_as``, or ``reasons`` with ``details``.

    ``losers`` are those of them that are candidates (silver rows), ``winners`` silver's rows of their identities. A
    candidate whose identity nobody has was rejected under rules that have changed. One row per part, with what the
    tables of rejected and ignored events keep of it; none of the parts that are erased.
    """
    validated = validated.filter(c("erased_at").is_null())
    taken = identity_outcomes(losers, winners)
    own = validated.with_columns(is_candidate=is_candidate()).select(
        *EVENT_COORDINATES,
        "parts",
        "part_body",
        "enqueued_at",
        "hospital_id",
        "is_candidate",
        own_name="ignored_as",
        own_reasons="reasons",
        own_details=describe(validated),
    )
    changed = pl.lit([rules.RULES_CHANGED])
    return (
        own.join(taken, on=EVENT_COORDINATES, how="left", maintain_order="left")
        .join(
            losers.select(*EVENT_COORDINATES, "event_key", "visit_id", "visit_hash"),
            on=EVENT_COORDINATES,
            how="left",
            maintain_order="left",
        )
        .with_columns(
            ignored_as=pl.coalesce("own_name", "ignored_as"),
            reasons=pl.when("is_candidate").then(c("reasons").fill_null(changed)).otherwise("own_reasons"),
            details=pl.when("is_candidate").then(c("details").fill_null(pl.lit([""]))).otherwise("own_details"),
        )
        .drop("own_name", "own_reasons", "own_details", "is_candidate")
    )


def quarantined(outcome: pl.DataFrame, bodies: pl.DataFrame) -> pl.DataFrame:
    """Quarantine rows of those :func:`outcomes` that are rejected; ``bodies`` per bronze row, with ``rejected_at``.

    An event that others were wrapped with keeps its own body.
    """
    return (
        outcome.filter(c("ignored_as").is_null())
        .with_columns(enqueued_month=_MONTH)
        .join(bodies.select(*COORDINATES, "body", "rejected_at"), on=COORDINATES, how="left", maintain_order="left")
        .with_columns(body=pl.coalesce("part_body", "body"))
        .select(QUARANTINE.schema.names())
    )


def erased(read: pl.DataFrame) -> pl.DataFrame:
    """Erased rows of those of a read frame that are erased."""
    return read.filter(c("erased_at").is_not_null()).select(ERASED.schema.names())


def ignored(outcome: pl.DataFrame) -> pl.DataFrame:
    """Ignored rows of those :func:`outcomes` that are ignored."""
    named = outcome.filter(c("ignored_as").is_not_null()).rename({"ignored_as": "name"})
    return named.with_columns(enqueued_month=_MONTH).select(IGNORED.schema.names())


def _broken(read: pl.DataFrame, of: tuple[rules.Rule, ...]) -> pl.Series:
    """Names of the rules that each row breaks. Lists are built only for rows that break one: most break none."""
    marks = read.select(rule.violation.fill_null(False).alias(rule.name) for rule in of if rule.violation is not None)
    breaks_any = marks.select(pl.any_horizontal(pl.all())).to_series()
    names = marks.filter(breaks_any).select(
        pl.concat_list(pl.when(c(name)).then(pl.lit(name)) for name in marks.columns).list.drop_nulls()
    )
    lists = pl.concat([pl.Series([[]], dtype=TEXTS), names.to_series()], rechunk=True)
    return lists.gather(breaks_any.cum_sum() * breaks_any)
