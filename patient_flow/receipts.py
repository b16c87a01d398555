"""The file with the receipt of an erasure: an erasure cannot be repeated to get a lost one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from patient_flow.errors import OperatorError


def require_place(path: Path | None) -> None:
    """Raises :class:`OperatorError` where a receipt could not be written to ``path`` (None: this folder)."""
    if path and path.exists():
        raise OperatorError(f"{path} exists already: name another file with --receipt")
    folder = path.parent if path else Path()
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OperatorError(
            f"no receipt can be written to {folder.absolute()} ({error.strerror}): name another file with --receipt"
        ) from error


def write(place: Path, receipt: str) -> Path:
    """Writes the receipt, and returns ``place``. Raises :class:`OperatorError` with its text where that fails."""
    try:
        with place.open("x", encoding="utf-8") as file:
            file.write(receipt + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OperatorError(
            f"the person is erased, and the receipt cannot be written to {place} ({error.strerror}); it is: {receipt}"
        ) from error
    return place
