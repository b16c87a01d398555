"""A second source held against the stream (contract 3.6): reading an extract, and comparing it with what the lake knew.

Not here: what counts as a difference (``transforms.reconciliation``), and writing corrections (``corrections``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import polars as pl

from patient_flow.contracts.events import RECONCILIATION
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DIM_DEPARTMENT,
    EVENT_COORDINATES,
    FACT_PATIENT_FLOW,
    IGNORED,
    SILVER_EVENTS,
)
from patient_flow.errors import OperatorError
from patient_flow.files import Source
from patient_flow.pipeline import clusters, imports, received
from patient_flow.pipeline.checkpoints import READ_UNTIL, consumed
from patient_flow.pipeline.clusters import LINKS, Keys
from patient_flow.pipeline.erased import judging_all
from patient_flow.pipeline.known import as_known_at, touched_after
from patient_flow.pipeline.steps import StepContext, open_complete_silver
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms import corrections
from patient_flow.transforms.accept import accept, candidates, is_candidate, validate
from patient_flow.transforms.names import fold_name
from patient_flow.transforms.read import ParserConfig, read_events
from patient_flow.transforms.reconciliation import (
    MIN_DISCHARGES,
    Comparison,
    Difference,
    ExtractRule,
    Side,
    rule_of,
)
from patient_flow.transforms.visits.fold import VISIT_COLUMNS, fold
from patient_flow.wording import plural

_ROWS_OF_A_DELETE = 1000
_NUMBERS = ("visit_id", "patient_id", "hospital_id", "visit_scope", "patient_scope")
"""What identifies a visit to its sender, with the scopes of the numbers."""
_SINCE_TOLD = "the sender has stated it since"

c = pl.col


@dataclass(frozen=True)
class Extract:
    """The rows of an extract that was taken at ``taken_at``: acceptable ones as silver rows, and their raw numbers.

    ``numbers`` has :data:`_NUMBERS`, gender and age by the pseudonym of the visit (``visit``). ``refused`` counts rows
    by the rule that they break.
    """

    name: str
    taken_at: datetime
    rows: pl.DataFrame
    numbers: pl.DataFrame
    refused: Mapping[str, int] = field(default_factory=dict)

    @property
    def hospitals(self) -> list[str]:
        """The hospitals that it names."""
        return sorted(self.rows["hospital_id"].drop_nulls().unique())


@dataclass(frozen=True)
class Report:
    """Differences of an extract, and why those of some hospitals are not corrected."""

    extract: Extract
    differences: list[Difference]
    notes: list[str] = field(default_factory=list)
    numbers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The raw numbers of each visit that differs, by its pseudonym."""

    @property
    def named(self) -> list[Difference]:
        """Those that are more than a confirmation."""
        return [difference for difference in self.differences if difference.kind is not None]

    @property
    def to_correct(self) -> list[Difference]:
        """Those that are corrected."""
        return [difference for difference in self.differences if difference.corrections and not difference.held_back]

    def counts(self) -> dict[str, int]:
        """Differences by kind."""
        return dict(sorted(Counter(str(difference.kind) for difference in self.named).items()))


def read_extract(source: Source, parser: ParserConfig, lake: Lake, now: datetime, as_of: datetime | None) -> Extract:
    """Reads an extract taken at ``as_of``, else at the event time that all of its rows state.

    Raises :class:`OperatorError` where it states none, or several.
    """
    parser = judging_all(lake, parser)
    taken_at = as_of or _stated_time(source, parser, now)
    if taken_at > now:
        raise OperatorError(
            f"{source.path.name}: it was taken at {taken_at:%Y-%m-%d %H:%M} UTC, which is in the future"
        )
    rows, numbers, refused = [SILVER_EVENTS.empty()], [], Counter[str]()
    for batch in imports.batches(source, parser, now, taken_at):
        judged = validate(read_events(batch, parser))
        refused.update(judged["reasons"].explode().drop_nulls().to_list())
        usable = candidates(judged, parser.secret)
        rows.append(usable)
        raw = judged.filter(is_candidate()).select(*EVENT_COORDINATES, *_NUMBERS)
        named = usable.select(*EVENT_COORDINATES, "gender", "age", visit="visit_id")
        numbers.append(raw.join(named, on=EVENT_COORDINATES, nulls_equal=True))
    accepted = accept(pl.concat(rows), SILVER_EVENTS.empty()).rows
    known = pl.concat(numbers).unique("visit", keep="last", maintain_order=True)
    return Extract(source.path.name, taken_at, accepted, known, dict(refused))


def _stated_time(source: Source, parser: ParserConfig, now: datetime) -> datetime:
    times: set[datetime] = set()
    rows = 0
    for batch in imports.batches(source, parser, now, None):
        read = read_events(batch, parser).filter(c("ignored_as").is_null())
        times |= set(read.filter("states_event_time")["event_time"].drop_nulls())
        rows += read.filter(~c("states_event_time")).height
    if len(times) == 1 and not rows:
        return times.pop()
    problem = (
        "it does not state when it was taken"
        if not times
        else f"its rows state {plural(len(times), 'different event time')}"
        if len(times) > 1
        else f"{plural(rows, 'of its rows does', 'of its rows do')} not state when it was taken"
    )
    raise OperatorError(
        f"{source.path.name}: {problem}: name the time with --as-of 2026-11-29T06:00, or map the field that holds it "
        "to event_time"
    )


