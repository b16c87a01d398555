"""Values in a mapping file, checked: each error names the file, the line and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from patient_flow.contracts import events
from patient_flow.dialects.lines import LineIndex, Path
from patient_flow.errors import OperatorError


class MappingError(OperatorError):
    """A mapping file is invalid; the message names the file, the line and the remedy."""


ReadRows = Callable[[str], Iterable[Mapping[str, object]]]
"""Name of a file, as a mapping file writes it → its rows. Raises ``OperatorError``."""


def no_other_file(file: str) -> Iterable[Mapping[str, object]]:
    """Where a mapping file may not refer to other files."""
    raise OperatorError(f"{file} cannot be read here")


@dataclass(frozen=True)
class Place:
    """A position in a mapping file, for error messages."""

    file: str
    lines: LineIndex
    path: Path
    read: ReadRows = no_other_file

    def at(self, *keys: str | int) -> Place:
        """The place under these keys."""
        return replace(self, path=(*self.path, *keys))

    def read_rows(self, file: str, place: Place) -> Iterator[Mapping[str, object]]:
        """The rows of another ``file``; one that cannot be read is an error at ``place``."""
        try:
            yield from self.read(file)
        except OperatorError as error:
            raise place.error(str(error)) from None

    def error(self, problem: str) -> MappingError:
        """``problem``, with file and line."""
        return MappingError(f"{self.file}, line {self.lines.line_of(self.path)}: {problem}")


def expect_texts(value: object, place: Place) -> tuple[str, ...]:
    """One text or several."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise place.error("the list is empty: name at least one")
    return tuple(expect_text(item, place) for item in items)


def expect_text(value: object, place: Place) -> str:
    """A text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise place.error(f"{last(place)} must be a text, in quotes")
    return value


def expect_table(value: object, place: Place) -> dict[str, Any]:
    """A table."""
    if not isinstance(value, dict):
        raise place.error(f"{last(place)} must be a table, as in [mapping.{last(place)}]")
    return value


def expect_fields(value: object, place: Place, allowed: Collection[str]) -> Iterator[tuple[str, Any, Place]]:
    """(contract field, its value, its position) for each key of a table."""
    table = expect_table(value, place)
    for name, item in table.items():
        at = place.at(name)
        if name not in events.FIELDS:
            near = nearest(name, allowed) or f": known are {', '.join(events.FIELDS)}"
            raise at.error(f"{name!r} is no field of the contract{near}")
        if name not in allowed:
            raise at.error(f"{name} cannot stand in {last(place)}: only {', '.join(allowed)} can")
        yield name, item, at


def expect_known(table: Mapping[str, object], known: Collection[str], place: Place) -> None:
    """Refuses a key that is not ``known``."""
    for key in table:
        if key not in known:
            near = nearest(key, known)
            raise place.at(key).error(f"unknown key {key!r}{near}: known here are {', '.join(known)}")


def nearest(word: str, known: Collection[str]) -> str:
    """A question that names the known word that is most like ``word``; "" where none is."""
    matches = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def last(place: Place) -> str:
    """The key at ``place``."""
    return str(place.path[-1])
