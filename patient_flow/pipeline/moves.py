"""Bronze rows whose outcome may be another one than a table of unaccepted events holds, and the table's rows of them.

They follow from the changes of bronze and of the tables that decide before this one.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from patient_flow.contracts.events import NO_HUB
from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES, ERASED, EVENT_COORDINATES
from patient_flow.pipeline import received
from patient_flow.pipeline.checkpoints import consumed, is_replaced
from patient_flow.stores.lake.changes import Changes
from patient_flow.stores.lake.errors import ChangeFeedExpired
from patient_flow.stores.lake.table import LakeTable

FOLLOWED = (*EVENT_COORDINATES, "parts")
COORDINATES_AT_ONCE = 2_000_000
"""Bronze rows whose coordinates are compared at once where all are: limits memory."""
ROWS_KEPT = 500_000
"""Coordinates that :class:`Rest` keeps: limits memory."""
BYTES_KEPT = 32 * 1024 * 1024
"""The same for their bodies."""
c = pl.col


@dataclass(frozen=True)
class Moves:
    """Bronze rows whose outcome may be another one than the table holds, some at once, and the table's rows of them.

    ``taken`` are coordinates of parts of these rows that tables above hold: they cannot be in this one. ``received``
    counts the bronze rows that arrived; bodies of those that are taken are not kept in memory. ``changed`` are
    coordinates of rows that bronze had before, in another form: the number of their parts is not known. Others follow
    unless it ``is_last``.
    """

    entering: list[pl.DataFrame]
    before: pl.DataFrame
    taken: pl.DataFrame
    received: int
    given_up: pl.DataFrame = field(default_factory=lambda: BRONZE_EVENTS.empty().select(COORDINATES))
    changed: pl.DataFrame = field(default_factory=lambda: BRONZE_EVENTS.empty().select(COORDINATES))
    is_last: bool = True

    @property
    def known_parts(self) -> pl.DataFrame:
        """Coordinates of bodies that were read before, and ``known``: how many parts they held then.

        What the tables above hold goes before what this table holds, or a table above gave up.
        """
        sides = [
            side.select(*COORDINATES, known=c("parts").fill_null(1))
            for side in (self.taken, self.before, self.given_up)
            if "parts" in side.columns
        ]
        known = pl.concat(sides).unique(COORDINATES, keep="first", maintain_order=True)
        return known.join(self.changed, on=COORDINATES, how="anti", maintain_order="left")


def find_moves(
    table: LakeTable,
    above: tuple[LakeTable, ...],
    bronze: LakeTable,
    until: int,
    rest: Rest,
    beside: LakeTable | None = None,
) -> Iterator[Moves]:
    """What follows from the changes of the tables ``above`` (the first is silver) and of bronze up to ``until``.

    Where they are no longer kept, from all rows, in parts; ``rest`` is what silver lacks of them.
    Each part may be committed before the next is read: after a death between them all rows are compared again.
    """
    since = [_since(table, source) for source in (bronze, *above)]
    known = [version for version in since if version is not None]
    if len(known) == len(since):
        with contextlib.suppress(ChangeFeedExpired):
            return iter([_since_consumed(table, above, bronze, known, until, beside)])
    return _of_all(table, above, bronze, until, rest)


def _since(table: LakeTable, source: LakeTable) -> int | None:
    """Version of ``source`` that ``table`` has consumed. Erased is empty until the first erasure, and then followed."""
    since = consumed(table, source)
    return 0 if since is None and source.table is ERASED and not is_replaced(table, source) else since


def _since_consumed(
    table: LakeTable,
    above: tuple[LakeTable, ...],
    bronze: LakeTable,
    since: list[int],
    until: int,
    beside: LakeTable | None,
) -> Moves:
    """``since`` are the versions that ``table`` has consumed, of bronze and of the tables ``above``."""
    in_silver = above[0].changes(since[1], (*FOLLOWED, "event_key"))
    others = [source.changes(version, FOLLOWED) for source, version in zip(above[1:], since[2:], strict=True)]
    taken = pl.concat([changes.after.select(FOLLOWED) for changes in (in_silver, *others)])
    before = pl.concat([changes.before.select(FOLLOWED) for changes in (in_silver, *others)])
    given_up = before.join(taken, on=EVENT_COORDINATES, how="anti")
    whole, returned = _whole(taken), taken
    arriving: list[pl.DataFrame] = []
    gone, changed, arrivals = [], [], 0
    for arrival in received.arrived(bronze, since[0], until):
        rows = arrival.rows
        arrivals += rows.height
        if not arrival.gone.is_empty():
            arriving = [earlier.join(arrival.gone, on=COORDINATES, how="anti") for earlier in arriving]
        arriving.append(rows.join(whole, on=COORDINATES, how="anti"))
        returned = returned.join(rows, on=COORDINATES, how="anti")
        gone.append(arrival.gone)
        changed.append(arrival.changed)
    named = _named_otherwise(table, beside, in_silver)
    again = pl.concat([given_up.select(COORDINATES), *named, *changed]).unique()
    entering = [received.fetch(bronze, again), *(rows.join(again, on=COORDINATES, how="anti") for rows in arriving)]
    leaving = pl.concat([again, *gone])
    held = received.at_coordinates(table, pl.concat([leaving, returned.select(COORDINATES)]))
    # A replay that died may have left rows from when these bodies held another number of parts.
    other_number = with_other_number(held, returned).join(again, on=COORDINATES, how="anti")
    entering.append(received.fetch(bronze, other_number))
    is_concerned = pl.concat(
        [
            held.join(pl.concat([leaving, other_number]), on=COORDINATES, how="semi"),
            held.join(returned, on=EVENT_COORDINATES, how="semi"),
        ]
    ).unique(EVENT_COORDINATES)
    return Moves(entering, is_concerned, taken, arrivals, given_up, pl.concat([again.clear(), *changed]))


def _named_otherwise(table: LakeTable, beside: LakeTable | None, in_silver: Changes) -> list[pl.DataFrame]:
    """Coordinates of parts that are known by another name once silver has changed."""
    tables = [either for either in (table, beside) if either is not None and "event_key" in either.table.schema]
    # A part that lost its identity to an event that silver no longer holds has now lost it to another event.
    displaced = in_silver.before.join(in_silver.after, on=EVENT_COORDINATES, how="anti")["event_key"].implode()
    losers = [either.scan().filter(c("event_key").is_in(displaced)) for either in tables]
    # What a file states may be known by another name, once an event takes the identity that it shares.
    entered = in_silver.after.join(in_silver.before, on=EVENT_COORDINATES, how="anti")["event_key"].implode()
    of_files = [
        either.scan().filter(c("hub_created_at") == NO_HUB, c("event_key").is_in(entered)) for either in tables[:1]
    ]
    return [rows.select(COORDINATES).collect() for rows in (*losers, *of_files)]


def with_other_number(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Coordinates of bodies that hold another number of parts in ``rows`` than in ``others``."""
    numbers = others.select(*COORDINATES, other=c("parts").fill_null(1)).unique()
    return (
        rows.join(numbers, on=COORDINATES, how="inner")
        .filter(c("parts").fill_null(1) != c("other"))
        .select(COORDINATES)
        .unique()
    )


