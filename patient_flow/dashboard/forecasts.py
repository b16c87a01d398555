"""The forecast of beds that may be shown, and the scores of the last weeks, read when the warehouse has newer ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from patient_flow.contracts.forecasts import SCORED_DAYS
from patient_flow.contracts.tables import FORECAST_SCORE, FORECAST_SHOWN
from patient_flow.stores.warehouse.schema import LOAD_LOG, TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse

_SHOWN, _SCORE = TABLES[FORECAST_SHOWN.path], TABLES[FORECAST_SCORE.path]


@dataclass(frozen=True)
class Forecasts:
    """Rows of ForecastShown, and of ForecastScore of the last weeks."""

    beds: pl.DataFrame
    scores: pl.DataFrame


class ForecastReader:
    """Keeps what it has read until the load log names other versions, or another day begins."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._known: tuple[object, Forecasts] | None = None

    def read(self, today: date) -> Forecasts:
        """Raises a ``WarehouseError`` when the warehouse cannot be read."""
        names = (_SHOWN.name, _SCORE.name)
        log = self._warehouse.query(
            LOAD_LOG.select().where(LOAD_LOG.c.table_name.in_(names)).order_by(LOAD_LOG.c.table_name)
        )
        state = (today, *log["gold_version"])
        if self._known is None or self._known[0] != state:
            self._known = (state, Forecasts(self._warehouse.query(_SHOWN.select()), self._scores(today)))
        return self._known[1]

    def _scores(self, today: date) -> pl.DataFrame:
        since = today - timedelta(days=SCORED_DAYS)
        return self._warehouse.query(_SCORE.select().where(_SCORE.c.date > since))
