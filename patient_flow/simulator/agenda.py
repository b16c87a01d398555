"""The clock and the event queue of the simulation.

Not here: the steps themselves (``care``, ``hospital``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

Step = Callable[[], None]


class Agenda:
    """Future steps in order of time; ``now`` is the instant of the step that runs, in microseconds since 1970."""

    def __init__(self, start: int) -> None:
        self.now = start
        self._steps: list[tuple[int, int, Step]] = []
        self._added = 0

    def at(self, instant: int, step: Step) -> None:
        """Schedule a step; steps of the same instant run in the order in which they were added."""
        self._added += 1
        heappush(self._steps, (instant, self._added, step))

    def after(self, delay: int, step: Step) -> None:
        """Schedule a step ``delay`` microseconds from now."""
        self.at(self.now + delay, step)

    def run(self) -> Iterator[None]:
        """Run one step per iteration, until none is left."""
        while self._steps:
            self.now, _, step = heappop(self._steps)
            step()
            yield
