"""The model on the stays of one hospital in the warehouse."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.forecasting.beds import WINDOW_DAYS
from patient_flow.forecasting.forecast import Change
from patient_flow.forecasting.what_if import WhatIf, compare
from patient_flow.stores.warehouse import forecasts
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.calendar import hour_key

c = pl.col

MAX_HOSPITALS = 4
"""Hospitals whose stays stay in memory."""


class Models:
    """Answers one question at a time: the model takes a processor for a second or two."""

    def __init__(self, warehouse: Warehouse, zone: ZoneInfo) -> None:
        self._warehouse = warehouse
        self._zone = zone
        self._lock = threading.Lock()
        self._stays: dict[tuple[str, datetime], pl.DataFrame] = {}

    def compare(self, versions: pl.DataFrame, made_at: datetime, changes: Sequence[Change]) -> WhatIf:
        """The forecast of ``made_at`` with and without ``changes``, all in one hospital.

        ``versions`` is DimDepartment. Raises ``WarehouseError``, and ``ValueError`` for a bad change.
        """
        hospital = changes[0].hospital_id
        own = versions.filter(c("hospital_id") == hospital)
        with self._lock:
            rows = self._known(hospital, own, made_at)
            return compare(rows, own, made_at, self._zone.key, changes)

    def _known(self, hospital: str, versions: pl.DataFrame, made_at: datetime) -> pl.DataFrame:
        """Stays that had begun by ``made_at``; an end that came later, and was not known then, has not happened."""
        if (hospital, made_at) not in self._stays:
            since = hour_key(made_at - timedelta(days=WINDOW_DAYS))
            rows = self._warehouse.query(forecasts.stays_since(versions["department_key"].to_list(), since))
            is_later = (c("discharge_at") > made_at) & (c("last_enqueued_at") > made_at)
            known = rows.filter(c("admission_at") <= made_at).with_columns(
                discharge_at=pl.when(~is_later.fill_null(value=False)).then(c("discharge_at"))
            )
            kept = list(self._stays.items())[-(MAX_HOSPITALS - 1) :]
            self._stays = {**dict(kept), (hospital, made_at): known}
        return self._stays[hospital, made_at]
