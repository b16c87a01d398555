"""The entry point, with a clock that only advances during sleep."""

import io
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from patient_flow.settings import Settings
from patient_flow.simulator.demand import SECOND
from patient_flow.simulator.feed import Message, messages
from patient_flow.simulator.journal import Journal
from patient_flow.simulator.run import Options, plan, simulate
from patient_flow.simulator.sending import SimulatorError

from .builders import NOW, Clock, MemorySink


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def run(sink: MemorySink, *, screen: Console | None = None, **options: Any) -> Any:
    return simulate(
        Settings(), Options(**options), clock=sink.clock, sleep=sink.clock.sleep, console=screen or console(), sink=sink
    )


def test_a_back_fill_ends_now_and_reports_what_it_sent() -> None:
    sink = MemorySink(Clock())
    summary = run(sink, days=0.5)
    assert summary.sent == len(sink.received) > 4000
    assert summary.by_type["admission"] == sum(1 for _, m in sink.received if m.event_type == "admission")
    assert all(message.at <= NOW for _, message in sink.received)
    assert sink.is_closed
    text = str(summary)
    assert text.startswith(f"sent {summary.sent:,} events in 0.0 s")
    assert "by type: arrival" in text
    assert "corrupted on purpose: " in text


def test_a_back_fill_continues_live_when_a_rate_is_given() -> None:
    sink = MemorySink(Clock())
    run(sink, days=0.5, rate=20.0, events=15_000, dirty=0.0)
    live = [(at, message) for at, message in sink.received if message.at > NOW]
    assert len(live) > 1000
    assert len(live) / (live[-1][0] - NOW / SECOND) == pytest.approx(20, rel=0.02)
    assert all(message.at <= at * SECOND + 1 for at, message in sink.received)


def test_a_live_feed_follows_the_real_clock() -> None:
    sink = MemorySink(Clock())
    run(sink, events=14_000, dirty=0.0)
    assert all(-1e-5 <= at - message.due / SECOND <= 1 for at, message in sink.received if message.at > NOW)
    assert sink.clock() - NOW / SECOND > 600


def test_events_are_counted_as_they_are_sent() -> None:
    sink = MemorySink(Clock())
    assert run(sink, days=1, events=100).sent == len(sink.received) == 100


