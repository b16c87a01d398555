"""Small TOML files of settings: their values, and the line of each, for errors that name line and key."""

from __future__ import annotations

import re
import tomllib

_TABLE = re.compile(r"\s*\[+\s*([\w.\"-]+)\s*\]+\s*(#.*)?$")
_LINE = re.compile(r"\(at line (\d+), column \d+\)")


class TomlKeys:
    """The content of a TOML text."""

    def __init__(self, text: str) -> None:
        """Raises ``ValueError`` with the line where ``text`` is no TOML."""
        try:
            self.values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = _LINE.search(str(error))
            number = int(found[1]) if found else max(text.rstrip("\n").count("\n") + 1, 1)
            reason = _LINE.sub("", str(error)).strip()
            raise ValueError(f"line {number}: this is not TOML: {reason}") from error
        self._lines = text.splitlines()

    def line(self, *path: str, table: int = 0) -> int:
        """The line of a top-level key, or of a key in a table: ``line("note", "date", table=1)`` in the second one.

        The line of the table where it lacks the key; 1 where nothing is found.
        """
        *tables, key = path
        current, seen, last = "", -1, 1
        for number, line in enumerate(self._lines, start=1):
            if header := _TABLE.match(line):
                current = header[1].strip('"')
                seen += [current] == tables
                last = number if [current] == tables and seen == table else last
            elif self._is_key(line, key) and ([current] == tables and seen == table if tables else not current):
                return number
        return last

    @staticmethod
    def _is_key(line: str, key: str) -> bool:
        return re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line) is not None
