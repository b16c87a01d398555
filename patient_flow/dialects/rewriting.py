"""Applies one source mapping to one statement. Never fails and never drops an event: what does not fit stays as is.

Not here: the mapping file and its checks (``mapping``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from patient_flow.contracts.events import FIELDS, MAX_ID_LENGTH
from patient_flow.dialects import paths, times
from patient_flow.dialects.derived import Extract, Lookup, TimeAfter, TimeParts, search
from patient_flow.dialects.message import JSON
from patient_flow.transforms.bodies import number_in

Scalar = str | int
JOINT = "/"
LOOKUP = "lookup"
"""Key under which a mapping finds the rows of other files: ``lookup.patients.gender``."""
TIME_IS_ESTIMATED = "time_is_estimated"
UNKNOWN_SHIFT, UNREADABLE_LENGTH = "a time whose shift is unknown", "a time after an unreadable length"
"""Stand for times that cannot be known, so that the rules name them as unusable."""
MAX_SHIFT_DAYS = 1_000_000
MAX_LENGTH_MINUTES = 1e8
_NO_SHIFT = timedelta()
_HASH_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one field: present or absent, one of some values, or a text with a ``prefix`` or ``pattern``.

    And in any case not ``unless`` that condition holds; a field that is absent has no value, prefix or pattern.
    """

    exists: bool | None = None
    values: frozenset[str] | None = None
    prefix: str | None = None
    pattern: re.Pattern[str] | None = None
    unless: Condition | None = None

    def holds(self, value: object) -> bool:
        """True if ``value`` (None: absent) fulfils the condition."""
        return self._fits(value) and not (self.unless is not None and self.unless.holds(value))

    def _fits(self, value: object) -> bool:
        if self.exists is not None:
            return (value is not None) == self.exists
        if self.values is not None:
            return folded(value) in self.values
        if self.prefix is not None:
            return (folded(value) or "").startswith(self.prefix)
        return self.pattern is None or search(self.pattern, paths.text_of(value)) is not None


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A statement in the words of the contract, and the quality flags that a mapping raises."""

    stated: dict[str, object]
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMapping:
    """One ``[[mapping]]`` of a mapping file, checked. Keys are contract fields, in ``match`` paths."""

    name: str
    format: str = JSON
    match: Mapping[str, Condition] = field(default_factory=dict)
    ignore: str | None = None
    lookup: Mapping[str, Lookup] = field(default_factory=dict)
    rename: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extract: Mapping[str, Extract] = field(default_factory=dict)
    time: Mapping[str, TimeParts | TimeAfter] = field(default_factory=dict)
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
    consumed: tuple[str, ...] = field(init=False, default=())
    """Paths whose values go into fields, or nowhere: no event keeps them among its extras."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "consumed", tuple(dict.fromkeys(self._consumed())))

    def seen(self, stated: Mapping[str, object]) -> Mapping[str, object]:
        """``stated`` with the rows of other files that belong to it, for :meth:`takes` and :meth:`rewritten`."""
        if not self.lookup:
            return stated
        return {**stated, LOOKUP: {name: lookup.row(stated) for name, lookup in self.lookup.items()}}

    def takes(self, seen: Mapping[str, object]) -> bool:
        """True if this mapping is for the event that ``seen`` describes."""
        return all(condition.holds(paths.value_at(seen, path)) for path, condition in self.match.items())

    def unlisted(self, seen: Mapping[str, object]) -> Iterator[tuple[str, str]]:
        """(field, value as compared) of values that a ``value_map`` neither lists nor has another value for."""
        stated = {**self._kept(seen), **self._made(seen)}
        for name, words in self.value_map.items():
            text = folded(stated.get(name))
            if text is not None and text not in words and name not in self.otherwise:
                yield name, text

    def rewritten(self, seen: Mapping[str, object]) -> Rewritten:
        """``seen`` in the words of the contract; what this mapping does not name stays as it is."""
        result = {**self._kept(seen), **self._made(seen), **self.constant}
        for name in self.value_map.keys() & result.keys():
            result[name] = self._translated(name, result[name])
        flags = self._read_times(seen, result)
        for name in self.unit.keys() & result.keys():
            result[name] = _in_minutes(result[name], self.unit[name])
        for name in self.prefix.keys() & result.keys():
            result[name] = _prefixed(result[name], self.prefix[name])
        age = self._age(seen, result)
        if age is not None:
            result["age"] = age
        for name, parts in self.join.items():
            joined = _joined([_part(part, result, seen) for part in parts])
            if joined is not None:
                result[name] = joined
        return Rewritten(result, flags)

    def _kept(self, seen: Mapping[str, object]) -> dict[str, object]:
        """Without what a field takes over: an identifier must not stay among the extras, in clear, beside it."""
        stated = {name: value for name, value in seen.items() if name != LOOKUP} if self.lookup else seen
        return paths.without(stated, self.consumed)

    def _consumed(self) -> Iterator[str]:
        for candidates in self.rename.values():
            yield from candidates
        for name, extract in self.extract.items():
            if extract.path != name:
                yield extract.path
        for name, time in self.time.items():
            yield from (
                path for path in time.paths if path not in FIELDS or (path == name and isinstance(time, TimeParts))
            )
        for parts in self.join.values():
            yield from (path for path in parts if path not in FIELDS)
        yield from (path for times in self.timestamp.values() if (path := times.shift_from))
        yield from (lookup.by for lookup in self.lookup.values() if lookup.by not in FIELDS)
        if self.age_from:
            yield self.age_from
        yield from self.drop

    def _made(self, seen: Mapping[str, object]) -> dict[str, object]:
        """The fields of ``rename`` (the first candidate that says something), ``extract`` and times in two fields."""
        found: dict[str, object] = {
            name: next((value for path in candidates if (value := paths.value_at(seen, path)) is not None), None)
            for name, candidates in self.rename.items()
        }
        for name, extract in self.extract.items():
            found[name] = extract.value(seen) or found.get(name)
        for name, time in self.time.items():
            if isinstance(time, TimeParts):
                found[name] = time.value(seen)
        return {name: value for name, value in found.items() if value is not None}

    def _read_times(self, seen: Mapping[str, object], result: dict[str, object]) -> frozenset[str]:
        """Puts the timestamps of ``result`` into the contract's form; names the flags that this raises."""
        estimated = False
        for name in self.timestamp.keys() & result.keys():
            source = self.timestamp[name]
            shift = _NO_SHIFT if source.shift_from is None else _shift(seen, source)
            if shift is None:
                result[name] = UNKNOWN_SHIFT
                continue
            if source.date_only is not None:
                estimated = estimated or source.is_date(result[name])
            result[name] = source.normalised(result[name], shift)
        for name, time in self.time.items():
            if isinstance(time, TimeAfter):
                end = self._time_after(name, time, seen, result)
                if end is not None:
                    result[name] = end
        return frozenset({TIME_IS_ESTIMATED} if estimated else ())

    def _time_after(
        self, name: str, time: TimeAfter, seen: Mapping[str, object], result: Mapping[str, object]
    ) -> str | None:
        """The timestamp ``name``; None where its start or its length is absent or cannot be read."""
        stated = paths.value_at(seen, time.length)
        length = None if stated is None else _in_minutes(stated, time.unit)
        if time.start in FIELDS:
            begun = times.from_iso(result.get(time.start))
        else:
            source = self.timestamp.get(name, times.Timestamps())
            shift = _shift(seen, source)
            begun = None if shift is None else source.read(paths.value_at(seen, time.start), shift)
        if begun is None or length is None:
            return None
        if not isinstance(length, float) or abs(length) > MAX_LENGTH_MINUTES:
            return UNREADABLE_LENGTH
        try:
            return times.in_contract_form(begun + timedelta(minutes=length))
        except OverflowError:
            return None

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


def _shift(seen: Mapping[str, object], source: times.Timestamps) -> timedelta | None:
    """By how much the timestamps of an event are moved besides; None where the event does not say so."""
    if source.shift_from is None:
        return _NO_SHIFT
    days = number_in(paths.text_of(paths.value_at(seen, source.shift_from)) or "")
    return None if days is None or abs(days) > MAX_SHIFT_DAYS else timedelta(days=days)


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
