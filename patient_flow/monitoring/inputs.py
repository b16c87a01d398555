"""Inputs of rules. ``orchestration.check_context`` reads them from lake, hub and warehouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import polars as pl

from patient_flow.contracts.access_log import Review
from patient_flow.contracts.tables import Table
from patient_flow.monitoring.finding import Row


class TableChanges(Protocol):
    """Rows as they were and as they are, and by how many rows the table grew; everything is new where nothing was."""

    @property
    def before(self) -> pl.DataFrame:
        """Changed and deleted rows as they were."""

    @property
    def after(self) -> pl.DataFrame:
        """Changed and new rows as they are."""

    @property
    def grown_by(self) -> int:
        """Rows more than before."""


@dataclass(frozen=True)
class BronzeEvents:
    """Coordinates of bronze rows and, per partition, what is known besides.

    ``partitions`` has ``hub_created_at``, ``partition_id`` and ``expired`` (events that retention deleted unread). Of
    new rows also ``read``, the last sequence number of the rows before them (null for none).
    """

    events: pl.DataFrame
    partitions: pl.DataFrame


@dataclass(frozen=True)
class ReconciliationCounts:
    """Events per partition (``partition_id``, ``events``) of bronze and of the tables that its events end in.

    ``totals`` are all rows of each, in the same order.
    """

    received: pl.DataFrame
    accepted: pl.DataFrame
    erased: pl.DataFrame
    ignored: pl.DataFrame
    quarantined: pl.DataFrame
    totals: tuple[int, ...]


@dataclass(frozen=True)
class ForeignKeys:
    """Rows with foreign keys, and for each of these columns the keys that its dimension has."""

    rows: pl.DataFrame
    known: Mapping[str, pl.Series]


@dataclass(frozen=True)
class Volume:
    """Events that the hub accepted in the last full local ``hour``, and in the same hour of the weeks before."""

    hour: datetime
    events: int
    earlier: list[int]


@dataclass(frozen=True)
class ReadProgress:
    """How far bronze has read the hub.

    Everything that the hub accepted until ``read_until`` is in bronze (None: unknown), ``waiting`` events are not
    (None: the hub was not asked). ``failure`` is the reason why the hub could not be asked.
    """

    read_until: datetime | None = None
    waiting: int | None = None
    failure: str = ""


@dataclass(frozen=True)
class SchemaDifferences:
    """Tables of the lake that differ from the declaration, as sentences, and statements that the warehouse lacks."""

    lake: Sequence[str] = ()
    pending_statements: int = 0


@dataclass(frozen=True)
class Recomputed:
    """Rows of a table as stored and as recomputed from their source."""

    stored: pl.DataFrame
    recomputed: pl.DataFrame


@dataclass(frozen=True)
class WarehouseDifferences:
    """Figures that differ between gold and warehouse, and how many tables were compared."""

    rows: Sequence[Row] = field(default_factory=list)
    tables: int = 0


@dataclass(frozen=True)
class FormerRows:
    """Rows of silver and of quarantine that were read before a change, by what changed."""

    by_cause: Mapping[str, tuple[int, int]]


class CheckInputs(Protocol):
    """The inputs of one evaluation: of what the warehouse has not loaded yet, or of the whole history."""

    @property
    def table(self) -> Table:
        """The table that is checked."""

    @property
    def whole_history(self) -> bool:
        """True in nightly and hourly runs, False in a micro-batch."""

    @property
    def checked_at(self) -> datetime:
        """The instant at which the check runs."""

    @property
    def changes(self) -> TableChanges:
        """Changes of the table with the columns of its keys and validity."""

    def scan(self, table: Table) -> pl.LazyFrame:
        """A table of the lake."""

    def bronze_events(self) -> BronzeEvents:
        """New bronze rows or all of them."""

    def accepted_events(self) -> pl.DataFrame:
        """Coordinates and ``event_key`` of silver rows, new or all."""

    def reconciliation_counts(self) -> ReconciliationCounts | None:
        """None before the first micro-batch."""

    def foreign_keys(self) -> ForeignKeys:
        """Changed rows (or all) with the keys of their dimensions."""

    def member_versions(self) -> pl.DataFrame:
        """All versions of the members of an SCD2 dimension that changed, or of all members."""

    def bed_census(self, hours: int) -> tuple[pl.DataFrame, int]:
        """FactBedCensus of the newest hour, or of all; and the ``time_key`` of ``hours`` before the newest."""

    def quality_counts(self) -> tuple[int, int, int]:
        """Rows of silver, ignored and quarantine at the versions that DataQualityDay counted."""

    def newest_day_quality(self) -> pl.DataFrame:
        """DataQualityDay of its newest date."""

    @property
    def department_list(self) -> pl.DataFrame:
        """The department list of the settings."""

    @property
    def uses_demo_list(self) -> bool:
        """True where the settings name no department list."""

    def read_progress(self) -> ReadProgress:
        """How far bronze has read the hub."""

    def newest_loaded_event_at(self) -> datetime | None:
        """The enqueued time of the newest event in the warehouse."""

    def volume(self, weeks: int) -> Volume:
        """Events of the last full hour and of the same hour of earlier weeks."""

    def last_sent(self, days: int) -> pl.DataFrame:
        """``hospital_id`` and ``last_at`` of the hospitals with an accepted event in the last ``days``."""

    def silver_is_behind(self) -> bool:
        """True when bronze holds events that silver has not consumed."""

    def new_fields(self, hours: int, days: int) -> set[str]:
        """Unknown fields of the last ``hours`` that no event of the ``days`` before has."""

    def schema_differences(self) -> SchemaDifferences:
        """Lake and warehouse against the declaration."""

    def recomputed_census(self) -> Recomputed:
        """FactBedCensus, stored and recomputed from the stays."""

    def recomputed_facts(self, table: Table) -> Recomputed:
        """FactPatientFlow or FactEdAttendance of a part of all visits, stored and recomputed from the events."""

    def former_rows(self) -> FormerRows:
        """Rows that were read with a mapping file or a department list that has changed since."""

    def visits_to_recompute(self) -> int:
        """Visits that are still folded by a former department list, setting or version of the rules."""

    def warehouse_differences(self) -> WarehouseDifferences:
        """The warehouse against the gold versions that it has loaded."""

    def access_log(self) -> Review:
        """The whole access log, read and verified."""
