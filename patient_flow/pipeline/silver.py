"""Bronze → silver and quarantine.

Silver decides; quarantine follows: it holds exactly the bronze rows that silver, up to the version it consumed, does
not. So both can be materialised alone and die anywhere, and still every bronze row is in exactly one of the two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl

from patient_flow.contracts import rules
from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES, QUARANTINE, SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.pipeline.steps import StepContext, StepResult, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.errors import ChangeFeedExpired, CommitConflict
from patient_flow.stores.lake.log import NO_CHECKPOINT
from patient_flow.stores.lake.spans import spans_of, within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.accept import IDENTITY, accept, candidates, identity_reasons, quarantined, validate
from patient_flow.transforms.keys import pseudonym, short_hash
from patient_flow.transforms.read import ParserConfig, read_events

PSEUDONYMS = "pseudonyms"
"""Progress of silver: the number of the key that its pseudonyms were made with."""
ROWS_AT_ONCE = 500_000
"""Bronze rows that are read and validated at once: bounds memory when a backlog is long."""
BYTES_AT_ONCE = 256 * 1024 * 1024
"""The same for their bodies; it is what one micro-batch may add to bronze, for one commit is always read whole."""

_BODY_COLUMNS = (*COORDINATES, "enqueued_at", "body")
c = pl.col


class KeyRefused(OperatorError):
    """The key of the pseudonyms is not the one that silver was made with."""


@retry_on_conflict
def accept_events(context: StepContext) -> StepResult:
    """New bronze rows that are acceptable, and the first of their identity at the hub, enter silver.

    Raises :class:`KeyRefused` when silver has the pseudonyms of another key.
    """
    lake, parser = context.lake, context.parser
    silver, bronze = lake.open(SILVER_EVENTS), lake.open(BRONZE_EVENTS)
    with_key = _with_key(silver, parser.secret)
    done = StepResult(SILVER_EVENTS, silver.version)
    since, received = silver.checkpoint(BRONZE_EVENTS.path), 0
    for upto, rows in _not_consumed(silver, bronze):
        candidate = candidates(validate(read_events(rows, parser)), parser.secret)
        taken = _commit_after(lake, since, candidate, {**with_key, BRONZE_EVENTS.path: upto}, run_id=context.run_id)
        done = replace(taken, written=done.written + taken.written)
        received, since = received + rows.height, None if upto == NO_CHECKPOINT else upto
    return replace(
        done,
        consumed={BRONZE_EVENTS.path: bronze.version},
        figures={
            "received": received,
            "accepted": done.written.inserted,
            "displaced": done.written.deleted,
            "accepted_pct": 100.0 * done.written.inserted / received if received else 100.0,
        },
    )


@retry_on_conflict
def _commit_after(
    lake: Lake, since: int | None, candidate: pl.DataFrame, progress: dict[str, int], *, run_id: str
) -> StepResult:
    """Takes in ``candidate`` where silver has consumed bronze as far as version ``since``, and records ``progress``.

    Of two that take in the same rows side by side (a rebuild and a micro-batch), each finds what the other has done.
    """
    silver = lake.open(SILVER_EVENTS)
    consumed, upto = silver.checkpoint(BRONZE_EVENTS.path), progress[BRONZE_EVENTS.path]
    if consumed != since:
        if consumed is not None and consumed >= upto > NO_CHECKPOINT:
            return StepResult(SILVER_EVENTS, silver.version)
        raise CommitConflict(f"{SILVER_EVENTS.path} had consumed bronze up to version {since}; now it is {consumed}")
    written = commit_accepted(silver, candidate, progress, run_id=run_id)
    return StepResult(SILVER_EVENTS, silver.version, written)


def key_of(secret: str) -> dict[str, int]:
    """Progress that says with which key pseudonyms were made, and nothing of the key."""
    return {PSEUDONYMS: pl.select(short_hash(pseudonym(pl.lit(PSEUDONYMS), secret, "key"))).item()}


def _with_key(silver: LakeTable, secret: str) -> dict[str, int]:
    """The same, where silver does not say it yet. Raises :class:`KeyRefused` where it says another."""
    mine, recorded = key_of(secret), silver.checkpoint(PSEUDONYMS)
    if recorded is None:
        return mine
    if mine[PSEUDONYMS] != recorded:
        raise KeyRefused(
            "PATIENT_FLOW_PSEUDONYM_KEY is not the key that silver was made with: the same patient would be two. "
            "Set the former key again, or run `patient-flow rebuild`, which makes all pseudonyms anew"
        )
    return {}


def _not_consumed(silver: LakeTable, bronze: LakeTable) -> Iterator[tuple[int, pl.DataFrame]]:
    """Bronze rows that silver has not consumed, some at once, each time with the progress to commit with them.

    When the changes are no longer kept, or nothing was consumed yet, these are all rows that silver does not hold, and
    only the last commit counts as progress: what dies before goes over all of them again.
    """
    since = silver.checkpoint(BRONZE_EVENTS.path)
    if since is not None:
        with contextlib.suppress(ChangeFeedExpired):
            yield from _arrived(bronze, since, bronze.version)
            return
    was_empty = silver.row_count() == 0
    for rows in _all_rows(bronze, bronze.version):
        yield NO_CHECKPOINT if since is None else since, rows if was_empty else _without(rows, silver)
    yield bronze.version, BRONZE_EVENTS.empty().select(_BODY_COLUMNS)


def _arrived(bronze: LakeTable, since: int, upto: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Bronze rows that came after version ``since`` up to ``upto``, some at once, each time with their last version."""
    for stop in bronze.versions_in_steps(since, ROWS_AT_ONCE, upto=upto, weighed="body", max_bytes=BYTES_AT_ONCE):
        yield stop, bronze.changes(since, _BODY_COLUMNS, upto=stop).after
        since = stop


