"""Bronze rows → the read frame: every contract field typed, in the form that ``contracts.rules`` judges.

One row in, one row out, in order; no row can change another. Not here: which rows are acceptable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.tables import COORDINATES
from patient_flow.transforms import bodies
from patient_flow.transforms.keys import SEPARATOR, pseudonym, short_hash, surrogate_key

_MAYBE_WHOLE = ("hospital_id", "bed_id")
_UNUSABLE = ("event_id", "gender", "bed_id", "discharge_status", *events.TIME_FIELDS, *events.NUMBER_FIELDS)
"""Fields whose rules ask whether something was stated that cannot be used."""

_CONTROL_CHARACTERS = r"[\x00-\x1f\x7f]"
_DATE, _CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,9})?"
_TIMESTAMP = rf"^{_DATE}T{_CLOCK}(Z|[+-][0-9]{{2}}:?[0-9]{{2}})?$"
"""The usual spelling, parsed as a column. The parser alone would take a sign, one-digit parts and second 60."""
_OTHER_TIMESTAMP = re.compile(
    r"([0-9]{8}|[0-9]{4}-?W[0-9]{2}-?[0-9]|[0-9-]{10})[Tt ][0-9:.,]{4,}([Zz]|[+-][0-9:]{2,5})?"
)
_NAIVE, _WITH_OFFSET = "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f%#z"
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@dataclass(frozen=True)
class ParserConfig:
    """What reading needs besides the bodies.

    ``departments`` has hospital_id and department of the reference list; ``secret`` keys the pseudonyms.
    ``mappings`` are asked about every body before it is read as the contract's own form; ``formats`` recognise whole
    other formats (HL7, FHIR) among the bodies that do not follow the contract to the letter.
    """

    departments: pl.DataFrame
    secret: str = field(repr=False)
    mappings: tuple[bodies.Interpreter, ...] = ()
    formats: tuple[bodies.Interpreter, ...] = ()


def read_events(bronze: pl.DataFrame, parser: ParserConfig) -> pl.DataFrame:
    """The read frame of ``bronze`` (needs the hub coordinates, ``enqueued_at`` and ``body``).

    Columns: coordinates, ``enqueued_at``, every contract field typed, ``<field>_unusable`` marks, ``is_unreadable``,
    ``is_unsupported``, ``states_event_time``, ``department_is_listed``, ``extra``, ``body_hash``, and the raw
    ``visit_id`` and ``patient_id`` (see :func:`pseudonymise`).
    """
    stated = parse_bodies(bronze["body"], parser.mappings, parser.formats)
    frame = pl.concat([bronze.select(*COORDINATES, "enqueued_at"), stated], how="horizontal")
    return (
        frame.pipe(_clean_texts)
        .pipe(_parse_times)
        .pipe(_recognise_values)
        .pipe(_spell_departments, parser.departments)
        .with_columns(
            visit_id=pl.when(pl.col("event_type") == events.SNAPSHOT)
            .then(pl.coalesce("visit_id", _derived_visit()))
            .otherwise("visit_id"),
            event_id=pl.coalesce("event_id", "digest"),
            body_hash=short_hash(pl.col("digest")),
        )
        .drop("digest")
    )


def pseudonymise(frame: pl.DataFrame, secret: str) -> pl.DataFrame:
    """``frame`` with keyed hashes for ``visit_id`` and ``patient_id``, and the short hashes that find them.

    The hash of the body is keyed too, also where it stands in for ``event_id``: all that it hashes but the patient's
    identifier is in silver, and few identifiers are possible.
    """
    stands_in = (pl.col("event_id").str.len_chars() == bodies.DIGEST_LENGTH) & (
        short_hash(pl.col("event_id")) == pl.col("body_hash")
    )
    return frame.with_columns(
        visit_id=pseudonym(pl.col("visit_id"), secret, "visit"),
        patient_id=pseudonym(pl.col("patient_id"), secret, "patient"),
        event_id=pl.coalesce(pseudonym(pl.when(stands_in).then("event_id"), secret, "body"), "event_id"),
        body_hash=short_hash(pseudonym(pl.col("body_hash").cast(pl.String), secret, "body")),
    ).with_columns(
        event_key=surrogate_key([pl.col("event_id"), pl.col("event_time").dt.epoch("us")]),
        visit_hash=short_hash(pl.col("visit_id")),
        patient_hash=short_hash(pl.col("patient_id")),
    )


def parse_bodies(
    body: pl.Series, mappings: tuple[bodies.Interpreter, ...] = (), formats: tuple[bodies.Interpreter, ...] = ()
) -> pl.DataFrame:
    """The contract fields of each body, lightly typed: texts and timestamps as text, numbers in range or null.

    Adds ``<field>_unusable`` marks, ``extra``, ``digest`` (hexadecimal SHA-256 of the canonical body),
    ``is_unreadable`` and ``is_unsupported``.
    """
    fields, careful, broken = _parse_each(body, mappings, formats)
    digests = [bodies.digest_of(item) for item in fields]
    extra: list[str | None] = [None] * len(fields)
    for row, statement in careful.items():
        digests[row], extra[row] = statement.digest, statement.extra
    return pl.DataFrame(
        [
            *(_column(name, [getattr(item, name) for item in fields]) for name in bodies.Fields.__struct_fields__),
            *(
                _marks(f"{name}_unusable", len(fields), [row for row in careful if name in careful[row].unusable])
                for name in _UNUSABLE
            ),
            pl.Series("extra", extra, dtype=pl.String),
            pl.Series("digest", digests, dtype=pl.String),
            _marks("is_unreadable", len(fields), [row for row in broken if not broken[row]]),
            _marks("is_unsupported", len(fields), [row for row in broken if broken[row]]),
        ]
    )


def _parse_each(
    body: pl.Series, mappings: tuple[bodies.Interpreter, ...], formats: tuple[bodies.Interpreter, ...]
) -> tuple[list[bodies.Fields], dict[int, bodies.Statement], dict[int, bool]]:
    """Fields of every row; the statements of rows read carefully; rows without one (True: a known, other message)."""
    fields: list[bodies.Fields] = []
    careful: dict[int, bodies.Statement] = {}
    broken: dict[int, bool] = {}
    for row, content in enumerate(body.to_list()):
        # A mapping may refine an event that follows the contract to the letter, so it has to see every body.
        strict = None if mappings or content is None else bodies.read_strictly(content)
        if strict is None:
            try:
                careful[row] = bodies.read_carefully(content or b"", (*mappings, *formats))
            except (bodies.Unreadable, bodies.Unsupported) as error:
                broken[row] = isinstance(error, bodies.Unsupported)
                careful[row] = bodies.Statement(bodies.Fields(), bodies.digest(content or b""))
            strict = careful[row].fields
        fields.append(strict)
    return fields, careful, broken


def _column(name: str, values: list[object]) -> pl.Series:
    if name in _MAYBE_WHOLE:
        try:  # numbers throughout is the common case, and converting them as a column is much faster
            return pl.Series(name, values, dtype=pl.Int64, strict=True).cast(pl.String)
        except TypeError:
            values = [value if value is None or isinstance(value, str) else str(value) for value in values]
    if name == "age":
        return pl.Series(name, values, dtype=pl.Int16)
    if name == "wait_minutes":
        return pl.Series(name, values, dtype=pl.Float64)
    return pl.Series(name, values, dtype=pl.String)


def _marks(name: str, length: int, rows: list[int]) -> pl.Series:
    return pl.repeat(False, length, eager=True, dtype=pl.Boolean).alias(name).scatter(rows, True)


def _clean_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Trimmed; empty is absent; a text with control characters is no text (databases refuse it)."""
    texts = pl.col(*events.TEXT_FIELDS, *events.TIME_FIELDS)
    trimmed = frame.with_columns(texts.str.strip_chars().replace("", None))
    spoilt = [
        name
        for name in (*events.TEXT_FIELDS, *events.TIME_FIELDS)
        if trimmed[name].str.contains(_CONTROL_CHARACTERS).any()
    ]
    return trimmed.with_columns(
        *(
            (pl.col(f"{name}_unusable") | pl.col(name).str.contains(_CONTROL_CHARACTERS).fill_null(False))
            for name in spoilt
            if name in _UNUSABLE
        ),
        *(
            pl.when(~pl.col(name).str.contains(_CONTROL_CHARACTERS)).then(name)
            for name in spoilt
            if name not in ("event_type", "schema_version")  # unusable there is not absent: no default applies
        ),
    )


