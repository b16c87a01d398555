"""What assets and sensors are given: the outside systems that the settings name."""

from __future__ import annotations

import dagster as dg

from patient_flow.errors import OperatorError
from patient_flow.services import Services
from patient_flow.settings import SettingsError, load
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout

READING_SECONDS = 20.0
"""Patience with the department list, which may lie in the lake: well within the 60 seconds of a tick."""


class PatientFlow(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Reads the settings when a run or a tick asks for them, never at import.

    ``overrides`` replaces settings by name (``PATIENT_FLOW_LAKE_URI``, …), as tests do.
    """

    overrides: dict[str, str] = {}  # noqa: RUF012  (pydantic copies it)

    def systems(self) -> Services:
        """The systems, from the settings alone. Raises a Failure that no retry can heal when they make no sense."""
        try:
            return Services(load(self.overrides))
        except SettingsError as error:
            raise dg.Failure(str(error), allow_retries=False) from error

    def services(self) -> Services:
        """The systems; a wrong mapping or department list is refused before any work, like a wrong setting."""
        services = self.systems()
        try:
            read_lists(services, READING_SECONDS)
        except OperatorError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        except CallTimedOut as error:
            raise dg.Failure(f"{error}; the next try may") from None
        return services


def read_lists(services: Services, seconds: float) -> None:
    """Reads the department list and the source mapping.

    Raises ``DepartmentListError`` or ``MappingError`` when one of them is wrong, and ``CallTimedOut`` when they are not
    read within ``seconds``.
    """
    settings = services.settings
    try:
        call_with_timeout(seconds, ("lists", settings.departments, settings.source_mapping), lambda: services.parser)
    except CallTimedOut:
        raise CallTimedOut(
            f"PATIENT_FLOW_DEPARTMENTS: {settings.departments} does not answer within {seconds:.0f} s"
        ) from None
