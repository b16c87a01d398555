"""What assets and sensors are given: the outside systems that the settings name."""

from __future__ import annotations

import dagster as dg

from patient_flow.dialects.mapping import MappingError
from patient_flow.services import Services
from patient_flow.settings import SettingsError, load
from patient_flow.stores.reference import DepartmentsError


class PatientFlow(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Reads the settings when a run or a tick asks for them, never at import.

    ``overrides`` replaces settings by name (``PATIENT_FLOW_LAKE_URI``, …), as tests do.
    """

    overrides: dict[str, str] = {}  # noqa: RUF012  (pydantic copies it)

    def services(self) -> Services:
        """The systems. Raises a Failure that no retry can heal when the settings make no sense."""
        try:
            services = Services(load(self.overrides))
            services.reading  # noqa: B018  (a wrong mapping or department list is refused before any work)
        except (SettingsError, DepartmentsError, MappingError) as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        return services
