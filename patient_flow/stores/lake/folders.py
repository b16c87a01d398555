"""Folders of a local lake: their paths, and how delta-rs and Polars are given a path with any character.

delta-rs reads most paths. Polars takes the percent-encoded addresses that delta-rs prints for paths, and reads
``name=value`` in a folder's name as a partition column: it gets a link to the folder, whose own path is plain.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote

from deltalake import DeltaTable

from patient_flow.stores.lake.errors import LakeMisconfigured

INDEX = "_index"
"""Folder for the index of a table (``key_index``): in the table's own, where vacuum leaves it alone."""
_PLAIN = re.compile(r"[A-Za-z0-9/._~+,:@-]*")
_UNREADABLE = re.compile(r"%[0-9A-Fa-f]{2}|[\\\[\]^|]")
"""delta-rs 1.6.6 decodes the first once too often, and refuses the others."""
_PRIVATE = 0o700


def folder_of(uri: str) -> Path | None:
    """The folder that ``uri`` (a path or a ``file://`` address) names; None for remote storage."""
    if uri.startswith("file://"):
        return Path(unquote(uri.removeprefix("file://")))
    return None if "://" in uri else Path(uri)


def readable_path(path: str) -> str:
    """The absolute ``path``. Raises :class:`LakeMisconfigured` for a path that delta-rs cannot read."""
    absolute = str(Path(path).resolve())
    if os.name == "posix" and (found := _UNREADABLE.search(absolute)):
        raise LakeMisconfigured(
            f"Delta Lake cannot store tables in {absolute}, because of {found[0]!r} in the path: "
            "set PATIENT_FLOW_LAKE_URI to another folder"
        )
    return absolute


class FolderTable(DeltaTable):
    """A Delta table in a folder whose path is not plain."""

    def file_uris(self, *args: object, **kwargs: object) -> list[str]:
        """Paths of the data files that Polars can read."""
        root = self.table_uri.removeprefix("file://")
        plain = _plain_path(Path(unquote(root)))
        return [f"{plain}/{uri.removeprefix(root)}" for uri in super().file_uris(*args, **kwargs)]  # type: ignore[arg-type]


def open_table(uri: str, version: int | None = None, storage_options: dict[str, str] | None = None) -> DeltaTable:
    """The Delta table at ``uri``. Raises what delta-rs raises."""
    folder = folder_of(uri)
    is_plain = folder is None or _PLAIN.fullmatch(str(folder.resolve())) is not None
    return (DeltaTable if is_plain else FolderTable)(uri, version=version, storage_options=storage_options)


def _plain_path(folder: Path) -> Path:
    """A link to ``folder`` in this user's temporary folder; every process uses the same one."""
    links = _private_folder() or Path(tempfile.mkdtemp(prefix="patient-flow-"))
    link = links / hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    with contextlib.suppress(FileExistsError):
        link.symlink_to(folder)
    return link


def index_folder(uri: str) -> Path | None:
    """Where the index of the table at ``uri`` is: in its folder, or among this user's temporary files.

    None where somebody else owns these.
    """
    if (folder := folder_of(uri)) is not None:
        return folder / INDEX
    private = _private_folder()
    return private and private / INDEX / hashlib.blake2b(uri.encode(), digest_size=8).hexdigest()


def _private_folder() -> Path | None:
    """This user's folder among the temporary files, the same for every process; None where somebody else owns it."""
    if os.name != "posix":  # the temporary files are one user's
        return Path(tempfile.gettempdir()) / "patient-flow"
    folder = Path(tempfile.gettempdir()) / f"patient-flow-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(_PRIVATE)
    state = folder.lstat()
    is_mine = not folder.is_symlink() and state.st_uid == os.getuid() and not state.st_mode & 0o077
    return folder if is_mine else None
