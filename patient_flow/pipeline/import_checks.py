"""Before a file is imported: do its numbers name the visits and patients that the lake already knows?

A file whose numbers get another scope than the stream's (F2), or whose visits have other numbers, would double patients
and stays in silence. Only a lake that has events can be compared with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from patient_flow.contracts.tables import FACT_PATIENT_FLOW, SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.pipeline.incremental import is_one_of
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms import scopes
from patient_flow.transforms.accept import candidates, is_candidate, validate
from patient_flow.transforms.keys import pseudonyms, short_hash
from patient_flow.transforms.read import ParserConfig, read_events
from patient_flow.wording import plural

MAX_OVERLAP_PCT = 1.0
"""Share of a file's rows that may lie within a stay of the same patient and hospital under another visit number."""

c = pl.col

_ACCEPT = "or import it with --accept-overlap if that is meant"


class ImportRefused(OperatorError):
    """The file's numbers do not fit those of the lake; the message names the setting."""


@dataclass
class Comparison:
    """What was counted of a file's rows, batch after batch."""

    rows: int = 0
    overlapping: int = 0
    visits: int = 0
    """Visit numbers that the lake knows, under any scope."""
    same_visits: int = 0
    """Of these, those with the same scope."""
    patients: int = 0
    same_patients: int = 0
    elsewhere: dict[str, int] = field(default_factory=dict)
    """Patients whose number the lake knows under another policy, by policy."""

    def require_fit(self, name: str) -> None:
        """Raises :class:`ImportRefused` where the numbers of the file called ``name`` do not fit."""
        if self.visits and not self.same_visits:
            visit_numbers = plural(self.visits, "of its visit numbers is", "of its visit numbers are")
            raise ImportRefused(
                f"{name}: {visit_numbers} in the lake, all under another scope: set "
                f"visit_scope in the source mapping (network, hospital, assigner or a text that both sources share), "
                f"{_ACCEPT}"
            )
        policy, known = max(self.elsewhere.items(), key=lambda item: item[1], default=("", 0))
        if not self.same_patients and known and known >= self.patients / 100:
            of_all = f"of its {plural(self.patients, 'patient number')}"
            raise ImportRefused(
                f"{name}: {plural(known, f'{of_all} is', f'{of_all} are')} in the lake, but in the scope "
                f'{policy!r}: set patient_scope = "{policy}" in the source mapping, {_ACCEPT}'
            )
        share = 100 * self.overlapping / max(1, self.rows)
        if share > MAX_OVERLAP_PCT:
            raise ImportRefused(
                f"{name}: {self.overlapping:,} of {plural(self.rows, 'row')} ({share:.1f} %) would fall into a stay of "
                "the same patient and hospital under another visit number: map the field with the visit number that "
                f"the stream sends too (visit_id, visit_scope in the source mapping), {_ACCEPT}"
            )


def compare(
    lake: Lake, batches: Iterable[pl.DataFrame], parser: ParserConfig, *, only_numbered: bool = False
) -> Comparison:
    """Holds bronze rows of a file, in batches, against silver and the stays.

    With ``only_numbered`` rows without a visit number overlap no stay of another one.
    """
    found = Comparison()
    for rows in batches:
        validated = validate(read_events(rows, parser))
        candidate = candidates(validated, parser.secret)
        found.rows += candidate.height
        _visits(found, lake, candidate)
        _patients(found, lake, validated, candidate, parser.secret)
        numbered = candidate.filter(c("visit_number_hash").is_not_null()) if only_numbered else candidate
        found.overlapping += _overlapping(lake, numbered)
    return found


def _visits(found: Comparison, lake: Lake, candidate: pl.DataFrame) -> None:
    stated = candidate.select("visit_number_hash", "visit_hash").drop_nulls().unique()
    silver = lake.open(SILVER_EVENTS).scan()
    known = (
        silver.filter(is_one_of("visit_number_hash", stated["visit_number_hash"]))
        .select("visit_number_hash", "visit_hash")
        .unique()
        .collect(engine="streaming")
    )
    found.visits += stated.join(known, on="visit_number_hash", how="semi").height
    found.same_visits += stated.join(known, on="visit_hash", how="semi").height


def _patients(found: Comparison, lake: Lake, validated: pl.DataFrame, candidate: pl.DataFrame, secret: str) -> None:
    silver = lake.open(SILVER_EVENTS).scan().select("patient_hash")
    stated = candidate["patient_hash"].unique()
    found.patients += stated.len()
    known = silver.filter(is_one_of("patient_hash", stated)).unique().collect(engine="streaming")
    found.same_patients += known.height
    if known.height:
        return
    numbers = validated.filter(is_candidate()).select("patient_id", "hospital_id", "patient_assigner").unique()
    for policy in ("network", "hospital", "assigner"):
        scope = scopes.resolved()["patient_scope"]
        under = (
            numbers.with_columns(patient_scope=pl.lit(policy))
            .with_columns(patient_scope=scope)
            .select(scopes.scoped("patient_id", "patient_scope"))
        )
        hashed = pl.select(patient_hash=short_hash(pl.lit(pseudonyms(under["patient_id"], secret, "patient"))))
        others = silver.filter(is_one_of("patient_hash", hashed["patient_hash"])).unique()
        number = int(others.select(pl.len()).collect(engine="streaming").item())
        found.elsewhere[policy] = found.elsewhere.get(policy, 0) + number


def _overlapping(lake: Lake, candidate: pl.DataFrame) -> int:
    """Rows that fall into a stay of the same patient and hospital under another visit number."""
    rows = candidate.filter(c("visit_hash").is_not_null()).select(
        *("patient_hash", "hospital_id", "visit_hash"),
        row=pl.int_range(pl.len()),
        first=pl.coalesce("admission_time", "event_time"),
        last=pl.coalesce("discharge_time", "event_time"),
    )
    silver, stays = lake.open(SILVER_EVENTS).scan(), lake.open(FACT_PATIENT_FLOW).scan()
    visits = (
        silver.filter(is_one_of("patient_hash", rows["patient_hash"]), c("visit_hash").is_not_null())
        .select("patient_hash", "hospital_id", known_visit="visit_hash")
        .unique()
        .collect(engine="streaming")
    )
    if visits.is_empty():
        return 0
    placed = (
        stays.filter(is_one_of("visit_hash", visits["known_visit"]))
        .select(known_visit="visit_hash", begins="admission_at", ends=pl.coalesce("discharge_at", "confirmed_until"))
        .collect(engine="streaming")
    )
    meets = (c("first") < c("ends")) & (c("last") >= c("begins"))
    return int(
        rows.join(visits, on=["patient_hash", "hospital_id"])
        .filter(c("known_visit") != c("visit_hash"))
        .join(placed, on="known_visit")
        .filter(meets.fill_null(value=False))["row"]
        .n_unique()
    )