def _all_rows(bronze: LakeTable, version: int) -> Iterator[pl.DataFrame]:
    """All bronze rows at ``version``, some at once."""
    return bronze.batches(_BODY_COLUMNS, ROWS_AT_ONCE, version=version, weighed="body", max_bytes=BYTES_AT_ONCE)


def _without(rows: pl.DataFrame, table: LakeTable) -> pl.DataFrame:
    """``rows`` whose coordinates ``table`` does not hold."""
    numbers = rows["sequence_number"].implode()
    held = table.scan().filter(c("sequence_number").is_in(numbers)).select(COORDINATES).collect(engine="streaming")
    return rows.join(held, on=COORDINATES, how="anti")


@retry_on_conflict
def replay(context: StepContext, *, reason: str | None) -> StepResult:
    """Judges quarantined rows (those rejected for ``reason``, else all) again; what is acceptable now enters silver.

    :func:`quarantine_events` then lets go of it. Rows that stay rejected are restated as a rebuild would find them.
    """
    lake, parser, run_id = context.lake, context.parser, context.run_id
    silver, quarantine = lake.open(SILVER_EVENTS), lake.open(QUARANTINE)
    with_key = _with_key(silver, parser.secret)
    held = quarantine.scan()
    if reason is not None:
        held = held.filter(c("reasons").list.contains(reason))
    rows = held.collect()
    candidate = candidates(validate(read_events(rows.select(_BODY_COLUMNS), parser)), parser.secret)
    # Bronze's progress is stated again as it is: a micro-batch that commits meanwhile makes this commit a conflict.
    progress = {**with_key, QUARANTINE.path: quarantine.version}
    consumed = silver.checkpoint(BRONZE_EVENTS.path)
    if consumed is not None:
        progress[BRONZE_EVENTS.path] = consumed
    written = commit_accepted(silver, candidate, progress, run_id=run_id)
    rejected = rows.join(_same_identity(silver, candidate), on=COORDINATES, how="anti")
    quarantine.replace(rejected, _with_reasons(rejected, silver, parser), {}, run_id=run_id)
    return StepResult(
        SILVER_EVENTS,
        silver.version,
        written,
        consumed=progress,
        figures={"judged_again": rows.height, "accepted": written.inserted, "displaced": written.deleted},
    )


