"""A source mapping file (TOML) → one interpreter that puts the events it matches into the words of the contract.

A file that makes no sense is refused as a whole, with the line that is wrong. Not here: finding and reading the file,
and what a mapping does to an event (``rewriting``).
"""

from __future__ import annotations

import difflib
import re
import tomllib
import zoneinfo
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from patient_flow.contracts import events
from patient_flow.dialects import fhir, hl7, times
from patient_flow.dialects.lines import LineIndex, Path
from patient_flow.dialects.message import FORMATS, JSON, Message
from patient_flow.dialects.rewriting import Condition, Scalar, SourceMapping, folded
from patient_flow.errors import OperatorError
from patient_flow.transforms.bodies import Interpretation, Interpreter

_ID_FIELDS = ("event_id", "visit_id", "patient_id", "hospital_id", "bed_id", "merged_patient_id")
_CONSTANT_FIELDS = (
    "schema_version",
    "event_type",
    "hospital_id",
    "department",
    "gender",
    "discharge_status",
    "visit_class",
    "admission_type",
    "patient_assigner",
    "visit_assigner",
    "source",
)
"""What can be the same for every event of a source without being invented."""

_WORDS: Mapping[str, Collection[str]] = {
    "event_type": events.EVENT_TYPES,
    "gender": events.GENDERS,
    "discharge_status": events.DISCHARGE_STATUSES,
    "visit_class": events.VISIT_CLASSES,
    "admission_type": events.ADMISSION_TYPES,
}
"""Fields with a fixed vocabulary."""

_UNITS = {
    "seconds": timedelta(seconds=1),
    "minutes": timedelta(minutes=1),
    "hours": timedelta(hours=1),
    "days": timedelta(days=1),
}
_MAX_SHIFT_DAYS = 1_000_000
_SAMPLES = (datetime(2027, 11, 23, 14, 35, 41, tzinfo=UTC), datetime(1998, 2, 6, 3, 20, 15, tzinfo=UTC))
"""Two moments that differ in every part of a timestamp."""


class MappingError(OperatorError):
    """A mapping file is invalid; the message names the file, the line and the remedy."""


