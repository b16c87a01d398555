"""Bodies read beside the commits: every batch with its own rows, in order, and errors where they belong."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from patient_flow.dialects import fhir, hl7
from patient_flow.pipeline import reading
from patient_flow.pipeline.reading import read, read_batches
from patient_flow.transforms.bodies import Interpretation
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.benchmarks import batch, feed


@dataclass(frozen=True)
class Batch:
    """Rows to read."""

    rows: pl.DataFrame


def of_parser(**changes: object) -> ParserConfig:
    parser = ParserConfig(batch.DEPARTMENTS, "a secret", formats=(hl7.interpret, fhir.interpret))
    return replace(parser, **changes)


def of_events(total: int) -> pl.DataFrame:
    return feed.events(total).with_columns(hub_created_at=pl.lit(feed.START), ingested_at="enqueued_at")


def refuse(body: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
    """An interpreter with a bug."""
    raise LookupError(f"{len(body)} bytes")


def test_each_batch_comes_in_order_with_its_own_candidates_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = of_events(1_000)
    batches = [Batch(rows[:500]), Batch(rows[500:500]), Batch(rows[500:])]
    whole = [read(each.rows, of_parser()) for each in batches]
    assert sum(each.height for each in whole) > 900
    monkeypatch.setattr(reading, "ROWS_IN_SLICE", 130)
    found = list(read_batches(batches, of_parser()))
    assert [each for each, _ in found] == batches
    for (_, one), other in zip(found, whole, strict=True):
        assert_frame_equal(one, other)


def test_the_next_batch_is_read_while_the_caller_has_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threading.Event()

    def watched(rows: pl.DataFrame, parser: ParserConfig) -> pl.DataFrame:
        if rows.height == 2:
            seen.set()
        return read_one(rows, parser)

    read_one = reading.read
    monkeypatch.setattr(reading, "read", watched)
    rows = of_events(100)
    with closing(read_batches([Batch(rows[:1]), Batch(rows[:2]), Batch(rows[:3])], of_parser())) as batches:
        assert next(batches)[0].rows.height == 1
        assert seen.wait(60)


def test_two_slices_of_a_batch_are_read_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2)

    def watched(rows: pl.DataFrame, parser: ParserConfig) -> pl.DataFrame:
        together.wait(60)
        return read_one(rows, parser)

    read_one = reading.read
    monkeypatch.setattr(reading, "read", watched)
    monkeypatch.setattr(reading, "ROWS_IN_SLICE", 50)
    rows = of_events(100)[:100]
    ((_, found),) = read_batches([Batch(rows)], of_parser())
    assert_frame_equal(found, read_one(rows, of_parser()))


def test_threads_take_turns_as_usual_once_all_is_read_or_the_caller_has_enough() -> None:
    usual, rows = reading.USUAL_SECONDS, of_events(100)
    with closing(read_batches([Batch(rows)] * 3, of_parser())) as found:
        next(found)
        assert sys.getswitchinterval() < usual
    assert sys.getswitchinterval() == usual
    assert len(list(read_batches([Batch(rows)] * 3, of_parser()))) == 3
    assert sys.getswitchinterval() == usual


def test_what_cannot_be_read_is_an_error_of_the_caller_after_the_batches_before_it() -> None:
    rows = of_events(100)
    batches = [Batch(rows[:0]), Batch(rows)]
    with closing(read_batches(batches, of_parser(mappings=(refuse,)))) as found:
        assert next(found)[0] is batches[0]
        with pytest.raises(LookupError, match="bytes"):
            next(found)
