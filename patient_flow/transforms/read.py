"""Bronze rows → the read frame: every contract field typed, in the form that ``contracts.rules`` judges.

One row in, one row per part of its body out, in order; no row can change another. Not here: which rows are acceptable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.tables import COORDINATES
from patient_flow.transforms import bodies, moments, scopes, stay_lists
from patient_flow.transforms.columns import (
    MAY_HOLD_CONTROL_CHARACTERS,
    UNUSABLE,
    VOCABULARIES,
    Parsed,
    columns,
    constant,
    marks,
    one_row_per_part,
    parse_each,
)
from patient_flow.transforms.erasure import Erasures, mark_erased
from patient_flow.transforms.keys import derived_visits, pseudonyms, short_hash, with_surrogate_key
from patient_flow.transforms.names import clean_names, fold_names

_WITHOUT_DEFAULT = ("event_type", "schema_version")
"""Unusable here is not absent: the defaults are for bodies that do not state them."""
_NO_VALUE = ("", "null", "NULL", "None", "nan", "NaN", "NaT", "<NA>", "\\N", "(null)", "undefined")
"""Texts that writers leave where a value is absent: it is absent here too, and neither a bed nor a patient's number."""
_LONGEST_NO_VALUE = max(map(len, _NO_VALUE))

_CONTROL_CHARACTERS = r"[\x00-\x1f\x7f]"
_WHOLE_AS_DECIMAL = r"^([+-]?[0-9]+)\.0+$"
_DATE, _CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,9})?"
_TIMESTAMP = rf"^{_DATE}T{_CLOCK}(Z|[+-][0-9]{{2}}:?[0-9]{{2}})?$"
"""The usual spelling, parsed as a column. The parser alone would take a sign, one-digit parts and second 60."""
_DATE_ALONE = r"^[0-9]{4}-?[0-9]{2}-?[0-9]{2}$"
_NAIVE = ("%Y-%m-%dT%H:%M:%S.%6f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f")
"""Spellings without an offset, those of one length first: they are parsed six times as fast."""
_WITH_OFFSET = "%Y-%m-%dT%H:%M:%S%.f%#z"
_KINDS = {
    "visit_id": "visit",
    "elsewhere": "visit",
    "patient_id": "patient",
    "merged_patient_id": "patient",
    "stands_in": "body",
    "body_hash": "body",
}
"""Columns of identifiers → the kinds of their pseudonyms."""
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@dataclass(frozen=True)
class ParserConfig:
    """What reading needs besides the bodies.

    ``departments`` has hospital_id and department of the reference list; ``secret`` keys the pseudonyms.
    ``mappings`` are asked about every body before it is read as the contract's own form; ``formats`` recognise whole
    other formats (HL7, FHIR) among the bodies that do not follow the contract to the letter. ``unwrap`` comes before
    both: they see each event that a body wraps. ``mapping_digest`` identifies the mapping file; "" is none.
    ``erasures`` are those that events are judged by, and ``erasure_key`` is what their numbers are hashed with.
    """

    departments: pl.DataFrame
    secret: str = field(repr=False)
    mappings: tuple[bodies.Interpreter, ...] = ()
    formats: tuple[bodies.Interpreter, ...] = ()
    unwrap: bodies.Unwrapper | None = None
    mapping_digest: str = ""
    erasures: Erasures = field(default_factory=Erasures)
    erasure_key: str = field(default="", repr=False)


def read_events(bronze: pl.DataFrame, parser: ParserConfig) -> pl.DataFrame:
    """The read frame of ``bronze`` (needs the hub coordinates, ``enqueued_at`` and ``body``), one row per part.

    Of imported rows it needs ``ingested_at`` too.

    Columns: coordinates, ``part``, ``parts`` (how many its body holds), ``part_body`` (its own body, where several
    events were wrapped), ``enqueued_at``, ``imported_at``, every contract field typed,
    ``<field>_unusable`` and ``<time>_too_old`` marks, ``kinds``, ``ignored_as``, ``is_unreadable``,
    ``is_unsupported``, ``has_no_mapping``, ``states_event_time``, ``department_is_listed``, the flags that an
    interpreter raised, ``extra``, ``body_hash``, ``erased_at``, and the raw numbers of visit and patients with the
    scopes that they are unique in (see :func:`pseudonymise`). ``visit_id`` is null where a snapshot states none.
    """
    parsed = parse_each(bronze["body"], parser.mappings, parser.formats, parser.unwrap)
    received = bronze.select(*COORDINATES, "enqueued_at", imported_at=_imported_at(bronze))
    frame = pl.concat([one_row_per_part(received, parsed), columns(parsed)], how="horizontal")
    return (
        frame.pipe(_clean_texts)
        .pipe(_parse_times)
        .pipe(_recognise_values)
        .pipe(_fill_from_stays, parsed, parser.departments)
        .pipe(_default_event_time)
        .pipe(_drop_implausible_times)
        .pipe(spell_departments, parser.departments)
        .pipe(_identify)
        .pipe(mark_erased, bronze, parser.erasures)
    )