def commit_accepted(
    silver: LakeTable, candidate: pl.DataFrame, progress: dict[str, int], *, run_id: str
) -> RowsWritten:
    """Commits the candidates that are the first of their identity; those they displace leave silver."""
    accepted = accept(candidate, _same_identity(silver, candidate))
    return silver.replace(accepted.displaced, accepted.rows, progress, run_id=run_id)


@retry_on_conflict
def quarantine_events(context: StepContext) -> StepResult:
    """Bronze rows that silver did not accept enter quarantine; rows it has accepted since leave it."""
    lake, parser = context.lake, context.parser
    quarantine, silver, bronze = lake.open(QUARANTINE), open_complete_silver(lake), lake.open(BRONZE_EVENTS)
    _with_key(silver, parser.secret)
    consumed = silver.checkpoint(BRONZE_EVENTS.path)
    followed = (quarantine.checkpoint(BRONZE_EVENTS.path), quarantine.checkpoint(SILVER_EVENTS.path))
    if consumed is None or followed == (consumed, silver.version):
        return StepResult(QUARANTINE, quarantine.version)
    moves = _moves(quarantine, silver, bronze, consumed)
    rows = _with_reasons(moves.entering.with_columns(rejected_at=pl.lit(context.now)), silver, parser)
    progress = {BRONZE_EVENTS.path: consumed, SILVER_EVENTS.path: silver.version}
    before = pl.concat([moves.leaving, moves.affected])
    after = pl.concat([rows, _with_reasons(moves.affected, silver, parser)])
    written = quarantine.replace(before, after, progress, run_id=context.run_id)
    reasons = rows.select(c("reasons").explode()).to_series().value_counts()
    return StepResult(
        QUARANTINE,
        quarantine.version,
        written,
        consumed=progress,
        figures={
            "quarantined": written.inserted,
            "released": written.deleted,
            "quarantined_pct": 100.0 * rows.height / moves.received if moves.received else 0.0,
        },
        counts={"reasons": dict(reasons.sort("count", descending=True).iter_rows())},
    )


@dataclass(frozen=True)
class _Moves:
    """Bronze rows that enter quarantine, rows of it that leave, and others whose reasons may not hold any more.

    ``received`` counts the bronze rows that were looked at; bodies of those that do not enter are not kept in memory.
    """

    entering: pl.DataFrame
    leaving: pl.DataFrame
    affected: pl.DataFrame
    received: int


def _moves(quarantine: LakeTable, silver: LakeTable, bronze: LakeTable, consumed: int) -> _Moves:
    """What follows from the changes of silver, and of bronze up to ``consumed``; if they are gone, from all rows."""
    since, since_silver = quarantine.checkpoint(BRONZE_EVENTS.path), quarantine.checkpoint(SILVER_EVENTS.path)
    if since is not None and since_silver is not None:
        with contextlib.suppress(ChangeFeedExpired):
            return _moves_since(quarantine, silver, bronze, since, since_silver, consumed)
    return _moves_of_all(quarantine, silver, bronze, consumed)


def _moves_since(
    quarantine: LakeTable, silver: LakeTable, bronze: LakeTable, since: int, since_silver: int, consumed: int
) -> _Moves:
    moved = silver.changes(since_silver, (*COORDINATES, "event_key"))
    displaced = moved.before.join(moved.after, on=COORDINATES, how="anti")
    entering = [_fetch(bronze, displaced)]
    returned, received = moved.after, 0
    for _, arrived in _arrived(bronze, since, consumed):
        received += arrived.height
        entering.append(arrived.join(moved.after, on=COORDINATES, how="anti"))
        returned = returned.join(arrived, on=COORDINATES, how="anti")
    leaving = _held(quarantine, c("sequence_number").is_in(returned["sequence_number"].implode()), returned)
    # whoever lost its identity to the displaced event has lost it to another one now
    losers = _held(quarantine, c("event_key").is_in(displaced["event_key"].implode())).join(
        leaving, on=COORDINATES, how="anti"
    )
    return _Moves(pl.concat(entering), leaving, losers, received)


