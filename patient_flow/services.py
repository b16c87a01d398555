"""Settings → the stores and the parser that they describe, each created when it is first used.

Not here: what is done with them (``pipeline``).
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import polars as pl

from patient_flow.dialects import fhir, hl7
from patient_flow.dialects.mapping import MappingError, parse_mappings
from patient_flow.settings import Settings
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.reference import read_departments
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.bodies import Interpreter
from patient_flow.transforms.read import ParserConfig


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
    def departments(self) -> pl.DataFrame:
        """The department list."""
        return read_departments(self.settings.departments)

    @cached_property
    def parser(self) -> ParserConfig:
        """The configuration of the body parser. Raises ``MappingError`` for an invalid source mapping."""
        return ParserConfig(
            self.departments, self.settings.pseudonym_key, self._mappings(), formats=(hl7.interpret, fhir.interpret)
        )

    def _mappings(self) -> tuple[Interpreter, ...]:
        place = self.settings.source_mapping
        if not place:
            return ()
        try:
            text = Path(place).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MappingError(f"PATIENT_FLOW_SOURCE_MAPPING: {place} cannot be read: {error}") from error
        return parse_mappings(text, place)
