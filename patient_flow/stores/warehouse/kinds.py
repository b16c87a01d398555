"""The target of each warehouse kind."""

from __future__ import annotations

from patient_flow.stores.warehouse.errors import WarehouseMisconfigured
from patient_flow.stores.warehouse.targets.base import Target
from patient_flow.stores.warehouse.targets.copyinto import Exporter
from patient_flow.stores.warehouse.targets.fabric import Fabric
from patient_flow.stores.warehouse.targets.postgresql import PostgreSQL
from patient_flow.stores.warehouse.targets.sqlite import SQLite
from patient_flow.stores.warehouse.targets.sqlserver import SQLServer
from patient_flow.stores.warehouse.targets.synapse import Synapse


def target_of(kind: str, export: Exporter | None = None) -> Target:
    """The target called ``kind``. Raises :class:`WarehouseMisconfigured` for an unknown one."""
    targets: dict[str, Target] = {
        target.kind: target for target in (Synapse(export), SQLServer(), Fabric(export), PostgreSQL(), SQLite())
    }
    if kind not in targets:
        raise WarehouseMisconfigured(f"there is no warehouse kind {kind!r}: use one of {', '.join(targets)}")
    return targets[kind]
