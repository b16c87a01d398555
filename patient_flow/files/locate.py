"""Names that an operator gives → files of this machine: a file, a folder, a glob."""

from __future__ import annotations

import glob
from pathlib import Path

from patient_flow.errors import OperatorError


def locate(place: str, *, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """The files that ``place`` names, in the order of their names; of a folder all below it but hidden ones.

    With ``suffixes``, a folder's other files are left out. Raises :class:`OperatorError` where there is none.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.is_file() and not _is_hidden(file.relative_to(path))]
        found = [file for file in found if not suffixes or file.suffix in suffixes]
    elif path.is_file():
        found = [path]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns too)
        found = [file for file in found if file.is_file()]
    if not found:
        raise OperatorError(f"{place}: there is no such file, and no file in such a folder")
    return sorted(found)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)
