"""Values that a mapping makes of several fields, of a part of one, or of another file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from patient_flow.dialects import paths

MAX_PATTERN_TEXT = 128
"""Characters of a value that a pattern is tried on: an identifier or name, and no document."""

_DIGITS_OF_CLOCK = re.compile(r"(\d{1,2})(\d\d)(\d\d)?", re.ASCII)
_BETWEEN_DATE_AND_TIME = re.compile(r"[T\s]+")


@dataclass(frozen=True, slots=True)
class Extract:
    """The part of the text at ``path`` that the one group of ``pattern`` finds."""

    path: str
    pattern: re.Pattern[str]

    def value(self, stated: Mapping[str, object]) -> str | None:
        """The part; None where the text is absent or the pattern does not find it."""
        found = search(self.pattern, paths.text_of(paths.value_at(stated, self.path)))
        return None if found is None else (found[1] or "").strip() or None


@dataclass(frozen=True, slots=True)
class TimeParts:
    """A timestamp whose date and time of day stand in two fields."""

    date: str
    time: str

    @property
    def paths(self) -> tuple[str, str]:
        """Both fields."""
        return self.date, self.time

    def value(self, stated: Mapping[str, object]) -> str | None:
        """Both in one text, as a format names them: date, blank, time; the date alone where the time is absent.

        Of a date that carries a time of day (``2026-11-20 00:00:00``), and of a time that carries a date, that part
        does not count. A time of digits alone gets its colons: 930 is 9:30.
        """
        date = paths.text_of(paths.value_at(stated, self.date))
        if date is None:
            return None
        day = _BETWEEN_DATE_AND_TIME.split(date)[0]
        time = paths.text_of(paths.value_at(stated, self.time))
        if time is None:
            return day
        digits = _DIGITS_OF_CLOCK.fullmatch(time)
        if digits:
            return f"{day} {digits[1]:0>2}:{digits[2]}" + (f":{digits[3]}" if digits[3] else "")
        return f"{day} {_clock_of(time)}"


def _clock_of(time: str) -> str:
    """``time`` without a date before it; the marks of the twelve-hour clock stay."""
    parts = _BETWEEN_DATE_AND_TIME.split(time)
    return " ".join(parts[1:] if len(parts) > 1 and ":" not in parts[0] else parts)


@dataclass(frozen=True, slots=True)
class TimeAfter:
    """A timestamp that lies a length after another one; ``start`` is a contract field of the result, else a path."""

    start: str
    length: str
    unit: timedelta

    @property
    def paths(self) -> tuple[str, str]:
        """Both fields."""
        return self.start, self.length


@dataclass(frozen=True, slots=True)
class Lookup:
    """Rows of a second file by their key, and the path in an event at which the key stands."""

    by: str
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, object]] = field(repr=False)

    def row(self, stated: Mapping[str, object]) -> Mapping[str, object]:
        """The row of this event; empty where the file has none."""
        key = paths.text_of(paths.value_at(stated, self.by))
        return {} if key is None else self.rows.get(key, {})


def search(pattern: re.Pattern[str], text: str | None) -> re.Match[str] | None:
    """Where ``pattern`` fits in ``text``; None in a text that is longer than any name or identifier."""
    return None if text is None or len(text) > MAX_PATTERN_TEXT else pattern.search(text)
