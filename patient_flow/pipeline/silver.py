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
from patient_flow.pipeline.checkpoints import (
    PSEUDONYM_KEY,
    REBUILT_UNTIL,
    consumed,
    consumption,
    consumption_until,
    is_replaced,
    version_of,
)
from patient_flow.pipeline.steps import StepContext, StepResult, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.errors import ChangeFeedExpired, CommitConflict
from patient_flow.stores.lake.log import Checkpoints
from patient_flow.stores.lake.spans import spans_of, within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.accept import IDENTITY, accept, candidates, identity_reasons, quarantined, validate
from patient_flow.transforms.keys import pseudonym, short_hash
from patient_flow.transforms.read import ParserConfig, read_events

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
    # A rebuild that was to end at a version of the bronze that was replaced ends with this one.
    when_complete = REBUILT_UNTIL.of(None) if is_replaced(silver, bronze) else {}
    done = StepResult(SILVER_EVENTS, silver.version)
    since, received = consumed(silver, bronze), 0
    for batch in _not_consumed(silver, bronze):
        candidate = candidates(validate(read_events(batch.rows, parser)), parser.secret)
        checkpoints = {**with_key, **(when_complete if batch.until == bronze.version else {})}
        taken = _commit_after(context, since, candidate, batch.until, checkpoints)
        done = replace(taken, written=done.written + taken.written)
        received, since = received + batch.rows.height, batch.until
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


@dataclass(frozen=True)
class _Batch:
    """Bronze rows for silver, and the version of bronze that silver has consumed once they are committed.

    ``until`` is None while nothing counts as consumed: a run that dies before the last batch reads all rows again.
    """

    rows: pl.DataFrame
    until: int | None


@retry_on_conflict
def _commit_after(
    context: StepContext, since: int | None, candidate: pl.DataFrame, until: int | None, checkpoints: Checkpoints
) -> StepResult:
    """Commits what is accepted of ``candidate`` where silver has consumed bronze up to ``since``; then up to ``until``.

    Of two writers that commit the same rows side by side (a rebuild and a micro-batch), each finds what the other did.
    """
    silver, bronze = context.lake.open(SILVER_EVENTS), context.lake.open(BRONZE_EVENTS)
    reached = consumed(silver, bronze)
    if reached != since:
        if reached is not None and until is not None and reached >= until:
            return StepResult(SILVER_EVENTS, silver.version)
        raise CommitConflict(f"{SILVER_EVENTS.path} had consumed bronze up to version {since}; now it is {reached}")
    recorded = {**checkpoints, **consumption_until(bronze, until)}
    written = commit_accepted(silver, candidate, recorded, run_id=context.run_id)
    return StepResult(SILVER_EVENTS, silver.version, written)


def key_of(secret: str) -> dict[str, int]:
    """Checkpoint that identifies the key of the pseudonyms, and reveals nothing of it."""
    return PSEUDONYM_KEY.of(pl.select(short_hash(pseudonym(pl.lit(PSEUDONYM_KEY.name), secret, "key"))).item())


def _with_key(silver: LakeTable, secret: str) -> dict[str, int]:
    """The same, where silver does not say it yet. Raises :class:`KeyRefused` where it says another."""
    ours, recorded = key_of(secret), PSEUDONYM_KEY.read(silver.checkpoint)
    if recorded is None:
        return ours
    if ours != PSEUDONYM_KEY.of(recorded):
        raise KeyRefused(
            "PATIENT_FLOW_PSEUDONYM_KEY is not the key that silver was made with: another one would "
            "create duplicate patients. Set the former key again, or run `patient-flow rebuild`, which computes all "
            "pseudonyms again"
        )
    return {}


def _not_consumed(silver: LakeTable, bronze: LakeTable) -> Iterator[_Batch]:
    """Bronze rows that silver has not consumed, in batches."""
    since = consumed(silver, bronze)
    if since is None:
        return _missing_rows(silver, bronze, None)
    try:
        stops = _stops(bronze, since, bronze.version)
    except ChangeFeedExpired:
        return _missing_rows(silver, bronze, since)
    return _changed_rows(silver, bronze, since, stops)