def test_an_interrupt_ends_the_feed_with_a_summary() -> None:
    class Interrupted(Clock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    sink = MemorySink(Interrupted())
    summary = run(sink, rate=5.0)
    assert summary.sent == 0
    assert sink.is_closed


def test_a_feed_goes_on_at_another_speed_from_now(tmp_path: Path) -> None:
    """What was sent is sent no second time; the hospitals go on where they are, first faster, then as the clock."""
    settings = of_one_hospital(tmp_path)
    clock, sinks = Clock(), []
    for speed, events, pause in ((1.0, 120, 600), (3600.0, 900, 86_400), (1.0, 30, 0)):
        options = Options(days=0.1, speed=speed, events=events, dirty=0.05, journal=tmp_path / "journal.json")
        sinks.append(MemorySink(clock))
        simulate(settings, options, clock=clock, sleep=clock.sleep, console=console(), sink=sinks[-1])
        clock.sleep(pause)
    slow, fast, after = ([message for _, message in sink.received] for sink in sinks)
    again = simulated(settings, Options(days=0.1, speed=1.0, events=120, dirty=0.05))
    assert [message.body for message in slow] == [message.body for message in again]
    sent = [json.loads(message.body)["event_id"] for message in (*slow, *fast, *after) if not message.corruption]
    assert len(set(sent)) == len(sent) > 900
    assert all(message.at <= at * SECOND + 1 for sink in sinks for at, message in sink.received)
    hours = (slow[-1].due - NOW) / SECOND / 3600
    assert hours > 0.5  # of the slow feed; the fast one sends ten times as many events in less time
    assert fast[-1].due - slow[-1].due < hours * 3600 * SECOND
    assert after[-1].due - fast[-1].due > 86_400 * SECOND  # no ten years of events wait after the pause of a day


def of_one_hospital(folder: Path) -> Settings:
    listed = folder / "departments.csv"
    listed.write_text(
        "hospital_id,hospital_name,department,staffed_beds,staff,expected_los_hours,valid_from,class\n"
        "1,St Anna,Emergency,9,,6,2020-01-01T00:00:00Z,emergency\n"
        "1,St Anna,Surgery,20,,48,2020-01-01T00:00:00Z,inpatient\n"
    )
    return Settings(departments=str(listed))


@pytest.mark.parametrize("speed", [300.0, 3600.0])
def test_a_feed_that_is_faster_than_real_time_goes_on_where_it_stopped(speed: float, tmp_path: Path) -> None:
    """The hospitals stood still, and what was sent belongs to the feed to the byte."""
    settings, clock = of_one_hospital(tmp_path), Clock()
    received: list[Message] = []
    options = Options(days=0.1, speed=speed, events=300, dirty=0.1, journal=tmp_path / "journal.json")
    for _ in range(4):
        began, sink = clock(), MemorySink(clock)
        simulate(settings, options, clock=clock, sleep=clock.sleep, console=console(), sink=sink)
        received += [message for _, message in sink.received]
        assert len(sink.received) == 300
        late = [message for _, message in sink.received if NOW < message.due < began * SECOND]
        assert len(late) < 30  # a corrupted message may be late
        assert all(message.at <= at * SECOND + 1 for at, message in sink.received)
        clock.sleep(86_400)
    journal = Journal.open(tmp_path / "journal.json", options.identity, int(clock() * SECOND))
    assert len(journal.paces) == 5
    whole = messages(plan(settings, options, journal.started_at, journal.paces))
    assert [message.body for message in islice(whole, journal.sent)] == [message.body for message in received]


def test_a_journal_that_does_not_say_what_it_reached_was_written_then(tmp_path: Path) -> None:
    path, hour = tmp_path / "journal.json", 3600 * SECOND
    identity = Options(speed=60.0).identity
    path.write_text(json.dumps({"identity": identity, "began": NOW, "sent": 10}))
    os.utime(path, times=(0, NOW / SECOND + 3600))
    journal = Journal.open(path, identity, NOW + 24 * hour)
    assert journal.reached == NOW + hour
    assert journal.paces[-1] == (NOW + 24 * hour, NOW + 60 * (hour + 1), 60.0)


def simulated(settings: Settings, options: Options) -> list[Message]:
    sink = MemorySink(Clock())
    simulate(settings, options, clock=sink.clock, sleep=sink.clock.sleep, console=console(), sink=sink)
    return [message for _, message in sink.received]


def test_only_the_speed_of_a_feed_may_change(tmp_path: Path) -> None:
    options: dict[str, Any] = {"events": 10, "journal": tmp_path / "journal.json"}
    started = Options(days=0.1, speed=1.0, **options)
    Journal(started.journal or tmp_path, started.identity, NOW, 10).count(0)
    with pytest.raises(SimulatorError, match=r"only the speed may change"):
        run(MemorySink(Clock()), days=0.2, speed=60.0, **options)
    with pytest.raises(SimulatorError, match=r"only the speed may change"):
        run(MemorySink(Clock()), days=0.1, rate=60.0, **options)


def test_two_runs_into_files_give_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path in files:
        simulate(Settings(), Options(days=0.2, to_file=path), clock=Clock(), sleep=Clock().sleep, console=console())
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_clean_file_is_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    options = Options(days=0.2, dirty=0.0, format="reference", to_file=path)
    summary = simulate(Settings(), options, clock=Clock(), sleep=Clock().sleep, console=console())
    lines = path.read_bytes().splitlines()
    assert len(lines) == summary.sent
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_a_terminal_gets_a_bar_and_a_log_file_a_line_every_ten_seconds() -> None:
    terminal = console(terminal=True)
    run(MemorySink(Clock()), screen=terminal, days=0.1)
    assert isinstance(terminal.file, io.StringIO)
    assert "100%" in terminal.file.getvalue()
    log = console()
    run(MemorySink(Clock()), screen=log, rate=100.0, events=4000)  # 40 seconds
    assert isinstance(log.file, io.StringIO)
    assert 3 <= len(log.file.getvalue().splitlines()) <= 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 5.0, "speed": 2.0}, "exclude each other"),
        ({"rate": 0.0}, "--rate must be above 0"),
        ({"events": -1}, "--events must be above 0"),
        ({"days": -1.0}, "--days must not be below 0"),
        ({"dirty": 5.0}, "--dirty is a fraction"),
        ({"format": "hl7"}, "--format must be one of reference, lifecycle"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SimulatorError, match=message):
        Options(**options)


def test_a_bad_department_list_is_refused() -> None:
    with pytest.raises(SimulatorError, match="PATIENT_FLOW_DEPARTMENTS"):
        simulate(Settings(departments="nowhere.csv"), Options(), console=console(), sink=MemorySink(Clock()))
