"""Functions of a rebuild that run on a cluster's workers: the transforms of micro-batches for a part of the rows.

Workers import this module, so it imports contracts and transforms only: workers need Polars, msgspec and the parsers of
other formats. Pseudonyms are not made here, and the key of the pseudonyms never reaches a worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from patient_flow.contracts.columns import INSTANT, TEXTS
from patient_flow.contracts.tables import COORDINATES, EVENT_COORDINATES, FACT_ED_ATTENDANCE, SILVER_EVENTS, Table
from patient_flow.transforms import accept, dimensions, facts
from patient_flow.transforms.bodies import Interpreter, Unwrapper
from patient_flow.transforms.details import describe
from patient_flow.transforms.erasure import Erasures
from patient_flow.transforms.read import ParserConfig, read_events
from patient_flow.transforms.visits.fold import fold

ACCEPTED, REJECTED, IGNORED, ERASED = "accepted", "rejected", "ignored", "erased"
DAY = "day"
"""UTC day (days since 1970). Events with the same identity have the same day; a day is one part of silver."""
OUTCOME = "outcome"

VALIDATED = pl.Schema(
    {
        **SILVER_EVENTS.schema,
        "body": pl.Binary(),
        "ignored_as": pl.String(),
        "reasons": TEXTS,
        "details": TEXTS,
        "erased_at": INSTANT,
        OUTCOME: pl.String(),
        DAY: pl.Int32(),
    }
)
"""Every part of a bronze row: as silver would hold it, but under its own identifiers, or with its body and why it is
rejected, with the name of what ignores it, or with when its person was erased."""
_OF_OTHERS = (*EVENT_COORDINATES, "parts", "enqueued_at", "hospital_id", "ignored_as", "reasons", "erased_at")

c = pl.col


@dataclass(frozen=True)
class Validator:
    """Bronze rows → :data:`VALIDATED`, row by row: parses bodies and applies rules."""

    departments: pl.DataFrame
    mappings: tuple[Interpreter, ...] = ()
    formats: tuple[Interpreter, ...] = ()
    unwrap: Unwrapper | None = None
    erasures: Erasures = field(default_factory=Erasures)
    """Without numbers and key: bodies of erased persons have been replaced by markers."""

    def __call__(self, bronze: pl.DataFrame) -> pl.DataFrame:
        """The validated rows, before :func:`deduplicate`."""
        parser = ParserConfig(self.departments, "", self.mappings, self.formats, self.unwrap, erasures=self.erasures)
        validated = accept.validate(read_events(bronze, parser))
        others = validated.with_columns(details=describe(validated)).filter(~accept.is_candidate())
        outcome = (
            pl.when(c("erased_at").is_not_null())
            .then(pl.lit(ERASED))
            .when(c("ignored_as").is_null())
            .then(pl.lit(REJECTED))
            .otherwise(pl.lit(IGNORED))
        )
        rows = pl.concat(
            [
                accept.with_raw_ids(validated).with_columns(
                    reasons=pl.lit([], dtype=TEXTS), **{DAY: _day("event_time"), OUTCOME: pl.lit(ACCEPTED)}
                ),
                others.select(*_OF_OTHERS, "details", **{DAY: _day("enqueued_at"), OUTCOME: outcome}),
            ],
            how="diagonal",
        )
        bodies = (
            validated.select(*EVENT_COORDINATES, "part_body")
            .join(bronze.select(*COORDINATES, "body"), on=COORDINATES, how="left")
            .select(*EVENT_COORDINATES, body=pl.coalesce("part_body", "body"))
        )
        return rows.join(bodies, on=EVENT_COORDINATES, how="left").select(VALIDATED.names())


def deduplicate(day: pl.DataFrame) -> pl.DataFrame:
    """All validated rows of one day → the same rows, with only the first event of each identity still accepted.

    Only rejected events keep their body: what is staged of those accepted is what silver will hold.
    """
    candidate = day.filter(c(OUTCOME) == ACCEPTED).select(SILVER_EVENTS.schema.names())
    first = accept.accept(candidate, SILVER_EVENTS.empty()).rows
    taken = accept.identity_outcomes(candidate.join(first, on=EVENT_COORDINATES, how="anti"), first)
    renamed = taken.rename({name: f"{name}_of_identity" for name in ("ignored_as", "reasons", "details")})
    is_taken = c("reasons_of_identity").is_not_null()
    lost = pl.when(c("ignored_as_of_identity").is_null()).then(pl.lit(REJECTED)).otherwise(pl.lit(IGNORED))
    return (
        day.join(renamed, on=EVENT_COORDINATES, how="left")
        .with_columns(
            *(pl.coalesce(f"{name}_of_identity", name).alias(name) for name in ("ignored_as", "reasons", "details")),
            **{OUTCOME: pl.when(is_taken).then(lost).otherwise(OUTCOME)},
        )
        .with_columns(body=pl.when(c(OUTCOME) == REJECTED).then("body"))
        .select(VALIDATED.names())
    )


@dataclass(frozen=True)
class PatientVersions:
    """All events of some patients → rows of DimPatient; ``survivors`` of the numbers that were given up."""

    survivors: dict[str, str]

    def __call__(self, events: pl.DataFrame) -> pl.DataFrame:
        """The versions."""
        return dimensions.patient_versions(events, survivors=self.survivors)


@dataclass(frozen=True)
class Fold:
    """All events of some clusters, and all versions of the patients they name → rows of one of the facts."""

    table: Table
    departments: pl.DataFrame
    """DimDepartment."""
    received_again: pl.DataFrame
    """Repeated snapshots of any visits (visit_hash, enqueued_at): each confirms its visit (F8)."""
    zone: str
    unconfirmed_days: int

    def __call__(self, history: pl.DataFrame, patients: pl.DataFrame) -> pl.DataFrame:
        """The facts."""
        folded = fold(
            history,
            self.departments,
            unconfirmed_days=self.unconfirmed_days,
            zone=self.zone,
            received_again=self.received_again.join(history.select("visit_hash").unique(), on="visit_hash", how="semi"),
        )
        if self.table.path == FACT_ED_ATTENDANCE.path:
            return facts.fact_ed_attendance(folded.attendances, patients, self.departments)
        return facts.fact_patient_flow(folded.stays, patients, self.departments)


def _day(column: str) -> pl.Expr:
    return c(column).dt.epoch("d").cast(pl.Int32)
