"""The newest forecast of beds and the scores of the last weeks, read again only when the warehouse has newer ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from patient_flow.contracts.forecasts import SCORED_DAYS
from patient_flow.contracts.tables import FORECAST_BEDS, FORECAST_SCORE
from patient_flow.stores.warehouse import forecasts
from patient_flow.stores.warehouse.schema import LOAD_LOG, TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse

_BEDS, _SCORE = TABLES[FORECAST_BEDS.path], TABLES[FORECAST_SCORE.path]
_NOT_SHOWN = ("forecast_key", "is_morning", "is_backcast")


@dataclass(frozen=True)
class Forecasts:
    """Rows of ForecastBeds of the newest forecast, and of ForecastScore of the last weeks."""

    beds: pl.DataFrame
    scores: pl.DataFrame


class ForecastReader:
    """Keeps what it has read until the load log names other versions, or another day begins."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._known: tuple[object, Forecasts] | None = None

    def read(self, today: date) -> Forecasts:
        """Raises a ``WarehouseError`` when the warehouse cannot be read."""
        names = (_BEDS.name, _SCORE.name)
        log = self._warehouse.query(
            LOAD_LOG.select().where(LOAD_LOG.c.table_name.in_(names)).order_by(LOAD_LOG.c.table_name)
        )
        state = (today, *log["gold_version"])
        if self._known is None or self._known[0] != state:
            self._known = (state, Forecasts(self._newest(), self._scores(today)))
        return self._known[1]

    def _newest(self) -> pl.DataFrame:
        shown = [name for name in FORECAST_BEDS.schema if name not in _NOT_SHOWN]
        return self._warehouse.query(forecasts.newest_beds(shown))

    def _scores(self, today: date) -> pl.DataFrame:
        since = today - timedelta(days=SCORED_DAYS)
        return self._warehouse.query(_SCORE.select().where(_SCORE.c.date > since))
