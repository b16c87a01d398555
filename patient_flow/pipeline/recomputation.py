"""F20: visits whose facts have to be made again because the department list, the setting or the rules changed.

They are made again in the order of their hashes, in as many runs as the limit of events demands. Until the last one is
made, a fact does not record that it has consumed the changed list or setting; it records how far it has come, and for
which list and setting. Whatever a run folds meanwhile, it folds by the new ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from patient_flow.contracts import figure_changes
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.events import CLOCK_TOLERANCE
from patient_flow.contracts.tables import DIM_DEPARTMENT, FACT_ED_ATTENDANCE, FACT_PATIENT_FLOW, SILVER_EVENTS
from patient_flow.pipeline.checkpoints import (
    FOLDED_WITH,
    PART,
    RECOMPUTED_FOR,
    RECOMPUTED_UNTIL,
    UNCONFIRMED_DAYS,
    consumed,
)
from patient_flow.pipeline.incremental import changes_of
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.log import NO_CHECKPOINT, Checkpoints
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.dimensions import BEGINNING
from patient_flow.transforms.names import fold_names
from patient_flow.transforms.visits.model import EMERGENCY

c = pl.col

RULES = figure_changes.CURRENT.version
"""Version of the rules of the fold: facts that were made by another one are made again."""

_PAIR = ("hospital_id", "department")
_DECIDING = (*_PAIR, "valid_from", "department_key", "class", "unconfirmed_days")
"""What of a department's version decides about visits."""
_ENTRIES = pl.List(pl.Struct({"department": pl.String()}))
_VISITS = pl.Schema({"visit_hash": pl.Int64(), "events": pl.UInt32()})


@dataclass(frozen=True)
class Basis:
    """The list and the settings by which visits are folded."""

    zone: str
    unconfirmed_days: int
    departments: LakeTable

    @property
    def recorded(self) -> Checkpoints:
        """What a fact records, with the list's version, when all of it is made by these settings."""
        settings = {**FOLDED_WITH.of(self._rules), **UNCONFIRMED_DAYS.of(self.unconfirmed_days)}
        return {**settings, **RECOMPUTED_UNTIL.of(None)}

    @property
    def _rules(self) -> str:
        return f"{RULES} {self.zone}"

    def has_rules_of(self, target: LakeTable) -> bool:
        """Whether ``target`` was made by the present rules in this time zone."""
        return FOLDED_WITH.matches(target.checkpoint, self._rules)

    def has_setting_of(self, target: LakeTable) -> bool:
        """Whether ``target`` was made under this setting."""
        return UNCONFIRMED_DAYS.read(target.checkpoint) == self.unconfirmed_days

    def is_settled(self, target: LakeTable) -> bool:
        """Whether all of ``target`` was made by the present rules and settings, by the list that it has consumed."""
        is_waiting = RECOMPUTED_UNTIL.read(target.checkpoint) is not None
        return not is_waiting and self.has_rules_of(target) and self.has_setting_of(target)

    def is_recorded(self, target: LakeTable) -> bool:
        """Whether besides it has consumed this list."""
        return self.is_settled(target) and consumed(target, self.departments) == self.departments.version

    def digest(self) -> str:
        """A text that differs with whatever makes visits wait."""
        deciding = self.departments.scan().filter(~c("is_inferred")).select(_DECIDING).sort(_DECIDING).collect()
        return f"{self._rules} {self.unconfirmed_days} {deciding.write_csv()}"


@dataclass(frozen=True)
class Recomputation:
    """Visits to make again in this run, those that wait for a later one, and what to record with them."""

    visits: pl.Series
    """visit_hash."""
    waiting: int
    progress: Checkpoints
    """What to record while visits wait."""


def next_visits(target: LakeTable, silver: LakeTable, basis: Basis, limit: int) -> Recomputation | None:
    """What to make again in this run: visits with at most ``limit`` events (0: no limit), at least one.

    None for everything at once: where the former versions of the list are no longer known.
    """
    if basis.is_recorded(target):
        return Recomputation(_no_visits()["visit_hash"], 0, {})
    left = _left(target, silver, basis)
    if left is None:
        return None
    before = c("events").cum_sum() - c("events")
    now = left.filter((before == 0) | (before + c("events") <= limit)) if limit else left
    waiting = left.height - now.height
    last = now["visit_hash"].max()
    progress = {
        **RECOMPUTED_FOR.of(basis.digest()),
        **RECOMPUTED_UNTIL.of(last if isinstance(last, int) else None),
        **({FOLDED_WITH.name: NO_CHECKPOINT} if _is_interrupted(target, basis) else {}),
    }
    return Recomputation(now["visit_hash"], waiting, progress)


def _is_interrupted(target: LakeTable, basis: Basis) -> bool:
    """Whether another change came while visits waited: some are made by a list or setting that no longer counts."""
    is_waiting = RECOMPUTED_UNTIL.read(target.checkpoint) is not None
    return is_waiting and not RECOMPUTED_FOR.matches(target.checkpoint, basis.digest())


