"""Samples through mapping, rules and identities, as the pipeline takes them, and what they show of the mapping file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice, repeat
from typing import Any

import polars as pl

from patient_flow import files
from patient_flow.contracts import events, rules
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.tables import BRONZE_EVENTS, EVENT_COORDINATES, SILVER_EVENTS
from patient_flow.dialects import fhir, hl7
from patient_flow.dialects.mapping import SourceMappings
from patient_flow.dialects.mapping_paths import paths_of
from patient_flow.dialects.paths import value_at
from patient_flow.dialects.rewriting import SourceMapping
from patient_flow.transforms import accept, bodies
from patient_flow.transforms.json_objects import json_object
from patient_flow.transforms.read import ParserConfig, read_events

ROWS = 100_000
"""Rows of a file that are tried, unless more are asked for."""
_ANY_KEY = "a trial shows no pseudonyms"
_FIELDS = {rule.name: rule.fields for rule in rules.QUARANTINE_RULES}

c = pl.col


@dataclass(frozen=True)
class Event:
    """One event of a sample: where it stands, what was read, and what becomes of it."""

    file: str
    row: int
    part: int
    parts: int
    mapping: str | None
    fields: Mapping[str, object]
    outcome: str
    """``accepted``, ``ignored`` or ``quarantined``."""
    names: tuple[str, ...] = ()
    """The reasons of a quarantined event, or what ignored it."""
    failed: Mapping[str, object] = field(default_factory=dict)
    """Of a quarantined event: the fields that are wrong, and the values that the mapping gave them."""
    flags: tuple[str, ...] = ()


@dataclass
class Findings:
    """What the samples say about one mapping."""

    events: int = 0
    found: Counter[str] = field(default_factory=Counter)
    """How often each path had a value."""
    unlisted: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(field, value) that a ``value_map`` lacks."""
    not_looked_up: Counter[str] = field(default_factory=Counter)
    """Lookups whose file has no row for an event."""


@dataclass
class Trial:
    """All events of all samples in the order of the files."""

    sources: list[files.Source]
    events: list[Event]
    findings: dict[str, Findings]
    mappings: SourceMappings
    shared_visits: list[tuple[str, int, int]]
    """(visit, patients, hospitals) of visit numbers with several of one of them."""


def run_trial(
    mappings: SourceMappings,
    sources: Sequence[files.Source],
    departments: pl.DataFrame,
    *,
    as_of: datetime,
    rows: int = ROWS,
) -> Trial:
    """Tries the first ``rows`` of each file as if they reached the hub at ``as_of``. Raises ``FileRefused``."""
    contents = [
        (number, row, body) for number, source in enumerate(sources) for row, body in islice(files.bodies(source), rows)
    ]
    parser = ParserConfig(
        departments, _ANY_KEY, mappings.interpreters, formats=(hl7.interpret, fhir.interpret), unwrap=mappings.unwrap
    )
    validated = accept.validate(read_events(_bronze(contents, as_of), parser))
    candidates = accept.candidates(validated, _ANY_KEY)
    accepted = accept.accept(candidates, SILVER_EVENTS.empty()).rows
    losers = candidates.join(accepted, on=EVENT_COORDINATES, how="anti")
    outcomes = accept.outcomes(validated, losers, accepted).join(accepted, on=EVENT_COORDINATES, how="anti")
    ended = {
        (row["partition_id"], row["sequence_number"], row["part"]): row
        for row in outcomes.select(*EVENT_COORDINATES, "ignored_as", "reasons").iter_rows(named=True)
    }
    findings = {mapping.name: Findings() for mapping in mappings.mappings}
    judged, tried = validated.iter_rows(named=True), []
    for number, row, body in contents:
        first = next(judged)
        parts = [first, *islice(judged, first["parts"] - 1)]
        statements = _statements(mappings, body, findings)
        for values, (chosen, stated) in zip(parts, chain(statements, repeat((None, {})))):  # noqa: B905  # endless
            end = ended.get((str(number), row, values["part"]))
            tried.append(_event(sources[number].path.name, row, chosen, stated, values, end))
    return Trial(list(sources), tried, findings, mappings, _shared_visits(validated))


def _bronze(contents: Sequence[tuple[int, int, bytes]], as_of: datetime) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "hub_created_at": pl.Series([as_of] * len(contents), dtype=INSTANT),
            "partition_id": [str(number) for number, _, _ in contents],
            "sequence_number": pl.Series([row for _, row, _ in contents], dtype=pl.Int64),
            "enqueued_at": pl.Series([as_of] * len(contents), dtype=INSTANT),
            "body": pl.Series([body for _, _, body in contents], dtype=pl.Binary),
        },
        schema_overrides={"hub_created_at": BRONZE_EVENTS.schema["hub_created_at"]},
    )