def _changed_rows(silver: LakeTable, bronze: LakeTable, since: int, stops: list[int]) -> Iterator[_Batch]:
    """Bronze rows after version ``since``, each batch up to the next of ``stops``."""
    start = since
    try:
        for stop in stops:
            yield _Batch(bronze.changes(start, _BODY_COLUMNS, upto=stop).after, stop)
            start = stop
    except ChangeFeedExpired:
        yield from _missing_rows(silver, bronze, start)


def _missing_rows(silver: LakeTable, bronze: LakeTable, since: int | None) -> Iterator[_Batch]:
    """All bronze rows that silver lacks, where their changes cannot be read; only the last batch counts as consumed."""
    was_empty = silver.row_count() == 0
    for rows in _all_rows(bronze, bronze.version):
        yield _Batch(rows if was_empty else _without(rows, silver), since)
    yield _Batch(BRONZE_EVENTS.empty().select(_BODY_COLUMNS), bronze.version)


def _arrived(bronze: LakeTable, since: int, upto: int) -> Iterator[pl.DataFrame]:
    """Bronze rows after version ``since`` up to ``upto``, in batches."""
    for stop in _stops(bronze, since, upto):
        yield bronze.changes(since, _BODY_COLUMNS, upto=stop).after
        since = stop


def _stops(bronze: LakeTable, since: int, upto: int) -> list[int]:
    return bronze.versions_in_steps(since, ROWS_AT_ONCE, upto=upto, weighed="body", max_bytes=BYTES_AT_ONCE)


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
    """Validates quarantined rows (those rejected for ``reason``, else all) again and accepts what is valid now.

    :func:`quarantine_events` then removes it. Rows that stay rejected get the reasons that a rebuild would find.
    """
    lake, parser, run_id = context.lake, context.parser, context.run_id
    silver, quarantine = lake.open(SILVER_EVENTS), lake.open(QUARANTINE)
    quarantine_version = quarantine.version
    with_key = _with_key(silver, parser.secret)
    held = quarantine.scan()
    if reason is not None:
        held = held.filter(c("reasons").list.contains(reason))
    rows = held.collect()
    candidate = candidates(validate(read_events(rows.select(_BODY_COLUMNS), parser)), parser.secret)
    # The checkpoint of bronze is recorded again as it is: a micro-batch that commits meanwhile makes this a conflict.
    checkpoints = {**with_key, **version_of(QUARANTINE).of(quarantine_version)}
    reached = version_of(BRONZE_EVENTS).read(silver.checkpoint)
    if reached is not None:
        checkpoints |= version_of(BRONZE_EVENTS).of(reached)
    written = commit_accepted(silver, candidate, checkpoints, run_id=run_id)
    rejected = rows.join(_same_identity(silver, candidate), on=COORDINATES, how="anti")
    quarantine.replace(rejected, _with_reasons(rejected, silver, parser), {}, run_id=run_id)
    return StepResult(
        SILVER_EVENTS,
        silver.version,
        written,
        consumed={QUARANTINE.path: quarantine_version},
        figures={"judged_again": rows.height, "accepted": written.inserted, "displaced": written.deleted},
    )


def commit_accepted(
    silver: LakeTable, candidate: pl.DataFrame, checkpoints: Checkpoints, *, run_id: str
) -> RowsWritten:
    """Commits the candidates that are the first of their identity; those they displace leave silver."""
    accepted = accept(candidate, _same_identity(silver, candidate))
    return silver.replace(accepted.displaced, accepted.rows, checkpoints, run_id=run_id)


