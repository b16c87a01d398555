"""Escalation levels of hospitals at instants of the present and the past, from stays, attendances and departments.

Pure functions of rows. An instant in the past is judged with what is known now: a late event corrects it, and of a
plan only the newest is known. What a level means and its thresholds: ``contracts.escalation``.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.escalation import BOARDING_MINUTES, LEVELS, Pressure, Thresholds
from patient_flow.contracts.measures import HEADLINE_CLASSES

c = pl.col

_BOARDING = timedelta(minutes=BOARDING_MINUTES, microseconds=1)
_IS_HEADLINE = c("class").fill_null("inpatient").is_in(HEADLINE_CLASSES)
_KEY = ["hospital_id", "place"]
"""``place`` numbers the instants."""


def pressures(
    stays: pl.DataFrame, attendances: pl.DataFrame, departments: pl.DataFrame, instants: pl.Series
) -> pl.DataFrame:
    """hospital_id, at, and the four pressures; null where there is nothing to divide by.

    ``stays``: hospital_id, class, staffed_beds, admission_at, discharge_at, confirmed_until, ready_at,
    planned_discharge_at; ``attendances``: hospital_id, arrival_at, departure_at, decision_at, confirmed_until;
    ``departments``: hospital_id, class, staffed_beds, valid_from, valid_to (versions); ``instants`` ascending.
    """
    grid = (
        departments.select("hospital_id")
        .unique()
        .join(pl.DataFrame({"at": instants}).with_row_index("place"), how="cross")
        .with_columns(c("place").cast(pl.Int64))
        .sort(_KEY)
    )
    present = stays.with_columns(until=_end("discharge_at"))
    waiting = attendances.with_columns(until=_end("departure_at"))
    due = c("ready_at").fill_null(c("planned_discharge_at"))
    counted = {
        "in_beds": _counts(present, c("admission_at"), instants),
        "occupied": _counts(present.filter(_IS_HEADLINE, c("staffed_beds").is_not_null()), c("admission_at"), instants),
        "late": _counts(present.filter(due.is_not_null()), pl.max_horizontal(due, "admission_at"), instants),
        "in_department": _counts(waiting, c("arrival_at"), instants),
        "boarding": _counts(waiting.filter(c("decision_at").is_not_null()), c("decision_at") + _BOARDING, instants),
    }
    for name, changes in counted.items():
        grid = grid.join(changes.rename({"change": name}), on=_KEY, how="left").with_columns(
            c(name).fill_null(0).cum_sum().over("hospital_id", order_by="place")
        )
    grid = grid.join(_staffed(departments, instants), on=_KEY, how="left")
    grid = grid.join(_oldest(waiting, instants), on=_KEY, how="left").sort(_KEY)
    waited = (c("at") - c("oldest")).dt.total_microseconds() / 3600e6
    return grid.select(
        "hospital_id",
        "at",
        _share("occupied", "staffed").alias(Pressure.OCCUPANCY),
        pl.when(c("in_department") > 0).then(waited.fill_null(0.0)).alias(Pressure.LONGEST_WAIT),
        _share("boarding", "in_department").alias(Pressure.BOARDING),
        _share("late", "in_beds").alias(Pressure.DELAYED),
    )


def levels(found: pl.DataFrame, thresholds: Thresholds) -> pl.DataFrame:
    """``found`` (see :func:`pressures`) with ``level`` and ``deciding``: the pressures that reach it, none at 1."""
    own = {pressure: _level(pressure, thresholds) for pressure in Pressure}
    level = pl.max_horizontal(*own.values())
    deciding = pl.concat_list(
        *(pl.when((each == level) & (level > LEVELS[0])).then(pl.lit(pressure.value)) for pressure, each in own.items())
    )
    return found.with_columns(level=level.cast(pl.Int64), deciding=deciding.list.drop_nulls())


def spans(judged: pl.DataFrame) -> pl.DataFrame:
    """hospital_id, level, since, until, deciding: runs of one level, oldest first.

    ``until`` is the first instant of the next run, null for the one that lasts; ``deciding`` all that decided in it.
    """
    ordered = judged.sort("hospital_id", "at").with_columns(run=c("level").rle_id().over("hospital_id"))
    runs = ordered.group_by("hospital_id", "run", maintain_order=True).agg(
        c("level").first(),
        since=c("at").first(),
        deciding=c("deciding").explode().drop_nulls().unique(maintain_order=True),
    )
    return runs.with_columns(until=c("since").shift(-1).over("hospital_id")).select(
        "hospital_id", "level", "since", "until", "deciding"
    )


def _level(pressure: Pressure, thresholds: Thresholds) -> pl.Expr:
    reached = [(c(pressure) >= limit).fill_null(value=False).cast(pl.Int64) for limit in thresholds.of(pressure)]
    return pl.lit(LEVELS[0]) + pl.sum_horizontal(*reached)


def _end(column: str) -> pl.Expr:
    """When a row stops counting: its end, or directly after the time up to which events confirm it."""
    return pl.min_horizontal(c(column), c("confirmed_until") + timedelta(microseconds=1))


def _places(rows: pl.DataFrame, begin: pl.Expr, instants: pl.Series) -> pl.DataFrame:
    """hospital_id and the numbers ``first`` to ``last`` (excluded) of the instants at which a row counts."""
    known = rows.select("hospital_id", begin=begin.cast(INSTANT), until=c("until").cast(INSTANT))
    ends = known["until"].fill_null(instants.max() + timedelta(days=1)) if instants.len() else known["until"]  # type: ignore[operator]
    return pl.DataFrame(
        {
            "hospital_id": known["hospital_id"],
            "begin": known["begin"],
            "first": pl.Series(instants.search_sorted(known["begin"], side="left"), dtype=pl.Int64),
            "last": pl.Series(instants.search_sorted(ends, side="left"), dtype=pl.Int64),
        }
    ).filter(c("first") < c("last"))


def _counts(rows: pl.DataFrame, begin: pl.Expr, instants: pl.Series) -> pl.DataFrame:
    """hospital_id, place, change: rows that begin to count there, less those that stop."""
    places = _places(rows, begin, instants)
    moves = pl.concat(
        [
            places.select("hospital_id", place="first", change=pl.lit(1)),
            places.select("hospital_id", place="last", change=pl.lit(-1)),
        ]
    )
    return moves.group_by(_KEY).agg(c("change").sum())


def _oldest(waiting: pl.DataFrame, instants: pl.Series) -> pl.DataFrame:
    """hospital_id, place, oldest: the earliest decision of those who wait for a bed then."""
    places = _places(waiting.filter(c("decision_at").is_not_null()), c("decision_at"), instants)
    return (
        places.with_columns(place=pl.int_ranges("first", "last"))
        .explode("place")
        .group_by(_KEY)
        .agg(oldest=c("begin").min())
    )


def _staffed(departments: pl.DataFrame, instants: pl.Series) -> pl.DataFrame:
    """hospital_id, place, staffed: beds of the versions of headline departments that are valid then."""
    versions = departments.filter(_IS_HEADLINE, c("staffed_beds").is_not_null())
    at = pl.DataFrame({"at": instants}).with_row_index("place").with_columns(c("place").cast(pl.Int64))
    is_valid = (c("valid_from") <= c("at")) & (c("valid_to").is_null() | (c("valid_to") > c("at")))
    return versions.join(at, how="cross").filter(is_valid).group_by(_KEY).agg(staffed=c("staffed_beds").sum())


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(c(whole) > 0).then(100.0 * c(part) / c(whole))