def _parse_times(frame: pl.DataFrame) -> pl.DataFrame:
    """Timestamps as UTC instants; without an offset a timestamp is UTC. ``event_time`` of a snapshot has a default."""
    times = [parse_timestamps(frame[name]) for name in events.TIME_FIELDS]
    marks = [(frame[f"{time.name}_unusable"] | (time.is_null() & frame[time.name].is_not_null())) for time in times]
    return (
        frame.with_columns(*times, *marks)
        .with_columns(
            states_event_time=pl.col("event_time").is_not_null(),
            event_type=pl.col("event_type").str.to_lowercase().fill_null(events.SNAPSHOT),
            schema_version=pl.col("schema_version").fill_null(events.SUPPORTED_MAJOR_VERSION),
        )
        .with_columns(
            event_time=pl.when(pl.col("event_type") == events.SNAPSHOT)
            .then(pl.coalesce("event_time", "admission_time"))
            .otherwise("event_time")
        )
        .pipe(_drop_open_ends)
    )


def _drop_open_ends(frame: pl.DataFrame) -> pl.DataFrame:
    """A plan too far ahead is none. What a discharge event says has happened is left to the rules on the future."""
    too_far = pl.col("discharge_time") > pl.col("enqueued_at") + events.LONGEST_PLAN
    is_open_end = (too_far & (pl.col("event_type") != "discharge")).fill_null(False)
    return frame.with_columns(
        discharge_time=pl.when(~is_open_end).then("discharge_time"),
        discharge_time_unusable=pl.col("discharge_time_unusable") | is_open_end,
    )


