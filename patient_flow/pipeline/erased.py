"""Bronze → erased: the parts of bodies about erased persons, and the erasures that events are judged by.

Silver records the newest erasure that it judged events by. The tables that follow silver judge by the same ones, so
that every part ends in exactly one of them, also while a person is being erased.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from patient_flow.contracts.erasure import ERASED_NUMBERS
from patient_flow.errors import OperatorError
from patient_flow.pipeline.checkpoints import ERASURE_KEY, ERASURES_UNTIL
from patient_flow.pipeline.key_check import key_check
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.erasure import erasures_of
from patient_flow.transforms.read import ParserConfig


class ErasureKeyRefused(OperatorError):
    """The key of erasures is not the one that the remembered numbers were hashed with."""


def key_of(numbers: LakeTable, key: str) -> dict[str, int]:
    """Checkpoint of ErasedNumbers that identifies the key of erasures; the key cannot be guessed from it."""
    return ERASURE_KEY.of(key_check(key, "erased numbers", numbers))


def judging_all(lake: Lake, parser: ParserConfig) -> ParserConfig:
    """``parser`` with every erasure that is remembered. Raises :class:`ErasureKeyRefused`."""
    if not lake.exists(ERASED_NUMBERS):
        return parser
    return replace(parser, erasures=erasures_of(remembered(lake, parser.erasure_key), parser.erasure_key, None))


def judging_as_silver(lake: Lake, silver: LakeTable, parser: ParserConfig) -> ParserConfig:
    """``parser`` with the erasures that silver judged its events by."""
    until = ERASURES_UNTIL.read(silver.checkpoint)
    if until is None:
        return parser
    return replace(parser, erasures=erasures_of(remembered(lake, parser.erasure_key), parser.erasure_key, until))


def remembered(lake: Lake, key: str) -> pl.DataFrame:
    """All rows of ErasedNumbers. Raises :class:`ErasureKeyRefused` where they were made with another key."""
    numbers = lake.open(ERASED_NUMBERS)
    recorded = ERASURE_KEY.read(numbers.checkpoint)
    if recorded is not None and ERASURE_KEY.of(recorded) != key_of(numbers, key):
        raise ErasureKeyRefused(
            "PATIENT_FLOW_ERASURE_KEY is not the key that the numbers of erased persons were hashed with: with another "
            "one, events of erased persons would be accepted again. Set the former key again"
        )
    return numbers.scan().collect()


def judged_by(parser: ParserConfig) -> dict[str, int]:
    """Checkpoint of silver: the newest of the erasures of ``parser``."""
    return ERASURES_UNTIL.of(max(parser.erasures.instants)) if parser.erasures.instants else {}


def has_erasures(silver: LakeTable) -> bool:
    """True once silver has judged events by an erasure."""
    return ERASURES_UNTIL.read(silver.checkpoint) is not None
