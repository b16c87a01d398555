"""Progress output while a feed is sent: a bar on a terminal, a line every few seconds elsewhere.

Not here: the summary at the end (``run``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from patient_flow.wording import plural

from .events import instant
from .feed import Message

# Seconds between two lines where there is no terminal.
LINE_INTERVAL = 10.0


class SendProgress:
    """Counts acknowledged messages and reports progress.

    A feed can end after a number of ``events``, at the instant ``until`` (microseconds since 1970), or never.
    """

    def __init__(
        self, console: Console, clock: Callable[[], float], *, begins: int, until: int | None, events: int | None
    ) -> None:
        self.by_type: Counter[str] = Counter()
        self.by_corruption: Counter[str] = Counter()
        self._console = console
        self._clock = clock
        self._begins, self._until, self._events = begins, until, events
        self._reached = begins
        self._next_line = clock() + LINE_INTERVAL
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("0 events", total=1.0 if until is not None or events else None)

    def __enter__(self) -> SendProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def sent(self) -> int:
        """Messages acknowledged so far."""
        return self.by_type.total()

    def add(self, messages: Sequence[Message]) -> None:
        """Count messages that were acknowledged."""
        if not messages:
            return
        self.by_type.update(message.event_type for message in messages)
        self.by_corruption.update(message.corruption for message in messages if message.corruption)
        self._reached = max(self._reached, max(message.at for message in messages))
        text = f"{plural(self.sent, 'event')}, up to {instant(self._reached):%Y-%m-%d %H:%M} UTC"
        self._bar.update(self._task, description=text, completed=self._share())
        if not self._console.is_terminal and self._clock() >= self._next_line:
            self._next_line = self._clock() + LINE_INTERVAL
            self._console.print(text, highlight=False)

    def _share(self) -> float:
        """Completed share of the feed, from 0 to 1, by whichever end is nearer."""
        shares = [self.sent / self._events] if self._events else []
        if self._until is not None:
            shares.append((self._reached - self._begins) / max(1, self._until - self._begins))
        return min(1.0, max(shares, default=0.0))