def parse_mappings(text: str, name: str) -> tuple[Interpreter, ...]:
    """The interpreter for the mapping file ``name`` with the content ``text``.

    It tries the mappings in order and rewrites an event with the first that matches. HL7 v2 and FHIR bodies it reads
    itself, so that mappings can refine them; every other event that no mapping matches it leaves alone (None).
    Raises :class:`MappingError`.
    """
    mappings = _read(text.removeprefix("\ufeff"), name)

    def interpret(body: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
        message = _message(body, value)
        if message is None:
            return None
        for mapping in mappings:
            if mapping.format == message.format and mapping.takes(message.stated):
                rewritten = replace(
                    message,
                    stated=mapping.rewritten(message.stated),
                    more=tuple(mapping.rewritten(stated) for stated in message.more),
                )
                return rewritten.settled(patient_scope=mapping.patient_scope, visit_scope=mapping.visit_scope)
        return None if message.format == JSON else message.settled()

    return (interpret,)


def _message(body: bytes, value: Mapping[str, object] | None) -> Message | None:
    if value is None:
        return hl7.read(body)
    return fhir.read(value) or Message(JSON, value)


def _read(text: str, file: str) -> tuple[SourceMapping, ...]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        stated = re.search(r"line (\d+)", str(error))
        line = stated[1] if stated else text.count("\n") + 1
        raise MappingError(f"{file}, line {line}: this is not TOML: {error}") from None
    place = _Place(file, LineIndex(text), ())
    _expect_known(content, ("mapping",), place)
    tables = content.get("mapping")
    if not isinstance(tables, list) or not tables:
        raise place.at("mapping").error("no mapping: begin each one with a line [[mapping]]")
    mappings = tuple(_mapping(table, place.at("mapping", number)) for number, table in enumerate(tables))
    for number, mapping in enumerate(mappings):
        if mapping.name in {earlier.name for earlier in mappings[:number]}:
            raise place.at("mapping", number, "name").error(
                f"there is a mapping {mapping.name!r} before: give each its own name"
            )
    return mappings


@dataclass(frozen=True)
class _Place:
    """A position in a mapping file, for error messages."""

    file: str
    lines: LineIndex
    path: Path

    def at(self, *keys: str | int) -> _Place:
        return replace(self, path=(*self.path, *keys))

    def error(self, problem: str) -> MappingError:
        return MappingError(f"{self.file}, line {self.lines.line_of(self.path)}: {problem}")


def _mapping(table: object, place: _Place) -> SourceMapping:
    content = _table(table, place)
    _expect_known(content, _SECTIONS, place)
    if "name" not in content:
        raise place.error('the mapping has no name: add name = "..."')
    mapping = SourceMapping(**{key: _SECTIONS[key](value, place.at(key)) for key, value in content.items()})
    if not mapping.match and mapping.format == JSON:
        raise place.at("match").error(
            "match does not say which events the mapping is for: add a condition, as in [mapping.match] with "
            'source = "..." or patient = { exists = true }'
        )
    _expect_no_contradiction(mapping, place)
    return mapping


def _expect_no_contradiction(mapping: SourceMapping, place: _Place) -> None:
    for section, others in (("constant", ("rename", "join", "value_map")), ("otherwise", ("constant",))):
        for other in others:
            for name in getattr(mapping, section).keys() & getattr(mapping, other).keys():
                raise place.at(section, name).error(f"{name} stands in {section} and in {other}: decide for one")
    for name in mapping.otherwise.keys() - mapping.value_map.keys():
        raise place.at("otherwise", name).error(
            f"otherwise needs a value_map for {name}: add [mapping.value_map.{name}]"
        )
    if mapping.age_from and "age" in mapping.rename:
        raise place.at("age_from").error("age comes from rename and from age_from: decide for one")


def _match(value: object, place: _Place) -> dict[str, Condition]:
    return {path: _condition(wanted, place.at(path)) for path, wanted in _table(value, place).items()}


def _condition(wanted: object, place: _Place) -> Condition:
    if not isinstance(wanted, dict):
        values = [folded(item) for item in (wanted if isinstance(wanted, list) else [wanted])]
        known = frozenset(text for text in values if text is not None)
        if not values or len(known) < len(set(values)):
            raise place.error("a condition is a value, a list of values, { exists = true } or { prefix = ... }")
        return Condition(values=known)
    for key in wanted:
        if key not in _CONDITIONS:
            raise place.at(key).error(
                f"unknown condition {key!r}{_nearest(key, _CONDITIONS)}: use exists or prefix; a path with dots is "
                f'written in quotes, as in "{_last(place)}.{key}" = ...'
            )
    if len(wanted) != 1:
        raise place.error("a condition is either { exists = ... } or { prefix = ... }")
    if "prefix" in wanted:
        return Condition(prefix=_text(wanted["prefix"], place).casefold())
    if not isinstance(wanted["exists"], bool):
        raise place.error("exists is true or false")
    return Condition(exists=wanted["exists"])


def _rename(value: object, place: _Place) -> dict[str, tuple[str, ...]]:
    return {name: _texts(paths, at) for name, paths, at in _fields(value, place, events.FIELDS)}


def _join(value: object, place: _Place) -> dict[str, tuple[str, ...]]:
    return {name: _texts(paths, at) for name, paths, at in _fields(value, place, (*_ID_FIELDS, "department"))}


def _constant(value: object, place: _Place) -> dict[str, Scalar]:
    return {name: _word(name, item, at) for name, item, at in _fields(value, place, _CONSTANT_FIELDS)}


def _otherwise(value: object, place: _Place) -> dict[str, Scalar]:
    return {name: _word(name, item, at) for name, item, at in _fields(value, place, events.FIELDS)}


def _value_maps(value: object, place: _Place) -> dict[str, dict[str, Scalar]]:
    return {
        name: {key.strip().casefold(): _word(name, item, at.at(key)) for key, item in _table(words, at).items()}
        for name, words, at in _fields(value, place, events.FIELDS)
    }


def _word(name: str, value: object, place: _Place) -> Scalar:
    """A value that ``name`` may take, in the contract's spelling."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise place.error(f"{name} must be given as text or a whole number")
    words = _WORDS.get(name)
    if words is not None and value not in words:
        raise place.error(f"{value!r} is no {name}{_nearest(str(value), words)}: use one of {', '.join(words)}")
    return value


def _prefix(value: object, place: _Place) -> dict[str, str]:
    return {name: _text(item, at) for name, item, at in _fields(value, place, _ID_FIELDS)}


def _unit(value: object, place: _Place) -> dict[str, timedelta]:
    units = {}
    for name, item, at in _fields(value, place, ("wait_minutes",)):
        unit = _text(item, at)
        if unit not in _UNITS:
            raise at.error(f"{unit!r} is no unit of {name}: use one of {', '.join(_UNITS)}")
        units[name] = _UNITS[unit]
    return units


def _timestamps(value: object, place: _Place) -> dict[str, times.Timestamps]:
    table = _table(value, place)
    _expect_known(table, (*_TIMESTAMP_KEYS, *events.TIME_FIELDS), place)
    common = _timestamp({key: item for key, item in table.items() if key in _TIMESTAMP_KEYS}, place, times.Timestamps())
    return {name: _timestamp(table.get(name, {}), place.at(name), common) for name in events.TIME_FIELDS}


def _timestamp(value: object, place: _Place, common: times.Timestamps) -> times.Timestamps:
    """``common`` with the settings that ``value`` overrides."""
    table = _table(value, place)
    _expect_known(table, _TIMESTAMP_KEYS, place)
    changes: dict[str, Any] = {}
    if "format" in table:
        changes["formats"] = tuple(_time_format(form, place.at("format")) for form in _texts(table["format"], place))
    if "zone" in table:
        changes["zone"] = _zone(_text(table["zone"], place.at("zone")), place.at("zone"))
    if "shift_days" in table:
        days = table["shift_days"]
        if isinstance(days, bool) or not isinstance(days, int) or abs(days) > _MAX_SHIFT_DAYS:
            raise place.at("shift_days").error(f"shift_days is a whole number of days up to {_MAX_SHIFT_DAYS}")
        changes["shift"] = timedelta(days=days)
    return replace(common, **changes)


def _zone(name: str, place: _Place) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = _nearest(name, zoneinfo.available_timezones())
        raise place.error(f"{name!r} is no IANA zone{near}: use a name such as Europe/Paris") from None


def _time_format(form: str, place: _Place) -> str:
    """``form``, if it is a number since 1970 or a strptime format that loses neither the date nor the hour."""
    if form in times.UNIX_UNITS:
        return form
    if "%Z" in form:
        raise place.error(f"{form!r}: names of zones (%Z) are ambiguous: use %z for an offset, or zone")
    try:
        complete = all(_is_kept(sample, form) for sample in _SAMPLES)
    except (ValueError, re.error):
        raise place.error(f"{form!r} is no strptime format: write it as in %d/%m/%Y %H:%M:%S") from None
    if not complete:
        raise place.error(f"{form!r} does not hold a full date and hour: a timestamp must name an instant")
    return form


def _is_kept(sample: datetime, form: str) -> bool:
    read = datetime.strptime(sample.strftime(form), form)  # noqa: DTZ007  # only the digits are compared
    return read.timetuple()[:4] == sample.timetuple()[:4]


def _format(value: object, place: _Place) -> str:
    text = _text(value, place)
    if text not in FORMATS:
        raise place.error(f"{text!r} is no format{_nearest(text, FORMATS)}: use one of {', '.join(FORMATS)}")
    return text


def _scope(value: object, place: _Place) -> str:
    """A policy for the scope of a number, or a text that sources which share numbers have in common."""
    text = _text(value, place).strip()
    near = difflib.get_close_matches(text, events.SCOPES, n=1)
    if near and text not in events.SCOPES:
        raise place.error(f"{text!r} is nearly {near[0]!r}: use that, or a text that cannot be mistaken for it")
    if len(text) > events.MAX_ID_LENGTH:
        raise place.error(f"{_last(place)} is longer than {events.MAX_ID_LENGTH} characters")
    return text


def _texts(value: object, place: _Place) -> tuple[str, ...]:
    """One text or several."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise place.error("the list is empty: name at least one")
    return tuple(_text(item, place) for item in items)


def _text(value: object, place: _Place) -> str:
    if not isinstance(value, str) or not value.strip():
        raise place.error(f"{_last(place)} must be a text, in quotes")
    return value


def _table(value: object, place: _Place) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise place.error(f"{_last(place)} must be a table, as in [mapping.{_last(place)}]")
    return value


def _fields(value: object, place: _Place, allowed: Collection[str]) -> Iterator[tuple[str, Any, _Place]]:
    """(contract field, its value, its position) for each key of a table."""
    table = _table(value, place)
    for name, item in table.items():
        at = place.at(name)
        if name not in events.FIELDS:
            raise at.error(f"{name!r} is no field of the contract{_nearest(name, allowed)}")
        if name not in allowed:
            raise at.error(f"{name} cannot stand in {_last(place)}: only {', '.join(allowed)} can")
        yield name, item, at


def _expect_known(table: Mapping[str, object], known: Collection[str], place: _Place) -> None:
    for key in table:
        if key not in known:
            near = _nearest(key, known)
            raise place.at(key).error(f"unknown key {key!r}{near}: known here are {', '.join(known)}")


def _nearest(word: str, known: Collection[str]) -> str:
    matches = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _last(place: _Place) -> str:
    return str(place.path[-1])


_CONDITIONS = ("exists", "prefix")
_TIMESTAMP_KEYS = ("format", "zone", "shift_days")
_SECTIONS: Mapping[str, Callable[[object, _Place], Any]] = {
    "name": _text,
    "format": _format,
    "match": _match,
    "rename": _rename,
    "constant": _constant,
    "value_map": _value_maps,
    "otherwise": _otherwise,
    "timestamp": _timestamps,
    "unit": _unit,
    "prefix": _prefix,
    "age_from": _text,
    "join": _join,
    "drop": _texts,
    "patient_scope": _scope,
    "visit_scope": _scope,
}
"""What a mapping may hold, and how each part is read."""
