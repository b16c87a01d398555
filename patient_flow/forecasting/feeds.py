"""The first day of a feed.

A sender's first events also state who is in bed already, and since when. The days before its first one have admissions
and census of those few alone, and hardly anybody leaves on them.
"""

from __future__ import annotations

import polars as pl

RECENT_DAYS = 14
"""Dates, the newest with rows, whose median of departures is the usual number."""
SHARE = 0.2
"""Of the usual number: a day with fewer departures may lie before the feed."""

c = pl.col


def began() -> pl.Expr:
    """The first date with the departures of a feed, of rows ``date, departures``, one per date; null without any."""
    usual = c("departures").sort_by("date").tail(RECENT_DAYS).median()
    return c("date").filter((c("departures") > 0) & (c("departures") >= SHARE * usual)).min()
