"""Bronze → erased, ignored and quarantine: the events that silver does not hold.

Silver decides; the others follow. Of the parts of bronze's bodies that silver, up to the version it consumed, does not
hold, ``silver/erased`` holds those of erased persons, ``silver/ignored`` those that are ignored, and quarantine the
others. Each can be materialised alone and die anywhere, and still every part ends in exactly one of the four tables.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl

from patient_flow.contracts import rules
from patient_flow.contracts.columns import TEXTS
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    ERASED,
    EVENT_COORDINATES,
    IGNORED,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.pipeline import judging, received
from patient_flow.pipeline.checkpoints import PART, consumed, consumption, consumption_until
from patient_flow.pipeline.erased import has_erasures, judging_as_silver
from patient_flow.pipeline.moves import Moves, find_moves, with_other_number
from patient_flow.pipeline.silver import check_key
from patient_flow.pipeline.staleness import former_rows, read_with
from patient_flow.pipeline.steps import StepContext, StepResult, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.log import NO_CHECKPOINT, Checkpoints
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import accept
from patient_flow.transforms.read import ParserConfig, read_events
from patient_flow.wording import plural

MOST_FREQUENT = "most_frequent_reason"
"""Figure of the step of quarantine: the most frequent reason of its new rows, with their number and sender."""
_UNKNOWN = ("part_body", "hospital_id", "ignored_as", "event_key", "visit_id", "visit_hash")
"""Columns of outcomes that are null where a part of a body can no longer be found in it."""
c = pl.col


@retry_on_conflict
def record_erased(context: StepContext) -> StepResult:
    """Parts of bodies about erased persons enter ``silver/erased``. Before the first erasure it does nothing."""
    lake = context.lake
    erased, silver, bronze = lake.open(ERASED), open_complete_silver(lake), lake.open(BRONZE_EVENTS)
    parser, until = judging_as_silver(lake, silver, context.parser), consumed(silver, bronze)
    if until is None or not has_erasures(silver) or _has_followed(erased, bronze, until, silver):
        return StepResult(ERASED, erased.version)
    checkpoints = {**consumption_until(bronze, until), **consumption(silver)}
    written = RowsWritten()
    rest = judging.judge_of(context, silver, bronze, until, parser).rest
    for moves in find_moves(erased, (silver,), bronze, until, rest):
        found = [
            accept.erased(read_events(rows.select(received.BODY_COLUMNS), parser))
            for entering in moves.entering
            for rows in entering.iter_slices(received.ROWS_AT_ONCE)
        ]
        after = pl.concat([ERASED.empty(), *found]).join(moves.taken, on=EVENT_COORDINATES, how="anti")
        written += erased.replace(moves.before, after, _recorded(erased, moves, checkpoints), run_id=context.run_id)
    return StepResult(
        ERASED,
        erased.version,
        written,
        consumed={BRONZE_EVENTS.path: until, SILVER_EVENTS.path: silver.version},
        figures={"erased": written.inserted},
    )


@retry_on_conflict
def ignore_events(context: StepContext) -> StepResult:
    """Events that are ignored enter ``silver/ignored``; those that silver holds, or that are rejected now, leave it."""
    above = _open_erased(context)
    lake, silver = context.lake, above[0]
    parser = judging_as_silver(lake, silver, context.parser)
    ignored, bronze = lake.open(IGNORED), lake.open(BRONZE_EVENTS)
    check_key(silver, parser.secret)
    until = consumed(silver, bronze)
    if until is None or _has_followed(ignored, bronze, until, *above):
        return StepResult(IGNORED, ignored.version)
    # A rejected event may have to be ignored, when another one takes the identity that it lost.
    judge = judging.judge_of(context, silver, bronze, until, parser)
    checkpoints = {**consumption_until(bronze, until), **consumption(*above)}
    written, names = RowsWritten(), [IGNORED.empty()["name"]]
    for moves in find_moves(ignored, above, bronze, until, judge.rest, beside=lake.open(QUARANTINE)):
        after = _each(moves, above, partial(judge.outcomes, keep=True), accept.ignored, IGNORED.empty())
        written += ignored.replace(moves.before, after, _recorded(ignored, moves, checkpoints), run_id=context.run_id)
        names.append(after["name"])
    return StepResult(
        IGNORED,
        ignored.version,
        written,
        consumed={BRONZE_EVENTS.path: until, SILVER_EVENTS.path: silver.version},
        figures={"ignored": written.inserted, "released": written.deleted},
        counts={"names": _counts(names)},
    )


@retry_on_conflict
def quarantine_events(context: StepContext) -> StepResult:
    """Events that are neither accepted, erased nor ignored enter quarantine; those that are now leave it."""
    try:
        return _quarantine_events(context)
    finally:  # also where there was nothing to do
        judging.forget()


def _quarantine_events(context: StepContext) -> StepResult:
    ignored, *above = _open_followed(context)
    lake, silver = context.lake, above[0]
    parser = judging_as_silver(lake, silver, context.parser)
    quarantine, bronze = lake.open(QUARANTINE), lake.open(BRONZE_EVENTS)
    check_key(silver, parser.secret)
    until = consumed(silver, bronze)
    if until is None or _has_followed(quarantine, bronze, until, *above, ignored):
        return StepResult(QUARANTINE, quarantine.version)
    versions = {BRONZE_EVENTS.path: until, SILVER_EVENTS.path: silver.version, IGNORED.path: ignored.version}
    now_read = read_with(quarantine, parser)
    checkpoints = {**consumption_until(bronze, until), **consumption(*above, ignored)}

    def rejected(outcome: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        new = rows.with_columns(rejected_at=pl.lit(context.now, QUARANTINE.schema["rejected_at"]))
        return accept.quarantined(_unless_ignored(outcome, ignored), new)

    judge = judging.judge_of(context, silver, bronze, until, parser)
    written, arrivals, entering, parts = RowsWritten(), 0, 0, [_reasons_by_sender(QUARANTINE.empty())]
    for moves in find_moves(quarantine, (*above, ignored), bronze, until, judge.rest):
        entered = _each(moves, (*above, ignored), judge.outcomes, rejected, QUARANTINE.empty())
        after = _keep_times(entered, moves.before)
        recorded = {**now_read, **_recorded(quarantine, moves, checkpoints)}
        written += quarantine.replace(moves.before, after, recorded, run_id=context.run_id)
        new = after.join(moves.before, on=EVENT_COORDINATES, how="anti")
        arrivals, entering = moves.received, entering + new.height
        parts.append(_reasons_by_sender(new))
    pairs = pl.concat(parts).group_by("reasons", "hospital_id").agg(c("len").sum())
    reasons = pairs.group_by("reasons").agg(c("len").sum()).sort("len", "reasons", descending=[True, False])
    return StepResult(
        QUARANTINE,
        quarantine.version,
        written,
        consumed=versions,
        figures={
            "quarantined": written.inserted,
            "released": written.deleted,
            "quarantined_pct": 100.0 * entering / arrivals if arrivals else 0.0,
            "read_before_change": former_rows(quarantine, parser),
            **_most_frequent(pairs, parser.departments),
        },
        counts={"reasons": dict(reasons.iter_rows())},
    )


def _recorded(table: LakeTable, moves: Moves, when_done: Checkpoints) -> Checkpoints:
    """``when_done`` with the last of the ``moves``, until then nothing that the table follows.

    Whoever commits is refused where another writer did since.
    """
    if moves.is_last:
        return {**when_done, **PART.of(0)}
    return {**dict.fromkeys(when_done, NO_CHECKPOINT), **PART.of((PART.read(table.checkpoint) or 0) + 1)}


def _counts(texts: list[pl.Series]) -> dict[str, int]:
    """How often each text occurs, the most frequent first."""
    return dict(pl.concat(texts).value_counts(sort=True).iter_rows())


def _reasons_by_sender(rows: pl.DataFrame) -> pl.DataFrame:
    """reasons, hospital_id, len: how many quarantined rows have the reason."""
    return rows.select("reasons", "hospital_id").explode("reasons").group_by("reasons", "hospital_id").len()


def _most_frequent(pairs: pl.DataFrame, departments: pl.DataFrame) -> dict[str, int | float | str]:
    """The figure that names the most frequent of :func:`_reasons_by_sender`, for the alert of a spike.

    Other identifiers than those of the list are not named: a sender may state anything there.
    """
    if pairs.is_empty():
        return {}
    reason, hospital, events = pairs.sort("len", "reasons", "hospital_id", descending=[True, False, False]).row(0)
    is_listed = hospital is not None and hospital in departments["hospital_id"]
    sender = f"hospital {hospital}" if is_listed else "a sender that is not in the department list"
    return {MOST_FREQUENT: f"{reason} ({plural(events, 'event')} of {sender})"}


def restate(
    lake: Lake, rows: pl.DataFrame, parser: ParserConfig, *, run_id: str, checkpoints: Checkpoints | None = None
) -> RowsWritten:
    """Quarantined ``rows`` get the reasons that they have today, or move to ``silver/ignored``.

    Those that silver holds are left for :func:`quarantine_events` to release, as those that move are. Where a body
    holds another number of parts now, all of it is stated again, unless silver holds parts of the former number.
    """
    silver, ignored, quarantine = (lake.open(table) for table in (SILVER_EVENTS, IGNORED, QUARANTINE))
    bodies = received.with_bodies(rows, lake.open(BRONZE_EVENTS))
    times = bodies.join(rows.group_by(COORDINATES).agg(c("rejected_at").min()), on=COORDINATES, how="left")
    numbers = rows.select(*COORDINATES, known=c("parts").fill_null(1)).unique(COORDINATES)
    after, renumbered = [QUARANTINE.empty()], [rows.clear().select(COORDINATES)]
    for part in bodies.iter_slices(received.ROWS_AT_ONCE):
        same, other = _by_number(judging.outcomes_of(part, silver, parser), numbers)
        accepted = received.at_coordinates(silver, other, (*COORDINATES, "parts"))
        again = other.join(with_other_number(accepted, other), on=COORDINATES, how="anti")
        renumbered.append(again.select(COORDINATES))
        outcome = pl.concat(
            [
                same.join(rows, on=EVENT_COORDINATES, how="semi", maintain_order="left"),
                judging.outcomes_of(part.join(again, on=COORDINATES, how="semi"), silver, parser),
            ]
        )
        held = received.at_coordinates(ignored, outcome)
        moved = held.join(outcome, on=EVENT_COORDINATES, how="semi")
        former = held.join(again, on=COORDINATES, how="semi")
        before = pl.concat([moved, former]).unique(EVENT_COORDINATES)
        ignored.replace(before, accept.ignored(outcome), {}, run_id=run_id)
        after.append(accept.quarantined(outcome, times))
    entering = pl.concat(after)
    before = pl.concat(
        [
            rows.join(entering, on=EVENT_COORDINATES, how="semi"),
            received.at_coordinates(quarantine, pl.concat(renumbered)),
        ]
    ).unique(EVENT_COORDINATES, maintain_order=True)
    return quarantine.replace(before, _keep_times(entering, before), checkpoints or {}, run_id=run_id)


def _open_erased(context: StepContext) -> tuple[LakeTable, ...]:
    """Silver, and erased (once a person was) at a version that belongs to it: it follows first where it has not yet."""
    silver = open_complete_silver(context.lake)
    if not has_erasures(silver):
        return (silver,)
    record_erased(context)
    return open_complete_silver(context.lake), context.lake.open(ERASED)


def _open_followed(context: StepContext) -> tuple[LakeTable, ...]:
    """Ignored, and the tables above it, at versions that belong together: they follow first where they have not yet."""
    lake = context.lake
    above = _open_erased(context)
    ignored, bronze = lake.open(IGNORED), lake.open(BRONZE_EVENTS)
    until = consumed(above[0], bronze)
    if until is None or _has_followed(ignored, bronze, until, *above):
        return ignored, *above
    ignore_events(context)
    return lake.open(IGNORED), *_open_erased(context)


def _has_followed(table: LakeTable, bronze: LakeTable, until: int, *above: LakeTable) -> bool:
    """True when ``table`` has consumed bronze up to ``until``, and the tables ``above`` it."""
    return consumed(table, bronze) == until and all(consumed(table, source) == source.version for source in above)


def _each(
    moves: Moves,
    above: tuple[LakeTable, ...],
    judge: Callable[[pl.DataFrame], pl.DataFrame],
    rows_of: Callable[..., pl.DataFrame],
    nothing: pl.DataFrame,
) -> pl.DataFrame:
    """The table's rows of those that enter: ``rows_of`` their outcomes, and their bodies where it keeps these."""
    keeps_bodies = "body" in nothing.columns
    known = moves.known_parts
    found = [nothing]
    for entering in moves.entering:
        for rows in entering.iter_slices(received.ROWS_AT_ONCE):
            outcome = judge(rows).join(moves.taken, on=EVENT_COORDINATES, how="anti")
            same, other = _by_number(outcome, known)
            if not other.is_empty():
                stays, lost = _as_first_read(other, moves.before, above)
                found.append(stays)
                same = pl.concat([same, lost.select(same.columns)])
            found.append(rows_of(same, rows) if keeps_bodies else rows_of(same))
    return pl.concat(found)


