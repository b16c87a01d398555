"""The position of a feed on disk: a restart with the same journal resumes where the last run stopped.

A feed is a function of its plan, so its start, the changes of its speed and the number of sent messages define the
position. Messages that were acknowledged but not yet counted when the process died are sent again, as by a producer's
retry; where the feed is faster than real time, with the later time of the restart.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .feed import Message, Pace
from .sending import SimulatorError, Sink

_SPEED = re.compile(r"\bspeed ([\d.e+-]+)")


@dataclass
class Journal:
    """A feed that started at ``started_at`` (microseconds since 1970), with ``sent`` acknowledged messages.

    ``reached`` is when the last of them was due. ``paces`` are all speeds of the feed, the first one from its start.
    """

    path: Path
    identity: str
    started_at: int
    sent: int = 0
    reached: int = 0
    paces: tuple[Pace, ...] = ()

    @classmethod
    def open(cls, path: Path, identity: str, now: int) -> Journal:
        """The journal at ``path``, or a new one that starts now.

        A feed of another speed goes on at the new one, and one that is faster than real time goes on where it stopped.
        Raises :class:`SimulatorError` when the file belongs to another feed or is not a journal.
        """
        if not path.exists():
            return cls(path, identity, now)
        try:
            stored = json.loads(path.read_text())
            journal = cls(path, str(stored["identity"]), int(stored["began"]), int(stored["sent"]))
            # Earlier versions did not record it; they wrote the file when the last message had been sent.
            journal.reached = int(stored.get("reached", min(now, int(path.stat().st_mtime * 1e6))))
            paces = stored.get("paces", ())
            journal.paces = tuple(Pace(int(since), int(at), float(speed)) for since, at, speed in paces)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SimulatorError(
                f"{path} is not a simulator journal ({error}); delete it or choose another file"
            ) from error
        speed = _SPEED.search(journal.identity)
        if journal.identity != identity or (speed is not None and float(speed[1]) > 1):
            journal._change_speed(identity, now)
        return journal

    def _change_speed(self, identity: str, now: int) -> None:
        """Goes on at the speed of ``identity``, which may be the same, from ``now`` on.

        The hospitals lived on while a feed in real time was stopped, and send that now; faster ones stood still: a
        night would be years.
        """
        before, after = _SPEED.search(self.identity), _SPEED.search(identity)
        if before is None or after is None or _SPEED.sub("", self.identity) != _SPEED.sub("", identity):
            raise SimulatorError(
                f"{self.path} belongs to a feed with {self.identity}, not {identity}; "
                "use the same options (only the speed may change), or delete it to start a new hospital"
            )
        paces = self.paces or (Pace(self.started_at, self.started_at, float(before[1])),)
        last = paces[-1]
        until = now if last.speed <= 1 else max(self.reached, last.since)
        # After all that was due by then: what was sent belongs to the pace before.
        at = last.at + math.ceil((until - last.since + 1) * last.speed)
        self.identity, self.paces = identity, (*paces, Pace(now, at, float(after[1])))
        self.count(0)

    def count(self, messages: int) -> None:
        """Add acknowledged messages and write the file."""
        self.sent += messages
        written = self.path.with_suffix(".new")
        stored = {
            "identity": self.identity,
            "began": self.started_at,
            "sent": self.sent,
            "reached": self.reached,
            "paces": self.paces,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(json.dumps(stored))
            written.replace(self.path)
        except OSError as error:
            raise SimulatorError(f"cannot write {self.path}: {error.strerror or error}") from error


class JournaledSink:
    """A sink that records in a journal what another sink sent."""

    def __init__(self, sink: Sink, journal: Journal) -> None:
        self._sink = sink
        self._journal = journal

    def send(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Send, then count: groups are acknowledged in any order, so only a complete chunk is a prefix of the feed."""
        yield from self._sink.send(messages)
        if messages:
            self._journal.reached = max(self._journal.reached, *(message.due for message in messages))
            self._journal.count(len(messages))

    def close(self) -> None:
        """Close the other sink."""
        self._sink.close()
