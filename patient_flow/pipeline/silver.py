"""Bronze → silver: which events are accepted.

Silver decides; what it does not hold follows in ``unaccepted``: in ``silver/ignored`` by name, or in quarantine with
reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES, SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.pipeline.checkpoints import (
    FORMER_PSEUDONYM_KEY,
    PSEUDONYM_KEY,
    REBUILT_UNTIL,
    consumed,
    consumption_until,
    is_replaced,
)
from patient_flow.pipeline.key_check import key_check
from patient_flow.pipeline.received import BODY_COLUMNS, all_rows, stops
from patient_flow.pipeline.steps import StepContext, StepResult, retry_on_conflict
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.errors import ChangeFeedExpired, CommitConflict
from patient_flow.stores.lake.log import Checkpoints
from patient_flow.stores.lake.spans import spans_of, within_spans
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.accept import IDENTITY, accept, candidates, validate
from patient_flow.transforms.keys import pseudonym, short_hash
from patient_flow.transforms.read import read_events

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
    lake, parser = context.lake, context.parser
    silver, bronze = lake.open(SILVER_EVENTS), lake.open(BRONZE_EVENTS)
    with_key = check_key(silver, parser.secret)
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


def key_of(silver: LakeTable, secret: str) -> dict[str, int]:
    """Checkpoint that identifies the key and the scheme of the pseudonyms; the key cannot be guessed from it."""
    return {**PSEUDONYM_KEY.of(key_check(secret, _SCOPED, silver)), **FORMER_PSEUDONYM_KEY.of(None)}


def _former_number(secret: str, scheme: str) -> int:
    return int(pl.select(short_hash(pseudonym(pl.lit(scheme), secret, "key"))).item())


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


def _not_consumed(silver: LakeTable, bronze: LakeTable) -> Iterator[_Batch]:
    """Bronze rows that silver has not consumed, in batches."""
    since = consumed(silver, bronze)
    if since is None:
        return _missing_rows(silver, bronze, None)
    try:
        until = stops(bronze, since, bronze.version)
    except ChangeFeedExpired:
        return _missing_rows(silver, bronze, since)
    return _changed_rows(silver, bronze, since, until)


def _changed_rows(silver: LakeTable, bronze: LakeTable, since: int, until: list[int]) -> Iterator[_Batch]:
    """Bronze rows after version ``since``, each batch up to the next of ``until``."""
    start = since
    try:
        for stop in until:
            yield _Batch(bronze.changes(start, BODY_COLUMNS, upto=stop).after, stop)
            start = stop
    except ChangeFeedExpired:
        yield from _missing_rows(silver, bronze, start)


def _missing_rows(silver: LakeTable, bronze: LakeTable, since: int | None) -> Iterator[_Batch]:
    """All bronze rows that silver lacks, where their changes cannot be read; only the last batch counts as consumed."""
    was_empty = silver.row_count() == 0
    for rows in all_rows(bronze, bronze.version):
        yield _Batch(rows if was_empty else _without(rows, silver), since)
    yield _Batch(BRONZE_EVENTS.empty().select(BODY_COLUMNS), bronze.version)


def _without(rows: pl.DataFrame, table: LakeTable) -> pl.DataFrame:
    """``rows`` whose coordinates ``table`` does not hold."""
    numbers = rows["sequence_number"].implode()
    held = table.scan().filter(c("sequence_number").is_in(numbers)).select(COORDINATES).collect(engine="streaming")
    return rows.join(held, on=COORDINATES, how="anti")


def commit_accepted(
    silver: LakeTable, candidate: pl.DataFrame, checkpoints: Checkpoints, *, run_id: str
) -> RowsWritten:
    """Commits the candidates that are the first of their identity; those they displace leave silver."""
    accepted = accept(candidate, same_identity(silver, candidate))
    return silver.replace(accepted.displaced, accepted.rows, checkpoints, run_id=run_id)


def same_identity(silver: LakeTable, candidate: pl.DataFrame) -> pl.DataFrame:
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
