"""How far a feed went, on disk: started again with the same journal, the hospital lives on where it stopped.

A feed is a function of its plan, so the beginning and a number of messages say everything. Messages that were
acknowledged but not yet counted when the process died are sent again, as a producer's retry would.
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
    """A feed that began at ``began`` (microseconds since 1970) and of which ``sent`` messages were acknowledged."""

    path: Path
    identity: str
    began: int
    sent: int = 0

    @classmethod
    def open(cls, path: Path, identity: str, now: int) -> Journal:
        """The journal at ``path``, or a new one that begins now.

        Raises :class:`SimulatorError` when the file is of another feed or no journal.
        """
        if not path.exists():
            return cls(path, identity, now)
        try:
            kept = json.loads(path.read_text())
            journal = cls(path, str(kept["identity"]), int(kept["began"]), int(kept["sent"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SimulatorError(f"{path} is no simulator journal ({error}); delete it or name another") from error
        if journal.identity != identity:
            raise SimulatorError(
                f"{path} belongs to a feed with {journal.identity}, not {identity}; "
                "use the same options, or delete it to start a new hospital"
            )
        return journal

    def count(self, messages: int) -> None:
        """Remembers that so many more messages were acknowledged."""
        self.sent += messages
        written = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(json.dumps({"identity": self.identity, "began": self.began, "sent": self.sent}))
            written.replace(self.path)
        except OSError as error:
            raise SimulatorError(f"cannot write {self.path}: {error.strerror or error}") from error


class JournaledSink:
    """A sink that notes in a journal what another one sent."""

    def __init__(self, sink: Sink, journal: Journal) -> None:
        self._sink = sink
        self._journal = journal

    def send(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Send, then count: the acknowledged groups come in no particular order, so only all of them are a prefix."""
        yield from self._sink.send(messages)
        if messages:
            self._journal.count(len(messages))

    def close(self) -> None:
        """Close the other sink."""
        self._sink.close()
