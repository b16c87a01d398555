"""Line numbers of the keys of a TOML text: ``tomllib`` gives the values without their lines."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]


class LineIndex:
    """Line of every table and key of a valid TOML text, by path: ``("mapping", 0, "rename", "patient_id")``."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}
        owner: Path = ()
        for line, statement, is_header in _statements(text):
            if statement is None:
                continue
            if is_header:
                owner = self._enter(statement, line)
            else:
                self._note(owner, statement, line)

    def line_of(self, path: Path) -> int:
        """Line of ``path``, or of the innermost enclosing table that the text contains."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _enter(self, header: Mapping[str, object], line: int) -> Path:
        """Path of the table that ``header`` opens; an array of tables numbers its tables."""
        path: Path = ()
        inner: object = header
        while isinstance(inner, Mapping) and inner:
            ((key, inner),) = inner.items()
            path = (*path, key)
            if isinstance(inner, list):
                self._tables[path] = self._tables.get(path, -1) + 1
            if path in self._tables:
                self._lines.setdefault(path, line)
                path = (*path, self._tables[path])
        self._lines.setdefault(path, line)
        return path

    def _note(self, owner: Path, values: Mapping[str, object], line: int) -> None:
        for key, value in values.items():
            self._lines.setdefault((*owner, key), line)
            if isinstance(value, Mapping):
                self._note((*owner, key), value, line)


def unfinished_line(text: str) -> int | None:
    """Line at which a statement begins that does not end; None where there is none."""
    return next((line for line, statement, _ in _statements(text) if statement is None), None)


def _statements(text: str) -> Iterator[tuple[int, dict[str, object] | None, bool]]:
    """(first line, parsed, whether it is a table header) of each statement; a value may run over several lines.

    The last one may be a statement that does not end: it is None.
    """
    start, pending = 0, ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not pending:
            start = number
        pending += line + "\n"
        try:
            statement = tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue  # the value goes on in the next line
        if statement:
            yield start, statement, pending.lstrip().startswith("[")
        pending = ""
    if pending:
        yield start, None, False