def require_silver_until(context: StepContext, at: datetime) -> None:
    """Raises :class:`OperatorError` until silver holds everything that the hub accepted by ``at``."""
    silver, bronze = open_complete_silver(context.lake), context.lake.open(BRONZE_EVENTS)
    until = READ_UNTIL.read(bronze.checkpoint) or received.newest_hub_event(silver)
    if (until is None or until >= at) and consumed(silver, bronze) == bronze.version:
        return
    reached = "nothing yet" if until is None else f"what the hub accepted until {until:%Y-%m-%d %H:%M:%S} UTC"
    raise OperatorError(
        f"the lake holds {reached}; the extract was taken at {at:%Y-%m-%d %H:%M:%S} UTC: run it again after the next "
        "micro-batch, so that what is still under way is not taken for missing"
    )


def compare(
    context: StepContext,
    extract: Extract,
    rules: Sequence[ExtractRule],
    *,
    listed_elsewhere: Collection[str] = (),
) -> Report:
    """Differences of ``extract`` from what the lake knew when it was taken; corrections as ``rules`` allow them.

    Visits (pseudonyms) that another extract of the same instant lists are not absent from this one.
    """
    departments = context.lake.open(DIM_DEPARTMENT).scan().collect()
    at = extract.taken_at
    history = _history(context, extract)
    stream = _stream(context, history, departments, at)
    stays = fold(extract.rows, departments, unconfirmed_days=context.unconfirmed_days, zone=context.timezone).stays
    unnumbered = extract.rows.filter(c("visit_number_hash").is_null())["visit_id"].drop_nulls()
    listed = {
        (row[0], fold_name(row[1])): row[2]
        for row in departments.filter("is_current").select("hospital_id", "department", "unconfirmed_days").iter_rows()
    }
    comparison = Comparison(
        Side.of(stays, extract.rows["visit_id"].drop_nulls().unique(), at),
        stream,
        at,
        unnumbered=frozenset(unnumbered),
        listed_days=listed,
        unconfirmed_days=context.unconfirmed_days,
    )
    by_hospital = {hospital: rule_of(rules, extract.name, hospital) for hospital in extract.hospitals}
    covered = {
        hospital: None if rule.departments is None else frozenset(map(fold_name, rule.departments))
        for hospital, rule in by_hospital.items()
    }
    differing = comparison.differences(covered)
    present = [each for each in differing if not (each.is_absence and each.stream_visit in listed_elsewhere)]
    found = _not_void(present, history, at)
    numbers = _numbers(context, extract, history, found)
    allowed = [_allowed(each, by_hospital.get(each.hospital, ExtractRule()), numbers.get(each.visit)) for each in found]
    checked, notes = _within_limits(extract, allowed, by_hospital, stream)
    return Report(extract, checked, notes, numbers)


# -- what the lake knew


def _history(context: StepContext, extract: Extract) -> pl.DataFrame:
    """Silver events, up to now, of all visits that were in bed when it was taken, or that it names, and their kin."""
    lake, at = context.lake, extract.taken_at
    silver = open_complete_silver(lake)
    is_open = c("discharge_at").is_null() | (c("discharge_at") > at)
    placed = lake.open(FACT_PATIENT_FLOW).scan().filter(is_open, c("admission_at") <= at)
    ours = (c("partition_id") == RECONCILIATION) & (c("enqueued_at") == at)
    links = [
        extract.rows.select(LINKS),
        placed.select("visit_hash").collect(engine="streaming"),
        touched_after(context, silver, at),
        silver.scan().filter(ours).select(LINKS).collect(engine="streaming"),
    ]
    whole = clusters.grown(silver, Keys.of(pl.concat(links, how="diagonal").unique()))
    if whole.events.is_empty():
        return SILVER_EVENTS.empty().select(*VISIT_COLUMNS, "hub_created_at")
    return clusters.history(silver, whole, (*VISIT_COLUMNS, "hub_created_at"))


def _stream(context: StepContext, history: pl.DataFrame, departments: pl.DataFrame, at: datetime) -> Side:
    """The stream as it was known at ``at``, without what this extract has corrected before."""
    ours = (c("partition_id") == RECONCILIATION) & (c("enqueued_at") == at)
    known = as_known_at(history, at).filter(~ours)
    again = clusters.received_again(context.lake.open(IGNORED).having({"visit_hash": known["visit_hash"]}))
    folded = fold(
        known.select(VISIT_COLUMNS),
        departments,
        unconfirmed_days=context.unconfirmed_days,
        zone=context.timezone,
        received_again=again.filter(c("enqueued_at") <= at),
    )
    return Side.of(folded.stays, known["visit_id"].drop_nulls().unique(), at)


