"""The log on disk behaves like a durable list, except for a record that a crash truncated."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_flow.local_hub import segments
from patient_flow.local_hub.errors import CorruptLogError
from patient_flow.local_hub.log import Cursor, Draft, PartitionLog
from patient_flow.local_hub.segments import Coordinate, LastEvent
from patient_flow_tests.examples import max_examples

SEGMENT = 400


class Clock:
    """A clock set by the test, in milliseconds."""

    now = 1_000

    def __call__(self) -> int:
        return self.now


def draft(body: str) -> Draft:
    """An event whose body states its coordinates."""
    return lambda sequence, offset, enqueued_at: f"{sequence}|{offset}|{enqueued_at}|{body}".encode()


def append(log: PartitionLog, *bodies: str) -> None:
    record = log.prepare([draft(body) for body in bodies])
    log.write(record)
    log.publish(record)


def read(log: PartitionLog, sequence: int | None = None) -> list[list[str]]:
    """All events from a sequence number on, as [sequence, offset, time, body]."""
    cursor = Cursor(log, log.begin_sequence if sequence is None else sequence)
    return [event.decode().split("|") for events in iter(cursor.read, []) for event in events]


def bodies(log: PartitionLog) -> list[str]:
    return [body for *_, body in read(log)]


@contextmanager
def opened(folder: Path, clock: Clock | None = None, segment_bytes: int = SEGMENT) -> Iterator[PartitionLog]:
    PartitionLog.create(folder)
    log = PartitionLog.open(folder, segment_bytes=segment_bytes, clock=clock)
    try:
        yield log
    finally:
        log.close()


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def newest_file(folder: Path) -> Path:
    return max(folder.glob("*.log"))


def test_events_come_back_in_order_with_gapless_numbers_and_rising_offsets(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        for number in range(50):
            append(log, f"a{number}", f"b{number}")
        events = read(log)
    assert [event[3] for event in events] == [f"{letter}{number}" for number in range(50) for letter in "ab"]
    assert [int(event[0]) for event in events] == list(range(100))
    offsets = [int(event[1]) for event in events]
    assert offsets == sorted(set(offsets))
    assert len(list(tmp_path.glob("*.log"))) > 5


def test_a_reopened_log_continues_where_it_ended(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as log:
        append(log, "a", "b")
        before = log.last
    with opened(tmp_path, clock) as log:
        assert log.last == before
        append(log, "c")
        assert log.last.sequence == 2
        assert log.last.offset > before.offset
        assert bodies(log) == ["a", "b", "c"]


def test_a_log_that_was_never_used_has_no_last_event(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        assert log.is_empty
        assert log.last == LastEvent(-1, -1, 0)
        assert (log.begin_sequence, log.next_sequence) == (0, 0)


def test_the_clock_never_goes_back(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as log:
        append(log, "a")
        clock.now -= 500
        append(log, "b")
        assert [event[2] for event in read(log)] == ["1000", "1000"]


def test_the_end_survives_when_everything_has_expired(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as log:
        append(log, "a", "b")
        last = log.last
        log.expire(before=clock.now + 1)
        assert log.is_empty
        assert bodies(log) == []
    with opened(tmp_path, clock) as log:
        assert (log.is_empty, log.last, log.begin_sequence) == (True, last, 2)
        append(log, "c")
        assert [event[0] for event in read(log)] == ["2"]
        assert log.last.offset > last.offset


def test_retention_drops_whole_segments_and_never_too_young_events(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as log:
        for clock.now in range(1000, 1100):
            append(log, "x" * 20)
        log.expire(before=1050)
        times = [int(event[2]) for event in read(log)]
        assert 1000 < times[0] <= 1050
        assert times[-1] == 1099


def test_retention_by_size_keeps_the_newest(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        for number in range(100):
            append(log, str(number))
        log.expire(before=0, max_bytes=3 * SEGMENT)
        assert log.size <= 3 * SEGMENT
        assert bodies(log)[-1] == "99"
        assert log.begin_sequence > 0


def test_a_reader_that_retention_overtakes_continues_at_the_oldest_event(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        for number in range(100):
            append(log, str(number))
        cursor = Cursor(log, 0)
        assert cursor.read()[0].endswith(b"|0")
        log.expire(before=0, max_bytes=2 * SEGMENT)
        assert int(cursor.read()[0].split(b"|")[0]) == log.begin_sequence > 50


def test_a_reader_at_the_end_sees_what_comes_later(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        cursor = Cursor(log, 0)
        for number in range(40):
            assert cursor.read() == []
            append(log, str(number))
            assert [event.split(b"|")[3] for event in cursor.read()] == [str(number).encode()]


@pytest.mark.parametrize("by", ["sequence", "offset", "time"])
def test_seeking_finds_the_first_event_beyond(tmp_path: Path, by: Coordinate) -> None:
    clock = Clock()
    column = {"sequence": 0, "offset": 1, "time": 2}[by]
    with opened(tmp_path, clock) as log:
        for clock.now in range(1000, 1060, 3):
            append(log, "a", "bb", "ccc")
        log.expire(before=1015)
        events = [[int(number) for number in event[:3]] for event in read(log)]
        highest = events[-1][column]
        for after in range(-1, highest + 3):
            beyond = [event[0] for event in events if event[column] > after]
            none = max(log.next_sequence, after + 1) if by == "sequence" else log.next_sequence
            assert log.seek(by, after) == (beyond[0] if beyond else none)


def test_a_record_larger_than_one_read_is_read_whole(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, "a" * 900_000, "b")
        append(log, "c")
        assert [len(body) for body in bodies(log)] == [900_000, 1, 1]


@pytest.mark.parametrize("kept", [1, 10, 31, 32, 40])
def test_a_torn_last_record_is_truncated(tmp_path: Path, kept: int) -> None:
    with opened(tmp_path, segment_bytes=10_000) as log:
        append(log, "a", "b")
        size = log.size
        append(log, "c", "d")
        assert log.size > size + kept
    os.truncate(newest_file(tmp_path), size + kept)
    (tmp_path / "acknowledged").unlink()  # the power failed before it was acknowledged
    with opened(tmp_path, segment_bytes=10_000) as log:
        assert bodies(log) == ["a", "b"]
        assert newest_file(tmp_path).stat().st_size == size
        append(log, "e")
        assert [event[0] for event in read(log)] == ["0", "1", "2"]


def test_a_tail_of_zeros_or_with_a_wrong_checksum_is_truncated(tmp_path: Path) -> None:
    for name, tail in {"zeros": b"\0" * 500, "garbled": None}.items():
        with opened(tmp_path / name, segment_bytes=10_000) as log:
            append(log, "a")
            if tail is None:
                append(log, "b")
        (tmp_path / name / "acknowledged").unlink()  # the power failed before the last one was acknowledged
        file = newest_file(tmp_path / name)
        file.write_bytes(file.read_bytes() + tail if tail else file.read_bytes()[:-1] + b"?")
        with opened(tmp_path / name, segment_bytes=10_000) as log:
            assert bodies(log) == ["a"]


def test_damage_to_a_header_names_the_file(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=10_000) as log:
        header = log.size
        append(log, "a")
    file = newest_file(tmp_path)
    sound = file.read_bytes()
    for position in range(header):
        file.write_bytes(flipped(sound, position))
        with pytest.raises(CorruptLogError, match=file.name):
            PartitionLog.open(tmp_path)


def test_a_damaged_record_blocks_only_its_own_events(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path, segment_bytes=10_000) as log:
        append(log, "a", "b")
        start = log.size
        append(log, "c", "d")
        end = log.size
        append(log, "e")
    file = newest_file(tmp_path)
    sound = file.read_bytes()
    for position in range(start, end):
        file.write_bytes(flipped(sound, position))
        with opened(tmp_path, segment_bytes=10_000) as log:
            assert [(number, body) for number, _, _, body in read(log)] == [("0", "a"), ("1", "b"), ("4", "e")]
            assert read(log, 2)[0][0] == read(log, 3)[0][0] == "4"
            assert log.next_sequence == 5
    assert f"{file} is damaged at byte {start}" in caplog.text


def test_damage_in_a_closed_segment_blocks_only_its_own_events(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as log:
        for number in range(50):
            append(log, str(number))
        oldest = min(tmp_path.glob("*.log"))
        sound = oldest.read_bytes()
        complete = bodies(log)
        for position in range(60, len(sound), 7):
            oldest.write_bytes(flipped(sound, position))
            found = read(log)
            assert len(found) == 49
            assert all(number == body for number, _, _, body in found)
            assert [log.seek("offset", int(event[1]) - 1) for event in found] == [int(event[0]) for event in found]
        oldest.write_bytes(sound)
        assert bodies(log) == complete
    assert str(oldest) in caplog.text


@pytest.mark.parametrize("damage", ["flip", "cut a record", "cut all"])
def test_acknowledged_events_that_are_lost_are_named_and_their_numbers_not_used_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    with opened(tmp_path, segment_bytes=10_000) as log:
        header = log.size
        append(log, "a")
        start = log.size
        append(log, "b", "c")
        newest = log.last
    file = newest_file(tmp_path)
    sound = file.read_bytes()
    kept = {"flip": sound[:-1] + b"?", "cut a record": sound[:start], "cut all": sound[:header]}
    file.write_bytes(kept[damage])
    for _ in range(2):  # what a restart has decided stays
        with opened(tmp_path, segment_bytes=10_000) as log:
            assert log.next_sequence >= 3
            assert [body for body in bodies(log) if body != "later"] == ([] if damage == "cut all" else ["a"])
            assert log.seek("offset", newest.offset) == log.next_sequence or "later" in bodies(log)
            append(log, "later")
            assert int(read(log)[-1][1]) > newest.offset
            assert log.seek("offset", newest.offset) == 3
    first = 0 if damage == "cut all" else 1
    assert f"the acknowledged events {first} to 2 are lost" in caplog.text


def test_a_lost_or_shortened_segment_is_found_at_the_start(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        for number in range(50):
            append(log, str(number))
    first, second, *_ = sorted(tmp_path.glob("*.log"))
    sound = second.read_bytes()
    second.write_bytes(sound[:-1])
    with pytest.raises(CorruptLogError, match=second.name):
        PartitionLog.open(tmp_path)
    second.unlink()
    with pytest.raises(CorruptLogError, match=first.name):
        PartitionLog.open(tmp_path)
    for file in tmp_path.glob("*.log"):
        file.unlink()
    with pytest.raises(CorruptLogError, match="contains no log file"):
        PartitionLog.open(tmp_path)


def test_a_failed_write_leaves_the_log_unchanged(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(tmp_path, segment_bytes=1 << 20) as log:
        append(log, "a")
        size = log.size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                append(log, "b" * 1000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert newest_file(tmp_path).stat().st_size == size
        append(log, "c")
        assert bodies(log) == ["a", "c"]
    with opened(tmp_path) as log:
        assert bodies(log) == ["a", "c"]


def test_a_new_segment_that_cannot_be_created_is_created_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with opened(tmp_path) as log:
        with monkeypatch.context() as patched:
            patched.setattr("patient_flow.local_hub.segments.replace_file", refuse)
            append(log, "a" * SEGMENT)
            append(log, "b")
        assert len(list(tmp_path.glob("*.log"))) == 1
        append(log, "c")
        assert len(list(tmp_path.glob("*.log"))) == 2
        assert bodies(log) == ["a" * SEGMENT, "b", "c"]
    with opened(tmp_path) as log:
        assert bodies(log) == ["a" * SEGMENT, "b", "c"]


_steps = st.one_of(
    st.tuples(st.just("append"), st.lists(st.text("xyz", max_size=150), min_size=1, max_size=4)),
    st.tuples(st.just("reopen"), st.none()),
    st.tuples(st.just("tear"), st.integers(1, 200)),
    st.tuples(st.just("expire"), st.integers(0, 20)),
)


@max_examples(60)
@given(st.lists(_steps, max_size=25))
def test_any_history_reads_like_a_plain_list(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[str] | int | None]]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    PartitionLog.create(folder)
    clock = Clock()
    model: list[str] = []
    log = PartitionLog.open(folder, segment_bytes=SEGMENT, clock=clock)
    for action, argument in steps:
        clock.now += 1
        match action, argument:
            case "append", list():
                append(log, *argument)
                model += argument
            case "expire", int():
                log.expire(before=clock.now - argument)
            case "reopen", _:
                log.close()
                log = PartitionLog.open(folder, segment_bytes=SEGMENT, clock=clock)
            case "tear", int():
                record = log.prepare([draft("never acknowledged")])
                log.close()
                with newest_file(folder).open("ab") as file:
                    file.write(record.data[: min(argument, len(record.data) - 1)])
                log = PartitionLog.open(folder, segment_bytes=SEGMENT, clock=clock)
        assert log.next_sequence == len(model)
        assert bodies(log) == model[log.begin_sequence :]
        assert [int(event[0]) for event in read(log)] == list(range(log.begin_sequence, len(model)))
    log.close()


# --- replacing events


def test_a_replaced_event_keeps_its_coordinates_and_those_beside_it_stay(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=SEGMENT) as log:
        for number in range(9):
            append(log, f"one {number}", f"two {number}")
        before = read(log)
        assert log.replace([3, 16, 99], lambda event: b"#" * len(event)) == 2
    with opened(tmp_path, segment_bytes=SEGMENT) as log:
        after = read(log)
        assert [event for number, event in enumerate(after) if number not in (3, 16)] == [
            event for number, event in enumerate(before) if number not in (3, 16)
        ]
        assert {*after[3][0], *after[16][0]} == {"#"}
        append(log, "later")
        assert bodies(log)[-1] == "later"


def test_a_replacement_that_a_crash_cut_short_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, segment_bytes=SEGMENT) as log:
        append(log, "one", "two")
        append(log, "three")
        with monkeypatch.context() as patched:

            def torn(path: Path, position: int, record: bytes) -> None:
                with path.open("r+b") as file:
                    file.seek(position)
                    file.write(record[: len(record) // 2])
                raise KeyboardInterrupt

            patched.setattr(segments, "_write_at", torn)
            with pytest.raises(KeyboardInterrupt):
                log.replace([0], lambda event: b"#" * len(event))
    with opened(tmp_path, segment_bytes=SEGMENT) as log:
        assert set(read(log)[0][0]) == {"#"}
        assert bodies(log)[1:] == ["two", "three"]
