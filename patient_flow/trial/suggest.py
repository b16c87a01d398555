"""The fields and values of samples → a mapping file that a person finishes: valid as it is, with comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from patient_flow import files
from patient_flow.contracts import events
from patient_flow.dialects import hl7_paths
from patient_flow.dialects.mapping import SourceMappings
from patient_flow.transforms import bodies
from patient_flow.transforms.json_objects import json_object
from patient_flow.trial.profile import Column, columns_of, spelled
from patient_flow.trial.words import BIRTH_DATES, NAMES, PERSONAL, VALUES
from patient_flow.wording import plural

_VOCABULARIES = {
    "event_type": events.EVENT_TYPES,
    "gender": events.GENDERS,
    "discharge_status": events.DISCHARGE_STATUSES,
    "visit_class": events.VISIT_CLASSES,
    "admission_type": events.ADMISSION_TYPES,
}
_REQUIRED = ("patient_id", "hospital_id", "department", "visit_id")
_EXAMPLES = 4
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HL7_CODES = ("MSH-9.2", "MSH-4", "PV1-2", "PV1-3.1", "PV1-3.4", "ZBE-7.10", "PV1-36", "PID-8")


def draft(sources: Sequence[files.Source], *, rows: int) -> Iterator[str]:
    """The lines of a mapping file for the first ``rows`` of each of ``sources``."""
    yield f"# Drafted from {', '.join(source.path.name for source in sources)}."
    yield "# Decide where a comment says finish, then run: patient-flow mapping try THIS.toml SAMPLE..."
    contents = [body for source in sources for _, body in islice(files.bodies(source), rows)]
    objects = [value for body in contents if (value := json_object(body)) is not None]
    messages = [body for body in contents if body.lstrip(b"\x0b\r\n ").startswith(b"MSH")]
    resources = [value for value in objects if isinstance(value.get("resourceType"), str)]
    if messages:
        yield from _of_messages(messages)
    if resources:
        yield from _of_resources(resources)
    yield from _of_objects([value for value in objects if not isinstance(value.get("resourceType"), str)])


def _of_objects(objects: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """A mapping for each kind of object: those with the same fields at the top."""
    kinds: dict[frozenset[str], list[Mapping[str, object]]] = {}
    for value in objects:
        kinds.setdefault(frozenset(value), []).append(value)
    largest = sorted(kinds.items(), key=lambda item: -len(item[1]))
    groups: list[list[Mapping[str, object]]] = []
    for keys, values in largest:  # optional fields make no kind of their own
        home = next((group for group in groups if len(keys & group[0].keys()) * 2 > len(keys | group[0].keys())), None)
        if home is None:
            groups.append(list(values))
        else:
            home.extend(values)
    for number, group in enumerate(groups, start=1):
        yield ""
        yield from _of_kind(group, number, [other for other in groups if other is not group])


def _of_kind(
    group: Sequence[Mapping[str, object]], number: int, others: Sequence[Sequence[Mapping[str, object]]]
) -> Iterator[str]:
    count, columns = columns_of(group)
    named = _named(columns)
    if not {"event_time", "admission_time"} & named.keys():
        named |= _likely_event_time(columns, named)
    times = {name: column for name, column in named.items() if name in events.TIME_FIELDS}
    birth = next((column for column in columns.values() if spelled(column.path) in BIRTH_DATES), None)
    personal = [path for path in columns if spelled(path) in PERSONAL]
    clocks = _clocks(columns, times, named)
    yield "[[mapping]]"
    yield f'name = "events of kind {number}"   # finish: a name for it; {plural(count, "event")} in the samples'
    if birth is not None and "age" not in named:
        yield f"age_from = {_text(birth.path)}"
    if personal:
        yield f"drop = [{', '.join(map(_text, personal))}]   # names and addresses"
    yield "[mapping.match]"
    yield from _match(group, columns, named, count, others)
    yield "[mapping.rename]"
    for name, column in named.items():
        if name not in clocks:
            yield f"{name} = {_text(column.path)}   # {_share(column, count)}{_like(column)}"
    yield from (f"# finish: {line}" for line in _missing(named, clocks, columns))
    if "hospital_id" not in named:
        yield "[mapping.constant]"
        yield 'hospital_id = "1"   # finish: the samples name no hospital'
    if clocks:
        yield "[mapping.time]"
    for name, (date, clock) in clocks.items():
        yield f"{name} = {{ date = {_text(date.path)}, time = {_text(clock.path)} }}"
    yield from _timestamps(times, clocks)
    for name in _VOCABULARIES.keys() & named.keys():
        yield from _value_map(name, named[name])
    used = {column.path for column in named.values()} | {each.path for pair in clocks.values() for each in pair}
    rest = [
        path for path in columns if path not in used and path not in personal and (birth is None or path != birth.path)
    ]
    if rest:
        yield f"# not read, kept in extra: {', '.join(rest)}"


def _named(columns: Mapping[str, Column]) -> dict[str, Column]:
    """The column of each contract field: the one that is called most like it, and whose values fit."""
    found: dict[str, Column] = {}
    candidates = [
        (rank, place, name, column)
        for place, (name, words) in enumerate(NAMES.items())
        for column in columns.values()
        if (rank := _rank(name, words, column)) is not None
    ]
    for _, _, name, column in sorted(candidates, key=lambda item: item[:2]):
        if name not in found and column not in found.values():
            found[name] = column
    return {name: found[name] for name in NAMES if name in found}


def _likely_event_time(columns: Mapping[str, Column], named: Mapping[str, Column]) -> dict[str, Column]:
    """The first timestamp, or date, that no field is called like."""
    free = [column for column in columns.values() if column not in named.values()]
    free = [column for column in free if spelled(column.path) not in BIRTH_DATES]
    instants = [column for column in free if column.is_iso or column.formats]
    days = [column for column in free if column.is_iso_date or column.date_formats]
    return {"event_time": (instants or days)[0]} if instants or days else {}


def _rank(name: str, words: Sequence[str], column: Column) -> float | None:
    """How little a column is called like a field; None where it is not, or its values do not fit."""
    if not _fits(name, column):
        return None
    whole, last = spelled(column.path), spelled(column.path.rpartition(".")[2])
    parent = spelled(column.path.rpartition(".")[0].rpartition(".")[2])
    if spelled(name) in (whole, last):
        return 0
    joined = f"{parent} {last}".strip()
    for spelling, penalty in ((joined, 0.1), (last, 0.5), (whole, 0.5)):
        if spelling in words:
            return 1 + penalty + words.index(spelling) / 100
    return None


def _fits(name: str, column: Column) -> bool:
    is_time = column.is_iso or bool(column.formats) or column.is_iso_date or bool(column.date_formats)
    if name in events.TIME_FIELDS:
        return is_time
    if name in _VOCABULARIES:
        return column.is_code_list and not is_time
    if name in events.NUMBER_FIELDS:
        return all(text.replace(".", "", 1).isdecimal() for text in column.texts)
    return not column.is_iso and not any("%H" in form for form in column.formats)


def _clocks(
    columns: Mapping[str, Column], times: Mapping[str, Column], named: Mapping[str, Column]
) -> dict[str, tuple[Column, Column]]:
    """Times whose date has a column with times of day beside it."""
    clocks = [column for column in columns.values() if column.is_clock and column not in named.values()]
    pairs = {}
    for name, column in times.items():
        if column.is_iso or column.formats:
            continue
        names = list(columns)
        near = sorted(clocks, key=lambda clock: abs(names.index(clock.path) - names.index(column.path)))
        if near:
            pairs[name] = (column, near[0])
            clocks.remove(near[0])
    return pairs


def _match(
    group: Sequence[Mapping[str, object]],
    columns: Mapping[str, Column],
    named: Mapping[str, Column],
    count: int,
    others: Sequence[Sequence[Mapping[str, object]]],
) -> Iterator[str]:
    """Conditions that hold for all events of the kind, and for as few others as the samples show."""
    elsewhere = {key for other in others for value in other for key in value}
    full = [path for path, column in columns.items() if column.count == count]
    own = [path for path in full if path.split(".")[0] not in elsewhere] or full or list(columns)[:1]
    likely = [column.path for column in named.values() if column.path in own]
    for path in (likely or own)[:2]:
        yield f"{_key(path)} = {{ exists = true }}"
    if not group[0]:
        yield "# finish: the events are empty"


def _missing(named: Mapping[str, Column], clocks: Mapping[str, object], columns: Mapping[str, Column]) -> Iterator[str]:
    for name in _REQUIRED:
        if name not in named and name != "hospital_id":
            yield f'{name} = "..."   (no field is called like it)'
    if not {"event_time", "admission_time"} & {*named, *clocks}:
        likely = [path for path, column in columns.items() if column.is_iso or column.formats or column.is_iso_date]
        yield f'event_time = "..."   (timestamps: {", ".join(likely) or "none found"})'


def _timestamps(times: Mapping[str, Column], clocks: Mapping[str, tuple[Column, Column]]) -> Iterator[str]:
    if not times:
        return
    whole = {name: column for name, column in times.items() if name not in clocks}
    forms = {form: None for column in whole.values() if not column.is_iso for form in column.formats[:1]}
    dates = {
        form: None
        for column in whole.values()
        if not column.is_iso and not column.formats
        for form in column.date_formats[:1]
    }
    for day, clock in clocks.values():
        form = (day.date_formats or ["%Y-%m-%d"])[0]
        seconds = any(text.count(":") == 2 or len(text) == 6 for text in clock.texts)
        forms |= {f"{form} %H:%M:%S" if seconds else f"{form} %H:%M": None}
    yield "[mapping.timestamp]"
    if forms or dates:
        yield f"format = [{', '.join(map(_text, (*forms, *dates)))}]"
    for column in whole.values():
        fitting = column.formats or column.date_formats
        if len(fitting) > 1 and not column.is_iso:
            yield f"# finish: {column.path} can also be read as {', '.join(fitting[1:])}"
    if dates or any(column.is_iso_date and not column.is_iso for column in whole.values()):
        yield 'date_only = "12:00"   # finish: the time of day that a date without one stands for'
    if not all(column.has_offset for column in whole.values()) or clocks:
        yield 'zone = "UTC"   # finish: the zone of timestamps without an offset, such as Europe/Paris'


def _value_map(name: str, column: Column) -> Iterator[str]:
    known = {word.casefold() for word in _VOCABULARIES[name]}
    if name == "gender":
        known |= set(events.GENDER_SPELLINGS)
    values = [(value, count) for value, count in column.values.most_common() if value.casefold() not in known]
    if not values:
        return
    yield f"[mapping.value_map.{name}]   # one of {', '.join(_VOCABULARIES[name])}"
    for value, count in values:
        guess = _guess(name, value)
        if guess:
            yield f"{_key(value)} = {_text(guess)}   # {plural(count, 'event')}"
        else:
            yield f'# finish: {_key(value)} = "..."   ({plural(count, "event")})'


def _guess(name: str, value: str) -> str | None:
    text = value.casefold()
    words = set(re.split(r"[^\w]+", text))
    for ours, theirs in VALUES[name].items():
        if any(word in words if len(word) <= 3 else word in text for word in theirs):
            return ours
    return None


def _of_messages(messages: Sequence[bytes]) -> Iterator[str]:
    fields = tuple(field for path in _HL7_CODES if (field := hl7_paths.parse_path(path)) is not None)
    reader, rows = SourceMappings(hl7_fields=fields), []
    for body in messages:
        try:
            message = reader.read(body, None)
        except bodies.Unreadable:
            continue
        if message is not None:
            rows.append({path: message.stated.get(path) for path in _HL7_CODES})
    _, columns = columns_of(rows)
    yield ""
    yield "# HL7 v2 is understood as it is; this mapping refines it. Codes in the samples:"
    yield from _codes(columns, _HL7_CODES)
    yield from _refinement("hl7v2")


def _of_resources(resources: Sequence[Mapping[str, object]]) -> Iterator[str]:
    _, columns = columns_of(resources)
    yield ""
    yield "# FHIR is understood as it is; this mapping refines it. Codes in the samples:"
    yield from _codes(columns, ("resourceType", "status", "class.code"))
    yield from _refinement("fhir")


def _codes(columns: Mapping[str, Column], paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if path in columns and columns[path].is_code_list:
            found = ", ".join(f"{value} ({count:,})" for value, count in columns[path].values.most_common())
            yield f"#   {path}: {found}"


def _refinement(form: str) -> Iterator[str]:
    yield "[[mapping]]"
    yield f'name = "all {form} messages"'
    yield f'format = "{form}"'
    yield "[mapping.timestamp]"
    yield 'zone = "UTC"   # finish: the zone of timestamps without an offset, such as Europe/Paris'
    yield "# [mapping.value_map.department]"
    yield '# finish: CODE = "name in the department list"'


def _share(column: Column, count: int) -> str:
    return "in all events" if column.count == count else f"in {100 * column.count / count:.0f} % of the events"


def _like(column: Column) -> str:
    values = [value for value in dict.fromkeys(column.texts) if len(value) <= 40][:_EXAMPLES]
    return f", such as {', '.join(' '.join(value.split()) for value in values)}" if values else ""


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
