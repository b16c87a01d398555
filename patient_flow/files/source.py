"""A file as it was recognised, and the error that refuses one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patient_flow.errors import OperatorError
from patient_flow.wording import plural

CSV, JSON_LINES, JSON, HL7, PARQUET = "CSV", "JSON lines", "JSON", "HL7 v2", "Parquet"
MAX_FAULTS = 20
"""Files that cannot be read, named in one message."""
FORMATS = (CSV, JSON_LINES, JSON, HL7, PARQUET)


class FileRefused(OperatorError):
    """A file cannot be read as events; the message names the file, the row and what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path.name}: {problem}")


class FilesRefused(OperatorError):
    """Files cannot be read as events; the message has the fault of each. Of several files none is used."""

    def __init__(self, faults: Sequence[str], files: int) -> None:
        named = "; ".join(faults[:MAX_FAULTS])
        if len(faults) > MAX_FAULTS:
            named += f"; and {len(faults) - MAX_FAULTS} more"
        super().__init__(
            named
            if files == 1
            else f"{len(faults):,} of {plural(files, 'file')} cannot be read, and none is imported: {named}"
        )


def state_of(path: Path) -> tuple[int, int]:
    """Size and time of the last change; zeros where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class Source:
    """A file that can be read.

    ``rows`` counts its events, ``sha256`` identifies its bytes as they lie on disk (compressed where it is).
    ``separator`` and ``header`` are of CSV alone; ``fields`` is then the number of columns. ``notes`` say what was
    guessed, and what an operator should know about rows. ``state`` is the file's size and time of change, read before
    its bytes were.
    """

    path: Path
    format: str
    sha256: str
    rows: int
    encoding: str = "utf-8"
    separator: str = ""
    header: tuple[str, ...] = ()
    is_compressed: bool = False
    notes: tuple[str, ...] = ()
    state: tuple[int, int] = (0, 0)

    def require_unchanged(self) -> None:
        """Raises :class:`FileRefused` where the file is another than the one that was examined."""
        if state_of(self.path) != self.state:
            raise FileRefused(
                self.path,
                "the file changed while it was imported: withdraw the rows that were (patient-flow import --undo "
                f"{self.sha256}), and import the complete file",
            )

    def __str__(self) -> str:
        parts = [self.format]
        if self.is_compressed:
            parts.append("gzip")
        if self.format == CSV:
            parts.append(f"separator {SEPARATOR_NAMES.get(self.separator, self.separator)}")
        if self.format != PARQUET:
            parts.append(self.encoding)
        return f"{self.path.name}: {', '.join(parts)}; {plural(self.rows, 'row')}"


SEPARATOR_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "|"}
