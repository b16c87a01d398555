"""Queries of the newest forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from patient_flow.contracts.tables import FORECAST_BEDS
from patient_flow.stores.warehouse.schema import TABLES

_BEDS = TABLES[FORECAST_BEDS.path]


def newest_beds(columns: Sequence[str]) -> sa.Select[Any]:
    """These columns of the rows of the newest forecast of beds."""
    newest = sa.select(sa.func.max(_BEDS.c.made_at)).scalar_subquery()
    return _BEDS.select().with_only_columns(*(_BEDS.c[name] for name in columns)).where(_BEDS.c.made_at == newest)
