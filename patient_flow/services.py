"""Settings → the stores and the parser that they describe, each created when it is first used.

Not here: what is done with them (``pipeline``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import polars as pl

from patient_flow import files
from patient_flow.contracts.chart_notes import ChartNotes, ChartNotesError, parse_notes
from patient_flow.contracts.escalation import DEFAULT, EscalationError, Thresholds, parse_thresholds
from patient_flow.contracts.tables import SILVER_EVENTS
from patient_flow.dialects import fhir, hl7
from patient_flow.dialects.extract_rules import parse_rules
from patient_flow.dialects.mapping import SourceMappings, parse_mappings
from patient_flow.dialects.mapping_checks import MappingError
from patient_flow.errors import OperatorError
from patient_flow.key_strength import NEW_KEY
from patient_flow.settings import LOOPBACK_HOSTS, Settings, SettingsError
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.reference import COLUMNS as DEPARTMENT_COLUMNS
from patient_flow.stores.reference import read_departments
from patient_flow.stores.warehouse.access_log import AccessLog
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms import corrections
from patient_flow.transforms.json_objects import json_object
from patient_flow.transforms.read import ParserConfig
from patient_flow.transforms.reconciliation import ExtractRule


class Services:
    """The external systems of one run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def lake(self) -> Lake:
        """The Delta lake."""
        return Lake(self.settings.lake_uri)

    @cached_property
    def hub(self) -> Hub:
        """The Event Hub."""
        return Hub(
            connection=self.settings.eventhub_connection,
            host=self.settings.hub_host,
            name=self.settings.eventhub_name,
            consumer_group=self.settings.eventhub_consumer_group,
            client_options=self.settings.hub_client_options,
        )

    @cached_property
    def warehouse(self) -> Warehouse:
        """The warehouse."""
        return Warehouse(self.settings.warehouse_url, self.settings.warehouse_kind, export=self.lake.export)

    @cached_property
    def access_log(self) -> AccessLog:
        """The access log of the warehouse."""
        return AccessLog(self.warehouse)

    @cached_property
    def departments(self) -> pl.DataFrame:
        """The department list; without one, the demo's while the hub is the local one, elsewhere an empty list."""
        if not self.settings.departments and self.settings.hub_host not in LOOPBACK_HOSTS:
            return pl.DataFrame(schema=DEPARTMENT_COLUMNS)
        return read_departments(self.settings.departments)

    @cached_property
    def escalation(self) -> Thresholds:
        """The thresholds of escalation levels. Raises ``EscalationError`` for a file that cannot be used."""
        place = self.settings.escalation
        if not place:
            return DEFAULT
        return parse_thresholds(_text_of(place, EscalationError, "PATIENT_FLOW_ESCALATION"), place)

    @cached_property
    def chart_notes(self) -> ChartNotes:
        """Notes and targets of control charts. Raises ``ChartNotesError`` for a file that cannot be used."""
        place = self.settings.chart_notes
        if not place:
            return ChartNotes()
        return parse_notes(_text_of(place, ChartNotesError, "PATIENT_FLOW_CHART_NOTES"), place)

    @cached_property
    def parser(self) -> ParserConfig:
        """The configuration of the body parser. Raises ``MappingError`` for an invalid source mapping.

        Raises ``SettingsError`` when the key of the pseudonyms is weak and the lake is new and not on this machine.
        """
        self.require_strong_key()
        mappings = self._mappings()
        return ParserConfig(
            self.departments,
            self.settings.pseudonym_key,
            # A correction is read as what it is, whatever a mapping makes of other events.
            (corrections.interpret, *mappings.interpreters) if mappings.interpreters else (),
            formats=(corrections.interpret, hl7.interpret, fhir.interpret),
            unwrap=mappings.unwrap,
            mapping_digest=mappings.digest,
            erasure_key=self.settings.erasure_key,
        )

    def require_strong_key(self) -> None:
        """Raises ``SettingsError`` when the lake is new, not on this machine, and the key could be guessed."""
        settings = self.settings
        why = None if settings.lake_is_local else settings.pseudonym_key_weakness
        if why is None:
            return
        if not self.lake.exists(SILVER_EVENTS) or not self.lake.open(SILVER_EVENTS).version:
            share = settings.lake_share
            place = f"is on a mounted share ({share})" if share else "is not on this machine"
            raise SettingsError(
                f"PATIENT_FLOW_PSEUDONYM_KEY {why}, and the lake {place}: set a long random secret and keep it "
                f"({NEW_KEY} makes one)"
            )

    @cached_property
    def extract_rules(self) -> tuple[ExtractRule, ...]:
        """Which extract wins over the stream for which facts; none without a file. Raises ``MappingError``."""
        place = self.settings.extract_rules
        if not place:
            return ()
        try:
            return parse_rules(Path(place).read_text(encoding="utf-8"), place)
        except (OSError, UnicodeDecodeError) as error:
            raise MappingError(f"PATIENT_FLOW_EXTRACT_RULES: {place} cannot be read: {error}") from error

    def _mappings(self) -> SourceMappings:
        place = self.settings.source_mapping
        if not place:
            return SourceMappings()
        try:
            return read_mappings(place)
        except (OSError, UnicodeDecodeError) as error:
            raise MappingError(f"PATIENT_FLOW_SOURCE_MAPPING: {place} cannot be read: {error}") from error


def read_mappings(place: str) -> SourceMappings:
    """The mapping file at ``place``, with the files that it looks up: their names are relative to its folder.

    Raises ``MappingError``, ``OSError`` or ``UnicodeDecodeError``.
    """
    path = Path(place)
    return parse_mappings(path.read_text(encoding="utf-8"), place, lambda file: _rows_of(path.parent / file))


def _text_of(place: str, error: type[OperatorError], setting: str) -> str:
    try:
        return Path(place).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        raise error(f"{setting}: {place} cannot be read: {reason}") from reason


def _rows_of(path: Path) -> Iterator[Mapping[str, object]]:
    try:
        for number, body in files.bodies(files.examine(path)):
            row = json_object(body)
            if row is None:
                raise MappingError(f"{path.name}: row {number} is not a row of columns")
            yield row
    except OSError as error:
        raise MappingError(f"{path.name} cannot be read: {error.strerror or error}") from None
