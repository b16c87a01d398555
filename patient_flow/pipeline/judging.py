"""Bronze rows that silver lacks → what becomes of them, judged once for erased, ignored and quarantine."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from patient_flow.contracts.tables import COORDINATES, EVENT_COORDINATES
from patient_flow.pipeline import received
from patient_flow.pipeline.moves import Rest
from patient_flow.pipeline.reading import validated
from patient_flow.pipeline.silver import rivals
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import accept
from patient_flow.transforms.read import ParserConfig

OUTCOMES_KEPT = 500_000
"""Bronze rows whose outcomes are kept: limits memory."""


class Judge:
    """Outcomes of bronze rows by one state of silver; ``rest`` are the rows that silver lacks."""

    def __init__(
        self, context: StepContext, silver: LakeTable, bronze: LakeTable, until: int, parser: ParserConfig
    ) -> None:
        """``parser`` is that of ``context``, with the erasures that ``silver`` judged its events by."""
        self._silver, self._parser, self._asked = silver, parser, context.parser
        self._state = (silver.uri, silver.identity, silver.version, bronze.identity, until)
        self._judged: list[tuple[pl.DataFrame, pl.DataFrame]] = []
        self.rest = Rest(silver, bronze, until)

    def judges_like(self, other: Judge) -> bool:
        """True where both come to the same outcomes."""
        return self._state == other._state and _read_alike(self._asked, other._asked)

    def outcomes(self, rows: pl.DataFrame, *, keep: bool = False) -> pl.DataFrame:
        """:func:`outcomes_of` these bronze rows. With ``keep`` the first ones are kept, and not found again."""
        found = []
        for coordinates, outcome in self._judged:
            found.append(outcome.join(rows, on=COORDINATES, how="semi", maintain_order="left"))
            rows = rows.join(coordinates, on=COORDINATES, how="anti", maintain_order="left")
        if rows.height or not found:
            found.append(outcomes_of(rows, self._silver, self._parser))
            if keep and sum(coordinates.height for coordinates, _ in self._judged) < OUTCOMES_KEPT:
                self._judged.append((rows.select(COORDINATES), found[-1]))
        return pl.concat(found)


def _read_alike(one: ParserConfig, other: ParserConfig) -> bool:
    """True where both read every body alike: each step of a run has a parser of its own."""

    def compared(parser: ParserConfig) -> tuple[object, ...]:
        by = parser.mapping_digest or (parser.mappings, parser.unwrap)
        return by, parser.formats, parser.secret, parser.erasure_key

    return one is other or (compared(one) == compared(other) and one.departments.equals(other.departments))


@dataclass
class _Newest:
    """The newest judge of this process."""

    judge: Judge | None = None


_NEWEST = _Newest()


def judge_of(context: StepContext, silver: LakeTable, bronze: LakeTable, until: int, parser: ParserConfig) -> Judge:
    """That of the step before where it judges alike, else a new one, for the steps that follow."""
    judge = Judge(context, silver, bronze, until, parser)
    if _NEWEST.judge is None or not _NEWEST.judge.judges_like(judge):
        _NEWEST.judge = judge
    return _NEWEST.judge


def forget() -> None:
    """For the step that asks last: bodies must not stay in the memory of a process that goes on."""
    _NEWEST.judge = None


def outcomes_of(rows: pl.DataFrame, silver: LakeTable, parser: ParserConfig) -> pl.DataFrame:
    """The outcomes (``accept.outcomes``) of those parts of these bronze rows that silver does not hold."""
    read = pl.concat(validated(rows.select(received.BODY_COLUMNS), parser))
    losers = accept.candidates(read, parser.secret)
    winners = rivals(silver, losers)
    return accept.outcomes(read, losers, winners).join(winners, on=EVENT_COORDINATES, how="anti")
