"""What stands in the fields of samples: how often, which values, and what kind of value that is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from patient_flow.dialects.paths import text_of
from patient_flow.dialects.times import from_iso
from patient_flow.transforms.bodies import number_in

MAX_VALUES = 40
"""Different values of a field that are kept; a field with more is no code list."""
_KEPT_TEXTS = 400
_MAX_NESTING = 4
_ENOUGH = 0.8
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?|\d{3,4}|\d{6}", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-?\d\d-?\d\d", re.ASCII)
_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y")
_TIMES = (" %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "T%H:%M:%S", ", %H:%M")
_PACKED = ("%Y%m%d%H%M%S", "%Y%m%d%H%M")
_EPOCHS = {"unix": (6e8, 4.2e9), "unix_ms": (6e11, 4.2e12)}
"""Numbers that are seconds and milliseconds from 1989 to 2103."""


@dataclass
class Column:
    """One path in the samples."""

    path: str
    count: int = 0
    values: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """One more value."""
        self.count += 1
        if len(self.values) <= MAX_VALUES or text in self.values:
            self.values[text] += 1
        if len(self.texts) < _KEPT_TEXTS:
            self.texts.append(text)

    @property
    def is_code_list(self) -> bool:
        """True for few different values."""
        return len(self.values) <= MAX_VALUES

    @property
    def is_iso(self) -> bool:
        """True for timestamps that need no format."""
        return self._most(lambda text: from_iso(text) is not None)

    @property
    def is_clock(self) -> bool:
        """True for times of day."""
        return self._most(lambda text: _CLOCK.fullmatch(text) is not None) and not self.formats

    @property
    def is_iso_date(self) -> bool:
        """True for dates that need no format."""
        return self._most(lambda text: bool(_ISO_DATE.fullmatch(text)) and _reads(text.replace("-", ""), "%Y%m%d"))

    @property
    def formats(self) -> list[str]:
        """Formats of timestamps that fit; several where day and month cannot be told apart."""
        for name, (low, high) in _EPOCHS.items():
            if self._most(lambda text: low <= (number_in(text) or 0) <= high):  # noqa: B023  # called at once
                return [name]
        return self._fitting((*_PACKED, *(day + time for day in _DAYS for time in _TIMES)))

    @property
    def date_formats(self) -> list[str]:
        """The same of dates without a time of day."""
        return self._fitting(_DAYS)

    @property
    def has_offset(self) -> bool:
        """True where the timestamps state their offset."""
        return self._most(lambda text: (moment := from_iso(text)) is not None and moment.tzinfo is not None)

    def _fitting(self, forms: Iterable[str]) -> list[str]:
        return [form for form in forms if self._most(lambda text: _reads(text, form))]  # noqa: B023  # called at once

    def _most(self, fits: Callable[[str], bool]) -> bool:
        """True where nearly all values fit: a few faults make no field of another kind."""
        return bool(self.texts) and sum(map(fits, self.texts)) >= _ENOUGH * len(self.texts)


def columns_of(rows: Iterable[Mapping[str, object]]) -> tuple[int, dict[str, Column]]:
    """(rows, columns by path) of JSON objects."""
    found: dict[str, Column] = {}
    number = 0
    for row in rows:
        number += 1
        for path, text in _texts(row, ""):
            found.setdefault(path, Column(path)).add(text)
    return number, found


def spelled(path: str) -> str:
    """``path`` in small words: ``admissionDate`` and ``ADMISSION_DATE`` are ``admission date``."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", path)
    return " ".join(re.split(r"[^a-z0-9]+", name.casefold().replace("é", "e").replace("ö", "oe"))).strip()


def _texts(value: object, path: str, nesting: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        if nesting < _MAX_NESTING:
            for name, inner in value.items():
                yield from _texts(inner, f"{path}.{name}" if path else name, nesting + 1)
        return
    text = text_of(value)
    if text is not None:
        yield path, text


def _reads(text: str, form: str) -> bool:
    try:
        return datetime.strptime(text, form).year >= 1000  # noqa: DTZ007  # only whether it fits
    except ValueError:
        return False
