"""A trial as lines of text: event by event, then what the samples say of the mapping file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from patient_flow.dialects.mapping_paths import paths_of
from patient_flow.trial.trial import Event, Findings, Trial, counts
from patient_flow.wording import plural

EVENTS = 20
_EXAMPLES = 8
_EACH_FAULT = 2
_LONGEST_VALUE = 60
_SCOPES = "visit_scope and patient_scope say what numbers are unique in"


def report(trial: Trial, *, events: int = EVENTS) -> Iterator[str]:
    """The lines; ``events`` of all are shown, and the first ones of each fault besides."""
    for source in trial.sources:
        yield str(source)
        yield from (f"  note: {note}" for note in source.notes)
    yield ""
    shown = list(_shown(trial.events, events))
    for event in shown:
        yield from _event(event)
    hidden = len(trial.events) - len(shown)
    if hidden:
        yield f"{plural(hidden, 'more event is', 'more events are')} not shown (--events shows more)"
    yield ""
    yield from _outcomes(trial)
    yield from _mappings(trial)
    yield from _visits(trial)


def _shown(events: Iterable[Event], limit: int) -> Iterator[Event]:
    faults: Counter[tuple[str | None, tuple[str, ...]]] = Counter()
    for number, event in enumerate(events):
        faults[event.mapping, event.names] += 1
        if number < limit or (event.outcome == "quarantined" and faults[event.mapping, event.names] <= _EACH_FAULT):
            yield event


def _event(event: Event) -> Iterator[str]:
    part = f", part {event.part} of {event.parts}" if event.parts > 1 else ""
    mapping = f"mapping {event.mapping!r}" if event.mapping else "no mapping"
    names = f": {', '.join(event.names)}" if event.names else ""
    yield f"{event.file}, row {event.row:,}{part}: {mapping}: {event.outcome}{names}"
    if event.outcome != "ignored":
        yield f"  read: {_fields(event.fields) or 'nothing'}"
    if event.failed:
        yield f"  wrong: {_fields(event.failed)}"
    if event.flags:
        yield f"  flags: {', '.join(event.flags)}"


def _fields(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: object) -> str:
    text = value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _outcomes(trial: Trial) -> Iterator[str]:
    found = counts(trial)
    yield plural(len(trial.events), "event")
    for outcome in ("accepted", "ignored", "quarantined"):
        number = found.get("outcome", Counter())[outcome]
        if number or outcome == "accepted":
            yield f"  {outcome:<40} {number:>9,}"
        for name, count in found.get(outcome, Counter()).most_common():
            yield f"    {name:<38} {count:>9,}"
    flags = found.get("flags", Counter())
    if flags:
        yield "  flagged"
    for name, count in flags.most_common():
        yield f"    {name:<38} {count:>9,}"


def _mappings(trial: Trial) -> Iterator[str]:
    without = counts(trial).get("mapping", Counter())["(none)"]
    for mapping in trial.mappings.mappings:
        found = trial.findings[mapping.name]
        yield f"mapping {mapping.name!r}: {plural(found.events, 'event')}"
        if not found.events:
            yield "  it matches no event: look at its match, and at the mappings before it"
            continue
        never = sorted({path for _, path in paths_of(mapping) if not found.found[path]})
        if never:
            yield f"  paths never found: {', '.join(never)}"
        yield from _unlisted(found)
        for name, count in found.not_looked_up.most_common():
            yield f"  lookup {name!r} has no row for {plural(count, 'event')}"
    if without and trial.mappings.mappings:
        yield f"without a mapping: {plural(without, 'event')}"


def _unlisted(found: Findings) -> Iterator[str]:
    for name in dict.fromkeys(name for name, _ in found.unlisted):
        values = [(text, count) for (field, text), count in found.unlisted.most_common() if field == name]
        listed = ", ".join(f"{text!r} ({count:,})" for text, count in values[:_EXAMPLES])
        more = f" and {len(values) - _EXAMPLES} more" if len(values) > _EXAMPLES else ""
        yield f"  values that value_map.{name} lacks: {listed}{more}"


def _visits(trial: Trial) -> Iterator[str]:
    shared = trial.shared_visits
    for noun, several in (
        ("patients", [(visit, patients) for visit, patients, _ in shared if patients > 1]),
        ("hospitals", [(visit, hospitals) for visit, _, hospitals in shared if hospitals > 1]),
    ):
        if several:
            named = ", ".join(f"{visit!r} ({number})" for visit, number in several[:_EXAMPLES])
            yield f"visit numbers with several {noun}: {len(several):,}, such as {named}; {_SCOPES}"
