"""Errors of the warehouse. Their messages hold no secrets."""

from __future__ import annotations

from patient_flow.errors import OperatorError, PatientFlowError, TransientError


class WarehouseError(PatientFlowError):
    """The warehouse cannot be read or loaded; raised as one of the subclasses."""


class WarehouseUnavailable(WarehouseError, TransientError):
    """The database does not answer or rejected a statement."""


class WarehouseConflict(WarehouseError, TransientError):
    """Another load, or a reader beside a migration, was in the way.

    Of a load nothing was written: read ``loaded_versions`` again and recompute.
    """


class WarehouseMisconfigured(WarehouseError, OperatorError):
    """Settings, schema or contents of the warehouse prevent the operation; the message says what to change."""


class WarehouseNotInitialised(WarehouseError, OperatorError):
    """Its tables do not exist yet: ``patient-flow warehouse init`` or the first load creates them."""


class AccessLogBroken(WarehouseError, OperatorError):
    """The access log shows signs of tampering, so that nothing of it may be deleted."""
