"""Identifiers that stay the same from run to run, so that generated files change only where the model does."""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "patient-flow.powerbi")


def tag(*path: str) -> str:
    """The UUID of the object that ``path`` leads to, such as ``("table", "DimTime", "column", "hour")``."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(path)))
