"""The sections of one ``[[mapping]]``, each checked and in the form that ``rewriting`` uses."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from patient_flow.contracts import events
from patient_flow.dialects import times
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
from patient_flow.dialects.message import FORMATS
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

_UNITS = {
    "seconds": timedelta(seconds=1),
    "minutes": timedelta(minutes=1),
    "hours": timedelta(hours=1),
    "days": timedelta(days=1),
}
_MAX_SHIFT_DAYS = 1_000_000
_SAMPLES = (datetime(2027, 11, 23, 14, 35, 41, tzinfo=UTC), datetime(1998, 2, 6, 3, 20, 15, tzinfo=UTC))
"""Two moments that differ in every part of a timestamp."""


def _match(value: object, place: Place) -> dict[str, Condition]:
    return {path: _condition(wanted, place.at(path)) for path, wanted in expect_table(value, place).items()}


def _condition(wanted: object, place: Place) -> Condition:
    if not isinstance(wanted, dict):
        values = [folded(item) for item in (wanted if isinstance(wanted, list) else [wanted])]
        known = frozenset(text for text in values if text is not None)
        if not values or len(known) < len(set(values)):
            raise place.error("a condition is a value, a list of values, { exists = true } or { prefix = ... }")
        return Condition(values=known)
    for key in wanted:
        if key not in _CONDITIONS:
            raise place.at(key).error(
                f"unknown condition {key!r}{nearest(key, _CONDITIONS)}: use exists or prefix; a path with dots is "
                f'written in quotes, as in "{last(place)}.{key}" = ...'
            )
    if len(wanted) != 1:
        raise place.error("a condition is either { exists = ... } or { prefix = ... }")
    if "prefix" in wanted:
        return Condition(prefix=expect_text(wanted["prefix"], place).casefold())
    if not isinstance(wanted["exists"], bool):
        raise place.error("exists is true or false")
    return Condition(exists=wanted["exists"])


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
        name: {key.strip().casefold(): _word(name, item, at.at(key)) for key, item in expect_table(words, at).items()}
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
    units = {}
    for name, item, at in expect_fields(value, place, ("wait_minutes",)):
        unit = expect_text(item, at)
        if unit not in _UNITS:
            raise at.error(f"{unit!r} is no unit of {name}: use one of {', '.join(_UNITS)}")
        units[name] = _UNITS[unit]
    return units


def _timestamps(value: object, place: Place) -> dict[str, times.Timestamps]:
    table = expect_table(value, place)
    expect_known(table, (*_TIMESTAMP_KEYS, *events.TIME_FIELDS), place)
    common = _timestamp({key: item for key, item in table.items() if key in _TIMESTAMP_KEYS}, place, times.Timestamps())
    return {name: _timestamp(table.get(name, {}), place.at(name), common) for name in events.TIME_FIELDS}


def _timestamp(value: object, place: Place, common: times.Timestamps) -> times.Timestamps:
    """``common`` with the settings that ``value`` overrides."""
    table = expect_table(value, place)
    expect_known(table, _TIMESTAMP_KEYS, place)
    changes: dict[str, Any] = {}
    if "format" in table:
        changes["formats"] = tuple(
            _time_format(form, place.at("format")) for form in expect_texts(table["format"], place)
        )
    if "zone" in table:
        changes["zone"] = _zone(expect_text(table["zone"], place.at("zone")), place.at("zone"))
    if "shift_days" in table:
        days = table["shift_days"]
        if isinstance(days, bool) or not isinstance(days, int) or abs(days) > _MAX_SHIFT_DAYS:
            raise place.at("shift_days").error(f"shift_days is a whole number of days up to {_MAX_SHIFT_DAYS}")
        changes["shift"] = timedelta(days=days)
    return replace(common, **changes)


def _zone(name: str, place: Place) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(name, zoneinfo.available_timezones())
        raise place.error(f"{name!r} is no IANA zone{near}: use a name such as Europe/Paris") from None


def _time_format(form: str, place: Place) -> str:
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


_CONDITIONS = ("exists", "prefix")
_TIMESTAMP_KEYS = ("format", "zone", "shift_days")
SECTIONS: Mapping[str, Callable[[object, Place], Any]] = {
    "name": expect_text,
    "format": _format,
    "match": _match,
    "rename": _rename,
    "constant": _constant,
    "value_map": _value_maps,
    "otherwise": _otherwise,
    "timestamp": _timestamps,
    "unit": _unit,
    "prefix": _prefix,
    "age_from": expect_text,
    "join": _join,
    "drop": expect_texts,
    "patient_scope": _scope,
    "visit_scope": _scope,
}
"""What a mapping may hold, and how each part is read."""
