"""What a cluster's workers run of a rebuild: the transforms of the micro-batches, put together for a part of the rows.

Workers import this module, so it knows contracts and transforms alone: Polars, msgspec and the readers of foreign
formats are all they need. No pseudonym is made here, and the key of the pseudonyms never comes here.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from patient_flow.contracts.columns import TEXTS
from patient_flow.contracts.tables import COORDINATES, SILVER_EVENTS
from patient_flow.transforms import accept, dimensions, facts, visits
from patient_flow.transforms.bodies import Interpreter
from patient_flow.transforms.read import ParserConfig, read_events

ACCEPTED, REJECTED = "accepted", "rejected"
DAY = "day"
"""UTC day (days since 1970): all events of one identity share theirs, and a day's events are a part of silver."""
OUTCOME = "outcome"

VALIDATED = pl.Schema(
    {**SILVER_EVENTS.schema, "body": pl.Binary(), "reasons": TEXTS, OUTCOME: pl.String(), DAY: pl.Int32()}
)
"""Every bronze row: as silver would hold it, but under its own identifiers, or with its body and why it is rejected."""

c = pl.col


@dataclass(frozen=True)
class Validator:
    """Bronze rows → :data:`VALIDATED`, each by itself: bodies read, rules applied."""

    departments: pl.DataFrame
    mappings: tuple[Interpreter, ...] = ()
    formats: tuple[Interpreter, ...] = ()

    def __call__(self, bronze: pl.DataFrame) -> pl.DataFrame:
        """The validated rows; the identities are still to be compared."""
        parser = ParserConfig(self.departments, "", self.mappings, self.formats)
        validated = accept.validate(read_events(bronze, parser))
        broken = validated.filter(c("reasons").list.len() > 0)
        rows = pl.concat(
            [
                accept.with_raw_ids(validated).with_columns(
                    reasons=pl.lit([], dtype=TEXTS), **{DAY: _day("event_time"), OUTCOME: pl.lit(ACCEPTED)}
                ),
                broken.select(
                    *COORDINATES,
                    "enqueued_at",
                    "hospital_id",
                    "reasons",
                    **{DAY: _day("enqueued_at"), OUTCOME: pl.lit(REJECTED)},
                ),
            ],
            how="diagonal",
        )
        return rows.join(bronze.select(*COORDINATES, "body"), on=COORDINATES, how="left").select(VALIDATED.names())


def deduplicate(day: pl.DataFrame) -> pl.DataFrame:
    """All validated rows of one day → the same, where of each identity only the first at the hub is still accepted.

    Those accepted lose their body: what is staged of them is what silver will hold.
    """
    candidate = day.filter(c(OUTCOME) == ACCEPTED).select(SILVER_EVENTS.schema.names())
    first = accept.accept(candidate, SILVER_EVENTS.empty()).rows
    taken = accept.identity_reasons(candidate.join(first, on=COORDINATES, how="anti"), first)
    is_taken = c("taken").is_not_null()
    return (
        day.join(taken.rename({"reasons": "taken"}), on=COORDINATES, how="left")
        .with_columns(
            reasons=pl.coalesce("taken", "reasons"),
            **{OUTCOME: pl.when(is_taken).then(pl.lit(REJECTED)).otherwise(OUTCOME)},
        )
        .with_columns(body=pl.when(c(OUTCOME) == REJECTED).then("body"))
        .select(VALIDATED.names())
    )


def patient_versions(events: pl.DataFrame) -> pl.DataFrame:
    """DimPatient rows from all events of some patients."""
    return dimensions.patient_versions(events)


@dataclass(frozen=True)
class Flow:
    """All events of some visits, and all versions of the patients they name → rows of FactPatientFlow."""

    departments: pl.DataFrame
    """DimDepartment."""

    def __call__(self, history: pl.DataFrame, patients: pl.DataFrame) -> pl.DataFrame:
        """The facts."""
        return facts.fact_patient_flow(visits.stays(history), patients, self.departments)


def _day(column: str) -> pl.Expr:
    return c(column).dt.epoch("d").cast(pl.Int32)
