"""Bodies read by several processes: the same rows in the same order, bounded lives, errors that say what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import psutil
import pytest
from polars.testing import assert_frame_equal

from patient_flow.dialects import fhir, hl7
from patient_flow.dialects.mapping import parse_mappings
from patient_flow.pipeline import reading
from patient_flow.pipeline.reading import ReaderDied, processes_for, read_batches, usable_cores
from patient_flow.transforms.bodies import Interpretation
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.benchmarks import batch, feed

MAPPINGS = """
unwrap = ["gzip", "array", { path = "batch.rows" }]
[[mapping]]
name = "cardiology"
[mapping.match]
department = ["Cardiology"]
[mapping.constant]
hospital_id = 9
"""


@dataclass(frozen=True)
class Batch:
    """Rows to read."""

    rows: pl.DataFrame


def of_parser(**changes: object) -> ParserConfig:
    parser = ParserConfig(batch.DEPARTMENTS, "a secret", formats=(hl7.interpret, fhir.interpret))
    return replace(parser, **changes)


def of_events(total: int) -> pl.DataFrame:
    return feed.events(total).with_columns(hub_created_at=pl.lit(feed.START), ingested_at="enqueued_at")


def refuse_secrets(body: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
    """An interpreter with a bug."""
    raise LookupError(f"{len(body)} bytes")


def die(body: bytes, value: Mapping[str, object] | None) -> Interpretation | None:
    """An interpreter that takes all memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_several_processes_read_the_same_rows_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROWS_IN_SLICE", 130)
    rows = of_events(1_000)
    batches = [Batch(rows[:500]), Batch(rows[500:500]), Batch(rows[500:])]
    mapped = parse_mappings(MAPPINGS, "mappings.toml")
    parser = of_parser(mappings=mapped.interpreters, unwrap=mapped.unwrap)
    alone = list(read_batches(batches, parser, processes=0))
    with closing(read_batches(batches, parser, processes=2)) as read:
        side_by_side = list(read)
    assert [one for one, _ in side_by_side] == batches
    read_alone = pl.concat([candidates for _, candidates in alone])
    assert read_alone.height > 900
    assert "9" in read_alone["hospital_id"]
    for (_, one), (_, other) in zip(alone, side_by_side, strict=True):
        assert_frame_equal(one, other)


def test_an_error_of_another_process_is_raised_with_its_own_traceback() -> None:
    batches = [Batch(of_events(100))]
    with (
        pytest.raises(LookupError) as raised,
        closing(read_batches(batches, of_parser(mappings=(refuse_secrets,)), processes=1)) as read,
    ):
        list(read)
    assert "refuse_secrets" in raised.value.__notes__[0]


def test_a_killed_process_is_an_error_that_a_retry_may_heal() -> None:
    with (
        pytest.raises(ReaderDied, match="ended with -9"),
        closing(read_batches([Batch(of_events(100))], of_parser(mappings=(die,)), processes=1)) as read,
    ):
        list(read)


def test_processes_end_with_the_iterator_even_in_the_middle_of_a_batch() -> None:
    batches = [Batch(of_events(2_000))] * 3
    before = set(psutil.Process().children())
    with closing(read_batches(batches, of_parser(), processes=2)) as read:
        next(read)
        started = set(psutil.Process().children()) - before
        assert len(started) == 2
    assert not any(process.is_running() for process in started)


def test_processes_end_when_the_one_that_started_them_is_killed() -> None:
    program = (
        "import os, psutil\n"
        "from patient_flow_tests.pipeline.test_reading import Batch, of_events, of_parser, read_batches\n"
        "read = read_batches([Batch(of_events(200))] * 3, of_parser(), processes=1)\n"
        "next(read)\n"
        "print(*(child.pid for child in psutil.Process().children()), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)
    (started,) = map(int, ended.stdout.split())
    latest = time.monotonic() + 60
    while psutil.pid_exists(started) and psutil.Process(started).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < latest
        time.sleep(0.05)


def test_a_container_with_one_core_and_a_small_batch_start_no_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(reading, "_QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    quota.write_text("150000 100000\n")
    assert (usable_cores(), processes_for(10**6)) == (1, 0)
    quota.write_text("300000 100000\n")
    assert (usable_cores(), processes_for(10**6), processes_for(1_000)) == (3, 3, 0)
    quota.write_text("max 100000\n")
    assert (usable_cores(), processes_for(10**6)) == (16, reading.MAX_PROCESSES)
