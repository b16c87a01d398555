"""The sections of one ``[[mapping]]``, each checked and in the form that ``rewriting`` uses."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from patient_flow.contracts import events, rules
from patient_flow.dialects.derived import Extract, Lookup
from patient_flow.dialects.mapping_checks import (
    Place,
    expect_fields,
    expect_known,
    expect_table,
    expect_text,
    expect_texts,
    last,
    nearest,
)
from patient_flow.dialects.mapping_times import read_times, read_timestamps, read_unit
from patient_flow.dialects.message import FORMATS
from patient_flow.dialects.paths import text_of
from patient_flow.dialects.patterns import parse_pattern
from patient_flow.dialects.rewriting import Condition, Scalar, folded

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

_IGNORE_NAME = re.compile("[a-z][a-z0-9_]{0,63}", re.ASCII)


def _match(value: object, place: Place) -> dict[str, Condition]:
    return {path: _condition(wanted, place.at(path)) for path, wanted in expect_table(value, place).items()}


def _condition(wanted: object, place: Place) -> Condition:
    if not isinstance(wanted, dict):
        values = [folded(item) for item in (wanted if isinstance(wanted, list) else [wanted])]
        known = frozenset(text for text in values if text is not None)
        if not values or len(known) < len(set(values)):
            raise place.error(
                "a condition is a value, a list of values, { exists = true }, { prefix = ... }, { pattern = ... } or "
                "{ not = ... }"
            )
        return Condition(values=known)
    for key in wanted:
        if key not in _CONDITIONS:
            raise place.at(key).error(
                f"unknown condition {key!r}{nearest(key, _CONDITIONS)}: use exists, prefix, pattern or not; a path "
                f'with dots is written in quotes, as in "{last(place)}.{key}" = ...'
            )
    positive = wanted.keys() - {"not"}
    if len(positive) > 1 or not wanted:
        raise place.error("a condition is either { exists = ... }, { prefix = ... } or { pattern = ... }")
    condition = Condition()
    if "prefix" in wanted:
        condition = Condition(prefix=expect_text(wanted["prefix"], place).casefold())
    elif "pattern" in wanted:
        condition = Condition(pattern=parse_pattern(wanted["pattern"], place, ignore_case=True))
    elif "exists" in wanted:
        if not isinstance(wanted["exists"], bool):
            raise place.error("exists is true or false")
        condition = Condition(exists=wanted["exists"])
    return replace(condition, unless=_condition(wanted["not"], place.at("not"))) if "not" in wanted else condition


def _ignore(value: object, place: Place) -> str:
    """The name under which events are ignored: it stands beside the product's own names and those of rules."""
    name = expect_text(value, place)
    if not _IGNORE_NAME.fullmatch(name):
        raise place.error(
            f"{name!r} is no name for ignored events: use small letters, digits and _, as in laboratory_row"
        )
    if name in {*events.IGNORED_AS, *(rule.name for rule in rules.RULES), rules.ALL}:
        raise place.error(f"{name!r} has a meaning already: choose another name")
    return name


def _lookups(value: object, place: Place) -> dict[str, Lookup]:
    return {name: _lookup(item, place.at(name)) for name, item in expect_table(value, place).items()}


def _lookup(value: object, place: Place) -> Lookup:
    table = expect_table(value, place)
    expect_known(table, _LOOKUP_KEYS, place)
    for key in _LOOKUP_KEYS:
        if key not in table:
            raise place.error(
                f'the lookup has no {key}: it needs file = "patients.csv", key = "column of the file" and by = "path '
                'in the event"'
            )
    file, key, by = (expect_text(table[name], place.at(name)) for name in _LOOKUP_KEYS)
    rows: dict[str, Mapping[str, object]] = {}
    columns: tuple[str, ...] = ()
    for number, row in enumerate(place.read_rows(file, place.at("file")), start=1):
        columns = columns or tuple(row)
        if key not in row:
            raise place.at("key").error(
                f"{file} has no column {key!r} in row {number}{nearest(key, columns)}: its columns are "
                f"{', '.join(columns)}"
            )
        found = text_of(row[key])
        if found is not None and rows.setdefault(found, row) != row:
            raise place.at("key").error(f"{file}: row {number} has the same {key} as an earlier row: a key stands once")
    return Lookup(by, columns, rows)


