"""Rows that left bronze (an import that was undone) or changed in it (a person who was erased).

What they kept out of silver is judged again. Silver rows of a file only ever give way to other rows of files or to the
hub, so what such a row kept out is an imported row too: it is in ``silver/ignored``, or, while that has not followed
silver, only in bronze. What an event of the hub kept out is in quarantine or in ``silver/ignored``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from patient_flow.contracts.events import NO_HUB
from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES, IGNORED, SILVER_EVENTS
from patient_flow.pipeline import received
from patient_flow.pipeline.checkpoints import consumed
from patient_flow.pipeline.incremental import is_one_of
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.accept import candidates, imported, imported_snapshots, validate
from patient_flow.transforms.read import ParserConfig, read_events

c = pl.col

_KEYS = (*COORDINATES, "event_key", "visit_hash")


@dataclass(frozen=True)
class Withdrawal:
    """What withdrawn rows leave behind.

    ``touched`` are silver rows of their identities and visits, themselves among them; ``contenders`` compete for their
    places: the other touched rows, without the time of an import where they are the hub's, and the rows of other
    files that they had kept out.
    """

    touched: pl.DataFrame
    contenders: pl.DataFrame


def follows(ignored: LakeTable, silver: LakeTable, bronze: LakeTable) -> bool:
    """True when ``silver/ignored`` has what silver, as it is now, does not hold."""
    reached = consumed(silver, bronze)
    return reached is not None and consumed(ignored, silver) == silver.version and consumed(ignored, bronze) == reached


def keys_of(rows: pl.DataFrame, silver: LakeTable, parser: ParserConfig) -> pl.DataFrame:
    """Coordinates, event_key and visit_hash of bronze ``rows``, as they are read now and as silver holds them."""
    read = candidates(validate(read_events(rows, parser)), parser.secret)
    held = received.at_coordinates(silver, rows, _KEYS)
    without = rows.select(COORDINATES).with_columns(event_key=pl.lit(None, pl.Int64), visit_hash=pl.lit(None, pl.Int64))
    return pl.concat([read.select(_KEYS), held, without])


def vanished(lake: Lake, bronze: LakeTable) -> pl.DataFrame:
    """The same of all rows of files that silver or ``silver/ignored`` still hold and bronze does not."""
    of_files = c("hub_created_at") == NO_HUB
    there = bronze.scan().filter(of_files).select(COORDINATES)
    found = [
        lake.open(table).scan().filter(of_files).select(_KEYS).join(there, on=COORDINATES, how="anti").collect()
        for table in (SILVER_EVENTS, IGNORED)
    ]
    return pl.concat(found)


def withdraw(
    silver: LakeTable,
    bronze: LakeTable,
    losers: tuple[LakeTable | None, LakeTable],
    gone: pl.DataFrame,
    parser: ParserConfig,
) -> Withdrawal:
    """What the rows ``gone`` (coordinates, event_key, visit_hash) leave behind.

    ``losers`` are ignored and quarantine. The first is None where it has not followed silver: all rows of files are
    then read again.
    """
    ignored, quarantine = losers
    keys, visits = gone["event_key"].drop_nulls(), gone["visit_hash"].drop_nulls()
    concerned = is_one_of("event_key", keys) | is_one_of("visit_hash", visits)
    competes = is_one_of("event_key", keys) | (imported_snapshots() & is_one_of("visit_hash", visits))
    own = received.at_coordinates(silver, gone)
    touched = pl.concat([silver.scan().filter(competes).collect(), own]).unique(silver.table.key)
    left = touched.join(gone, on=COORDINATES, how="anti").with_columns(
        imported_at=pl.when(imported()).then("imported_at")
    )
    again = [
        candidates(validate(read_events(rows, parser)), parser.secret).filter(concerned)
        for rows in _of_files(bronze, ignored, concerned)
    ]
    of_hub = _of_hub(bronze, [table for table in (ignored, quarantine) if table is not None], keys, gone)
    again.append(candidates(validate(read_events(of_hub, parser)), parser.secret).filter(is_one_of("event_key", keys)))
    return Withdrawal(touched, pl.concat([left, *again]))


def _of_hub(bronze: LakeTable, tables: list[LakeTable], keys: pl.Series, gone: pl.DataFrame) -> pl.DataFrame:
    """Bronze rows of the hub that lost their identity to one of ``gone``."""
    lost = [
        table.scan().filter(c("hub_created_at") > NO_HUB, is_one_of("event_key", keys)).select(COORDINATES).collect()
        for table in tables
    ]
    return received.fetch(bronze, pl.concat(lost).unique().join(gone, on=COORDINATES, how="anti"))


def _of_files(bronze: LakeTable, ignored: LakeTable | None, concerned: pl.Expr) -> Iterable[pl.DataFrame]:
    of_files = c("hub_created_at") == NO_HUB
    if ignored is None:
        return (rows.filter(of_files) for rows in received.all_rows(bronze, bronze.version))
    losers = ignored.scan().filter(of_files, concerned).select(COORDINATES).unique().collect()
    if losers.is_empty():
        return [BRONZE_EVENTS.empty().select(received.BODY_COLUMNS)]
    return (received.fetch(bronze, part) for part in losers.iter_slices(received.ROWS_AT_ONCE))
