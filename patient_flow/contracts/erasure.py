"""Erasures of persons: the numbers that are remembered of them, and the marker that takes their place in a body.

The marker is a patient's number, so that it has a place in every format; it counts only where the instant in it is that
of an erasure that is remembered.
"""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts.columns import at, generated, text
from patient_flow.contracts.tables import Table

ERASED_NUMBERS = Table(
    "bronze",
    "erased_numbers",
    "Keyed hashes of the patient numbers of erased persons.",
    generated(
        "the erasure",
        text("number_hash", "Hash of the number and its scope, keyed by PATIENT_FLOW_ERASURE_KEY", 32),
        at("erased_at", "What is of an earlier instant ends as erased", nullable=False),
        text("state", "What the erasure has found and done, as JSON", 1_000_000),
        at("finished_at", "When it had ended; null while it has not"),
    ),
    key=("number_hash", "erased_at"),
)
"""Not made by a step, so none of the tables of a micro-batch; a rebuild keeps it."""

MARKER = "patient-flow-erased@"
"""Beginning of the number that takes the place of an erased person's; the instant of the erasure follows."""


def marker(erased_at: datetime) -> str:
    """The number that takes the place of those of a person who was erased at ``erased_at``."""
    return f"{MARKER}{erased_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def marked_instant(number: pl.Expr) -> pl.Expr:
    """The instant that a marker states; null for any other text."""
    stated = pl.when(number.str.starts_with(MARKER)).then(number.str.slice(len(MARKER)))
    return stated.str.to_datetime("%Y-%m-%dT%H:%M:%S%.6fZ", time_unit="us", strict=False).dt.replace_time_zone("UTC")
