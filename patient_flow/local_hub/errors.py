"""Errors that an operator can correct; every message is one line that says what to do.

Not here: errors of the protocol, which a client sees (:class:`patient_flow.local_hub.protocol.AmqpError`).
"""

from __future__ import annotations

from patient_flow.errors import OperatorError


class HubError(OperatorError):
    """The local Event Hub cannot do what its operator asked for."""


class PortTakenError(HubError):
    """Another program listens on the port."""


class FolderLockedError(HubError):
    """Another hub process uses the data folder."""


class PartitionCountError(HubError):
    """Fewer partitions were asked for than are stored."""


class HubNameError(HubError):
    """A hub has a name that Event Hubs would not take."""


class CorruptLogError(HubError):
    """A file of the log is damaged in a way that no crash can explain."""
