"""When a forecast may be shown: once its hospital's forecasts have been compared with what happened for long enough."""

from __future__ import annotations

JUDGED_DAYS = 28
"""Days whose forecasts must have been compared with what happened before one is shown."""
JUDGED_HORIZON = "24h"
"""A day counts once its forecast at this distance has been compared."""
SCORED_DAYS = 60
"""Newest days that count, and whose scores follow later changes of the census."""
