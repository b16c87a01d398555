"""The model on the stays of all hospitals in the warehouse: one fit per forecast, for all questions."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.dashboard.background import Background
from patient_flow.forecasting.beds import WINDOW_DAYS
from patient_flow.forecasting.forecast import BedForecast, Change, fit_beds
from patient_flow.forecasting.what_if import WhatIf, compare
from patient_flow.stores.warehouse import forecasts
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.calendar import hour_key

c = pl.col

WAIT_SECONDS = 1.0
"""How long a page waits for the model; then it says so, and asks again."""


@dataclass(frozen=True)
class _Fitted:
    model: BedForecast
    plain: pl.DataFrame
    """The forecast without changes."""


class Models:
    """Answers one question at a time, on the model of the newest forecast that was asked for."""

    def __init__(self, warehouse: Warehouse, zone: ZoneInfo) -> None:
        self._warehouse = warehouse
        self._zone = zone
        self._lock = threading.Lock()
        self._reader = Background[_Fitted | None]("what-if model")
        self._made_at: datetime | None = None
        self._fitted: Future[_Fitted | None] = Future()

    def prepare(self, versions: pl.DataFrame, made_at: datetime) -> Future[_Fitted | None]:
        """The model of the forecast of ``made_at`` on the departments ``versions`` (DimDepartment), fitted once."""
        with self._lock:
            failed = self._fitted.done() and (self._fitted.cancelled() or self._fitted.exception() is not None)
            if self._made_at != made_at or failed:
                self._made_at, self._fitted = made_at, self._reader.submit(lambda: self._fit(versions, made_at))
            return self._fitted

    def compare(self, versions: pl.DataFrame, made_at: datetime, changes: Sequence[Change]) -> WhatIf | None:
        """The forecast of ``made_at`` with and without ``changes``; None while the model is being fitted.

        Raises ``WarehouseError``, and ``ValueError`` for a bad change or without departments.
        """
        try:
            fitted = self.prepare(versions, made_at).result(WAIT_SECONDS)
        except (TimeoutError, CancelledError):
            return None
        if fitted is None:
            raise ValueError("there are no departments")
        with self._lock:
            return compare(fitted.model, self._zone.key, changes, fitted.plain)

    def close(self, timeout: float) -> None:
        """Starts no more fits, and waits ``timeout`` seconds for the running one."""
        self._reader.close(timeout)

    def _fit(self, versions: pl.DataFrame, made_at: datetime) -> _Fitted | None:
        """From stays that had begun by ``made_at``; an end that was not known then has not happened."""
        rows = self._warehouse.query(forecasts.stays_since(hour_key(made_at - timedelta(days=WINDOW_DAYS))))
        is_later = (c("discharge_at") > made_at) & (c("last_enqueued_at") > made_at)
        known = rows.filter(c("admission_at") <= made_at).with_columns(
            discharge_at=pl.when(~is_later.fill_null(value=False)).then(c("discharge_at"))
        )
        model = fit_beds(known, versions, made_at, self._zone.key)
        return None if model is None else _Fitted(model, model.rows())
