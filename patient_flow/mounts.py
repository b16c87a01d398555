"""Which file system a folder lies on: a mounted share is storage of another machine."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""The kernel's table of mounts, on Linux."""
NETWORK_FILE_SYSTEMS = (
    *("afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2"),
    *("orangefs", "pvfs2", "smb", "smb2", "smb3", "smbfs"),
    *("blobfuse", "blobfuse2", "gcsfuse", "goofys", "rclone", "s3fs", "sshfs"),
)
"""Kinds of file systems that reach another machine; those of FUSE without their prefix ``fuse.``.

The shared folders of a virtual machine's own host (9p, virtiofs) are not among them."""
_ESCAPE = re.compile(r"\\([0-7]{3})")


def network_file_system(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of network file system that ``folder``, which need not exist, lies on; None on a disk of this machine.

    Recognised are the mounts of Linux and, on Windows, UNC paths.
    """
    path = folder.resolve()
    if os.name == "nt":  # pragma: no cover
        return "smb" if path.drive.startswith("\\\\") else None
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    found = [_mount(line) for line in lines]
    # Of two mounts on one folder the later one is seen.
    places = [(len(place.parts), number, kind) for number, (place, kind) in enumerate(found) if _holds(place, path)]
    kind = max(places)[2].removeprefix("fuse.") if places else ""
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def room(folder: Path) -> tuple[int, int, int] | None:
    """The disk of ``folder``, which need not exist: its number, free bytes and size; None where it does not answer."""
    path = folder.resolve()
    try:
        place = next(place for place in (path, *path.parents) if place.exists())
        usage = shutil.disk_usage(place)
        return place.stat().st_dev, usage.free, usage.total
    except OSError:
        return None


def _mount(line: str) -> tuple[Path, str]:
    """Mount point and kind of one line of mountinfo (proc(5))."""
    before, _, after = line.partition(" - ")
    place = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), before.split(" ")[4])
    return Path(place), after.split(" ")[0]


def _holds(place: Path, path: Path) -> bool:
    return path == place or place in path.parents
