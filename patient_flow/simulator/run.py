"""The ``patient-flow simulate`` command: validates options, sends the feed to a sink and summarises the result.

Not here: the command line itself, and anything that needs neither a clock nor a hub.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

from rich.console import Console

from patient_flow.contracts.departments import DepartmentListError
from patient_flow.wording import plural

from ..settings import Settings
from . import departments, history
from .demand import DAY, SECOND
from .events import Format
from .feed import Message, Pace, Plan, messages
from .journal import Journal, JournaledSink
from .progress import SendProgress
from .sending import FileSink, SimulatorError, Sink, hub_sink, pump


@dataclass(frozen=True)
class Options:
    """Options of the command line; raises :class:`SimulatorError` for invalid values.

    seed: the same seed at the same start gives the same events.
    events: stop after this many events; None: at the end of the back-fill, or never.
    rate: events per second; simulated time runs as fast as this requires (see ``feed.Timeline``).
    speed: simulated seconds per second; 1 (the default of a live feed) follows the real clock.
    days: send a history of this many days first, as fast as possible. Then stop, unless rate or speed is given. The
        first events are older: the admissions of the patients who are in a bed when the history starts.
    dirty: fraction of events that are corrupted.
    to_file: write the bodies to this file, one per line, at the same pace, instead of sending them.
    journal: record the position of the feed in this file, and resume from it, also at another speed.
    history_to: write the history to files in this folder instead of sending it (``history``), then go on live.
    spares_moves: corruptions leave it right who is in which bed.
    demand: arrivals relative to those of a busy network, whose departments are often full.
    reserve: share of beds that departments keep free of planned patients.
    """

    seed: int = 7
    events: int | None = None
    rate: float | None = None
    speed: float | None = None
    days: float = 0.0
    dirty: float = 0.05
    format: Format = "lifecycle"
    to_file: Path | None = None
    journal: Path | None = None
    history_to: Path | None = None
    spares_moves: bool = False
    demand: float = 1.0
    reserve: float = 0.0

    def __post_init__(self) -> None:
        if self.rate is not None and self.speed is not None:
            raise SimulatorError("--rate and --speed exclude each other: both set the speed of the simulation")
        for name, value in (
            ("events", self.events),
            ("rate", self.rate),
            ("speed", self.speed),
            ("demand", self.demand),
        ):
            if value is not None and value <= 0:
                raise SimulatorError(f"--{name} must be above 0; it is {value}")
        if self.days < 0:
            raise SimulatorError(f"--days must not be below 0; it is {self.days}")
        if not 0 <= self.reserve < 1:
            raise SimulatorError(f"--reserve is a fraction from 0 to 1; it is {self.reserve}")
        if not 0 <= self.dirty <= 1:
            raise SimulatorError(f"--dirty is a fraction from 0 to 1; it is {self.dirty}")
        if self.format not in get_args(Format):
            raise SimulatorError(f"--format must be one of {', '.join(get_args(Format))}; it is {self.format}")

    @property
    def identity(self) -> str:
        """The options that define the feed, besides its start."""
        pace = f"rate {self.rate:g}" if self.rate else f"speed {self.speed or 1:g}"
        spared = ", moves spared" if self.spares_moves else ""
        demand = f", demand {self.demand:g}" if self.demand != 1 else ""
        reserve = f", free beds {self.reserve:g}" if self.reserve else ""
        feed = f"seed {self.seed}, {self.days:g} days, {self.format}, dirty {self.dirty:g}, {pace}"
        return f"{feed}{spared}{demand}{reserve}"

    @property
    def is_live(self) -> bool:
        """True when the feed continues after the history."""
        return not self.days or self.rate is not None or self.speed is not None


@dataclass(frozen=True)
class Summary:
    """Acknowledged events by type, corrupted deliveries by kind, and the duration in seconds."""

    by_type: Counter[str]
    by_corruption: Counter[str]
    seconds: float

    @property
    def sent(self) -> int:
        """All events."""
        return self.by_type.total()

    def __str__(self) -> str:
        types = ", ".join(f"{name} {number:,}" for name, number in self.by_type.most_common())
        speed = self.sent / self.seconds if self.seconds else 0.0
        lines = [f"sent {plural(self.sent, 'event')} in {self.seconds:,.1f} s ({speed:,.1f} per second)"]
        if types:
            lines.append(f"by type: {types}")
        if self.by_corruption:
            deliveries = plural(self.by_corruption.total(), "delivery", "deliveries")
            lines.append(f"corrupted on purpose: {deliveries} of {plural(len(self.by_corruption), 'kind')}")
        return "\n".join(lines)


def plan(settings: Settings, options: Options, now: int, paces: Sequence[Pace] = ()) -> Plan:
    """The plan of a feed whose sending starts at ``now`` (microseconds since 1970); ``paces`` as in a journal."""
    try:
        network = departments.load(settings.departments)
    except DepartmentListError as error:
        raise SimulatorError(f"PATIENT_FLOW_DEPARTMENTS: {error}") from error
    return Plan(
        seed=options.seed,
        start=now - int(options.days * DAY),
        now=now,
        departments=network,
        zone=ZoneInfo(settings.timezone),
        format=options.format,
        dirty=options.dirty,
        speed=paces[0].speed if paces else options.speed or 1.0,
        rate=options.rate,
        ends_now=not options.is_live,
        spares_moves=options.spares_moves,
        demand=options.demand,
        reserve=options.reserve,
        changes=tuple(paces[1:]),
    )


def destination(settings: Settings, options: Options) -> str:
    """Where the events go, without secrets."""
    if options.to_file:
        return f"the file {options.to_file}"
    port = f":{settings.hub_port}" if settings.eventhub_connection else ""
    return f"Event Hub {settings.eventhub_name} at {settings.hub_host}{port}"


def simulate(
    settings: Settings,
    options: Options,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    console: Console | None = None,
    sink: Sink | None = None,
) -> Summary:
    """Send the feed until it ends or is interrupted; returns a summary of the acknowledged events.

    Raises :class:`SimulatorError` with a message for the operator.
    """
    console = console or Console(stderr=True)
    started_at = clock()
    now = int(started_at * SECOND)
    journal = Journal.open(options.journal, options.identity, now) if options.journal else None
    feed_plan = plan(settings, options, *((journal.started_at, journal.paces) if journal else (now,)))
    report = partial(console.print, markup=False, highlight=False)
    if sink is None:
        sink = FileSink(options.to_file) if options.to_file else hub_sink(settings, sleep=sleep, report=report)
    if journal:
        sink = JournaledSink(sink, journal)
    until = None if options.is_live else feed_plan.now
    progress = SendProgress(console, clock, begins=feed_plan.start, until=until, events=options.events)
    with closing(sink), progress:
        try:
            sent = journal.sent if journal else 0
            unsent: Iterator[Message] = islice(messages(feed_plan), sent, None)
            if options.history_to and not sent:
                if journal:
                    journal.count(0)  # the feed has begun: killed here, the next start writes the same files
                past, unsent = history.split(unsent, feed_plan.now)
                history.write(past, options.history_to, feed_plan.now)
                if journal:
                    journal.count(len(past))
                report(f"{plural(len(past), 'event')} of history written to {options.history_to}")
                del past
            feed = islice(unsent, options.events)
            pump(feed, sink, clock=clock, sleep=sleep, acknowledged=progress.add)
        except KeyboardInterrupt:
            report("interrupted")
    return Summary(progress.by_type, progress.by_corruption, clock() - started_at)
