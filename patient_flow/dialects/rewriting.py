"""Applies one source mapping to one statement. Never fails and never drops an event: what does not fit stays as is.

Not here: the mapping file and its checks (``mapping``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from patient_flow.contracts.events import FIELDS, MAX_ID_LENGTH
from patient_flow.dialects import paths, times
from patient_flow.dialects.message import JSON
from patient_flow.transforms.bodies import number_in

Scalar = str | int
JOINT = "/"
_HASH_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one field: present or absent, one of some values, or a text that begins with ``prefix``."""

    exists: bool = True
    values: frozenset[str] | None = None
    prefix: str | None = None

    def holds(self, value: object) -> bool:
        """True if ``value`` (None: absent) fulfils the condition."""
        if value is None or not self.exists:
            return (value is not None) == self.exists
        text = folded(value)
        if self.values is not None:
            return text in self.values
        return self.prefix is None or (text is not None and text.startswith(self.prefix))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMapping:
    """One ``[[mapping]]`` of a mapping file, checked. Keys are contract fields, in ``match`` paths."""

    name: str
    format: str = JSON
    match: Mapping[str, Condition] = field(default_factory=dict)
    rename: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constant: Mapping[str, Scalar] = field(default_factory=dict)
    value_map: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    otherwise: Mapping[str, Scalar] = field(default_factory=dict)
    timestamp: Mapping[str, times.Timestamps] = field(default_factory=dict)
    unit: Mapping[str, timedelta] = field(default_factory=dict)
    prefix: Mapping[str, str] = field(default_factory=dict)
    age_from: str | None = None
    join: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    patient_scope: str | None = None
    visit_scope: str | None = None

    def takes(self, stated: Mapping[str, object]) -> bool:
        """True if this mapping is for the event that ``stated`` describes."""
        return all(condition.holds(paths.value_at(stated, path)) for path, condition in self.match.items())

    def rewritten(self, stated: Mapping[str, object]) -> dict[str, object]:
        """``stated`` with the contract's field names and values; other fields are unchanged."""
        result = {**self._kept(stated), **self._renamed(stated), **self.constant}
        for name in self.value_map.keys() & result.keys():
            result[name] = self._translated(name, result[name])
        for name in self.timestamp.keys() & result.keys():
            result[name] = self.timestamp[name].normalised(result[name])
        for name in self.unit.keys() & result.keys():
            result[name] = _in_minutes(result[name], self.unit[name])
        for name in self.prefix.keys() & result.keys():
            result[name] = _prefixed(result[name], self.prefix[name])
        age = self._age(stated, result)
        if age is not None:
            result["age"] = age
        for name, parts in self.join.items():
            joined = _joined([_part(part, result, stated) for part in parts])
            if joined is not None:
                result[name] = joined
        return result

    def _kept(self, stated: Mapping[str, object]) -> dict[str, object]:
        """Without what a field takes over: an identifier must not stay among the extras, in clear, beside it."""
        taken = [path for candidates in self.rename.values() for path in candidates]
        joined = [path for parts in self.join.values() for path in parts if path not in FIELDS]
        birth_date = [self.age_from] if self.age_from else []
        return paths.without(stated, (*taken, *joined, *birth_date, *self.drop))

    def _renamed(self, stated: Mapping[str, object]) -> dict[str, object]:
        """The first candidate of each field that has a value."""
        found = {
            name: next((value for path in candidates if (value := paths.value_at(stated, path)) is not None), None)
            for name, candidates in self.rename.items()
        }
        return {name: value for name, value in found.items() if value is not None}

    def _translated(self, name: str, value: object) -> object:
        text = folded(value)
        if text is None:
            return value
        return self.value_map[name].get(text, self.otherwise.get(name, value))

    def _age(self, stated: Mapping[str, object], result: Mapping[str, object]) -> object:
        """Age at the event; the birth date itself where it cannot be read, for the rules to name as unusable."""
        birth_date = paths.text_of(paths.value_at(stated, self.age_from)) if self.age_from else None
        if birth_date is None:
            return None
        name = next((name for name in ("event_time", "admission_time") if result.get(name)), "event_time")
        moment = times.from_iso(result.get(name))
        if moment is None:
            return None
        source = self.timestamp.get(name)
        if source is not None and source.zone is not None:
            moment = moment.astimezone(source.zone)  # birthdays begin at the hospital's midnight
        age = times.age_at(birth_date, moment)
        return "unreadable birth date" if age is None else age


def folded(value: object) -> str | None:
    """The form in which values are compared: as text, trimmed, without regard to case; None for objects and arrays."""
    text = paths.text_of(value)
    return None if text is None else text.casefold()


def _in_minutes(value: object, unit: timedelta) -> object:
    text = paths.text_of(value)
    number = number_in(text) if text else None
    return value if number is None else number * (unit / timedelta(minutes=1))


def _prefixed(value: object, prefix: str) -> object:
    text = None if isinstance(value, bool) else paths.text_of(value)
    return value if text is None else prefix + text


def _part(path: str, result: Mapping[str, object], stated: Mapping[str, object]) -> str | None:
    """A contract field of the result if it has one, else what the source says at ``path``."""
    value = paths.value_at(result, path)
    return paths.text_of(paths.value_at(stated, path) if value is None else value)


def _joined(parts: list[str | None]) -> str | None:
    """None unless every part is there: half an identifier would join what does not belong together."""
    texts = [part for part in parts if part is not None]
    if len(texts) < len(parts):
        return None
    joined = JOINT.join(texts)
    if len(joined) <= MAX_ID_LENGTH:
        return joined
    return hashlib.sha256(joined.encode()).hexdigest()[:_HASH_LENGTH]