def _of_all(
    table: LakeTable, above: tuple[LakeTable, ...], bronze: LakeTable, until: int, rest: Rest
) -> Iterator[Moves]:
    """The rows of the table that remain without a bronze row leave with the last parts."""
    remaining, taken = rest.without(above[1:])
    arrivals, before = bronze.row_count(until), table.as_of(table.version)
    keys = before.scan().select(COORDINATES).join(remaining.lazy(), on=COORDINATES, how="anti").unique()
    gone = keys.collect(engine="streaming")
    entering = rest.bodies_of(remaining)
    leaving = received.fetch_in_parts(before, before.version, gone, tuple(table.table.schema)) if gone.height else ()
    nothing = BRONZE_EVENTS.empty().select(received.BODY_COLUMNS)
    parts = itertools.chain(
        ((rows, received.at_coordinates(before, rows)) for rows in entering), ((nothing, rows) for rows in leaving)
    )
    rows, held = next(parts)
    for following in parts:
        yield Moves([rows], held, taken, arrivals, is_last=False)
        rows, held = following
    yield Moves([rows], held, taken, arrivals)


class Rest:
    """The bronze rows up to a version that are not whole in silver. Where they are few, they are found once.

    All of bronze is compared with silver for it, when they are first asked for.
    """

    def __init__(self, silver: LakeTable, bronze: LakeTable, until: int) -> None:
        self._silver, self._bronze, self._until = silver, bronze, until
        self._few: tuple[pl.DataFrame, pl.DataFrame] | None = None
        self._bodies: pl.DataFrame | None = None

    def without(self, others: tuple[LakeTable, ...]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Coordinates of those that are not whole in one of the ``others``, and of their parts that a table holds."""
        rows, taken = self._coordinates()
        if not others:
            return rows, taken
        remaining, held = [rows.clear()], [taken.clear()]
        for part in _in_parts(self._bronze, self._until):
            of_others = [source.scan().filter(part).select(FOLLOWED).collect(engine="streaming") for source in others]
            of_all = pl.concat([taken.filter(part), *of_others])
            remaining.append(rows.filter(part).join(_whole(of_all), on=COORDINATES, how="anti"))
            held.append(of_all.join(remaining[-1], on=COORDINATES, how="semi"))
        return pl.concat(remaining), pl.concat(held)

    def bodies_of(self, coordinates: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Those of them that have these ``coordinates``, some at once; at least one part."""
        if self._bodies is not None:
            yield self._bodies.join(coordinates, on=COORDINATES, how="semi")
            return
        few: pl.DataFrame | None = None
        for number, part in enumerate(received.fetch_in_parts(self._bronze, self._until, coordinates)):
            is_few = number == 0 and int(part["body"].bin.size().sum()) <= BYTES_KEPT
            few = part if is_few and self._few is not None and part.height == self._few[0].height else None
            yield part
        self._bodies = few

    def _coordinates(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Coordinates of all of them, and of their parts that silver holds."""
        if self._few is not None:
            return self._few
        bronze = self._bronze.at(self._until)
        rows, taken = [BRONZE_EVENTS.empty().select(COORDINATES)], [self._silver.table.empty().select(FOLLOWED)]
        for part in _in_parts(self._bronze, self._until):
            held = self._silver.scan().filter(part).select(FOLLOWED).collect(engine="streaming")
            of_part = bronze.filter(part).select(COORDINATES).join(_whole(held).lazy(), on=COORDINATES, how="anti")
            rows.append(of_part.collect(engine="streaming"))
            taken.append(held.join(rows[-1], on=COORDINATES, how="semi"))
        found = pl.concat(rows), pl.concat(taken)
        if sum(frame.height for frame in found) <= ROWS_KEPT:
            self._few = found
        return found


def _in_parts(bronze: LakeTable, until: int) -> Iterator[pl.Expr]:
    """Conditions that split bronze rows into parts of about :data:`COORDINATES_AT_ONCE`."""
    count = -(-bronze.row_count(until) // COORDINATES_AT_ONCE)
    for number in range(count):
        yield c("sequence_number") % count == number


def _whole(taken: pl.DataFrame) -> pl.DataFrame:
    """Coordinates of the bronze rows of which all parts are ``taken``."""
    if not taken.select((c("parts") > 1).any()).item():
        return taken.select(COORDINATES)
    parts = c("parts").fill_null(1).max()
    return taken.group_by(COORDINATES).agg(is_whole=pl.len() >= parts).filter("is_whole").select(COORDINATES)