def _identify(frame: pl.DataFrame) -> pl.DataFrame:
    """The digest stands in for an ``event_id`` that is not stated; numbers get the scopes that they are unique in."""
    absent = {name for name in scopes.DECIDING if frame[name].null_count() == frame.height}
    return frame.with_columns(
        event_id=pl.coalesce("event_id", "digest"),
        body_hash=short_hash(pl.col("digest")),
        **scopes.resolved(absent),
    ).drop("digest")


def _imported_at(bronze: pl.DataFrame) -> pl.Expr:
    """When a row was imported; null for an event of the hub."""
    if "ingested_at" not in bronze.columns:
        return pl.lit(None, INSTANT)
    return pl.when(pl.col("partition_id").str.starts_with(events.IMPORTED)).then(pl.col("ingested_at").cast(INSTANT))


def pseudonymise(frame: pl.DataFrame, secret: str) -> pl.DataFrame:
    """``frame`` (identifiers in the form of :func:`scopes.scoped`) with keyed hashes for visits and patients.

    Adds the short hashes that find them. A snapshot without a visit number gets the visit that follows from hospital,
    patient and admission. The hash of the body is keyed too, also where it stands in for ``event_id``: all that it
    hashes but the patient's identifier is in silver, and few identifiers are possible.
    """
    stands_in = (pl.col("event_id").str.len_chars() == bodies.DIGEST_LENGTH) & (
        short_hash(pl.col("event_id")) == pl.col("body_hash")
    )
    states_no_visit = pl.col("visit_id").is_null() & (pl.col("event_type") == events.SNAPSHOT)
    identifiers = frame.select(
        "visit_id",
        "patient_id",
        "merged_patient_id",
        elsewhere=scopes.as_of_hospital("visit_id"),
        stands_in=pl.when(stands_in).then("event_id"),
        body_hash=pl.col("body_hash").cast(pl.String),
        derives_from=pl.when(states_no_visit).then("admission_time"),
    )
    hashed = [pseudonyms(identifiers[name], secret, kind) for name, kind in _KINDS.items()]
    named = frame.with_columns(identifiers["derives_from"], *hashed)
    derived = derived_visits(named.select("hospital_id", "patient_id", admission_time="derives_from"))
    return (
        named.with_columns(
            visit_id=pl.coalesce("visit_id", derived),
            event_id=pl.coalesce("stands_in", "event_id"),
            body_hash=short_hash(pl.col("body_hash")),
            visit_number_hash=short_hash(pl.coalesce("elsewhere", "visit_id")),
        )
        .with_columns(
            visit_hash=short_hash(pl.col("visit_id")),
            patient_hash=short_hash(pl.col("patient_id")),
            merged_patient_hash=short_hash(pl.col("merged_patient_id")),
        )
        .pipe(with_surrogate_key, "event_key", [pl.col("event_id"), pl.col("event_time").dt.epoch("us")])
        .drop("elsewhere", "stands_in", "derives_from")
    )


