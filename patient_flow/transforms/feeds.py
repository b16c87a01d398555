"""Departures, which tell when a feed began (``forecasting.feeds``)."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts import measures

c = pl.col

DEPARTURES = c(measures.DISCHARGES.name) + c(measures.DEPARTED.name) - c(measures.ED_ADMITTED.name)
"""Of rows of the daily table: visits that ended, and attendances without an admission."""
