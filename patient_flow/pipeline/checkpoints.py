"""Checkpoints of tables: every key, its owner and its encoding. No other module knows the name of a key.

Delta keeps one number per name with a table (an application transaction) and records it in the commit that writes the
rows. ``NO_CHECKPOINT`` stands for "nothing recorded", since a recorded number can be overwritten but not removed.

Beside each consumed version lies the identity of the table it was read from. A table that was deleted and created again
has another one, so its consumers read all of it instead of the changes since a version that only happens to exist.
Consumers that recorded no identity yet accept the table they find, and record it with their next commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from patient_flow.contracts.tables import Table
from patient_flow.stores.lake.log import NO_CHECKPOINT, number_of
from patient_flow.stores.lake.table import LakeTable

Reader = Callable[[str], int | None]
"""``LakeTable.checkpoint``: the number under a name; None where nothing is recorded."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class NumberKey:
    """A number under ``name``."""

    name: str

    def read(self, checkpoint: Reader) -> int | None:
        """The recorded number."""
        return checkpoint(self.name)

    def of(self, value: int | None) -> dict[str, int]:
        """The checkpoint to commit; None resets it."""
        return {self.name: NO_CHECKPOINT if value is None else value}


@dataclass(frozen=True)
class InstantKey:
    """An instant under ``name``, in microseconds since 1970."""

    name: str

    def read(self, checkpoint: Reader) -> datetime | None:
        """The recorded instant."""
        number = checkpoint(self.name)
        return None if number is None else _EPOCH + timedelta(microseconds=number)

    def of(self, value: datetime | None) -> dict[str, int]:
        """The checkpoint to commit; None resets it."""
        if value is None:
            return {self.name: NO_CHECKPOINT}
        return {self.name: round((value - _EPOCH) / timedelta(microseconds=1))}


@dataclass(frozen=True)
class DigestKey:
    """The 63-bit hash of a text under ``name``."""

    name: str

    def is_recorded(self, checkpoint: Reader) -> bool:
        """True when there is one."""
        return checkpoint(self.name) is not None

    def matches(self, checkpoint: Reader, text: str) -> bool:
        """True when that of ``text`` is recorded."""
        return checkpoint(self.name) == number_of(text)

    def of(self, text: str) -> dict[str, int]:
        """The checkpoint to commit."""
        return {self.name: number_of(text)}


# --- bronze: positions in the hub --------------------------------------------------------------------------------

FOLLOWED_HUB = DigestKey("hub")
"""Bronze: the hub that it is filled from (``backlog.identity``)."""
READ_UNTIL = InstantKey("hub_read_until")
"""Bronze: everything that the hub had accepted until then is in it."""


def incarnation(hub: str) -> NumberKey:
    """Bronze: creation time of ``hub`` in milliseconds since 1970."""
    return NumberKey(hub)


def partition_count(hub: str, created_at_ms: int) -> NumberKey:
    """Bronze: partitions of an incarnation. They are numbered from 0, and never taken away."""
    return NumberKey(f"{hub}@{created_at_ms}/count")


def position(hub: str, created_at_ms: int, partition_id: str) -> NumberKey:
    """Bronze: sequence number of the last event that was read of a partition."""
    return NumberKey(f"{hub}@{created_at_ms}/{partition_id}")


def lost_events(created_at_ms: int, partition_id: str) -> NumberKey:
    """Bronze: events of a partition that retention dropped between those that were read."""
    return NumberKey(f"lost@{created_at_ms}/{partition_id}")


# --- forecasts ----------------------------------------------------------------------------------------------------

MADE_UNTIL = InstantKey("made_until")
"""Forecasts: the newest instant of which one was made or scored. Two runs that make the same one conflict by it."""
MADE_FROM_FILES = InstantKey("made_from_files")
"""Forecasts: :data:`FILES_CHANGED_AT` of bronze when those that were made afterwards were made."""
MORNINGS_MISSING = NumberKey("mornings_missing")
"""Forecasts: how many of past mornings were yet to be made after the newest commit."""

# --- bronze: files -----------------------------------------------------------------------------------------------

LAST_IMPORT = InstantKey("last_import")
"""Bronze: when the newest import began. The next one is later, whatever the clock says."""
FILES_CHANGED_AT = InstantKey("files_changed_at")
"""Bronze: of the newest commit that added or withdrew rows of files; when it began, and later with each commit."""
FILE_ROWS_TO_COME = NumberKey("file_rows_to_come")
"""Bronze: how many rows the import or withdrawal of that commit had yet to add or withdraw."""


def imported_at(sha256: str) -> InstantKey:
    """Bronze: when the import of a file began; its rows have the same ``ingested_at``."""
    return InstantKey(f"import/{sha256}/at")


def rows_of_import(sha256: str) -> NumberKey:
    """Bronze: how many rows the file has."""
    return NumberKey(f"import/{sha256}/rows")


