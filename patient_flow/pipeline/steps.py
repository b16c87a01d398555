"""Input and result of steps, and the retry after a commit conflict."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import ParamSpec, TypeVar

import polars as pl

from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES, SILVER_EVENTS, Table
from patient_flow.monitoring.notices import Notice
from patient_flow.pipeline.checkpoints import REBUILT_UNTIL, consumed, version_of
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.errors import UNDECODABLE, CommitConflict, is_undecodable
from patient_flow.stores.lake.inspection import name_damage
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.read import ParserConfig

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 5
UNCONFIRMED_DAYS = 90


@dataclass(frozen=True)
class StepContext:
    """The context of a run, the same for all of its steps.

    ``timezone`` is the hospital's zone (IANA name). Only bronze reads from ``hub``: at most ``max_events``, and with
    ``adopt_hub`` also from another hub than the one that the lake was filled from. An event confirms an open stay for
    ``unconfirmed_days`` (flow F17).
    """

    lake: Lake
    parser: ParserConfig
    timezone: str
    now: datetime
    run_id: str
    hub: Hub | None = None
    max_events: int = 0
    adopt_hub: bool = False
    unconfirmed_days: int = UNCONFIRMED_DAYS

    @property
    def departments(self) -> pl.DataFrame:
        """The department list."""
        return self.parser.departments


@dataclass(frozen=True)
class StepResult:
    """The result of one step: rows written, source versions consumed, the version produced, figures and notices.

    ``newest_event_at`` is when the hub accepted the newest event that the step processed.
    """

    table: Table
    version: int
    written: RowsWritten = field(default_factory=RowsWritten)
    consumed: dict[str, int] = field(default_factory=dict)
    figures: dict[str, int | float | str] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    newest_event_at: datetime | None = None


def retry_on_conflict(step: Callable[P, StepResult]) -> Callable[P, StepResult]:
    """Runs ``step`` again, from the current checkpoints, when another writer committed first.

    It waits while another process works alone on the lake.
    Polars panics where a Parquet file cannot be decoded, which no handler of ``Exception`` sees: the step then raises
    ``LakeDamaged``.
    """

    @functools.wraps(step)
    def checked(*args: P.args, **kwargs: P.kwargs) -> StepResult:
        lake = _lake_of(args)
        try:
            with lake.writing():
                return attempt(*args, **kwargs)
        except UNDECODABLE as error:
            if not is_undecodable(error):
                raise
            raise name_damage(lake, LAKE_TABLES) from error

    def attempt(*args: P.args, **kwargs: P.kwargs) -> StepResult:
        for number in range(1, ATTEMPTS):
            try:
                return step(*args, **kwargs)
            except CommitConflict:
                time.sleep(0.1 * number)
        return step(*args, **kwargs)

    return checked


def while_writing(writes: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """Lets a generator that writes the lake wait while another process works alone on it, and hold that back."""

    @functools.wraps(writes)
    def held(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        with _lake_of(args).writing():
            yield from writes(*args, **kwargs)

    return held


def _lake_of(args: tuple[object, ...]) -> Lake:
    return next(found for value in args if isinstance(found := getattr(value, "lake", value), Lake))


def is_up_to_date(target: LakeTable, *sources: LakeTable) -> bool:
    """True when ``target`` has consumed each of ``sources`` up to its pinned version."""
    return all(consumed(target, source) == source.version for source in sources)


def open_complete_silver(lake: Lake) -> LakeTable:
    """Silver, for the steps that read it.

    Raises ``CommitConflict`` until a rebuild has filled it completely: partial results would replace complete ones.
    """
    silver = lake.open(SILVER_EVENTS)
    until, reached = (key.read(silver.checkpoint) for key in (REBUILT_UNTIL, version_of(BRONZE_EVENTS)))
    if until is not None and (reached is None or reached < until):
        raise CommitConflict(
            f"{SILVER_EVENTS.path} is incomplete because a rebuild is running. "
            "Try again when the rebuild has ended; if it died, the next micro-batch completes it"
        )
    return silver
