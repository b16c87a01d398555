"""Bronze → silver: which events are accepted.

Silver decides; what it does not hold follows in ``unaccepted``: in ``silver/ignored`` by name, or in quarantine with
reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    EVENT_COORDINATES,
    IGNORED,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.errors import OperatorError
from patient_flow.pipeline.checkpoints import (
    FORMER_PSEUDONYM_KEY,
    PSEUDONYM_KEY,
    REBUILT_UNTIL,
    consumed,
    consumption_until,
    is_replaced,
)
from patient_flow.pipeline.erased import judged_by, judging_all
from patient_flow.pipeline.key_check import key_check
from patient_flow.pipeline.reading import read_batches
from patient_flow.pipeline.received import BODY_COLUMNS, all_rows, stops
from patient_flow.pipeline.staleness import former_rows, read_with
from patient_flow.pipeline.steps import StepContext, StepResult, retry_on_conflict
from patient_flow.pipeline.withdrawal import Withdrawal, follows, keys_of, vanished, withdraw
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.errors import ChangeFeedExpired, CommitConflict
from patient_flow.stores.lake.log import Checkpoints
from patient_flow.stores.lake.spans import spans_of, within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.accept import IDENTITY, accept, imported_snapshots
from patient_flow.transforms.keys import pseudonyms, short_hash
from patient_flow.transforms.read import ParserConfig

_WITHOUT_SCOPES, _SCOPED = FORMER_PSEUDONYM_KEY.name, "pseudonyms of scoped numbers"
"""Schemes of pseudonyms: how they were made before numbers had scopes, and how they are made now."""

c = pl.col


class KeyRefused(OperatorError):
    """The key of the pseudonyms is not the one that silver was made with."""


@retry_on_conflict
def accept_events(context: StepContext) -> StepResult:
    """New bronze rows that are acceptable, and the first of their identity at the hub, enter silver.

    Raises :class:`KeyRefused` when silver has the pseudonyms of another key.
    """
    lake, parser = context.lake, judging_all(context.lake, context.parser)
    silver, bronze = lake.open(SILVER_EVENTS), lake.open(BRONZE_EVENTS)
    with_key = {**check_key(silver, parser.secret), **read_with(silver, parser), **judged_by(parser)}
    # A rebuild that was to end at a version of the bronze that was replaced ends with this one.
    when_complete = REBUILT_UNTIL.of(None) if is_replaced(silver, bronze) else {}
    done = StepResult(SILVER_EVENTS, silver.version)
    since, received = consumed(silver, bronze), 0
    ignored, quarantine = lake.open(IGNORED), lake.open(QUARANTINE)
    has_followed = follows(ignored, silver, bronze)
    batches = _not_consumed(lake, silver, bronze, parser)
    with closing(read_batches(batches, parser)) as read:
        for batch, candidate in read:
            checkpoints = {**with_key, **(when_complete if batch.until == bronze.version else {})}
            losers = (ignored if has_followed else None, quarantine)
            gone = None if batch.gone is None else partial(_withdraw, bronze, losers, batch.gone, parser)
            taken = _commit_after(context, since, candidate, batch.until, checkpoints, gone)
            has_followed = has_followed and batch.rows.is_empty()
            done = replace(taken, written=done.written + taken.written)
            received, since = received + batch.rows.height, batch.until
    return replace(
        done,
        consumed={BRONZE_EVENTS.path: bronze.version},
        figures={
            "read_before_change": former_rows(silver, parser),
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
    ``gone`` has coordinates, event_key and visit_hash of rows that left bronze, or were changed in it.
    """

    rows: pl.DataFrame
    until: int | None
    gone: pl.DataFrame | None = None