def imported_rows(sha256: str) -> NumberKey:
    """Bronze: how many of them, from the first on, it holds."""
    return NumberKey(f"import/{sha256}")


LAST_CORRECTION = NumberKey("reconciliation")
"""Bronze: number of the newest correction from a second source. None is used again, also after a withdrawal."""

# --- the other tables --------------------------------------------------------------------------------------------

PSEUDONYM_KEY = NumberKey("pseudonym_key")
"""Silver: which key its pseudonyms were made with (``silver.key_of``)."""
FORMER_PSEUDONYM_KEY = NumberKey("pseudonyms")
"""Silver, until its next commit: the same as a fast hash, from which a weak key can be guessed."""
MAPPED_WITH = DigestKey("mapped_with")
"""Silver and quarantine: the mapping file that their newest rows were read with."""
FORMER_MAPPING_ROWS = NumberKey("former_mapping_rows")
"""Silver and quarantine: how many rows they held when that file changed."""
NAMED_WITH = NumberKey("named_with")
"""DimDepartment: the version of the rules by which names become departments."""
LISTED_WITH = DigestKey("listed_with")
"""Silver and quarantine: the names of the department list that their newest rows were read with."""
FORMER_LIST_ROWS = NumberKey("former_list_rows")
"""Silver and quarantine: how many rows they held when those names changed."""
REBUILT_UNTIL = NumberKey("rebuilt_until")
"""Silver, once a rebuild has emptied it: the version of bronze with which it is complete again."""
ERASURES_UNTIL = InstantKey("erasures_until")
"""Silver: the newest erasure that its events were judged by; nothing before the first one."""
ERASURE_KEY = NumberKey("erasure_key")
"""ErasedNumbers: which key its hashes were made with (``erased.key_of``)."""
SEALED = NumberKey("erasure_sealed")
"""Every table: the version whose commit holds nothing but this, so that all before it may be deleted."""
TIME_ZONE = DigestKey("zone")
"""Gold tables with local dates: the time zone they were made for."""
CENSUS_UNTIL = InstantKey("until")
"""FactBedCensus: when the hub took the newest event, up to which it counts."""
FOLDED_WITH = DigestKey("folded_with")
"""The facts: the version of the rules and the time zone that they were folded with."""
UNCONFIRMED_DAYS = NumberKey("unconfirmed_days")
"""The facts: the setting that they were folded with."""
RECOMPUTED_FOR = DigestKey("recomputed_for")
"""The facts, while visits wait to be made again: for which list, setting and rules (``recomputation``)."""
RECOMPUTED_UNTIL = NumberKey("recomputed_until")
"""The facts, while visits wait to be made again: hash of the last visit that was."""
LAST_HOUR = InstantKey("last")
"""KpiDepartmentDay: the newest event of the census from which it was made: staffed beds count up to it."""
MEASURED_WITH = DigestKey("measured_with")
"""KpiDepartmentDay: the version of its rules and the time zone that it was made with."""
PART = NumberKey("part")
"""A table that is recomputed part by part: the last one. A second writer is refused, as with any source."""
LEASE = NumberKey("maintenance")
"""Every table: until when its maintenance holds it (seconds since 1970)."""


# --- consumed tables ---------------------------------------------------------------------------------------------


def version_of(source: Table) -> NumberKey:
    """Consumers of ``source``: the version up to which they have consumed it."""
    return NumberKey(source.path)


def identity_of(source: Table) -> NumberKey:
    """Consumers of ``source``: the identity of the table that they consumed."""
    return NumberKey(f"{source.path}#identity")


def is_replaced(target: LakeTable, source: LakeTable) -> bool:
    """True when ``target`` consumed a table that was replaced by ``source`` since."""
    return identity_of(source.table).read(target.checkpoint) not in (None, source.identity)


def consumed(target: LakeTable, source: LakeTable) -> int | None:
    """Version up to which ``target`` has consumed ``source``; None if it never did, or consumed another table there."""
    return None if is_replaced(target, source) else version_of(source.table).read(target.checkpoint)


def consumption(*sources: LakeTable) -> dict[str, int]:
    """Checkpoints of the consumption of ``sources`` at their opened versions."""
    return {key: number for source in sources for key, number in consumption_until(source, source.version).items()}


def consumption_until(source: LakeTable, version: int | None) -> dict[str, int]:
    """Checkpoints of the consumption of ``source`` up to ``version``; None for no consumption."""
    if version is None:
        return version_of(source.table).of(None)
    return {**version_of(source.table).of(version), **identity_of(source.table).of(source.identity)}


def no_consumption(*sources: LakeTable) -> dict[str, int]:
    """Checkpoints of a table that follows none of ``sources`` while only parts of it are made from them.

    Whoever continues makes all of it again, also where an older backup of a source has taken its place meanwhile.
    """
    return dict.fromkeys(consumption(*sources), NO_CHECKPOINT)
