"""Room on the disks of this machine that the pipeline writes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patient_flow.monitoring.finding import Finding, Severity
from patient_flow.monitoring.thresholds import DISK_ERROR_MIB, DISK_ERROR_PCT, DISK_WARNING_MIB, DISK_WARNING_PCT


@dataclass(frozen=True)
class Disk:
    """The disk of a folder: its free room and its size in MiB."""

    place: str
    free: float
    size: float

    @property
    def minimum(self) -> float:
        """MiB below which no micro-batch starts."""
        return min(DISK_ERROR_MIB, self.size * DISK_ERROR_PCT / 100)

    @property
    def is_full(self) -> bool:
        """True when no micro-batch may start: what is left is for the databases that tell so."""
        return self.free < self.minimum

    @property
    def is_scarce(self) -> bool:
        """True when somebody should free room."""
        return self.free < min(DISK_WARNING_MIB, self.size * DISK_WARNING_PCT / 100)

    def __str__(self) -> str:
        return f"{self.free:,.0f} of {self.size:,.0f} MiB free on the disk of {self.place}"


def disk_full(disks: Sequence[Disk]) -> list[Finding]:
    """Disks that are full or nearly so. Where there are several, the subject is the folder."""
    return [
        Finding(
            Severity.ERROR if disk.is_full else Severity.WARNING,
            f"{disk}: no micro-batch starts below {disk.minimum:,.0f} MiB, and the next one starts when there is more.",
            subject=disk.place if len(disks) > 1 else "",
        )
        for disk in disks
        if disk.is_scarce
    ]
