"""Files that killed processes left in the folders of a lake, and damaged files that were set aside: found by age.

Vacuum deletes data files that no version needs. Beside them, a process that dies leaves uploads under a temporary name,
which no listing of delta-rs shows, drafts of checksums, and what a cluster staged. Remote storage keeps no half-written
object, and expires the folders by its own rules (``infra/bicep/modules/lake.bicep``).
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from patient_flow.stores.lake.durability import CHECKSUMS
from patient_flow.stores.staging import FOLDER as STAGED

DAMAGED = "_damaged"
"""Folder beside the tables of a layer for files and tables that a repair set aside."""
REPLACED, REPLACEMENT = "table", "new"
"""In a folder of ``DAMAGED``: the damaged table, and the folder of the one that was written to replace it."""
KEPT = {STAGED: timedelta(days=3), DAMAGED: timedelta(days=30)}
"""Folder beside the tables → how long the newest file in one of its folders may be unchanged."""
UNFINISHED_AFTER = timedelta(days=1)
"""A file that is still being written is younger."""
_UPLOAD = re.compile(r".+#\d+")
_COMMIT = re.compile(r"_commit_.*\.tmp|.*\.json\.tmp")
_DRAFT = re.compile(r"\.[0-9a-f]{32}")


def remove(layer: Path, now: datetime) -> Iterator[str]:
    """Removes the leftovers in the folder of a layer; yields the path of each."""
    if not layer.is_dir():
        return
    for name, age in KEPT.items():
        for folder in _subfolders(layer / name):
            if _changed_at(folder) < (now - age).timestamp():
                shutil.rmtree(folder, ignore_errors=True)
                if not folder.exists():
                    yield str(folder)
    for table in _subfolders(layer):
        if table.name not in KEPT:
            yield from _unfinished(table, (now - UNFINISHED_AFTER).timestamp())


def replacement_of(table: Path) -> Path | None:
    """The folder of the complete table that a repair was about to move to the folder ``table`` when it died."""
    if (table / "_delta_log").exists():
        return None
    for place in sorted(table.parent.glob(f"{DAMAGED}/*/{table.name}")):
        if (place / REPLACED).exists() and (place / REPLACEMENT / table.name).exists():
            return place / REPLACEMENT / table.name
    return None


def _unfinished(table: Path, before: float) -> Iterator[str]:
    for path in table.rglob("*"):
        is_draft = path.parent.name == CHECKSUMS and _DRAFT.fullmatch(path.name)
        if not (is_draft or _UPLOAD.fullmatch(path.name) or _COMMIT.fullmatch(path.name)):
            continue
        with contextlib.suppress(OSError):  # another maintenance was faster, or this process may not write here
            if path.stat().st_mtime < before:
                path.unlink()
                yield str(path)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _changed_at(folder: Path) -> float:
    """When anything in ``folder`` changed last."""
    newest = folder.stat().st_ctime
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, path.stat().st_ctime)
    return newest
