"""Hub → bronze: every sequence number of a partition arrives, and arrives once."""

from __future__ import annotations

import polars as pl

from patient_flow.monitoring.finding import Finding, Row, error, ok, warning
from patient_flow.monitoring.inputs import BronzeEvents
from patient_flow.wording import plural

c = pl.col

PARTITION = ["hub_created_at", "partition_id"]


def new_events_arrive_once(new: BronzeEvents) -> Finding:
    """New rows continue after the last row before them; events that retention deleted in between are a warning now."""
    counted = (
        new.partitions.join(_counted(new.events), on=PARTITION, how="left")
        .with_columns(c("events", "numbers").fill_null(0))
        .with_columns(gap=_gap(pl.min_horizontal("first", c("read") + 1)))
    )
    found = _Totals(counted)
    if found.duplicates:
        return found.duplicated()
    problems = []
    if found.expired:
        unread = plural(found.expired, "event before it could be read", "events before they could be read")
        problems.append(f"The hub's retention deleted {unread}.")
    if found.missing:
        problems.append(found.unread_numbers)
    if problems:
        return warning(" ".join(problems), found.figures, found.rows)
    return ok("Every sequence number of the hub arrived once.", found.figures, found.rows)


def all_events_arrive_once(bronze: BronzeEvents) -> Finding:
    """All rows: gaps that bronze recorded as expired when they occurred are explained."""
    counted = (
        bronze.partitions.join(_counted(bronze.events), on=PARTITION, how="left")
        .with_columns(c("events", "numbers").fill_null(0))
        .with_columns(gap=_gap(c("first")))
        .with_columns(expired=pl.min_horizontal("expired", "gap"))
    )
    found = _Totals(counted)
    if found.duplicates:
        return found.duplicated()
    if found.missing:
        return warning(found.unread_numbers, found.figures, found.rows)
    except_for = f", except for {found.expired:,} that retention deleted unread" if found.expired else ""
    return ok(f"Every sequence number of the hub arrived once{except_for}.", found.figures, found.rows)


class _Totals:
    """Figures and rows of a finding, from events, numbers, first, last, gap and expired per partition."""

    def __init__(self, counted: pl.DataFrame) -> None:
        partitions = (
            counted.with_columns(
                duplicates=c("events") - c("numbers"),
                missing=pl.max_horizontal(c("gap") - c("expired"), pl.lit(0)),
            )
            .filter((c("events") > 0) | (c("expired") > 0))
            .sort(PARTITION)
        )
        names = ("partition_id", "events", "first", "last", "expired", "duplicates", "missing")
        self.rows: list[Row] = [*partitions.select(names).to_dicts()]
        self.missing = int(partitions["missing"].sum())
        self.duplicates = int(partitions["duplicates"].sum())
        self.expired = int(partitions["expired"].sum())
        self.figures = {
            "events": int(partitions["events"].sum()),
            "missing": self.missing,
            "duplicates": self.duplicates,
            "expired": self.expired,
        }

    @property
    def unread_numbers(self) -> str:
        before = "before the last one"
        numbers = plural(self.missing, f"sequence number {before} was", f"sequence numbers {before} were")
        return f"{numbers} not read."

    def duplicated(self) -> Finding:
        message = f"{plural(self.duplicates, 'event of the hub is', 'events of the hub are')} in bronze more than once."
        return error(message, self.figures, self.rows)


def _counted(events: pl.DataFrame) -> pl.DataFrame:
    number = c("sequence_number")
    return events.group_by(PARTITION).agg(
        events=pl.len().cast(pl.Int64), numbers=number.n_unique().cast(pl.Int64), first=number.min(), last=number.max()
    )


def _gap(begin: pl.Expr) -> pl.Expr:
    """Sequence numbers from ``begin`` to the last one that are not there."""
    return (c("last") - begin + 1 - c("numbers")).fill_null(0)