def _moves_of_all(quarantine: LakeTable, silver: LakeTable, bronze: LakeTable, consumed: int) -> _Moves:
    accepted = silver.scan().select(COORDINATES).collect()
    held = quarantine.scan().collect()
    in_its_place = pl.concat([accepted, held.select(COORDINATES)])
    entering, received = [BRONZE_EVENTS.empty().select(_BODY_COLUMNS)], 0
    for rows in _all_rows(bronze, consumed):
        received += rows.height
        entering.append(rows.join(in_its_place, on=COORDINATES, how="anti"))
    leaving, staying = (held.join(accepted, on=COORDINATES, how=how) for how in ("semi", "anti"))
    return _Moves(pl.concat(entering), leaving, staying, received)


def _with_reasons(rows: pl.DataFrame, silver: LakeTable, parser: ParserConfig) -> pl.DataFrame:
    """Quarantine rows of ``rows`` (bodies and ``rejected_at``), with the rules they break today.

    Where they break none, it is their identity that is taken.
    """
    parts = (_validated(part, silver, parser) for part in rows.iter_slices(ROWS_AT_ONCE))
    return pl.concat([QUARANTINE.empty(), *parts])


def _validated(rows: pl.DataFrame, silver: LakeTable, parser: ParserConfig) -> pl.DataFrame:
    validated = validate(read_events(rows.select(_BODY_COLUMNS), parser))
    losers = candidates(validated, parser.secret)
    taken = identity_reasons(losers, _same_identity(silver, losers))
    rejected = (
        rows.select(*_BODY_COLUMNS, "rejected_at")
        .join(validated.select(*COORDINATES, "hospital_id", broken="reasons"), on=COORDINATES, how="left")
        .join(taken, on=COORDINATES, how="left")
        .join(losers.select(*COORDINATES, "event_key"), on=COORDINATES, how="left")
        .with_columns(
            reasons=pl.when(c("broken").list.len() > 0)
            .then("broken")
            .otherwise(c("reasons").fill_null(pl.lit([rules.RULES_CHANGED])))
        )
    )
    return quarantined(rejected)


def _same_identity(silver: LakeTable, candidate: pl.DataFrame) -> pl.DataFrame:
    """Silver rows that share an identity with a candidate. The event time is part of it, so few partitions are read."""
    if candidate.is_empty():
        return SILVER_EVENTS.empty()
    return (
        silver.scan()
        .filter(
            c("event_month").is_in(candidate["event_month"].unique().implode()),
            within_spans("event_time", spans_of(candidate["event_time"])),
            c("event_key").is_in(candidate["event_key"].implode()),
        )
        .collect()
        .join(candidate.select(IDENTITY).unique(), on=IDENTITY, how="semi")
    )


def _fetch(bronze: LakeTable, coordinates: pl.DataFrame) -> pl.DataFrame:
    """Bodies of the few bronze rows with these coordinates."""
    if coordinates.is_empty():
        return BRONZE_EVENTS.empty().select(_BODY_COLUMNS)
    numbers = coordinates["sequence_number"]
    return (
        bronze.scan()
        .filter(c("sequence_number").is_in(numbers.implode()))
        .select(_BODY_COLUMNS)
        .collect()
        .join(coordinates, on=COORDINATES, how="semi")
    )


def _held(quarantine: LakeTable, found: pl.Expr, coordinates: pl.DataFrame | None = None) -> pl.DataFrame:
    """Quarantine rows that ``found`` selects, of those with ``coordinates`` if given."""
    rows = quarantine.scan().filter(found).collect()
    return rows if coordinates is None else rows.join(coordinates, on=COORDINATES, how="semi")