def parse_timestamps(texts: pl.Series) -> pl.Series:
    """ISO 8601 texts as UTC instants, microseconds; null where it is none, or before 1990. Without an offset: UTC."""
    name = texts.name
    usual = pl.when(pl.col(name).str.contains(_TIMESTAMP)).then(name).str
    naive = usual.to_datetime(_NAIVE, strict=False, time_unit="us").dt.replace_time_zone("UTC")
    aware = usual.to_datetime(_WITH_OFFSET, strict=False, time_unit="us").dt.convert_time_zone("UTC")
    frame = texts.to_frame().with_columns(instant=pl.coalesce(naive, aware))
    unusual = frame.filter(pl.col("instant").is_null()).get_column(name).drop_nulls().unique()
    spelled = pl.DataFrame({name: unusual, "other": pl.Series([_iso_instant(t) for t in unusual], dtype=INSTANT)})
    return (
        frame.join(spelled, on=name, how="left", maintain_order="left")
        .select(pl.coalesce("instant", "other").alias(name))
        .select(pl.when(pl.col(name).is_between(events.EARLIEST_TIME, _LATEST)).then(name))
        .to_series()
    )


def _iso_instant(text: str) -> datetime | None:
    """Other ISO 8601 spellings (a space for T, no seconds, basic format, week dates); a date alone is no instant."""
    if not _OTHER_TIMESTAMP.fullmatch(text):
        return None
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _recognise_values(frame: pl.DataFrame) -> pl.DataFrame:
    gender = pl.col("gender").str.to_lowercase()
    recognised = gender.replace_strict(events.GENDER_SPELLINGS, default=None, return_dtype=pl.String)
    status = pl.col("discharge_status").str.to_lowercase()
    return frame.with_columns(
        gender_unusable=pl.col("gender_unusable") | (gender.is_not_null() & recognised.is_null()),
        discharge_status_unusable=pl.col("discharge_status_unusable")
        | (status.is_not_null() & ~status.is_in(events.DISCHARGE_STATUSES)),
        discharge_status=pl.when(status.is_in(events.DISCHARGE_STATUSES)).then(status),
        gender=recognised,
    ).with_columns(gender=pl.when("gender_unusable").then(pl.lit(events.UNKNOWN)).otherwise("gender"))


def _spell_departments(frame: pl.DataFrame, departments: pl.DataFrame) -> pl.DataFrame:
    """As the hospital's own line of the list spells it, else as another hospital's does, else as the event does."""
    folded = pl.col("department").str.to_lowercase()
    spelled = departments.select("hospital_id", folded.alias("folded"), spelling="department")
    own = spelled.unique(["hospital_id", "folded"], keep="first")
    others = spelled.select("folded", other_spelling="spelling").unique("folded", keep="first")
    return (
        frame.with_columns(folded.alias("folded"))
        .join(own, on=["hospital_id", "folded"], how="left", maintain_order="left")
        .join(others, on="folded", how="left", maintain_order="left")
        .with_columns(
            department=pl.coalesce("spelling", "other_spelling", "department"),
            department_is_listed=pl.col("spelling").is_not_null(),
        )
        .drop("folded", "spelling", "other_spelling")
    )


def _derived_visit() -> pl.Expr:
    """Identifier of a snapshot's visit when the sender gives none: null if a part is missing."""
    return pl.concat_str(
        [
            pl.lit("derived"),
            pl.col("hospital_id"),
            pl.col("patient_id"),
            pl.col("admission_time").dt.epoch("us").cast(pl.String),
        ],
        separator=SEPARATOR,
    )
