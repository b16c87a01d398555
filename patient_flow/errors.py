"""All errors that this package raises on purpose, in one tree, by who can do something about them.

::

    PatientFlowError
    ├── OperatorError     permanent: somebody has to change a setting, a list, a key or a command; the message says what
    ├── TransientError    the hub, the lake or the warehouse is away, busy or slow: a later attempt may succeed
    └── DataError         permanent: bytes or history that cannot be used; the caller reports them or falls back

A class derives from exactly one of the three. Errors of one system also share a family (``LakeError``,
``WarehouseError``), for callers that treat all of them alike. The command line prints every error of this tree on one
line; the pipeline retries the transient ones only. Anything else that is raised is a bug and keeps its traceback.
"""

from __future__ import annotations


class PatientFlowError(Exception):
    """Root of the tree. Messages are one sentence or two, without secrets and without patients' values."""


class OperatorError(PatientFlowError):
    """The request or the configuration cannot work; the message says what to change. A retry does not help."""


class TransientError(PatientFlowError):
    """An outside system failed, timed out or had another writer at work. A retry may succeed."""


class DataError(PatientFlowError):
    """Data cannot be used: a body that is not readable, a history that is no longer kept. A retry does not help."""
