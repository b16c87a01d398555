"""Files on blob storage, copied to a folder of this machine to be read there. Credentials are those of the lake."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from patient_flow.errors import OperatorError

_PATTERN = frozenset("*?[")
_SCHEMES = ("abfss", "abfs", "az", "azure", "adl")


class BlobsUnreadable(OperatorError):
    """An address of blob storage cannot be read; the message names it."""


def is_remote(place: str) -> bool:
    """True for an address such as abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH."""
    return "://" in place


def fetch(place: str, folder: Path) -> list[Path]:
    """Copies the blobs that ``place`` names (one, all below a path, or a pattern) below ``folder``; in order of names.

    Hidden ones and those that begin with an underscore are left out. Raises :class:`BlobsUnreadable`.
    """
    address = urlsplit(place)
    wanted = address.path.strip("/")
    if address.scheme not in _SCHEMES:
        raise BlobsUnreadable(
            f"{place}: files are read from folders and from abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH; "
            "download what lies elsewhere first"
        )
    try:
        store = from_url(f"{address.scheme}://{address.netloc}")
        fixed = PurePosixPath(*_without_patterns(wanted))
        below = "" if str(fixed) == "." else str(fixed)
        listed = [meta["path"] for batch in obstore.list(store, prefix=below or None) for meta in batch]
        if not listed and below:
            listed = [obstore.head(store, below)["path"]]
        found = sorted(path for path in listed if _matches(path, wanted))
        copies = [_copy(store, path, folder) for path in found]
    except (BaseError, OSError, ValueError) as error:
        raise BlobsUnreadable(f"{place} cannot be read: {' '.join(str(error).split())[:300]}") from error
    if not copies:
        raise BlobsUnreadable(f"{place}: there is no such file")
    return copies


def _copy(store: obstore.store.ObjectStore, path: str, folder: Path) -> Path:
    copy = folder / path
    copy.parent.mkdir(parents=True, exist_ok=True)
    with copy.open("wb") as file:
        for chunk in obstore.get(store, path):
            file.write(chunk)
    return copy


def _without_patterns(path: str) -> list[str]:
    """The folders of ``path`` before the first part that is a pattern."""
    parts = []
    for part in path.split("/"):
        if _PATTERN & set(part):
            break
        parts.append(part)
    return [part for part in parts if part]


def _matches(path: str, wanted: str) -> bool:
    below = path.removeprefix(wanted).lstrip("/") if not _PATTERN & set(wanted) else ""
    if any(part.startswith((".", "_")) for part in below.split("/")):
        return False
    if _PATTERN & set(wanted):
        return fnmatchcase(path, wanted)
    return path == wanted or not wanted or path.startswith(f"{wanted}/")
