"""The inputs of a check, read from lake, hub and warehouse on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import polars as pl

from patient_flow.contracts import tables
from patient_flow.contracts.access_log import Review
from patient_flow.contracts.tables import LAKE_TABLES, WAREHOUSE_TABLES, Table, references
from patient_flow.monitoring import inputs
from patient_flow.monitoring.finding import Row
from patient_flow.monitoring.rules.keys import SCD2_MEMBERS
from patient_flow.monitoring.thresholds import DATA_AGE
from patient_flow.pipeline import inspection, key_inspection
from patient_flow.pipeline.backlog import identity
from patient_flow.pipeline.read_progress import read_progress
from patient_flow.pipeline.recomputation import waiting_visits
from patient_flow.pipeline.staleness import staleness
from patient_flow.services import Services
from patient_flow.stores.lake.changes import Changes
from patient_flow.stores.lake.errors import ChangeFeedExpired, SchemaDrift
from patient_flow.stores.warehouse import reconciliation
from patient_flow.stores.warehouse.views import TABLES as VIEWS


@dataclass(frozen=True)
class CheckContext:
    """Implements :class:`~patient_flow.monitoring.inputs.CheckInputs` for one table.

    ``loaded`` are the gold versions that the warehouse has loaded. Bronze and silver are not in the warehouse: of them
    the checkpoint of the next table says what is new.
    """

    services: Services
    table: Table
    loaded: Mapping[str, int | None] = field(default_factory=dict)
    whole_history: bool = False
    checked_at: datetime = field(default_factory=lambda: utc_now())
    progress: Callable[[], inputs.ReadProgress] | None = None
    """Shared by the contexts of one run, so that the hub is asked once."""

    @cached_property
    def changes(self) -> Changes:
        """Changes since the warehouse's version, or all rows."""
        member = SCD2_MEMBERS.get(self.table.path, ())
        validity = (*member, "valid_from", "valid_to", "is_current") if member else ()
        columns = [*self.table.key, *references(self.table), *validity]
        return self.services.lake.open(self.table).changes_or_all(self.loaded.get(self.table.path), columns)

    def scan(self, table: Table) -> pl.LazyFrame:
        """A table of the lake."""
        return self.services.lake.open(table).scan()

    def bronze_events(self) -> inputs.BronzeEvents:
        """Bronze rows that silver has not consumed, or all."""
        lake, hub = self.services.lake, self.services.hub
        if self.whole_history:
            return inspection.all_bronze_events(lake)
        return inspection.new_bronze_events(lake, identity(hub.host, hub.name))

    def accepted_events(self) -> pl.DataFrame:
        """Silver rows that quarantine has not consumed, or all."""
        return inspection.accepted_events(self.services.lake, everything=self.whole_history)

    def reconciliation_counts(self) -> inputs.ReconciliationCounts | None:
        """Bronze, silver, ignored and quarantine."""
        return inspection.reconciliation_counts(self.services.lake, everything=self.whole_history)

    def foreign_keys(self) -> inputs.ForeignKeys:
        """Foreign keys of the changed rows."""
        return key_inspection.foreign_keys(
            self.services.lake, self.changes, self.table, references(self.table), self.loaded
        )

    def member_versions(self) -> pl.DataFrame:
        """Versions of the members that changed."""
        member = SCD2_MEMBERS[self.table.path]
        return key_inspection.member_versions(self.services.lake, self.changes, self.table, member)

    def bed_census(self, hours: int) -> tuple[pl.DataFrame, int]:
        """The newest hour, or all with the ``time_key`` from which on they are compared with the staffed beds."""
        if self.whole_history:
            return inspection.all_hours(self.services.lake, hours)
        return inspection.newest_hour(self.services.lake), 0

    def quality_counts(self) -> tuple[int, int, int]:
        """Rows that DataQualityDay must count."""
        return inspection.quality_counts(self.services.lake)

    def newest_day_quality(self) -> pl.DataFrame:
        """DataQualityDay of its newest date."""
        return inspection.newest_day_quality(self.services.lake, self.services.settings.timezone)

    @property
    def department_list(self) -> pl.DataFrame:
        """The list of the settings."""
        return self.services.departments

    @property
    def uses_demo_list(self) -> bool:
        """True where the settings name no list."""
        return not self.services.settings.departments

    def read_progress(self) -> inputs.ReadProgress:
        """Bronze's progress at the hub. A micro-batch uses the result of its own drain instead of a query."""
        if self.progress is not None:
            return self.progress()
        return ask_hub(self.services, self.checked_at, trusted=timedelta(minutes=DATA_AGE.warning))

    def newest_loaded_event_at(self) -> datetime | None:
        """The newest event in the warehouse."""
        newest = self.services.warehouse.query(VIEWS["DataFreshness"].select())["newest_event_at"].drop_nulls().max()
        return newest.replace(tzinfo=UTC) if isinstance(newest, datetime) else None

    def volume(self, weeks: int) -> inputs.Volume:
        """The last full hour and the weeks before."""
        return inspection.volume(self.services.lake, self.services.settings.timezone, self.checked_at, weeks)

    def last_sent(self, days: int) -> pl.DataFrame:
        """Newest accepted event per hospital."""
        return inspection.last_sent(self.services.lake, self.checked_at, days)

    def silver_is_behind(self) -> bool:
        """True when silver lacks events of bronze."""
        return inspection.silver_is_behind(self.services.lake)

    def new_fields(self, hours: int, days: int) -> set[str]:
        """Unknown fields that are new."""
        return inspection.new_fields(self.services.lake, self.checked_at, hours, days)

    def schema_differences(self) -> inputs.SchemaDifferences:
        """Opening a table of the lake adds the columns it lacks; what remains differs."""
        differences = []
        for table in LAKE_TABLES:
            try:
                self.services.lake.open(table)
            except SchemaDrift as error:
                differences.append(str(error))
        return inputs.SchemaDifferences(differences, len(self.services.warehouse.migrate(dry_run=True)))

    def recomputed_census(self) -> inputs.Recomputed:
        """From all stays."""
        return inspection.recompute_census(self.services.lake)

    def recomputed_facts(self, table: Table) -> inputs.Recomputed:
        """From the events of this day's part of all visits."""
        return inspection.recompute_facts(
            self.services.lake,
            table,
            self.checked_at.toordinal(),
            self.services.settings.timezone,
            self.services.settings.unconfirmed_days,
        )

    def former_rows(self) -> inputs.FormerRows:
        """Of silver and quarantine."""
        return staleness(self.services.lake, self.services.parser)

    def visits_to_recompute(self) -> int:
        """Of both facts."""
        settings = self.services.settings
        return waiting_visits(self.services.lake, settings.timezone, settings.unconfirmed_days)

    def warehouse_differences(self) -> inputs.WarehouseDifferences:
        """Tables whose loaded version the lake no longer keeps are left out."""
        frames: dict[str, pl.LazyFrame] = {}
        loaded = self.services.warehouse.loaded_versions()
        for path, opened in self.services.lake.open_all(WAREHOUSE_TABLES).items():
            version = loaded.get(path)
            try:
                if version is not None:
                    frames[path] = opened.at(version)
            except ChangeFeedExpired:
                continue
        different = reconciliation.verify(self.services.warehouse, frames)
        rows: list[Row] = [
            {"table": d.table, "figure": d.figure, "lake": d.lake, "warehouse": d.warehouse} for d in different
        ]
        return inputs.WarehouseDifferences(rows, len(frames))

    def access_log(self) -> Review:
        """Every line of the table AccessLog."""
        return self.services.access_log.review(self.services.settings.access_log_key, self.checked_at)


def utc_now() -> datetime:
    """The clock of checks."""
    return datetime.now(UTC)


def ask_hub(services: Services, now: datetime, *, trusted: timedelta = timedelta()) -> inputs.ReadProgress:
    """Bronze's progress at the hub. The hub is not queried if a drain completed less than ``trusted`` ago."""
    max_events = services.settings.max_events_per_run
    return read_progress(services.hub, services.lake, max_events, now, trusted=trusted)


HISTORY_TABLE = tables.FACT_PATIENT_FLOW
"""Table of a context whose rule is about no single table."""
