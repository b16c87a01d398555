"""The first day of a feed.

A sender's first events also state who is in bed already, and since when. The days before its first one have admissions
and census of those few alone, and hardly anybody leaves on them.
"""

from __future__ import annotations

import polars as pl

RECENT_DAYS = 14
"""Dates, the newest with departures, whose median is the usual number: a feed may have stood still since, and from a
small hospital somebody leaves once a week."""
SHARE = 0.2
"""Of the usual number: a day with fewer departures may lie before the feed."""

c = pl.col


def began() -> pl.Expr:
    """The first date with the departures of a feed, of rows ``date, departures``, one per date; null without any."""
    is_left = c("departures") > 0
    usual = c("departures").filter(is_left).sort_by(c("date").filter(is_left)).tail(RECENT_DAYS).median()
    return c("date").filter(is_left & (c("departures") >= SHARE * usual)).min()
