"""The Dagster resource of assets and sensors: the external systems that the settings name."""

from __future__ import annotations

import dagster as dg

from patient_flow.errors import OperatorError
from patient_flow.orchestration.failures import failure_of
from patient_flow.services import Services
from patient_flow.settings import SettingsError, load
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout

READING_SECONDS = 20.0
"""Timeout of reading the department list, which may be in the lake: well within the 60 seconds of a tick."""


class PatientFlow(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Reads the settings when a run or a tick uses them, never at import.

    ``overrides`` replaces settings by name (``PATIENT_FLOW_LAKE_URI``, …), as tests do.
    """

    overrides: dict[str, str] = {}  # noqa: RUF012  (pydantic copies it)

    def systems(self) -> Services:
        """The systems, from the settings alone. Raises a Failure without retries for invalid settings."""
        try:
            return Services(load(self.overrides))
        except SettingsError as error:
            raise failure_of(error, allow_retries=False) from None

    def services(self) -> Services:
        """The systems. An invalid mapping or department list fails before any work, like an invalid setting."""
        services = self.systems()
        try:
            read_lists(services, READING_SECONDS)
        except OperatorError as error:
            raise failure_of(error, allow_retries=False) from None
        except CallTimedOut as error:
            raise dg.Failure(f"{error}; the next attempt may succeed") from None
        return services


def read_lists(services: Services, seconds: float) -> None:
    """Reads the department list and the source mapping.

    Raises ``DepartmentListError`` or ``MappingError`` when one is invalid, and ``CallTimedOut`` when reading takes
    longer than ``seconds``.
    """
    settings = services.settings
    try:
        call_with_timeout(seconds, ("lists", settings.departments, settings.source_mapping), lambda: services.parser)
    except CallTimedOut:
        raise CallTimedOut(
            f"PATIENT_FLOW_DEPARTMENTS: {settings.departments} does not answer within {seconds:.0f} s"
        ) from None