@retry_on_conflict
def quarantine_events(context: StepContext) -> StepResult:
    """Bronze rows that silver did not accept enter quarantine; rows it has accepted since leave it."""
    lake, parser = context.lake, context.parser
    quarantine, silver, bronze = lake.open(QUARANTINE), open_complete_silver(lake), lake.open(BRONZE_EVENTS)
    _with_key(silver, parser.secret)
    until = consumed(silver, bronze)
    if until is None or (consumed(quarantine, bronze), consumed(quarantine, silver)) == (until, silver.version):
        return StepResult(QUARANTINE, quarantine.version)
    changes = _quarantine_changes(quarantine, silver, bronze, until)
    rows = _with_reasons(changes.entering.with_columns(rejected_at=pl.lit(context.now)), silver, parser)
    versions = {BRONZE_EVENTS.path: until, SILVER_EVENTS.path: silver.version}
    checkpoints = {**consumption_until(bronze, until), **consumption(silver)}
    before = pl.concat([changes.leaving, changes.affected])
    after = pl.concat([rows, _with_reasons(changes.affected, silver, parser)])
    written = quarantine.replace(before, after, checkpoints, run_id=context.run_id)
    reasons = rows.select(c("reasons").explode()).to_series().value_counts()
    return StepResult(
        QUARANTINE,
        quarantine.version,
        written,
        consumed=versions,
        figures={
            "quarantined": written.inserted,
            "released": written.deleted,
            "quarantined_pct": 100.0 * rows.height / changes.received if changes.received else 0.0,
        },
        counts={"reasons": dict(reasons.sort("count", descending=True).iter_rows())},
    )


@dataclass(frozen=True)
class _QuarantineChanges:
    """Bronze rows that enter quarantine, rows of it that leave, and others whose reasons may have changed.

    ``received`` counts the bronze rows that were read; bodies of those that do not enter are not kept in memory.
    """

    entering: pl.DataFrame
    leaving: pl.DataFrame
    affected: pl.DataFrame
    received: int


def _quarantine_changes(quarantine: LakeTable, silver: LakeTable, bronze: LakeTable, until: int) -> _QuarantineChanges:
    """From the changes of silver, and of bronze up to ``until``; from all rows where these are no longer kept."""
    since, since_silver = consumed(quarantine, bronze), consumed(quarantine, silver)
    if since is not None and since_silver is not None:
        with contextlib.suppress(ChangeFeedExpired):
            return _changes_since(quarantine, silver, bronze, since, since_silver, until)
    return _changes_from_all(quarantine, silver, bronze, until)


def _changes_since(
    quarantine: LakeTable, silver: LakeTable, bronze: LakeTable, since: int, since_silver: int, until: int
) -> _QuarantineChanges:
    moved = silver.changes(since_silver, (*COORDINATES, "event_key"))
    displaced = moved.before.join(moved.after, on=COORDINATES, how="anti")
    entering = [_fetch(bronze, displaced)]
    returned, received = moved.after, 0
    for arrived in _arrived(bronze, since, until):
        received += arrived.height
        entering.append(arrived.join(moved.after, on=COORDINATES, how="anti"))
        returned = returned.join(arrived, on=COORDINATES, how="anti")
    leaving = _held(quarantine, c("sequence_number").is_in(returned["sequence_number"].implode()), returned)
    # whoever lost its identity to the displaced event has lost it to another one now
    losers = _held(quarantine, c("event_key").is_in(displaced["event_key"].implode())).join(
        leaving, on=COORDINATES, how="anti"
    )
    return _QuarantineChanges(pl.concat(entering), leaving, losers, received)


def _changes_from_all(quarantine: LakeTable, silver: LakeTable, bronze: LakeTable, until: int) -> _QuarantineChanges:
    accepted = silver.scan().select(COORDINATES).collect()
    held = quarantine.scan().collect()
    in_its_place = pl.concat([accepted, held.select(COORDINATES)])
    entering, received = [BRONZE_EVENTS.empty().select(_BODY_COLUMNS)], 0
    for rows in _all_rows(bronze, until):
        received += rows.height
        entering.append(rows.join(in_its_place, on=COORDINATES, how="anti"))
    leaving, staying = (held.join(accepted, on=COORDINATES, how=how) for how in ("semi", "anti"))
    return _QuarantineChanges(pl.concat(entering), leaving, staying, received)


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
