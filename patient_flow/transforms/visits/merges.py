"""F3: patient numbers that are given up for others, and what becomes of visits whose number is derived from them."""

from __future__ import annotations

import polars as pl

from patient_flow.contracts import events
from patient_flow.transforms.order import in_order

c = pl.col

CIRCLE = "merge_closes_a_circle"
"""Flag of the visits of patients with a merge that would make a number its own survivor; it does nothing."""

MERGE_COLUMNS = ("patient_id", "merged_patient_id")


def survivors(silver: pl.DataFrame) -> tuple[dict[str, str], set[str]]:
    """Number given up → number that survives in the end, and numbers of a merge that would close a circle.

    Merges apply in the total order; of two that give up one number the later counts.
    """
    merges = silver.filter(c("event_type") == events.MERGE)
    if merges.is_empty():
        return {}, set()
    heirs: dict[str, str] = {}
    circles: set[str] = set()
    for survivor, given_up in in_order(merges, "event_type").select(MERGE_COLUMNS).iter_rows():
        if given_up is None:
            continue
        if given_up in (survivor, *_chain(heirs, survivor)):
            circles |= {survivor, given_up}
        else:
            heirs[given_up] = survivor
    final = {number: _chain(heirs, number)[-1] for number in heirs}
    return final, {final.get(number, number) for number in circles}


def _chain(heirs: dict[str, str], number: str) -> list[str]:
    """The numbers that take over from ``number``, one after the other."""
    chain: list[str] = []
    while number in heirs:
        number = heirs[number]
        chain.append(number)
    return chain


def merged(silver: pl.DataFrame, final: dict[str, str]) -> pl.DataFrame:
    """``silver`` with the surviving number in ``patient_id``, and derived visits of one survivor under one number.

    The visit of a snapshot without a number is derived from patient, hospital and admission time. Those of merged
    patients that agree are one, under the number derived from the survivor where there is one, else the first.
    """
    if not final:
        return silver
    survivor = c("patient_id").replace(final)
    named = silver.with_columns(_survivor=survivor, _is_own=c("patient_id") == survivor)
    is_derived = (c("event_type") == events.SNAPSHOT) & c("visit_number_hash").is_null()
    derived = named.filter(is_derived)
    touched = derived.filter(c("_survivor").is_in(list(set(final.values()))))
    same = ["_survivor", "hospital_id", "admission_time"]
    chosen = (
        touched.sort(~c("_is_own"), "visit_id")
        .unique(same, keep="first", maintain_order=True)
        .select(*same, _visit="visit_id", _hash="visit_hash")
    )
    return (
        named.join(chosen, on=same, how="left", maintain_order="left")
        .with_columns(
            patient_id="_survivor",
            visit_id=pl.when(is_derived).then(pl.coalesce("_visit", "visit_id")).otherwise("visit_id"),
            visit_hash=pl.when(is_derived).then(pl.coalesce("_hash", "visit_hash")).otherwise("visit_hash"),
        )
        .select(silver.columns)
    )
