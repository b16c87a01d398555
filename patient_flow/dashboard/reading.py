"""Rows of the past that take long to read: read in the background, and again from time to time."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass, field

import polars as pl

SHORTEST_SECONDS, LONGEST_SECONDS = 30.0, 900.0
"""Limits of the time after which rows are read again; only late events change them."""
READING_SHARE = 50
"""Between them it is so many times what reading took."""
RETRY_SECONDS = 60.0
"""Until rows that could not be read are tried again."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PastRows:
    """Rows of the past; None while they are being read, or while ``problem`` explains why they cannot be."""

    rows: pl.DataFrame | None = None
    problem: str = ""

    @property
    def is_pending(self) -> bool:
        """True while there is nothing yet but to wait."""
        return self.rows is None and not self.problem


@dataclass
class Reading:
    """Rows that take long to read: the last ones read, and maybe newer ones under way."""

    found: PastRows = field(default_factory=PastRows)
    _under_way: Future[pl.DataFrame] | None = None
    _started_at: float = float("-inf")
    _took: float = 0.0

    def settle(self) -> None:
        """Takes what has been read by now, or notes why it could not be."""
        if self._under_way is None or not self._under_way.done():
            return
        reading, self._under_way = self._under_way, None
        if reading.cancelled():
            return
        error = reading.exception()
        if error is None:
            self.found = PastRows(reading.result())
        else:
            self.found = PastRows(self.found.rows, str(error) or type(error).__name__)
            _LOG.warning("rows of the past cannot be read: %s", self.found.problem)

    @property
    def is_due(self) -> bool:
        """True when nothing is under way and the rows are old, or a while has passed since reading them failed.

        What is quick to read is read more often: after an import of history the rows are soon right.
        """
        usual = min(max(READING_SHARE * self._took, SHORTEST_SECONDS), LONGEST_SECONDS)
        holds = RETRY_SECONDS if self.found.problem else usual
        return self._under_way is None and time.monotonic() - self._started_at > holds

    def start(self, under_way: Future[pl.DataFrame]) -> None:
        """Notes newer rows that are under way."""
        self._under_way, self._started_at = under_way, time.monotonic()
        under_way.add_done_callback(self._note_length)

    def _note_length(self, _: Future[pl.DataFrame]) -> None:
        self._took = time.monotonic() - self._started_at
