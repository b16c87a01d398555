"""Slowly changing dimensions: versions of patients and departments, and the join of a moment to its version.

Versions are rebuilt from all observations of a key, never patched: that is what makes late events split them right.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.tables import DIM_DEPARTMENT, DIM_PATIENT, SILVER_EVENTS, Table
from patient_flow.transforms.keys import short_hash, with_surrogate_key
from patient_flow.transforms.names import fold_name, fold_names
from patient_flow.transforms.order import ORDER_COLUMNS, in_order

c = pl.col

OBSERVATION_COLUMNS = ("patient_id", *ORDER_COLUMNS, "gender", "age")
"""Columns of silver events that patient versions are built from."""

_PATIENT = "patient"
"""Number of a patient among those whose events are sorted by patient: cheaper to compare than the identifier."""

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""``valid_from`` of members that are not observed but inferred, and of unknown members."""


LISTED = (
    "hospital_name",
    "class",
    "beds",
    "staffed_beds",
    "women_beds",
    "men_beds",
    "staff",
    "expected_los_hours",
    "unconfirmed_days",
)
"""What the department list states of a department; a change of any begins a version."""


def patient_versions(
    silver: pl.DataFrame, known_before: pl.DataFrame | None = None, survivors: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """DimPatient rows of the patients in ``silver``, from *all* their events (:data:`OBSERVATION_COLUMNS`).

    ``survivors`` maps numbers that were given up to those that survive (F3): their events observe the survivor.

    Each event observes gender and age at its event time; what it does not state stays as last known. Versions depend
    on what was observed before them, never after: with ``known_before``, one DimPatient row for some patients, their
    events after that version's beginning are enough, and the result begins with that version.
    """
    observed = silver.select(OBSERVATION_COLUMNS)
    if survivors:
        observed = observed.with_columns(c("patient_id").replace(dict(survivors)))
    if known_before is not None:
        observed = pl.concat([_as_observations(known_before), observed])
    known = _numbered_and_filled(in_order(observed, "patient_id").select("patient_id", "event_time", "gender", "age"))
    is_last = ~_equals_next(_PATIENT) | ~_equals_next("event_time")
    versions = (
        known.filter(is_last)
        .with_columns(c("gender").fill_null(events.UNKNOWN))
        .pipe(_changes_only, _PATIENT, ("gender", "age"))
        .rename({"event_time": "valid_from"})
        .pipe(_with_validity, _PATIENT)
        .with_columns(patient_hash=short_hash(c("patient_id")), age_band=age_band(c("age")))
        .pipe(with_surrogate_key, "patient_key", [c("patient_id"), c("valid_from").dt.epoch("us")])
    )
    return _as(DIM_PATIENT, versions)


def _numbered_and_filled(ordered: pl.DataFrame) -> pl.DataFrame:
    """``ordered`` (by patient, then time) with numbered patients; what an event does not state is as last known."""
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    is_new = c("patient_id").ne_missing(c("patient_id").shift())
    begin = pl.when(is_new).then(row).forward_fill()

    def filled(name: str) -> pl.Expr:
        stated_at = pl.when(c(name).is_not_null()).then(row).forward_fill()
        return pl.when(stated_at >= begin).then(c(name).forward_fill()).alias(name)

    return ordered.with_columns(is_new.cum_sum().set_sorted().alias(_PATIENT), filled("gender"), filled("age"))


def _equals_next(name: str) -> pl.Expr:
    return (c(name) == c(name).shift(-1)).fill_null(value=False)


def _as_observations(versions: pl.DataFrame) -> pl.DataFrame:
    """The events that would have made ``versions``."""
    return versions.select(
        "patient_id",
        event_time="valid_from",
        event_type=pl.lit(events.EVENT_TYPES[0]),
        enqueued_at=pl.lit(BEGINNING),
        partition_id=pl.lit(""),
        sequence_number=pl.lit(-1),
        part=pl.lit(0),
        event_id=pl.lit(""),
        gender="gender",
        age="age",
    ).cast({name: SILVER_EVENTS.schema[name] for name in OBSERVATION_COLUMNS})


def unknown_patient() -> pl.DataFrame:
    """The unknown member of DimPatient."""
    return _unknown(DIM_PATIENT, patient_key=events.UNKNOWN_KEY, patient_id=events.UNKNOWN, gender=events.UNKNOWN)


def department_versions(reference: pl.DataFrame, mentioned: pl.DataFrame) -> pl.DataFrame:
    """DimDepartment: versions of the reference list, inferred members for ``mentioned`` others, the unknown member.

    ``reference`` has the columns of the departments file (``valid_from`` as an instant); ``mentioned`` has
    hospital_id and department as events name them. An event that names both as the unknown member does means it.

    Names with the same folded form are one department of a hospital. A listed one has the spelling of its first line.
    An inferred one has the spelling of another hospital's list, else the smallest that is mentioned; its key comes
    from the folded form, so that it stays the same when a smaller spelling arrives.
    """
    pair, folded_pair = ["hospital_id", "department"], ["hospital_id", "folded"]
    reference = _spelled_alike(reference)
    absent = [name for name in (*LISTED, "valid_to") if name not in reference.columns]
    listed = (
        reference.sort(*pair, "valid_from")
        .unique([*pair, "valid_from"], keep="last", maintain_order=True)
        .with_columns(pl.lit(None, DIM_DEPARTMENT.schema[name]).alias(name) for name in absent)
        .pipe(_changes_only_by_pair, (*LISTED, "valid_to"))
        .with_columns(is_inferred=pl.lit(False), listed_until="valid_to")
        .drop("valid_to")
    )
    names = reference.sort("valid_from").unique("hospital_id", keep="last").select("hospital_id", "hospital_name")
    inferred = (
        _folded(mentioned.select(pair).drop_nulls().unique())
        .group_by(folded_pair)
        .agg(c("department").min())
        .filter(~((c("hospital_id") == events.UNKNOWN) & (c("folded") == fold_name(events.UNKNOWN))))
        .join(reference, on=folded_pair, how="anti")
        .join(
            reference.unique("folded", keep="first", maintain_order=True).select("folded", listed="department"),
            on="folded",
            how="left",
        )
        .with_columns(department=pl.coalesce("listed", "department"))
        .drop("listed")
        .join(names, on="hospital_id", how="left")
        .with_columns(is_inferred=pl.lit(True), valid_from=pl.lit(BEGINNING, dtype=DIM_DEPARTMENT.schema["valid_from"]))
    )
    versions = (
        pl.concat([listed, inferred], how="diagonal_relaxed")
        .sort(*pair, "valid_from")
        .with_columns(valid_to=pl.min_horizontal(c("valid_from").shift(-1).over(pair), "listed_until"))
        .with_columns(is_current=c("valid_to").is_null())
        .pipe(
            with_surrogate_key,
            "department_key",
            [
                c("hospital_id"),
                pl.when("is_inferred").then("folded").otherwise("department"),
                c("valid_from").dt.epoch("us"),
            ],
        )
    )
    unknown = _unknown(
        DIM_DEPARTMENT,
        department_key=events.UNKNOWN_KEY,
        hospital_id=events.UNKNOWN,
        hospital_name=events.UNKNOWN,
        department=events.UNKNOWN,
        is_inferred=True,
    )
    return pl.concat([unknown, _as(DIM_DEPARTMENT, versions)])


def _folded(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(fold_names(frame["department"]).alias("folded"))


def _spelled_alike(reference: pl.DataFrame) -> pl.DataFrame:
    """``reference`` with ``folded``, and every department as its hospital's first line spells it."""
    return _folded(reference).with_columns(c("department").first().over("hospital_id", "folded"))


def version_at(
    moments: pl.DataFrame, versions: pl.DataFrame, *, by: list[str], at: str, columns: list[str]
) -> pl.DataFrame:
    """``moments`` with ``columns`` of the version of ``by`` that is valid at the instant ``at``.

    Before the first version the first one counts: an admission may be recorded a little later than it happened.
    Keys are 0 where there is no version at all.
    """
    ordered = versions.sort("valid_from").select(*by, "valid_from", *columns)
    first = (
        ordered.group_by(by)
        .agg(c(columns).first(), _several=pl.len() > 1)
        .rename({name: f"{name}_first" for name in columns})
    )
    narrow = moments.select(*by, at).join(first, on=by, how="left", maintain_order="left").with_row_index("_row")
    # Where there are several versions, the moment decides.
    dated = narrow.filter("_several").select("_row", *by, at).sort(at)
    chosen = dated.join_asof(
        ordered, left_on=at, right_on="valid_from", by=by, strategy="backward", check_sortedness=False
    ).select("_row", *columns)
    filled = [
        pl.coalesce(name, f"{name}_first", pl.lit(events.UNKNOWN_KEY) if name.endswith("_key") else pl.lit(None))
        .cast(versions.schema[name])
        .alias(name)
        for name in columns
    ]
    joined = narrow.select("_row", "^.*_first$").join(chosen, on="_row", how="left", maintain_order="left")
    return pl.concat([moments, joined.select(filled)], how="horizontal")


def age_band(age: pl.Expr) -> pl.Expr:
    """Label of the age group; Unknown for null."""
    labels = [pl.when(age >= youngest).then(pl.lit(label)) for youngest, label in reversed(events.AGE_BANDS)]
    return pl.coalesce(*labels, pl.lit(events.UNKNOWN))


def _changes_only(ordered: pl.DataFrame, key: str, attributes: tuple[str, ...]) -> pl.DataFrame:
    is_first = c(key).ne_missing(c(key).shift())
    differs = pl.any_horizontal(c(name).ne_missing(c(name).shift()) for name in attributes)
    return ordered.filter(is_first | differs)


def _changes_only_by_pair(ordered: pl.DataFrame, attributes: tuple[str, ...]) -> pl.DataFrame:
    return (
        ordered.with_columns(_pair=pl.struct("hospital_id", "department"))
        .pipe(_changes_only, "_pair", attributes)
        .drop("_pair")
    )


def _with_validity(ordered: pl.DataFrame, key: str) -> pl.DataFrame:
    is_followed = _equals_next(key)
    return ordered.with_columns(valid_to=pl.when(is_followed).then(c("valid_from").shift(-1)), is_current=~is_followed)


def _unknown(table: Table, **values: object) -> pl.DataFrame:
    named = {"age_band": events.UNKNOWN} if "age_band" in table.schema else {}
    return pl.DataFrame(
        {name: [{**named, "valid_from": BEGINNING, "is_current": True, **values}.get(name)] for name in table.schema},
        schema=table.schema,
    )


def _as(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        (c(name) if name in frame.columns else pl.lit(None).alias(name)).cast(dtype)
        for name, dtype in table.schema.items()
    )
