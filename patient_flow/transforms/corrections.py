"""Corrections from a second source (contract 3.6): the body of one, how it is read, and when it is void.

A correction is an event with the source ``reconciliation`` that counts as received when the extract was taken. Its body
is in the contract's form, with the scopes of its numbers beside it, whatever a source mapping says of other events.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from patient_flow.contracts import events
from patient_flow.transforms.bodies import Interpretation
from patient_flow.transforms.keys import SEPARATOR

CORRECTION = "correction"
"""Key of a body with what concerns its reading."""
ESTIMATED = "time_is_estimated"

_PLACES = ("admission", "transfer", events.SNAPSHOT)
_CANCELS = ("cancel_admission", "cancel_transfer", "cancel_discharge", "void_visit")
_CONTRADICTS = (*_PLACES, "discharge", *_CANCELS)
_CONTRADICTS_LEAVING = (*_PLACES, "cancel_discharge")

c = pl.col


def body_of(
    stated: Mapping[str, object], visit_scope: str, patient_scope: str, *, is_estimated: bool
) -> dict[str, object]:
    """The body of a correction that states the contract fields ``stated``; scopes as :func:`scopes.resolved`."""
    visit_policy, visit_assigner = _policy(visit_scope)
    patient_policy, patient_assigner = _policy(patient_scope)
    return {
        **{name: value for name, value in stated.items() if value is not None},
        **({"visit_assigner": visit_assigner} if visit_assigner else {}),
        **({"patient_assigner": patient_assigner} if patient_assigner else {}),
        "source": events.RECONCILIATION,
        CORRECTION: {"visit_scope": visit_policy, "patient_scope": patient_policy, ESTIMATED: is_estimated},
    }


def interpret(body: bytes, value: Mapping[str, object] | None) -> Interpretation | None:  # noqa: ARG001 (an Interpreter)
    """Reads the body of a correction; None for every other."""
    if value is None or value.get("source") != events.RECONCILIATION:
        return None
    context = value.get(CORRECTION)
    if not isinstance(context, dict):
        return None
    visit_scope, patient_scope = context.get("visit_scope"), context.get("patient_scope")
    return Interpretation(
        ({key: item for key, item in value.items() if key != CORRECTION},),
        frozenset([ESTIMATED] if context.get(ESTIMATED) is True else []),
        patient_scope if isinstance(patient_scope, str) else None,
        visit_scope if isinstance(visit_scope, str) else None,
    )


def _policy(scope: str) -> tuple[str, str | None]:
    """The policy that gives a number this scope, and the assigner that it needs."""
    if not scope:
        return "network", None
    kind, _, name = scope.partition(SEPARATOR)
    if kind == "assigner":
        return "assigner", name
    return ("hospital", None) if kind == "hospital" else (name, None)


def without_void(of_visits: pl.DataFrame) -> pl.DataFrame:
    """Silver events without the corrections that an event of the sender at the hub voids (contract 3.6).

    A correction made at T is void where such an event for its visit (a) places, discharges or cancels, happened by T
    and reached the hub after T, or (b), for the correction of a discharge, places or cancels a discharge after T.
    """
    is_correction = (c("source") == events.RECONCILIATION).fill_null(value=False)
    corrections = of_visits.filter(is_correction)
    if corrections.is_empty():
        return of_visits
    of_hub = ~is_correction & ~c("partition_id").str.starts_with(events.IMPORTED)
    stated = of_visits.filter(of_hub, c("event_type").is_in(_CONTRADICTS)).select(
        "visit_id", kind="event_type", happened="event_time", received="enqueued_at"
    )
    # The identity of an event is (event_id, event_time), F8; a part of a body has its own.
    key = ["visit_id", "event_id", "event_time", "event_type", "enqueued_at", "partition_id", "sequence_number", "part"]
    is_told_late = (c("happened") <= c("enqueued_at")) & (c("received") > c("enqueued_at"))
    is_still_there = (
        (c("event_type") == "discharge") & c("kind").is_in(_CONTRADICTS_LEAVING) & (c("happened") > c("enqueued_at"))
    )
    void = corrections.select(key).join(stated, on="visit_id").filter(is_told_late | is_still_there).select(key)
    return of_visits.join(void.unique(), on=key, how="anti", nulls_equal=True, maintain_order="left")
