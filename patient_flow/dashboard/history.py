"""How far back the days go of which the warehouse has most discharges, while an import of history is under way."""

from __future__ import annotations

from datetime import date

from patient_flow.dashboard import queries
from patient_flow.dashboard.snapshot import Load
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.warehouse import Warehouse


class History:
    """``days`` of history are expected; 0: none, and nothing is read."""

    def __init__(self, warehouse: Warehouse, days: int) -> None:
        self._warehouse = warehouse
        self.days = days
        self._read: tuple[int | None, ...] | None = None
        self._since: date | None = None

    def since(self, load: Load, today: date) -> date | None:
        """The first local day of the history; None once all of it is there, or while it is not known."""
        if not self.days or load.is_empty:
            return None
        if self._read != load.versions:
            try:
                self._since = queries.first_full_day(self._warehouse)
            except WarehouseError:  # the page says so itself
                return self._since
            self._read = load.versions
        if self._since is not None and (today - self._since).days >= self.days - 1:
            self.days = 0
        return self._since if self.days else None