def _clean_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Trimmed; a text that stands for no value is absent; one with control characters is no text.

    Databases refuse such characters.
    """
    stated = [name for name in (*events.TEXT_FIELDS, *events.TIME_FIELDS) if frame[name].null_count() < frame.height]
    may_be_spoilt = bool(frame[MAY_HOLD_CONTROL_CHARACTERS].any())
    trimmed = (
        frame.drop(MAY_HOLD_CONTROL_CHARACTERS)
        .with_columns(clean_names(frame["department"]))
        .with_columns(pl.col(stated).str.strip_chars())
    )
    trimmed = trimmed.with_columns(_present(name) for name in stated if _may_be_absent(trimmed[name]))
    if trimmed["hospital_id"].str.contains(".", literal=True).any():
        trimmed = trimmed.with_columns(pl.col("hospital_id").str.replace(_WHOLE_AS_DECIMAL, "${1}"))
    spoilt = [name for name in stated if may_be_spoilt and trimmed[name].str.contains(_CONTROL_CHARACTERS).any()]
    if not spoilt:
        return trimmed
    return trimmed.with_columns(
        *(
            (pl.col(f"{name}_unusable") | pl.col(name).str.contains(_CONTROL_CHARACTERS).fill_null(False))
            for name in spoilt
            if name in UNUSABLE
        ),
        *(
            pl.when(~pl.col(name).str.contains(_CONTROL_CHARACTERS)).then(name)
            for name in spoilt
            if name not in _WITHOUT_DEFAULT
        ),
        kinds=_with_kinds(
            [
                pl.when(pl.col(name).str.contains(_CONTROL_CHARACTERS)).then(
                    pl.lit(f"{name}=text with control characters")
                )
                for name in spoilt
            ]
        ),
    )


def _with_kinds(found: Sequence[pl.Expr]) -> pl.Expr:
    """``kinds`` with what was ``found`` besides, null where nothing was."""
    return pl.concat_str([pl.col("kinds"), *found], separator=";", ignore_nulls=True).replace("", None)


def _may_be_absent(texts: pl.Series) -> bool:
    """False where every text is too long to stand for no value."""
    shortest = texts.str.len_bytes().min()
    return isinstance(shortest, int) and shortest <= _LONGEST_NO_VALUE


def _present(name: str) -> pl.Expr:
    is_absent = pl.col(name) == "" if name in _WITHOUT_DEFAULT else pl.col(name).is_in(_NO_VALUE)
    return pl.when(~is_absent).then(name).alias(name)


def _parse_times(frame: pl.DataFrame) -> pl.DataFrame:
    """Timestamps as UTC instants; without an offset a timestamp is UTC. Those before 1990 are null, and marked."""
    parsed = [_instants(frame[name]) for name in events.TIME_FIELDS]
    dates = [
        pl.when(usable.is_null() & frame[usable.name].str.contains(_DATE_ALONE)).then(
            pl.lit(f"{usable.name}=date without a time")
        )
        for usable, _ in parsed
        if usable.null_count() > frame[usable.name].null_count()
    ]
    return frame.with_columns(
        _with_kinds(dates).alias("kinds"),
        *(usable for usable, _ in parsed),
        *(too_old.alias(f"{too_old.name}_too_old") for _, too_old in parsed),
        *(
            frame[f"{usable.name}_unusable"] | (usable.is_null() & frame[usable.name].is_not_null())
            for usable, _ in parsed
        ),
    ).with_columns(
        states_event_time=pl.col("event_time").is_not_null(),
        event_type=pl.col("event_type").str.to_lowercase().fill_null(events.SNAPSHOT),
        schema_version=pl.col("schema_version").fill_null(events.SUPPORTED_MAJOR_VERSION),
    )


def _default_event_time(frame: pl.DataFrame) -> pl.DataFrame:
    """A snapshot without an event time is of its admission."""
    return frame.with_columns(
        event_time=pl.when(pl.col("event_type") == events.SNAPSHOT)
        .then(pl.coalesce("event_time", "admission_time"))
        .otherwise("event_time")
    )


def _drop_implausible_times(frame: pl.DataFrame) -> pl.DataFrame:
    """A plan too far ahead is none; optional times of what has happened are null where they lie ahead of the hub.

    What a discharge event says has happened is left to the rules on the future.
    """
    last_plan, latest = pl.col("enqueued_at") + events.LONGEST_PLAN, pl.col("enqueued_at") + events.CLOCK_TOLERANCE
    is_open_end = {
        "discharge_time": (pl.col("discharge_time") > last_plan) & (pl.col("event_type") != "discharge"),
        "planned_discharge_time": pl.col("planned_discharge_time") > last_plan,
    }
    is_ahead = {name: (pl.col(name) > latest).fill_null(False) for name in events.TIMES_NOT_AHEAD}
    return frame.with_columns(
        *(pl.when(~is_open.fill_null(False)).then(name).alias(name) for name, is_open in is_open_end.items()),
        *(pl.col(f"{name}_unusable") | is_open.fill_null(False) for name, is_open in is_open_end.items()),
        *(pl.when(~is_later).then(name).alias(name) for name, is_later in is_ahead.items()),
        optional_time_is_ahead=pl.any_horizontal(is_ahead.values()),
    )


def parse_timestamps(texts: pl.Series) -> pl.Series:
    """ISO 8601 texts as UTC instants, microseconds; null where it is none, or before 1990. Without an offset: UTC."""
    return _instants(texts)[0]


def _instants(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The usable instants of ``texts``, and marks of those that lie before 1990."""
    name = texts.name
    if texts.null_count() == texts.len():
        return texts.cast(INSTANT), marks(name, texts.len(), [])
    usual = pl.when(pl.col(name).str.contains(_TIMESTAMP)).then(name)
    naive = _naive(texts.to_frame().select(usual.str.strip_suffix("Z")).to_series())
    frame = texts.to_frame().with_columns(instant=naive)
    if frame["instant"].null_count() == texts.null_count():
        return _usable(frame.select(pl.col("instant").alias(name)))
    aware = usual.str.to_datetime(_WITH_OFFSET, strict=False, time_unit="us").dt.convert_time_zone("UTC")
    frame = frame.with_columns(instant=pl.coalesce("instant", aware))
    unusual = frame.filter(pl.col("instant").is_null()).get_column(name).drop_nulls().unique()
    spelled = pl.DataFrame({name: unusual, "other": pl.Series([_utc(text) for text in unusual], dtype=INSTANT)})
    found = frame.join(spelled, on=name, how="left", maintain_order="left").select(
        pl.coalesce("instant", "other").alias(name)
    )
    return _usable(found)