def _statements(
    mappings: SourceMappings, body: bytes, findings: dict[str, Findings]
) -> Iterator[tuple[str | None, Mapping[str, object]]]:
    """(mapping, what it made of it) of each part of a body that can be read."""
    try:
        items = None if mappings.unwrap is None else mappings.unwrap(body)
    except bodies.Unreadable:
        return
    for item in (bodies.Item(body),) if items is None else items:
        yield from _of_item(mappings, item, findings)


def _of_item(
    mappings: SourceMappings, item: bodies.Item, findings: dict[str, Findings]
) -> Iterator[tuple[str | None, Mapping[str, object]]]:
    value = json_object(item.body)
    if value is not None and item.envelope and bodies.ENVELOPE not in value:
        value = {**value, bodies.ENVELOPE: item.envelope}
    mapping: SourceMapping | None = None
    try:
        message = mappings.read(item.body, value)
        if message is None:
            yield None, {}
            return
        mapping, seen = mappings.choose(message)
        if mapping is not None:
            _note(findings[mapping.name], mapping, seen)
        name = None if mapping is None else mapping.name
        stated = mappings.interpret(item.body, value)
        for part in (message.stated,) if stated is None else stated.parts:
            yield name, part
    except (bodies.Unreadable, bodies.Unsupported, bodies.Ignored):
        yield None if mapping is None else mapping.name, {}


def _note(noted: Findings, mapping: SourceMapping, seen: Mapping[str, object]) -> None:
    noted.events += 1
    noted.found.update({path for _, path in paths_of(mapping) if value_at(seen, path) is not None})
    noted.unlisted.update(
        (name, text) for name, text in mapping.unlisted(seen) if text not in _CONTRACT_WORDS.get(name, ())
    )
    noted.not_looked_up.update(name for name, lookup in mapping.lookup.items() if not lookup.row(seen))


_CONTRACT_WORDS: Mapping[str, frozenset[str]] = {
    "event_type": frozenset(events.EVENT_TYPES),
    "gender": frozenset(events.GENDER_SPELLINGS),
    "discharge_status": frozenset(events.DISCHARGE_STATUSES),
    "visit_class": frozenset(events.VISIT_CLASSES),
    "admission_type": frozenset(events.ADMISSION_TYPES),
}


def _event(
    file: str,
    row: int,
    mapping: str | None,
    stated: Mapping[str, object],
    values: Mapping[str, Any],
    end: Mapping[str, Any] | None,
) -> Event:
    outcome: str = "accepted"
    names: tuple[str, ...] = ()
    if end is not None:
        ignored = end["ignored_as"]
        outcome, names = ("ignored", (ignored,)) if ignored else ("quarantined", tuple(end["reasons"]))
    read = {name: values[name] for name in events.FIELDS if values.get(name) is not None}
    if stated.get("schema_version") is None:
        read.pop("schema_version", None)
    if stated.get("event_id") is None:
        read.pop("event_id", None)  # the hash of the body stands in for it
    wrong = dict.fromkeys(name for reason in names for name in _FIELDS.get(reason, ()))
    failed = {name: stated[name] for name in wrong if stated.get(name) is not None}
    return Event(
        file,
        row,
        values["part"],
        values["parts"],
        mapping,
        read,
        outcome,
        names,
        failed if outcome == "quarantined" else {},
        tuple(values["quality_flags"]),
    )


def _shared_visits(validated: pl.DataFrame) -> list[tuple[str, int, int]]:
    """Visit numbers under which several patients or hospitals stand."""
    shared = (
        validated.filter(c("visit_id").is_not_null(), c("ignored_as").is_null())
        .group_by("visit_id")
        .agg(patients=c("patient_id").drop_nulls().n_unique(), hospitals=c("hospital_id").drop_nulls().n_unique())
        .filter((c("patients") > 1) | (c("hospitals") > 1))
        .sort("visit_id")
    )
    return list(shared.select("visit_id", "patients", "hospitals").iter_rows())


def counts(trial: Trial) -> dict[str, Counter[str]]:
    """Events by outcome, and by what names each outcome."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for event in trial.events:
        found["outcome"][event.outcome] += 1
        found[event.outcome].update(event.names)
        found["flags"].update(event.flags)
        found["mapping"][event.mapping or "(none)"] += 1
    return dict(found)
