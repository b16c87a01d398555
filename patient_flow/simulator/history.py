"""The history of a feed as files for ``patient-flow import``: the last days first, so that a page soon shows them.

A visit is in one file: in the first one those that are open or ended in the last days. So this file alone gives true
beds for these days. The second one has visit after visit, the newest first: whatever part of it is there gives no
patient a bed for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from .demand import DAY
from .feed import Message
from .sending import SimulatorError

RECENT_DAYS = 3
RECENT, OLDER = "1-recent.jsonl", "2-older.jsonl"
"""Names of the files, in the order of their import."""


def split(messages: Iterable[Message], now: int) -> tuple[list[Message], Iterator[Message]]:
    """The messages before the first that is due after ``now``, and the rest.

    A late delivery of a historic event may be in the rest.
    """
    rest = iter(messages)
    history: list[Message] = []
    for message in rest:
        if message.due > now:
            return history, chain([message], rest)
        history.append(message)
    return history, rest


def write(history: list[Message], folder: Path, now: int) -> None:
    """Writes the files to ``folder``. Raises :class:`SimulatorError` where that cannot be."""
    since = now - RECENT_DAYS * DAY
    ended_at = {message.visit_id: message.at for message in history if message.event_type == "discharge"}
    reopened = {message.visit_id for message in history if message.event_type == "cancel_discharge"}
    for visit in reopened:
        ended_at[visit] = now
    files: dict[str, list[Message]] = {RECENT: [], OLDER: []}
    for message in history:
        files[RECENT if ended_at.get(message.visit_id, now) >= since else OLDER].append(message)
    files[OLDER].sort(key=lambda message: (-ended_at[message.visit_id], message.visit_id))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, messages in files.items():
            written = folder / f"{name}.new"
            with written.open("wb") as file:
                file.writelines(message.body + b"\n" for message in messages)
            written.replace(folder / name)
    except OSError as error:
        raise SimulatorError(f"cannot write to {folder}: {error.strerror or error}") from error
