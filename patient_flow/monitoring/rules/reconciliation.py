"""Reconciliation of row counts between consecutive tables."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from patient_flow.contracts.rules import ALL
from patient_flow.contracts.tables import EVENT_COORDINATES
from patient_flow.monitoring.finding import Finding, error, ok, warning
from patient_flow.monitoring.inputs import Recomputed, ReconciliationCounts, SchemaDifferences, WarehouseDifferences
from patient_flow.wording import plural

c = pl.col

MAX_ROWS = 20


def counts_reconcile(counts: ReconciliationCounts | None) -> Finding:
    """Bronze → silver, erased, ignored, quarantine: each part in one of them, per partition and in total."""
    if counts is None:
        return ok("No events were received yet.")
    sides = {
        "accepted": counts.accepted,
        "erased": counts.erased,
        "ignored": counts.ignored,
        "quarantined": counts.quarantined,
    }
    partitions = counts.received.rename({"events": "received"})
    for name, side in sides.items():
        partitions = partitions.join(side.rename({"events": name}), on="partition_id", how="full", coalesce=True)
    partitions = partitions.fill_null(0).sort("partition_id")
    wrong = partitions.filter(c("received") != pl.sum_horizontal(*sides))
    received, *outcomes = counts.totals
    unaccounted = received - sum(outcomes)
    figures = {"received": received, **dict(zip(sides, outcomes, strict=True)), "unaccounted": unaccounted}
    rows = partitions.to_dicts()
    if wrong.is_empty() and not unaccounted:
        return ok("Every received event was accepted, ignored, quarantined or erased.", figures, rows)
    where = f" (partitions {', '.join(wrong['partition_id'])})" if wrong.height else ""
    return error(
        f"Some events are in none of silver, erased, ignored and quarantine, or in several{where}.", figures, rows
    )


def event_identities_unique(accepted: pl.DataFrame) -> Finding:
    """Silver: no two accepted events share an identity (its hash, ``event_key``) or hub coordinates."""
    identities = accepted["event_key"].n_unique()
    coordinates = accepted.select(EVENT_COORDINATES).n_unique()
    duplicates = accepted.height - min(identities, coordinates)
    figures = {"events": accepted.height, "duplicates": duplicates}
    if duplicates:
        return error(f"{plural(duplicates, 'event was', 'events were')} accepted more than once.", figures)
    return ok("Every event was accepted once.", figures)


def quality_counts_reconcile(quality: pl.DataFrame, counts: tuple[int, int, int]) -> Finding:
    """Silver, ignored and quarantine (rows in ``counts``) → DataQualityDay: its rows "all" add up to each."""
    totals = quality.filter(c("rule") == ALL)
    names = ("accepted", "ignored", "quarantined")
    counted = tuple(int(totals[name].sum()) for name in names)
    figures = {
        **dict(zip(names, counts, strict=True)),
        **{f"{name}_counted": number for name, number in zip(names, counted, strict=True)},
    }
    if counted == counts:
        return ok("Every accepted, ignored and quarantined event is counted.", figures)
    return error("The counts of the table differ from the rows of silver, ignored and quarantine.", figures)


def row_counts_match(lake: int, warehouse: int) -> Finding:
    """Gold → warehouse: the same number of rows."""
    figures = {"lake": lake, "warehouse": warehouse}
    if lake == warehouse:
        return ok("Lake and warehouse have the same number of rows.", figures)
    return error(f"The lake has {plural(lake, 'row')}, the warehouse {warehouse:,}.", figures)


def rows_match(both: Recomputed, key: Sequence[str], values: Sequence[str]) -> Finding:
    """A table against its rows recomputed from their source: ``key`` and ``values`` are compared."""
    joined = both.stored.select(*key, *values, is_stored=pl.lit(True)).join(
        both.recomputed.select(*key, *values, is_recomputed=pl.lit(True)),
        on=list(key),
        how="full",
        coalesce=True,
        suffix="_recomputed",
    )
    missing = joined.filter(c("is_stored").is_null()).height
    unexpected = joined.filter(c("is_recomputed").is_null()).height
    differs = pl.any_horizontal(c(name).ne_missing(c(f"{name}_recomputed")) for name in values)
    different = joined.filter(c("is_stored") & c("is_recomputed") & differs).height
    figures = {
        "rows": both.recomputed.height,
        "missing": missing,
        "unexpected": unexpected,
        "different": different,
    }
    if missing or unexpected or different:
        return error(
            f"Recomputed from source: {missing:,} missing, {unexpected:,} unexpected, "
            f"{plural(different, 'different row')}.",
            figures,
        )
    if both.stored.is_empty() and both.recomputed.is_empty():
        return ok("Nothing was compared: the table is empty, or only parts of it were made of its sources.", figures)
    return ok("Recomputed from source, the table is the same.", figures)


def schemas_match(differences: SchemaDifferences) -> Finding:
    """Columns of the lake, and all that a migration of the warehouse would change, against the declaration."""
    pending = differences.pending_statements
    figures = {"drifted_tables": len(differences.lake), "pending_statements": pending}
    if differences.lake:
        return error("; ".join(differences.lake), figures)
    if pending:
        statements = plural(pending, "statement of `warehouse migrate` is", "statements of `warehouse migrate` are")
        return warning(f"{statements} pending.", figures)
    return ok("Lake and warehouse are as declared.", figures)


def warehouse_matches_gold(differences: WarehouseDifferences) -> Finding:
    """Rows, sums and checksums of the warehouse against the gold versions that it has loaded."""
    rows = differences.rows
    if rows:
        names = ", ".join(sorted({str(row["table"]) for row in rows}))
        return error(f"The warehouse differs from gold in {names}.", {"differences": len(rows)}, rows[:MAX_ROWS])
    return ok("The warehouse equals the gold versions it loaded.", {"differences": 0, "tables": differences.tables})
