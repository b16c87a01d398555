"""The access log: one line per view of patient data, in chains that show tampering.

Each process writes a chain: numbered lines, each with the hash of the line before and an HMAC over its own content. A
chain begins with the heads (newest lines) of all chains and writes the heads that moved once an hour, so neither a
chain nor its end can disappear unnoticed. Retention deletes the oldest lines of every chain and leaves anchors, which
name the last line that it deleted.

Not here: the table (``stores.warehouse.access_log``), and who writes when (``dashboard.access_log``).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from patient_flow.wording import plural

MAX_VIEWER, MAX_WHAT, MAX_SCOPE, MAX_NAME = 256, 1000, 1000, 64
"""Lengths of the columns, in characters; of kind, request, chain and hashes ``MAX_NAME``."""
HEARTBEAT = timedelta(hours=1)
"""How often a process writes the heads."""
RETENTION_CHAIN = "retention"
"""The one chain that outlives its process: each pruning continues it."""
MAX_FINDINGS = 50
_DIGITS_IN_HEADS = 32
"""Of a hash's 64 digits: 128 bits are enough to recognise it."""


class Kind(StrEnum):
    """What a line records. The last three describe the log itself."""

    PAGE = "page"
    REFRESH = "refresh"
    EXPORT = "export"
    PATIENTS = "patients"
    HEADS = "heads"
    ANCHORS = "anchors"
    END = "end"


VIEWS = (Kind.PAGE, Kind.REFRESH, Kind.EXPORT, Kind.PATIENTS)
"""Kinds of lines about a viewer."""


@dataclass(frozen=True)
class Entry:
    """The content of a line. No field may contain a patient."""

    at: datetime
    viewer: str
    what: str
    scope: str
    kind: str
    request_id: str = ""


@dataclass(frozen=True)
class Head:
    """The line ``number`` of a chain, by its hash; of a chain without lines 0 and an empty hash."""

    chain: str
    number: int = 0
    hash: str = ""


@dataclass(frozen=True)
class Line:
    """An entry at its place in a chain; ``hash`` is the HMAC of everything else."""

    entry: Entry
    chain: str
    number: int
    previous_hash: str
    hash: str = ""

    @property
    def head(self) -> Head:
        """The head of the chain that ends here."""
        return Head(self.chain, self.number, self.hash)

    def signature(self, key: str) -> str:
        """HMAC-SHA256 of entry and place."""
        entry = self.entry
        at = entry.at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        signed = json.dumps(
            [
                *(at, entry.viewer, entry.what, entry.scope, entry.kind, entry.request_id),
                *(self.chain, self.number, self.previous_hash),
            ]
        )
        return hmac.new(key.encode(), signed.encode(), hashlib.sha256).hexdigest()


def continued(key: str, head: Head, entries: Iterable[Entry]) -> list[Line]:
    """``entries`` as the lines that follow ``head``."""
    lines: list[Line] = []
    for entry in entries:
        line = Line(entry, head.chain, head.number + 1, head.hash)
        lines.append(replace(line, hash=line.signature(key)))
        head = lines[-1].head
    return lines


def head_entries(kind: Kind, heads: Iterable[Head], at: datetime) -> list[Entry]:
    """``heads`` in as many entries as they need; one without heads where there are none."""
    texts = [""]
    for head in heads:
        text = f"{head.chain}:{head.number}:{head.hash[:_DIGITS_IN_HEADS]}"
        if len(texts[-1]) + 1 + len(text) > MAX_WHAT:
            texts.append(text)
        else:
            texts[-1] = f"{texts[-1]} {text}".lstrip()
    return [Entry(at, "", text, "", kind) for text in texts]


def _heads_in(line: Line) -> Iterator[Head]:
    for text in line.entry.what.split():
        chain, number, digits = text.split(":")
        yield Head(chain, int(number), digits)


@dataclass(frozen=True)
class Review:
    """The result of reading a whole log. ``findings`` are signs of tampering, a sentence each."""

    findings: Sequence[str]
    lines: int
    views: Mapping[tuple[str, str], int]
    """Lines per UTC date and kind, of views of patient data only."""
    heads: Sequence[Head]
    unfinished: Sequence[str]
    """Chains without an end that have been silent for two heartbeats: a process was killed, or the end was cut off."""

    @property
    def fingerprint(self) -> str:
        """One text for all heads: two reviews with the same one have read the same log."""
        heads = sorted(f"{head.chain}:{head.number}:{head.hash}" for head in self.heads)
        return hashlib.sha256(" ".join(heads).encode()).hexdigest()[:_DIGITS_IN_HEADS]

    @property
    def summary(self) -> str:
        """What a log without findings holds: a sentence without a full stop."""
        chains = plural(len(self.heads), "chain")
        intact = plural(self.lines, f"line in {chains} is intact", f"lines in {chains} are intact")
        return f"{intact}; fingerprint {self.fingerprint}"