def waiting_visits(lake: Lake, zone: str, unconfirmed_days: int) -> int:
    """How many visits wait to be made again (F20)."""
    silver, basis = lake.open(SILVER_EVENTS), Basis(zone, unconfirmed_days, lake.open(DIM_DEPARTMENT))
    waiting = [_no_visits()]
    for table in (FACT_PATIENT_FLOW, FACT_ED_ATTENDANCE):
        target = lake.open(table)
        if consumed(target, silver) is None:
            is_half_made = bool(PART.read(target.checkpoint))  # a run died between two parts of the whole table
            left = None if is_half_made else _no_visits()
        else:
            left = _no_visits() if basis.is_recorded(target) else _left(target, silver, basis)
        waiting.append(_with_events(silver, silver.scan().select("visit_hash")) if left is None else left)
    return pl.concat(waiting)["visit_hash"].n_unique()


def _left(target: LakeTable, silver: LakeTable, basis: Basis) -> pl.DataFrame | None:
    """Visits that are still to be made again with their numbers of events, in order; None where only all would do."""
    if _is_interrupted(target, basis) or not basis.has_rules_of(target):
        affected: list[pl.LazyFrame] | None = [silver.scan().select("visit_hash").drop_nulls()]
    else:
        affected = _affected(target, silver, basis)
    if affected is None:
        return None
    found = [_with_events(silver, keys) for keys in affected]
    left = pl.concat([_no_visits(), *found]).unique("visit_hash").sort("visit_hash")
    until = None if _is_interrupted(target, basis) else RECOMPUTED_UNTIL.read(target.checkpoint)
    return left if until is None else left.filter(c("visit_hash") > until)


def _affected(target: LakeTable, silver: LakeTable, basis: Basis) -> list[pl.LazyFrame] | None:
    """Frames with the visit_hash of visits that a changed setting or list affects."""
    affected = []
    if not basis.has_setting_of(target) and target.table is FACT_PATIENT_FLOW:
        # The setting governs open stays that are no emergency stays: attendances never.
        is_governed = c("confirmed_spans").is_not_null() & (c("stay_kind") != EMERGENCY)
        affected.append(target.scan().filter(is_governed).select("visit_hash"))
    changes = changes_of(target, basis.departments, (*_DECIDING, "is_inferred"))
    if changes is None:
        return None
    versions = basis.departments.scan().collect()
    since = _changed_since(*map(_with_folded_names, (changes.before, changes.after, versions)))
    return affected + _of_departments(silver, since)


def _changed_since(before: pl.DataFrame, after: pl.DataFrame, versions: pl.DataFrame) -> pl.DataFrame:
    """Departments whose changed versions decide about visits, and since when: hospital_id, department (folded), since.

    The first version of a department holds before its valid_from too. A member that is only inferred decides nothing.
    """
    listed = after.filter(~c("is_inferred") | c("department_key").is_in(before["department_key"].implode()))
    changed = pl.concat(
        [
            before.select(_DECIDING).join(listed.select(_DECIDING), on=_DECIDING, how="anti", nulls_equal=True),
            listed.select(_DECIDING).join(before.select(_DECIDING), on=_DECIDING, how="anti", nulls_equal=True),
        ]
    )
    former = pl.concat([versions.select(*_PAIR, "valid_from"), before.select(*_PAIR, "valid_from")])
    first = former.group_by(_PAIR).agg(first=c("valid_from").min())
    return (
        changed.group_by(_PAIR)
        .agg(since=c("valid_from").min())
        .join(first, on=_PAIR, how="left")
        .select(
            *_PAIR, since=pl.when(c("since") <= c("first")).then(pl.lit(BEGINNING, dtype=INSTANT)).otherwise("since")
        )
    )


def _of_departments(silver: LakeTable, since: pl.DataFrame) -> list[pl.LazyFrame]:
    """Frames with the visit_hash of events that name one of these departments and may state an instant from then on."""
    if since.is_empty():
        return []
    rows = silver.scan().select(*_PAIR, "enqueued_at", "visit_hash", "stays")
    of_hospitals = rows.filter(c("hospital_id").is_in(since["hospital_id"].unique().implode()))
    entries = c("stays").str.json_decode(_ENTRIES).list.eval(pl.element().struct.field("department"))
    in_stays = of_hospitals.filter(c("stays").is_not_null()).with_columns(department=entries).explode("department")
    folded = c("department").map_batches(fold_names, return_dtype=pl.String(), is_elementwise=True)
    return [
        names.with_columns(folded)
        .join(since.lazy(), on=_PAIR)
        .filter(c("enqueued_at") >= c("since") - CLOCK_TOLERANCE)
        .select("visit_hash")
        for names in (of_hospitals, in_stays)
    ]


def _with_folded_names(versions: pl.DataFrame) -> pl.DataFrame:
    return versions.with_columns(fold_names(versions["department"]))


def _with_events(silver: LakeTable, visits: pl.LazyFrame) -> pl.DataFrame:
    """Each of ``visits`` once, with the number of its events."""
    events = silver.scan().select("visit_hash").join(visits.unique(), on="visit_hash", how="semi")
    return events.group_by("visit_hash").len("events").cast(_VISITS).collect(engine="streaming")


def _no_visits() -> pl.DataFrame:
    return pl.DataFrame(schema=_VISITS)