# -- what may be corrected


def _allowed(difference: Difference, rule: ExtractRule, numbers: Mapping[str, Any] | None) -> Difference:
    """With the corrections that ``rule`` allows, or why there are none."""
    wins = tuple(each for each in difference.corrections if each.fact in rule.wins)
    if difference.held_back or not difference.corrections:
        return difference
    if not wins or difference.corrections[0].fact not in rule.wins:
        return replace(difference, corrections=(), held_back="no rule lets the extract win")
    if numbers is None:
        return replace(difference, corrections=(), held_back="the stream states no visit number")
    moves_away = any(each.stated.get("hospital_id", numbers["hospital_id"]) != numbers["hospital_id"] for each in wins)
    if moves_away and str(numbers["visit_scope"]).startswith("hospital"):
        return replace(difference, corrections=(), held_back="its visit number belongs to another hospital")
    return replace(difference, corrections=wins)


def _within_limits(
    extract: Extract, found: list[Difference], rules: Mapping[str, ExtractRule], stream: Side
) -> tuple[list[Difference], list[str]]:
    """Nobody is discharged for being absent from an extract that may be incomplete."""
    notes, why = [], dict[str, str]()
    in_bed = Counter(stay.hospital for stay in stream.in_bed().values())
    absent = Counter(each.hospital for each in found if each.is_absence and each.corrections)
    for hospital, number in sorted(absent.items()):
        limit = max(MIN_DISCHARGES, in_bed[hospital] * rules[hospital].max_discharges_pct / 100)
        if extract.refused:
            why[hospital] = "rows of the extract cannot be read"
        elif number > limit:
            why[hospital] = f"more than {rules[hospital].max_discharges_pct:g} % of the patients in bed are absent"
            notes.append(
                f"hospital {hospital}: {number:,} of {plural(in_bed[hospital], 'patient')} in bed are not in the "
                f"extract, which may be incomplete: none of them is discharged (max_discharges_pct = "
                f"{rules[hospital].max_discharges_pct:g} in the rules)"
            )
    if extract.refused and absent:
        broken = ", ".join(f"{reason} {number:,}" for reason, number in extract.refused.items())
        notes.append(f"rows cannot be read ({broken}): nobody is discharged for being absent from the extract")
    return [
        replace(each, corrections=(), held_back=why[each.hospital])
        if each.is_absence and each.corrections and each.hospital in why
        else each
        for each in found
    ], notes


def _not_void(found: list[Difference], history: pl.DataFrame, at: datetime) -> list[Difference]:
    """Without the corrections that what the hub holds by now makes void."""
    facts = [(number, correction) for number, each in enumerate(found) for correction in each.corrections]
    if not facts:
        return found
    rows = [
        {
            "visit_id": found[number].visit,
            "event_id": str(place),
            "event_type": correction.event_type,
            "event_time": correction.event_time,
            "enqueued_at": at,
            "partition_id": RECONCILIATION,
            "sequence_number": -place,
            "part": 0,
            "source": RECONCILIATION,
        }
        for place, (number, correction) in enumerate(facts)
    ]
    schema = {name: SILVER_EVENTS.schema[name] for name in rows[0]}
    made = pl.DataFrame(rows, schema=schema)
    left = corrections.without_void(pl.concat([history.select(made.columns), made], how="vertical_relaxed"))
    stands = set(left.filter(c("sequence_number") <= 0, c("partition_id") == RECONCILIATION)["event_id"])
    void = {number for place, (number, _) in enumerate(facts) if str(place) not in stands}
    return [
        replace(each, corrections=(), held_back=_SINCE_TOLD) if number in void else each
        for number, each in enumerate(found)
    ]


def _numbers(
    context: StepContext, extract: Extract, history: pl.DataFrame, found: Iterable[Difference]
) -> dict[str, Mapping[str, Any]]:
    """Raw numbers by pseudonym: of the stream's visits as bronze has them, of others as the extract states them."""
    own = {row["visit"]: row for row in extract.numbers.drop(EVENT_COORDINATES).iter_rows(named=True)}
    needed = [each.stream_visit for each in found if each.stream_visit is not None]
    stated = history.filter(c("visit_id").is_in(needed), c("visit_number_hash").is_not_null())
    newest = stated.sort("enqueued_at").unique("visit_id", keep="last", maintain_order=True)
    places = newest.select(*EVENT_COORDINATES, visit="visit_id")
    bronze = context.lake.open(BRONZE_EVENTS)
    raw = read_events(received.fetch(bronze, places), context.parser).select(*EVENT_COORDINATES, *_NUMBERS)
    of_stream = raw.join(places, on=EVENT_COORDINATES, nulls_equal=True).drop(EVENT_COORDINATES)
    return {**own, **{row["visit"]: {**own.get(row["visit"], {}), **row} for row in of_stream.iter_rows(named=True)}}