class LogReader:
    """Reads a log, line by line in the order of chain and number.

    With ``keep_since`` it also finds which lines retention deletes: of each chain those before its first recent one.
    """

    def __init__(self, key: str, now: datetime, keep_since: datetime | None = None) -> None:
        self._key = key
        self._now = now
        self._keep_since = keep_since
        self._findings: list[str] = []
        self._valid = 0
        self._views: Counter[tuple[str, str]] = Counter()
        self._first: dict[str, Line] = {}
        self._last: dict[str, Line] = {}
        self._hashes: dict[tuple[str, int], str] = {}
        self._mentions: list[tuple[Line, Head]] = []
        self._anchors: dict[str, Head] = {}
        self._expired: dict[str, Head] = {}

    def read(self, lines: Iterable[Line]) -> Review:
        """Reads all ``lines``."""
        previous: Line | None = None
        for line in lines:
            self._verify(line)
            if previous is None or previous.chain != line.chain:
                self._first[line.chain] = line
            else:
                self._compare(previous, line)
            self._remember(line)
            previous = line
        for line in self._first.values():
            self._check_beginning(line)
        for line, head in self._mentions:
            self._check_mention(line, head)
        return self._review()

    @property
    def expired(self) -> list[Head]:
        """Per chain the last line that retention deletes. Of its own chain that is all: the next anchors replace it."""
        own = self._last.get(RETENTION_CHAIN)
        expired = self._expired | ({RETENTION_CHAIN: own.head} if own else {})
        return list(expired.values()) if self._expired else []

    @property
    def anchors(self) -> list[Head]:
        """The anchors that the log needs once those lines are deleted.

        A chain without lines keeps its anchor while a line names it, and at least until the next pruning: a process
        that starts now may be about to name it.
        """
        expired = {head.chain: head for head in self.expired}
        named = {
            head.chain
            for line, head in self._mentions
            if line.entry.kind == Kind.HEADS and not self._is_expired(line, expired)
        }
        kept = {chain for chain, line in self._last.items() if not self._is_expired(line, expired)}
        anchors = self._anchors | expired
        return [head for chain, head in sorted(anchors.items()) if chain in named | kept | set(expired)]

    @staticmethod
    def _is_expired(line: Line, expired: Mapping[str, Head]) -> bool:
        return line.chain in expired and line.number <= expired[line.chain].number

    def _find(self, finding: str) -> None:
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(finding)

    def _verify(self, line: Line) -> None:
        if not hmac.compare_digest(line.signature(self._key), line.hash):
            self._find(f"Line {line.number} of chain {line.chain} was changed, or this system did not write it.")
            return
        self._valid += 1
        if line.entry.kind not in (Kind.HEADS, Kind.ANCHORS):
            return
        for head in _heads_in(line):
            self._mentions.append((line, head))
            if line.entry.kind == Kind.ANCHORS:
                self._anchors[head.chain] = head

    def _compare(self, previous: Line, line: Line) -> None:
        where = f"of chain {line.chain}"
        if line.number == previous.number:
            self._find(f"Line {line.number} {where} exists twice.")
        elif line.number != previous.number + 1:
            self._find(f"Lines {previous.number + 1} to {line.number - 1} {where} are missing.")
        elif line.previous_hash != previous.hash:
            self._find(f"Line {line.number} {where} does not continue the line before it.")

    def _remember(self, line: Line) -> None:
        if line.entry.kind in VIEWS:
            self._views[line.entry.at.date().isoformat(), line.entry.kind] += 1
        is_first_or_expired = self._expired.get(line.chain) == getattr(self._last.get(line.chain), "head", None)
        if self._keep_since is not None and line.entry.at < self._keep_since and is_first_or_expired:
            self._expired[line.chain] = line.head
        self._hashes[line.chain, line.number] = line.hash
        self._last[line.chain] = line

    def _check_beginning(self, line: Line) -> None:
        anchor = self._anchors.get(line.chain, Head(line.chain))
        if line.number <= anchor.number:
            self._find(f"Lines of chain {line.chain} up to {anchor.number}, which retention deleted, are there again.")
        elif line.number != anchor.number + 1:
            self._find(f"Lines {anchor.number + 1} to {line.number - 1} of chain {line.chain} are missing.")
        elif line.previous_hash[:_DIGITS_IN_HEADS] != anchor.hash[:_DIGITS_IN_HEADS]:
            self._find(f"Line {line.number} of chain {line.chain} does not continue the lines that retention deleted.")

    def _check_mention(self, line: Line, head: Head) -> None:
        found = self._hashes.get((head.chain, head.number))
        by = f"line {line.number} of chain {line.chain} names"
        if found is not None and found[:_DIGITS_IN_HEADS] != head.hash:
            self._find(f"Line {head.number} of chain {head.chain} is not the one that {by}.")
        elif found is None and head.number > self._anchors.get(head.chain, Head(head.chain)).number:
            self._find(f"Line {head.number} of chain {head.chain}, which {by}, is missing.")

    def _review(self) -> Review:
        findings = self._findings
        if self._hashes and not self._valid:
            findings = ["No line fits PATIENT_FLOW_ACCESS_LOG_KEY: it is not the key that the lines were written with."]
        silent_since = self._now - 2 * HEARTBEAT
        unfinished = [
            chain
            for chain, line in self._last.items()
            if chain != RETENTION_CHAIN and line.entry.kind != Kind.END and line.entry.at < silent_since
        ]
        heads = [line.head for line in self._last.values()]
        return Review(findings, len(self._hashes), dict(self._views), heads, unfinished)