@retry_on_conflict
def _commit_after(
    context: StepContext,
    since: int | None,
    candidate: pl.DataFrame,
    until: int | None,
    checkpoints: Checkpoints,
    withdrawn: Callable[[LakeTable], Withdrawal] | None = None,
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
    leaving = None if withdrawn is None else withdrawn(silver)
    written = commit_accepted(silver, candidate, recorded, leaving, run_id=context.run_id)
    return StepResult(SILVER_EVENTS, silver.version, written)


def _withdraw(
    bronze: LakeTable,
    losers: tuple[LakeTable | None, LakeTable],
    gone: pl.DataFrame,
    parser: ParserConfig,
    silver: LakeTable,
) -> Withdrawal:
    return withdraw(silver, bronze, losers, gone, parser)


def key_of(silver: LakeTable, secret: str) -> dict[str, int]:
    """Checkpoint that identifies the key and the scheme of the pseudonyms; the key cannot be guessed from it."""
    return {**PSEUDONYM_KEY.of(key_check(secret, _SCOPED, silver)), **FORMER_PSEUDONYM_KEY.of(None)}


def _former_number(secret: str, scheme: str) -> int:
    return int(pl.select(short_hash(pl.lit(pseudonyms(pl.Series([scheme]), secret, "key")))).item())


def check_key(silver: LakeTable, secret: str) -> dict[str, int]:
    """The same, where silver does not say it yet. Raises :class:`KeyRefused` where it says another."""
    ours = key_of(silver, secret)
    recorded, former = PSEUDONYM_KEY.read(silver.checkpoint), FORMER_PSEUDONYM_KEY.read(silver.checkpoint)
    if recorded is None and former in (None, _former_number(secret, _SCOPED)):
        return ours
    if recorded is None and former == _former_number(secret, _WITHOUT_SCOPES):
        raise KeyRefused(
            "silver was made by a version in which a visit number was unique in the whole network. Now it is unique "
            "in its hospital, or for its assigner: run `patient-flow rebuild`"
        )
    if recorded != PSEUDONYM_KEY.read(ours.get):
        raise KeyRefused(
            "PATIENT_FLOW_PSEUDONYM_KEY is not the key that silver was made with: another one would "
            "create duplicate patients. Set the former key again, or run `patient-flow rebuild`, which computes all "
            "pseudonyms again"
        )
    return {}


def _not_consumed(lake: Lake, silver: LakeTable, bronze: LakeTable, parser: ParserConfig) -> Iterator[_Batch]:
    """Bronze rows that silver has not consumed, in batches."""
    since = consumed(silver, bronze)
    if since is None:
        return _missing_rows(lake, silver, bronze, None)
    try:
        until = stops(bronze, since, bronze.version)
    except ChangeFeedExpired:
        return _missing_rows(lake, silver, bronze, since)
    return _changed_rows(lake, silver, bronze, since, until, parser)


def _changed_rows(
    lake: Lake, silver: LakeTable, bronze: LakeTable, since: int, until: list[int], parser: ParserConfig
) -> Iterator[_Batch]:
    """Bronze rows after version ``since``, each batch up to the next of ``until``."""
    start = since
    try:
        for stop in until:
            changes = bronze.changes(start, BODY_COLUMNS, upto=stop)
            gone = changes.before  # also those that are there in another form
            yield _Batch(changes.after, stop, None if gone.is_empty() else keys_of(gone, silver, parser))
            start = stop
    except ChangeFeedExpired:
        yield from _missing_rows(lake, silver, bronze, start)


def _missing_rows(lake: Lake, silver: LakeTable, bronze: LakeTable, since: int | None) -> Iterator[_Batch]:
    """All bronze rows that silver lacks, where their changes cannot be read; only the last batch counts as consumed."""
    was_empty = silver.row_count() == 0
    # Of a bronze that was made anew nobody knows yet which files will be imported again.
    gone = None if was_empty or is_replaced(silver, bronze) else vanished(lake, bronze)
    if gone is not None and gone.height:
        yield _Batch(BRONZE_EVENTS.empty().select(BODY_COLUMNS), since, gone)
    for rows in all_rows(bronze, bronze.version):
        yield _Batch(rows if was_empty else _without(rows, silver), since)
    yield _Batch(BRONZE_EVENTS.empty().select(BODY_COLUMNS), bronze.version)


def _without(rows: pl.DataFrame, table: LakeTable) -> pl.DataFrame:
    """``rows`` whose coordinates ``table`` does not hold."""
    numbers = rows["sequence_number"].implode()
    held = table.scan().filter(c("sequence_number").is_in(numbers)).select(COORDINATES).collect(engine="streaming")
    return rows.join(held, on=COORDINATES, how="anti")


def commit_accepted(
    silver: LakeTable,
    candidate: pl.DataFrame,
    checkpoints: Checkpoints,
    leaving: Withdrawal | None = None,
    *,
    run_id: str,
) -> RowsWritten:
    """Commits the candidates that count among their rivals; those that they displace leave silver.

    So do the rows of files that are withdrawn (``leaving``).
    """
    if leaving is None:
        accepted = accept(candidate, rivals(silver, candidate))
        return silver.replace(accepted.displaced, accepted.rows, checkpoints, run_id=run_id)
    candidate, touched = pl.concat([candidate, leaving.contenders]), leaving.touched
    known = rivals(silver, candidate).join(touched, on=EVENT_COORDINATES, how="anti")
    accepted = accept(candidate, known)
    return silver.replace(pl.concat([touched, accepted.displaced]), accepted.rows, checkpoints, run_id=run_id)


def rivals(silver: LakeTable, candidate: pl.DataFrame) -> pl.DataFrame:
    """Silver rows that compete with the candidates: those of their identities, and imports of the same visits (F8).

    The event time is part of an identity, so few partitions are read.
    """
    if candidate.is_empty():
        return SILVER_EVENTS.empty()
    same_identity = (
        silver.scan()
        .filter(
            c("event_month").is_in(candidate["event_month"].unique().implode()),
            within_spans("event_time", spans_of(candidate["event_time"])),
            c("event_key").is_in(candidate["event_key"].implode()),
        )
        .collect()
        .join(candidate.select(IDENTITY).unique(), on=IDENTITY, how="semi")
    )
    visits = pl.concat([candidate, same_identity]).filter(imported_snapshots())["visit_hash"].unique()
    if visits.is_empty():
        return same_identity
    of_visits = silver.having({"visit_hash": visits}).filter(imported_snapshots()).collect()
    return pl.concat([same_identity, of_visits]).unique(EVENT_COORDINATES, maintain_order=True)
