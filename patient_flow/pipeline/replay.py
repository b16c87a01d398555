"""Quarantined events judged again, under the rules, the mapping and the department list of today."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES, EVENT_COORDINATES, QUARANTINE, SILVER_EVENTS
from patient_flow.pipeline import received, unaccepted
from patient_flow.pipeline.checkpoints import version_of
from patient_flow.pipeline.erased import judging_as_silver
from patient_flow.pipeline.silver import check_key, commit_accepted, rivals
from patient_flow.pipeline.staleness import all_read_with, read_with
from patient_flow.pipeline.steps import StepContext, StepResult, retry_on_conflict
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.accept import candidates, validate
from patient_flow.transforms.read import ParserConfig, read_events

c = pl.col


@retry_on_conflict
def replay(context: StepContext, *, reason: str | None) -> StepResult:
    """Judges quarantined events (those rejected for ``reason``, else all) again; acceptable ones enter silver.

    ``unaccepted.quarantine_events`` then releases them. Events that stay rejected are restated as a rebuild would
    find them; those that are ignored now move to ``silver/ignored``.
    """
    lake, run_id = context.lake, context.run_id
    silver, quarantine = lake.open(SILVER_EVENTS), lake.open(QUARANTINE)
    parser = judging_as_silver(lake, silver, context.parser)
    quarantine_version = quarantine.version
    with_key = {**check_key(silver, parser.secret), **read_with(silver, parser)}
    held = quarantine.scan()
    if reason is not None:
        held = held.filter(c("reasons").list.contains(reason))
    rows = held.collect()
    bodies = received.with_bodies(rows, lake.open(BRONZE_EVENTS))
    candidate = _candidates(rows, bodies, silver, parser)
    # The checkpoint of bronze is recorded again as it is: a micro-batch that commits meanwhile makes this a conflict.
    checkpoints = {**with_key, **version_of(QUARANTINE).of(quarantine_version)}
    reached = version_of(BRONZE_EVENTS).read(silver.checkpoint)
    if reached is not None:
        checkpoints |= version_of(BRONZE_EVENTS).of(reached)
    written = commit_accepted(silver, candidate, checkpoints, run_id=run_id)
    rejected = rows.join(rivals(silver, candidate), on=EVENT_COORDINATES, how="anti")
    whole = all_read_with(parser) if reason is None else {}
    unaccepted.restate(lake, rejected, parser, run_id=run_id, checkpoints=whole)
    return StepResult(
        SILVER_EVENTS,
        silver.version,
        written,
        consumed={QUARANTINE.path: quarantine_version},
        figures={"judged_again": rows.height, "accepted": written.inserted, "displaced": written.deleted},
    )


def _candidates(rows: pl.DataFrame, bodies: pl.DataFrame, silver: LakeTable, parser: ParserConfig) -> pl.DataFrame:
    """Candidates among the quarantined ``rows``, which are parts of ``bodies``.

    Where a body holds as many parts as before, these parts alone. Where the number is another one now (a changed
    mapping), the body counts as new as long as silver holds none of it.
    """
    found = candidates(validate(read_events(bodies, parser)), parser.secret)
    before = rows.select(*COORDINATES, former="parts").unique(COORDINATES)
    numbered = found.join(before, on=COORDINATES, how="left", maintain_order="left")
    is_same = c("parts") == c("former").fill_null(1)
    same = numbered.filter(is_same).join(rows, on=EVENT_COORDINATES, how="semi", maintain_order="left")
    other = numbered.filter(~is_same)
    accepted = received.at_coordinates(silver, other, COORDINATES)
    return pl.concat([same, other.join(accepted, on=COORDINATES, how="anti")]).drop("former")
