"""The position of a feed on disk: a restart with the same journal resumes where the last run stopped.

A feed is a function of its plan, so its start and the number of sent messages define the position. Messages that were
acknowledged but not yet counted when the process died are sent again, as by a producer's retry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .feed import Message
from .sending import SimulatorError, Sink


@dataclass
class Journal:
    """A feed that started at ``started_at`` (microseconds since 1970), with ``sent`` acknowledged messages."""

    path: Path
    identity: str
    started_at: int
    sent: int = 0

    @classmethod
    def open(cls, path: Path, identity: str, now: int) -> Journal:
        """The journal at ``path``, or a new one that starts now.

        Raises :class:`SimulatorError` when the file belongs to another feed or is not a journal.
        """
        if not path.exists():
            return cls(path, identity, now)
        try:
            stored = json.loads(path.read_text())
            journal = cls(path, str(stored["identity"]), int(stored["began"]), int(stored["sent"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SimulatorError(
                f"{path} is not a simulator journal ({error}); delete it or choose another file"
            ) from error
        if journal.identity != identity:
            raise SimulatorError(
                f"{path} belongs to a feed with {journal.identity}, not {identity}; "
                "use the same options, or delete it to start a new hospital"
            )
        return journal

    def count(self, messages: int) -> None:
        """Add acknowledged messages and write the file."""
        self.sent += messages
        written = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(json.dumps({"identity": self.identity, "began": self.started_at, "sent": self.sent}))
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
            self._journal.count(len(messages))

    def close(self) -> None:
        """Close the other sink."""
        self._sink.close()
