"""The phases of an erasure, in order; each may be repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from patient_flow.contracts import tables
from patient_flow.contracts.erasure import ERASED_NUMBERS
from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.pipeline import graph
from patient_flow.pipeline.erased import key_of, remembered
from patient_flow.pipeline.erasure.finish import clear_hub, delete_history, follow, replace_bodies
from patient_flow.pipeline.erasure.receipt import Receipt
from patient_flow.pipeline.erasure.search import Found, Person, find_person, find_rows, find_unopened
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import ChangeFeedExpired
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms import calendar
from patient_flow.transforms.erasure import Erasures
from patient_flow.wording import plural

c = pl.col

_COUNTED = {
    tables.KPI_DEPARTMENT_DAY: c("date"),
    tables.DATA_QUALITY_DAY: c("date"),
    tables.FACT_BED_CENSUS: calendar.hour_start(c("time_key")).dt.date(),
}
"""Tables with counts → their days; those of hours are in UTC."""
_SET_ASIDE = "_damaged"


@dataclass(frozen=True)
class Erasure:
    """One erasure. ``log`` takes a line for each phase; ``now`` is its instant, unless it resumes an earlier one."""

    context: StepContext
    warehouse: Warehouse
    number: str
    scope: str | None
    log: Callable[[str], None]

    @property
    def lake(self) -> Lake:
        """The lake."""
        return self.context.lake

    def preview(self) -> Receipt:
        """What :meth:`run` would find; changes nothing."""
        with self.lake.writing():
            person = self._person()
            receipt = self._receipt(self._found(person, self.context.now), person, self.context.now)
            receipt.unopened = _coordinates(find_unopened(self.lake))
        receipt.is_dry_run = True
        return receipt

    def run(self) -> Receipt:
        """Erases the person; returns the receipt.

        Raises ``ScopeRequired`` for a number of several persons, and ``ErasureKeyRefused`` for another key.
        """
        with self.lake.alone(lambda: self.log("waiting until no other writer is active")):
            earlier = self._unfinished()
            follow(self.context, self.warehouse)
            person = self._person()
            erased_at = self.context.now if earlier is None else earlier.erased_at
            found = self._found(person, erased_at)
            receipt = self._receipt(found, person, erased_at)
            if earlier is None:
                receipt.versions = {step.table.path: self.lake.open(step.table).version for step in graph.STEPS}
            else:
                self.log("going on with an erasure that was interrupted")
                receipt.resume(earlier)
            self._remember(person, receipt)
            replace_bodies(self.context, found.rows)
            loaded = follow(self.context, self.warehouse, is_sealed=True)
            self._compare(receipt)
            receipt.removed |= {f"warehouse {name}": rows for name, rows in loaded.items()}
            receipt.unopened = _coordinates(find_unopened(self.lake))
            self._remember(person, receipt)
            self.log("deleting old versions, change feeds and logs")
            receipt.deleted_files, receipt.remaining = delete_history(self.context, self.warehouse)
            receipt.remaining += clear_hub(self.context, erased_at)
            self._remember(person, receipt, finished_at=self.context.now)
        return receipt

    # --- finding

    def _person(self) -> Person:
        self.log("searching for the number")
        return find_person(self.lake, self.context.parser, self.number, self.scope)

    def _found(self, person: Person, erased_at: datetime) -> Found:
        total, tenths = self.lake.open(BRONZE_EVENTS).row_count(), 0

        def progress(read: int) -> None:
            nonlocal tenths
            if read * 10 // max(total, 1) > tenths:
                tenths = read * 10 // max(total, 1)
                self.log(f"read {read:,} of {plural(total, 'event')}")

        return find_rows(self.lake, self.context.parser, person, erased_at, progress)

    def _hashed(self, numbers: Iterable[str]) -> list[str]:
        key = self.context.parser.erasure_key
        return sorted(Erasures(key=key).hashes(pl.Series(sorted(numbers), dtype=pl.String())))

    def _request(self) -> str:
        return self._hashed([json.dumps([self.number, self.scope])])[0]

    def _remembered(self) -> pl.DataFrame:
        if not self.lake.exists(ERASED_NUMBERS):
            return ERASED_NUMBERS.empty()
        return remembered(self.lake, self.context.parser.erasure_key)

    def _unfinished(self) -> Receipt | None:
        """The receipt so far of the same erasure, where it was interrupted."""
        states = self._remembered().filter(c("finished_at").is_null()).sort("erased_at")["state"].drop_nulls()
        request = self._request()
        known = [receipt for text in states if (receipt := Receipt.of_state(text)).request == request]
        return known[-1] if known else None

    def _receipt(self, found: Found, person: Person, erased_at: datetime) -> Receipt:
        is_changed = c("new_body").ne_missing(c("body"))
        counts = {
            "events that are the person's": found.rows.filter("whole").height,
            "events of others, or of several persons": found.rows.filter(~c("whole"), is_changed).height,
            "keys or properties of other events": found.rows.filter(~c("whole"), ~is_changed).height,
        }
        return Receipt(
            erased_at,
            len(person.numbers),
            other_scopes=list(person.other_scopes),
            found={name: rows for name, rows in counts.items() if rows},
            mentions=found.mentions,
            unseparated=found.unseparated,
            request=self._request(),
        )

    # --- changing

    def _remember(self, person: Person, receipt: Receipt, finished_at: datetime | None = None) -> None:
        """Records the numbers, and with them how far the erasure is."""
        numbers, known = self.lake.open(ERASED_NUMBERS), self._remembered()
        before = known.filter(c("erased_at") == receipt.erased_at)
        # A person of whom nothing is left to be found was found before the interruption.
        hashes = {
            *before["number_hash"],
            *(self._hashed(person.numbers) if person.is_known or before.is_empty() else ()),
        }
        after = pl.DataFrame(
            {
                "number_hash": sorted(hashes),
                "erased_at": receipt.erased_at,
                "state": None if finished_at else receipt.to_state(),
                "finished_at": finished_at,
            },
            schema=ERASED_NUMBERS.schema,
        )
        numbers.replace(before, after, key_of(numbers, self.context.parser.erasure_key), run_id=self.context.run_id)
        if finished_at:
            numbers.purge()

    def _compare(self, receipt: Receipt) -> None:
        """States how many rows of each table are others than before the erasure, and on which days counts are."""
        for step in graph.STEPS[1:]:
            path, opened = step.table.path, self.lake.open(step.table)
            try:
                moved = opened.changes(receipt.versions.get(path, opened.version))
            except ChangeFeedExpired:  # compared before the interruption
                continue
            if moved.before.height:
                receipt.removed[path] = moved.before.height
            if step.table in _COUNTED and moved.both.height:
                days = moved.both.select(day=_COUNTED[step.table])["day"]
                receipt.changed_days[path] = [str(day) for day in days.unique().sort()]


def _coordinates(rows: pl.DataFrame) -> list[dict[str, str]]:
    return [{name: str(value) for name, value in row.items()} for row in rows.to_dicts()]