def _by_number(outcome: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Outcomes of bodies that hold as many parts as before; then bodies that hold another number now, once each."""
    if (outcome["parts"] == 1).all():  # as nearly always: then nearly no known number matters
        known = known.filter(c("known") != 1)
    numbered = outcome.join(known, on=COORDINATES, how="left", maintain_order="left")
    is_same = (c("parts") == c("known")).fill_null(True)
    other = numbered.filter(~is_same).unique(COORDINATES, maintain_order=True)
    same = numbered.filter(is_same).drop("known").join(other, on=COORDINATES, how="anti", maintain_order="left")
    return same, other


def _as_first_read(
    other: pl.DataFrame, before: pl.DataFrame, above: tuple[LakeTable, ...]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bodies that another mapping takes apart otherwise keep their ``known`` number of parts, until a rebuild.

    Rows of ``before`` that stay as they are; then outcomes of the parts that no table holds now: which events they
    were, cannot be known any more.
    """
    every = (
        other.select(*COORDINATES, "enqueued_at", parts="known", part=pl.int_ranges("known", dtype=pl.Int32))
        .explode("part")
        .with_columns(
            reasons=pl.lit([rules.RULES_CHANGED], dtype=TEXTS),
            details=pl.lit([""], dtype=TEXTS),
            **{name: pl.lit(None, other.schema[name]) for name in _UNKNOWN},
        )
    )
    missing = every
    for table in above:
        held = received.at_coordinates(table, every, EVENT_COORDINATES)
        missing = missing.join(held, on=EVENT_COORDINATES, how="anti")
    stays = before.join(missing, on=[*EVENT_COORDINATES, "parts"], how="semi")
    return stays, missing.join(stays, on=EVENT_COORDINATES, how="anti")


def _unless_ignored(outcome: pl.DataFrame, ignored: LakeTable) -> pl.DataFrame:
    """``outcome`` without the ignored events. One that the table of these lacks was rejected before rules changed."""
    named = outcome.filter(c("ignored_as").is_not_null())
    if named.is_empty():
        return outcome
    held = received.at_coordinates(ignored, named)
    missing = named.join(held, on=EVENT_COORDINATES, how="anti").select(*EVENT_COORDINATES, is_missing=pl.lit(True))
    changed = c("is_missing").fill_null(False)
    return (
        outcome.join(missing, on=EVENT_COORDINATES, how="left", maintain_order="left")
        .with_columns(
            ignored_as=pl.when(~changed).then("ignored_as"),
            reasons=pl.when(changed).then(pl.lit([rules.RULES_CHANGED])).otherwise("reasons"),
            details=pl.when(changed).then(pl.lit([""])).otherwise("details"),
        )
        .drop("is_missing")
    )


def _keep_times(after: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """An event that stays in quarantine was rejected when it was."""
    first = before.select(*EVENT_COORDINATES, first="rejected_at")
    return (
        after.join(first, on=EVENT_COORDINATES, how="left", maintain_order="left")
        .with_columns(rejected_at=pl.coalesce("first", "rejected_at"))
        .drop("first")
    )