def _extract(value: object, place: Place) -> dict[str, Extract]:
    allowed = [name for name in events.FIELDS if name != events.STAYS]
    return {name: _part_of_text(item, at) for name, item, at in expect_fields(value, place, allowed)}


def _part_of_text(value: object, place: Place) -> Extract:
    table = expect_table(value, place)
    expect_known(table, ("path", "pattern"), place)
    if len(table) < 2:
        raise place.error('a part of a text is { path = "field", pattern = "..." }')
    return Extract(
        expect_text(table["path"], place.at("path")), parse_pattern(table["pattern"], place.at("pattern"), groups=1)
    )


def _rename(value: object, place: Place) -> dict[str, tuple[str, ...]]:
    return {name: expect_texts(paths, at) for name, paths, at in expect_fields(value, place, events.FIELDS)}


def _join(value: object, place: Place) -> dict[str, tuple[str, ...]]:
    return {
        name: expect_texts(paths, at) for name, paths, at in expect_fields(value, place, (*_ID_FIELDS, "department"))
    }


def _constant(value: object, place: Place) -> dict[str, Scalar]:
    return {name: _word(name, item, at) for name, item, at in expect_fields(value, place, _CONSTANT_FIELDS)}


def _otherwise(value: object, place: Place) -> dict[str, Scalar]:
    return {name: _word(name, item, at) for name, item, at in expect_fields(value, place, events.FIELDS)}


def _value_maps(value: object, place: Place) -> dict[str, dict[str, Scalar]]:
    return {
        name: {
            key.strip().casefold(): item if item == "" else _word(name, item, at.at(key))
            for key, item in expect_table(words, at).items()
        }
        for name, words, at in expect_fields(value, place, events.FIELDS)
    }


def _word(name: str, value: object, place: Place) -> Scalar:
    """A value that ``name`` may take, in the contract's spelling."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise place.error(f"{name} must be given as text or a whole number")
    words = _WORDS.get(name)
    if words is not None and value not in words:
        raise place.error(f"{value!r} is no {name}{nearest(str(value), words)}: use one of {', '.join(words)}")
    return value


def _prefix(value: object, place: Place) -> dict[str, str]:
    return {name: expect_text(item, at) for name, item, at in expect_fields(value, place, _ID_FIELDS)}


def _unit(value: object, place: Place) -> dict[str, timedelta]:
    return {name: read_unit(item, name, at) for name, item, at in expect_fields(value, place, ("wait_minutes",))}


def _format(value: object, place: Place) -> str:
    text = expect_text(value, place)
    if text not in FORMATS:
        raise place.error(f"{text!r} is no format{nearest(text, FORMATS)}: use one of {', '.join(FORMATS)}")
    return text


def _scope(value: object, place: Place) -> str:
    """A policy for the scope of a number, or a text that sources which share numbers have in common."""
    text = expect_text(value, place).strip()
    near = difflib.get_close_matches(text, events.SCOPES, n=1)
    if near and text not in events.SCOPES:
        raise place.error(f"{text!r} is nearly {near[0]!r}: use that, or a text that cannot be mistaken for it")
    if len(text) > events.MAX_ID_LENGTH:
        raise place.error(f"{last(place)} is longer than {events.MAX_ID_LENGTH} characters")
    return text


_CONDITIONS = ("exists", "prefix", "pattern", "not")
_LOOKUP_KEYS = ("file", "key", "by")
SECTIONS: Mapping[str, Callable[[object, Place], Any]] = {
    "name": expect_text,
    "format": _format,
    "match": _match,
    "ignore": _ignore,
    "lookup": _lookups,
    "rename": _rename,
    "extract": _extract,
    "time": read_times,
    "constant": _constant,
    "value_map": _value_maps,
    "otherwise": _otherwise,
    "timestamp": read_timestamps,
    "unit": _unit,
    "prefix": _prefix,
    "age_from": expect_text,
    "join": _join,
    "drop": expect_texts,
    "patient_scope": _scope,
    "visit_scope": _scope,
}
"""What a mapping may hold, and how each part is read."""
