"""What an erasure found and did: nothing in it names the person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime

from patient_flow.wording import plural

SHOWN = 20


@dataclass
class Receipt:
    """The receipt of one erasure; counts are of rows.

    ``other_scopes`` are those under which the number is somebody else's, who stays. ``found`` are rows of bronze by
    what they were; ``removed`` rows by table; ``changed_days`` the local dates by table on which counts are others now;
    ``deleted_files`` files by table; ``remaining`` what is still to be done. Rows that stay as they are, by
    coordinates: ``unopened`` could be opened by nothing, ``mentions`` name a number outside of identifier
    fields, ``unseparated`` hold others whose events would change.
    """

    erased_at: datetime
    numbers: int = 0
    other_scopes: list[str] = field(default_factory=list)
    is_dry_run: bool = False
    found: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    changed_days: dict[str, list[str]] = field(default_factory=dict)
    unopened: list[dict[str, str]] = field(default_factory=list)
    mentions: list[dict[str, str]] = field(default_factory=list)
    unseparated: list[dict[str, str]] = field(default_factory=list)
    deleted_files: dict[str, int] = field(default_factory=dict)
    remaining: list[str] = field(default_factory=list)
    request: str = ""
    """Keyed hash of what the operator asked for: the same again resumes."""
    versions: dict[str, int] = field(default_factory=dict)
    """Of each table before: the days are those that changed since."""

    def to_json(self) -> str:
        """The receipt as JSON."""
        stated = asdict(self)
        del stated["request"], stated["versions"]
        return json.dumps({**stated, "erased_at": self.erased_at.isoformat()}, indent=2)

    def to_state(self) -> str:
        """All of it, to resume from."""
        return json.dumps({**asdict(self), "erased_at": self.erased_at.isoformat()})

    @classmethod
    def of_state(cls, text: str) -> Receipt:
        """The receipt that :meth:`to_state` wrote."""
        stored = json.loads(text)
        return cls(**{**stored, "erased_at": datetime.fromisoformat(stored["erased_at"])})

    def resume(self, earlier: Receipt) -> None:
        """Goes on from an attempt that was interrupted: what it had found it may have removed already."""
        self.versions, self.numbers = earlier.versions, max(self.numbers, earlier.numbers)
        for name, rows in earlier.found.items():
            self.found[name] = max(self.found.get(name, 0), rows)
        self.removed, self.changed_days = dict(earlier.removed), dict(earlier.changed_days)

    def lines(self) -> Iterator[str]:
        """The receipt as lines of text."""
        done, verb = ("would be erased", "touched") if self.is_dry_run else ("is erased", "erased")
        before = f"everything before {self.erased_at:%Y-%m-%d %H:%M:%S} UTC"
        yield f"one person, {plural(self.numbers, 'number')}: {before} {done}"
        if self.other_scopes:
            yield f"the number is also known under {', '.join(self.other_scopes)}: nothing of that is {verb}"
        for name, rows in self.found.items():
            yield f"found in bronze, {name}: {rows:,}"
        if not self.found:
            yield "found in bronze: nothing"
        for table, rows in self.removed.items():
            yield f"{table}: {plural(rows, 'row')} removed or changed"
        for table, days in self.changed_days.items():
            yield f"{table}: counts changed on {plural(len(days), 'day')}: {_some(days)}"
        for table, files in self.deleted_files.items():
            yield f"{table}: {plural(files, 'file')} of the history deleted"
        for what, staying in (
            ("could be opened by nothing", self.unopened),
            ("name the number in another field", self.mentions),
            ("hold others who cannot be separated", self.unseparated),
        ):
            if staying:
                named = [f"{row['partition_id']}/{row['sequence_number']}" for row in staying]
                yield f"rows that {what}, and stay: {len(staying)} (partition/number: {_some(named)})"
        yield from (f"still to do: {text}" for text in self.remaining)


def _some(texts: list[str]) -> str:
    more = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {more} more" if more > 0 else "")