def _naive(usual: pl.Series) -> pl.Series:
    """The instants of texts in the usual spelling without an offset, which means UTC; null for the others."""
    found = constant(usual.name, None, usual.len(), INSTANT)
    for spelling in _NAIVE:
        left = usual.is_not_null() & found.is_null()
        if not left.any():
            break
        # Few instants occur twice: looking each up among those that were parsed takes longer than parsing it.
        parsed = usual.filter(left).str.to_datetime(spelling, strict=False, time_unit="us", cache=False)
        found = found.scatter(left.arg_true(), parsed.dt.replace_time_zone("UTC"))
    return found


def _usable(found: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Of one column of instants: those that may be kept, and marks of those that lie before 1990."""
    name = found.columns[0]
    usable = found.select(pl.when(pl.col(name).is_between(events.EARLIEST_TIME, _LATEST)).then(name)).to_series()
    too_old = found.select((pl.col(name) < events.EARLIEST_TIME).fill_null(False)).to_series()
    return usable, too_old


def _utc(text: str) -> datetime | None:
    moment = moments.parse_iso(text)
    try:
        return None if moment is None else moments.in_utc(moment)
    except OverflowError:
        return None


def _recognise_values(frame: pl.DataFrame) -> pl.DataFrame:
    gender = pl.col("gender").str.to_lowercase()
    recognised = gender.replace_strict(events.GENDER_SPELLINGS, default=None, return_dtype=pl.String)
    vocabularies = {"discharge_status": events.DISCHARGE_STATUSES, **VOCABULARIES}
    words = {name: pl.col(name).str.to_lowercase() for name in vocabularies}
    return frame.with_columns(
        gender_unusable=pl.col("gender_unusable") | (gender.is_not_null() & recognised.is_null()),
        gender=recognised,
        **{
            f"{name}_unusable": pl.col(f"{name}_unusable") | (words[name].is_not_null() & ~words[name].is_in(known))
            for name, known in vocabularies.items()
        },
        **{name: pl.when(words[name].is_in(known)).then(words[name]) for name, known in vocabularies.items()},
    ).with_columns(gender=pl.when("gender_unusable").then(pl.lit(events.UNKNOWN)).otherwise("gender"))


def _fill_from_stays(frame: pl.DataFrame, parsed: Parsed, departments: pl.DataFrame) -> pl.DataFrame:
    """``stays`` of snapshots in their final form; what it lets a snapshot leave out comes from it."""
    stated = {place: part.stays for place, part in parsed.careful.items() if part.stays}
    if not stated:
        return frame.with_columns(stays=pl.lit(None, pl.String), stay_is_ahead=pl.lit(False))
    entries = stay_lists.entries(frame, stated)
    timed = entries.with_columns(parse_timestamps(entries["since"]), *_ends(entries["until"]))
    found = stay_lists.resolved(spell_departments(timed, departments))
    return (
        frame.with_row_index("place")
        .join(found, on="place", how="left", maintain_order="left")
        .with_columns(
            department=pl.coalesce("department", "last_department"),
            bed_id=pl.coalesce("bed_id", "last_bed_id"),
            admission_time=pl.coalesce("admission_time", "first_since"),
            stays_unusable=pl.col("stays_unusable") | pl.col("stays_wrong").fill_null(False),
            stay_is_ahead=pl.col("stay_is_ahead").fill_null(False),
        )
        .drop("place", "last_department", "last_bed_id", "first_since", "stays_wrong")
    )


def _ends(until: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The instants of ``until``, and marks of those that are no instants; one before 1990 is a sender's open end."""
    instants, too_old = _instants(until)
    return instants, (until.is_not_null() & instants.is_null() & ~too_old).alias("until_unusable")


def spell_departments(frame: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """As the hospital's own line of the list spells it, else as another hospital's does, else as the event does."""
    listed = departments.select("hospital_id", spelling="department")
    spelled = listed.with_columns(fold_names(listed["spelling"]).alias("folded"))
    own = spelled.unique(["hospital_id", "folded"], keep="first", maintain_order=True)
    others = spelled.select("folded", other_spelling="spelling").unique("folded", keep="first", maintain_order=True)
    return (
        frame.with_columns(fold_names(frame["department"]).alias("folded"))
        .join(own, on=["hospital_id", "folded"], how="left", maintain_order="left")
        .join(others, on="folded", how="left", maintain_order="left")
        .with_columns(
            department=pl.coalesce("spelling", "other_spelling", "department"),
            department_is_listed=pl.col("spelling").is_not_null(),
        )
        .drop("folded", "spelling", "other_spelling")
    )
