"""Does what went in equal what came out? Hop by hop, per partition where there are partitions."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts.rules import ALL
from patient_flow.contracts.tables import COORDINATES
from patient_flow.health.findings import Finding, fine, grave, warning

c = pl.col


def events_arrive_once(
    arrived: pl.DataFrame, lost: pl.DataFrame | None = None, *, since: pl.DataFrame | None = None
) -> Finding:
    """Hub → bronze. ``arrived`` are the coordinates of bronze rows to judge: all of them, or what is new.

    A number that is there twice is grave: it would be counted twice. A gap cannot be mended by waiting: it warns. Among
    all rows that is unless it is one of those that were told when retention dropped the events (``lost`` per
    ``hub_created_at`` and ``partition_id``). What is new is judged ``since`` the last number judged before (``read``
    per partition, null for none), and what retention dropped after that (``lost``) is told now.
    """
    place = ["hub_created_at", "partition_id"]
    if since is not None:
        known = since
    elif lost is not None:
        known = lost.with_columns(read=pl.lit(None, dtype=pl.Int64))
    else:
        known = arrived.select(*place, read=pl.lit(None, dtype=pl.Int64), lost=pl.lit(0, dtype=pl.Int64)).unique()
    number = c("sequence_number")
    found = arrived.group_by(place).agg(
        events=pl.len().cast(pl.Int64),
        numbers=number.n_unique().cast(pl.Int64),
        first=number.min(),
        last=number.max(),
    )
    begins = pl.min_horizontal("first", c("read") + 1)
    partitions = (
        known.join(found, on=place, how="left")
        .with_columns(c("events", "numbers").fill_null(0))
        .with_columns(
            gap=(c("last") - begins + 1 - c("numbers")).fill_null(0),
            twice=c("events") - c("numbers"),
        )
        # Of what was told before only that counts which is a gap among these rows.
        .with_columns(lost=pl.min_horizontal("lost", "gap") if since is None else c("lost"))
        .with_columns(missing=pl.max_horizontal(c("gap") - c("lost"), pl.lit(0)))
        .filter((c("events") > 0) | (c("lost") > 0))
        .sort(place)
    )
    rows = partitions.select("partition_id", "events", "first", "last", "lost", "twice", "missing").to_dicts()
    missing, twice, dropped = (int(partitions[name].sum()) for name in ("missing", "twice", "lost"))
    figures = {"events": arrived.height, "missing": missing, "twice": twice, "lost": dropped}
    if twice:
        return grave(f"{twice:,} events of the hub are in bronze more than once.", figures, rows)
    said = []
    if since is not None and dropped:
        said.append(f"The hub's retention dropped {dropped:,} events before they could be read.")
    if missing:
        said.append(f"{missing:,} sequence numbers before the last one were not read.")
    if said:
        return warning(" ".join(said), figures, rows)
    told = f", but for {dropped:,} that retention dropped before they could be read" if dropped else ""
    return fine(f"Every sequence number of the hub arrived once{told}.", figures, rows)


def accounted_for(
    received: pl.DataFrame, accepted: pl.DataFrame, quarantined: pl.DataFrame, totals: tuple[int, int, int]
) -> Finding:
    """Bronze → silver and quarantine: received = accepted + quarantined, per partition and in total.

    The frames count events per ``partition_id`` (column ``events``, negative where rows left); ``totals`` are all rows
    of the three tables, in the same order.
    """
    partitions = received.rename({"events": "received"})
    for name, side in (("accepted", accepted), ("quarantined", quarantined)):
        partitions = partitions.join(side.rename({"events": name}), on="partition_id", how="full", coalesce=True)
    partitions = partitions.fill_null(0).sort("partition_id")
    wrong = partitions.filter(c("received") != c("accepted") + c("quarantined"))
    all_received, all_accepted, all_quarantined = totals
    unaccounted = all_received - all_accepted - all_quarantined
    figures = {
        "received": all_received,
        "accepted": all_accepted,
        "quarantined": all_quarantined,
        "unaccounted": unaccounted,
    }
    rows = partitions.to_dicts()
    if wrong.is_empty() and not unaccounted:
        return fine("Every event received is accounted for.", figures, rows)
    named = ", ".join(wrong["partition_id"])
    where = f" (partitions {named})" if named else ""
    return grave(f"Some events are in neither silver nor quarantine, or in both{where}.", figures, rows)


def identities_accepted_once(accepted: pl.DataFrame) -> Finding:
    """Silver: no two accepted events share an identity (its hash, ``event_key``), nor hub coordinates."""
    identities = accepted["event_key"].n_unique()
    places = accepted.select(COORDINATES).n_unique()
    twice = accepted.height - min(identities, places)
    if twice:
        return grave(f"{twice:,} events were accepted more than once.", {"events": accepted.height, "twice": twice})
    return fine("Every event was accepted once.", {"events": accepted.height, "twice": 0})


def every_event_counted(quality: pl.DataFrame, accepted: int, quarantined: int) -> Finding:
    """Silver and quarantine → DataQualityDay: its lines "all" add up to the rows of both tables."""
    lines = quality.filter(c("rule") == ALL)
    counted = int(lines["accepted"].sum()), int(lines["quarantined"].sum())
    figures = {
        "accepted": accepted,
        "accepted_counted": counted[0],
        "quarantined": quarantined,
        "quarantined_counted": counted[1],
    }
    if counted == (accepted, quarantined):
        return fine("Every accepted and every quarantined event is counted.", figures)
    return grave("The table counts other numbers of events than silver and quarantine hold.", figures)


def rows_equal(in_lake: int, in_warehouse: int) -> Finding:
    """Gold → warehouse: the same number of rows."""
    figures = {"lake": in_lake, "warehouse": in_warehouse}
    if in_lake == in_warehouse:
        return fine("Lake and warehouse agree.", figures)
    return grave(f"The lake has {in_lake:,} rows, the warehouse {in_warehouse:,}.", figures)


def same_rows(stored: pl.DataFrame, recomputed: pl.DataFrame, key: list[str], values: list[str]) -> Finding:
    """A table against the same rows made again from its source; frames have ``key`` and ``values``."""
    both = stored.select(*key, *values, here=pl.lit(True)).join(
        recomputed.select(*key, *values, there=pl.lit(True)), on=key, how="full", coalesce=True, suffix="_again"
    )
    missing = both.filter(c("here").is_null()).height
    surplus = both.filter(c("there").is_null()).height
    differs = pl.any_horizontal(c(name).ne_missing(c(f"{name}_again")) for name in values)
    changed = both.filter(c("here") & c("there") & differs).height
    figures = {"rows": recomputed.height, "missing": missing, "surplus": surplus, "different": changed}
    if missing or surplus or changed:
        return grave(
            f"Made again from its source, {missing:,} rows are more, {surplus:,} less and {changed:,} others.",
            figures,
        )
    return fine("Made again from its source, the table is the same.", figures)
