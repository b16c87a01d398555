"""The query of the stays that a forecast is made from."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from patient_flow.contracts.events import UNKNOWN_KEY
from patient_flow.contracts.tables import FACT_PATIENT_FLOW
from patient_flow.stores.warehouse.schema import TABLES

_STAYS = TABLES[FACT_PATIENT_FLOW.path]
_OF_STAYS = (
    *("department_key", "gender", "admission_at", "discharge_at", "planned_discharge_at", "confirmed_until"),
    *("is_visit_start", "is_visit_end", "last_enqueued_at"),
)


def stays_since(since: int) -> sa.Select[Any]:
    """Stays that are open, or end in the hour ``since`` (a time key) or later."""
    is_near = (_STAYS.c.discharge_time_key == UNKNOWN_KEY) | (_STAYS.c.discharge_time_key >= since)
    columns = (_STAYS.c[name] for name in _OF_STAYS)
    return _STAYS.select().with_only_columns(*columns).where(is_near)
