"""From changed bodies in bronze to the end of an erasure: steps, load, and deletion of the history of every table.

Also what comes back later: its body leaves bronze with the next maintenance.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from patient_flow.contracts import tables
from patient_flow.contracts.erasure import ERASED_NUMBERS, MARKER, marker
from patient_flow.contracts.tables import BRONZE_EVENTS, COORDINATES, ERASED, LAKE_TABLES, SILVER_EVENTS, Table
from patient_flow.pipeline import graph, received
from patient_flow.pipeline.checkpoints import SEALED, consumed, consumption, consumption_until
from patient_flow.pipeline.erased import judging_all
from patient_flow.pipeline.erasure.search import READ, WithoutPerson, parts_of, whole_body
from patient_flow.pipeline.hub_probe import peek
from patient_flow.pipeline.load import load_warehouse
from patient_flow.pipeline.maintenance import consumer_behind
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.hub import HubUnavailable
from patient_flow.stores.lake.catalog import EXPORTS, Lake
from patient_flow.stores.lake.leftovers import DAMAGED
from patient_flow.stores.staging import FOLDER as STAGED
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.identifiers.number import Number

_BESIDE = (DAMAGED, STAGED, EXPORTS)
"""Folders beside the tables of a layer, for files that were set aside, staged or exported."""

c = pl.col


def follow(context: StepContext, warehouse: Warehouse, *, is_sealed: bool = False) -> dict[str, int]:
    """Runs every step but the first, and the load; returns the rows deleted per warehouse table.

    With ``is_sealed`` the newest commit of each table is an empty one then: a merge states values of rows in the log.
    """
    if is_sealed:
        _seal(context.lake, BRONZE_EVENTS)
    for step in graph.STEPS[1:]:
        step.run(context)
        if is_sealed:
            _seal(context.lake, step.table)
        if step.table is SILVER_EVENTS:
            _begin_erased(context.lake)
    loaded = load_warehouse(context.lake, warehouse, tables.WAREHOUSE_TABLES, now=context.now, run_id=context.run_id)
    return {result.table.warehouse_name: result.written.deleted for result in loaded.values() if result.written.deleted}


def _begin_erased(lake: Lake) -> None:
    """Before the first erasure nothing is erased: the table need not read all bodies to know that."""
    erased, silver, bronze = (lake.open(table) for table in (ERASED, SILVER_EVENTS, BRONZE_EVENTS))
    until = consumed(silver, bronze)
    if until is not None and consumed(erased, bronze) is None and not lake.exists(ERASED_NUMBERS):
        erased.record({**consumption_until(bronze, until), **consumption(silver)})


def _seal(lake: Lake, table: Table) -> None:
    opened = lake.open(table)
    if SEALED.read(opened.checkpoint) != opened.version:
        opened.record(SEALED.of(opened.version + 1))


def replace_bodies(context: StepContext, rows: pl.DataFrame) -> None:
    """Replaces bodies, keys and properties of bronze rows by their new_body, new_key and new_properties."""
    if rows.is_empty():
        return
    names = BRONZE_EVENTS.schema.names()
    after = rows.with_columns(body="new_body", partition_key="new_key", properties="new_properties").select(names)
    context.lake.open(BRONZE_EVENTS).replace(rows.select(names), after, {}, run_id=context.run_id)


def delete_history(context: StepContext, warehouse: Warehouse) -> tuple[dict[str, int], list[str]]:
    """Deletes all that older versions of the tables left; returns files per table, and what is still to do."""
    lake, loaded = context.lake, warehouse.loaded_versions()
    deleted: dict[str, int] = {}
    remaining = []
    for table in LAKE_TABLES:
        opened = lake.open(table)
        behind = consumer_behind(lake, opened, loaded)
        if behind is None:
            deleted[table.path] = opened.purge()
        else:
            remaining.append(f"the history of {table.path}: {behind} has not read its newest version")
    for layer in ("bronze", "silver", "gold"):
        files = lake.files(layer)
        deleted |= {f"{layer}/{name}": number for name in _BESIDE if (number := files.delete_folder(name))}
    warehouse.purge()
    return deleted, remaining


def clear_hub(context: StepContext, erased_at: datetime) -> Iterator[str]:
    """Erased events leave the local hub, as far as it still holds them; yields what remains to be done.

    Other hubs cannot delete events: theirs expire.
    """
    hub = context.hub
    if hub is None:
        return
    if not hub.is_local:
        yield f"Event Hub {hub.name} keeps its events until they expire; read again, they end as erased"
        return
    erased = (
        context.lake.open(ERASED).scan().filter(c("erased_at") == erased_at, c("parts").fill_null(1) == 1).collect()
    )
    try:
        state = peek(hub)
        of_hub = erased.filter(c("hub_created_at") == state.created_at)
        for part in state.partitions:
            numbers = of_hub.filter(
                c("partition_id") == part.partition_id, c("sequence_number") >= part.first_sequence_number
            )["sequence_number"].unique()
            if numbers.len():
                hub.erase(part.partition_id, numbers.to_list(), whole_body(marker(erased_at)))
    except HubUnavailable as error:
        yield f"the local hub still holds events of the person, until they expire: {error}"


# --- what comes back


def clear_returned(context: StepContext, warehouse: Warehouse) -> int:
    """Erased events that came back: their bodies leave bronze, and its history goes. Returns how many they were.

    It works alone on the lake only where there are any.
    """
    if _returned(context).is_empty():
        return 0
    with context.lake.alone(lambda: None):
        follow(context, warehouse)
        rows = _returned(context)
        replace_bodies(context, rows)
        follow(context, warehouse, is_sealed=True)
        delete_history(context, warehouse)
        for erased_at in context.lake.open(ERASED).scan().select("erased_at").unique().collect()["erased_at"]:
            list(clear_hub(context, erased_at))
    return rows.height


def _returned(context: StepContext) -> pl.DataFrame:
    """Bronze rows of erased parts that still have a body, with what replaces it."""
    lake = context.lake
    empty = BRONZE_EVENTS.empty().with_columns(
        new_body=pl.lit(None, pl.Binary()), new_key=pl.lit(None, pl.String()), new_properties=pl.lit(None, pl.String())
    )
    if not lake.exists(ERASED_NUMBERS) or not lake.exists(ERASED):
        return empty
    bronze, erased = lake.open(BRONZE_EVENTS), lake.open(ERASED).scan().collect()
    rows = received.at_coordinates(bronze, erased, READ)
    rows = rows.filter(~c("body").bin.contains(MARKER.encode()).fill_null(value=True))
    if rows.is_empty():
        return empty
    parser = judging_all(lake, context.parser)
    numbers = parser.erasures.numbers

    def is_erased(number: Number) -> bool:
        hashed = parser.erasures.hashes(pl.Series(number.scoped, dtype=pl.String()))
        return any(text in numbers for text in hashed)

    parts = parts_of(rows, parser, c("erased_at").is_not_null())
    latest = erased.group_by(COORDINATES).agg(c("erased_at").max())
    changed = [
        {**{name: row[name] for name in COORDINATES}, **new}
        for row in parts.join(latest, on=list(COORDINATES), how="left").iter_rows(named=True)
        if (new := WithoutPerson(is_erased, lambda _: False, marker(row["erased_at"])).of(row)) is not None
    ]
    if not changed:
        return empty
    replacement = pl.DataFrame(changed, schema_overrides={"sequence_number": pl.Int64(), "new_body": pl.Binary()})
    replacement = replacement.with_columns(
        c("hub_created_at").cast(BRONZE_EVENTS.schema["hub_created_at"]),
        c("new_key", "new_properties").cast(pl.String()),
    )
    return received.at_coordinates(bronze, replacement).join(replacement, on=list(COORDINATES), how="inner")
