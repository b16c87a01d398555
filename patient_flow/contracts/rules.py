"""The quality rules, declared once: name, meaning, severity, and the expression that finds a violation.

Each name states the violation, as it appears in ``quarantine.reasons`` or ``patient_events.quality_flags``. The
expressions run on the frame that ``transforms.read`` returns: every contract field, typed, null when absent or
unusable; ``<field>_unusable``, true where the body states something that cannot be used; ``<time>_too_old``; and a few
facts about the body (``is_unreadable``, ``has_no_mapping``, ``states_event_time``, ``department_is_listed`` …). The
two rules on identity have no expression: they compare events with each other (``transforms.accept``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import polars as pl

from patient_flow.contracts import events

c = pl.col


class Severity(Enum):
    """Consequence of a violation for the event."""

    QUARANTINE = "quarantine"
    FLAG = "flag"


@dataclass(frozen=True)
class Rule:
    """One quality rule; ``violation`` is true for an event that breaks it, ``fields`` are those it looks at."""

    name: str
    meaning: str
    severity: Severity
    violation: pl.Expr | None
    fields: tuple[str, ...] = ()


def _quarantine(name: str, meaning: str, violation: pl.Expr | None, *fields: str) -> Rule:
    return Rule(name, meaning, Severity.QUARANTINE, violation, fields)


def _flag(name: str, meaning: str, violation: pl.Expr) -> Rule:
    return Rule(name, meaning, Severity.FLAG, violation)


_is_readable = ~c("is_unreadable") & ~c("is_unsupported") & c("ignored_as").is_null()
_is_mapped = _is_readable & ~c("has_no_mapping")
_is_lifecycle = c("event_type").is_in(events.LIFECYCLE_TYPES)
_is_snapshot = c("event_type") == events.SNAPSHOT
_takes_no_bed = c("visit_class").is_in(events.CLASSES_WITHOUT_BED).fill_null(False)
_latest = c("enqueued_at") + events.CLOCK_TOLERANCE
_discharged_at = pl.coalesce("discharge_time", pl.when(c("event_type") == "discharge").then("event_time"))


def _lacks(time: str) -> pl.Expr:
    """No usable ``time``, for another reason than its age; without a mapping only where one is stated."""
    return c(time).is_null() & ~c(f"{time}_too_old") & (~c("has_no_mapping") | c(f"{time}_unusable"))


RULES: tuple[Rule, ...] = (
    _quarantine(
        "body_is_not_a_json_object",
        "The body is not one JSON object in UTF-8 (nor an HL7 v2 message).",
        c("is_unreadable"),
    ),
    _quarantine(
        "message_type_is_unsupported",
        "The body is an HL7 ADT message or a FHIR Encounter of a kind that is not read: a plan, a bed swap, an undone "
        "merge, an Encounter that has not begun.",
        c("is_unsupported"),
    ),
    _quarantine(
        "no_mapping_matches",
        "A mapping file is set, none of its mappings fits the body, and the body has no patient_id of the contract.",
        _is_readable & c("has_no_mapping"),
    ),
    _quarantine(
        "schema_version_is_unsupported",
        "schema_version is not 1 or 1.x.",
        _is_readable & ~c("schema_version").str.contains(r"^1(\.[0-9]+)*$"),
        "schema_version",
    ),
    _quarantine(
        "event_type_is_unknown",
        f"event_type is none of {', '.join(events.EVENT_TYPES)}.",
        _is_readable & ~c("event_type").is_in(events.EVENT_TYPES),
        "event_type",
    ),
    _quarantine(
        "patient_is_missing",
        "No usable patient_id (text of 1 to 64 characters).",
        _is_mapped & c("patient_id").is_null(),
        "patient_id",
    ),
    _quarantine(
        "merged_patient_is_missing",
        "A merge without a usable merged_patient_id: the number that is given up.",
        _is_mapped & (c("event_type") == events.MERGE) & c("merged_patient_id").is_null(),
        "merged_patient_id",
    ),
    _quarantine(
        "hospital_is_missing",
        "No usable hospital_id (a whole number, or text of 1 to 64 characters).",
        _is_mapped & c("hospital_id").is_null(),
        "hospital_id",
    ),
    _quarantine(
        "visit_is_missing",
        "A lifecycle event other than a merge without a usable visit_id.",
        _is_mapped & c("event_type").is_in(events.TYPES_WITH_VISIT) & c("visit_id").is_null(),
        "visit_id",
    ),
    _quarantine(
        "department_is_missing",
        "An arrival, admission, transfer or snapshot without a usable department, that states no class without a bed "
        f"({', '.join(events.CLASSES_WITHOUT_BED)}).",
        _is_mapped & c("event_type").is_in(events.TYPES_WITH_DEPARTMENT) & c("department").is_null() & ~_takes_no_bed,
        "department",
    ),
    _quarantine(
        "event_time_is_unusable",
        "A lifecycle event without a readable event_time.",
        _is_readable & _is_lifecycle & _lacks("event_time"),
        "event_time",
    ),
    _quarantine(
        "admission_time_is_unusable",
        "A snapshot without a readable admission_time.",
        _is_readable & _is_snapshot & _lacks("admission_time"),
        "admission_time",
    ),
    _quarantine(
        "time_is_too_old",
        f"The event_time of a lifecycle event, or the admission_time of a snapshot, is before "
        f"{events.EARLIEST_TIME:%Y}.",
        _is_readable
        & (
            (_is_lifecycle & c("event_time_too_old"))
            | (_is_snapshot & c("admission_time_too_old") & c("admission_time").is_null())
        ),
        "event_time",
        "admission_time",
    ),
    _quarantine(
        "event_is_in_the_future",
        "event_time is more than 5 minutes later than the event's arrival at the hub.",
        c("states_event_time") & (c("event_time") > _latest),
        "event_time",
    ),
    _quarantine(
        "arrival_is_in_the_future",
        "arrival_time is more than 5 minutes later than the event's arrival at the hub.",
        c("arrival_time") > _latest,
        "arrival_time",
    ),
    _quarantine(
        "triage_is_in_the_future",
        "triage_time is more than 5 minutes later than the event's arrival at the hub.",
        c("triage_time") > _latest,
        "triage_time",
    ),
    _quarantine(
        "admission_is_in_the_future",
        "admission_time is more than 5 minutes later than the event's arrival at the hub.",
        c("admission_time") > _latest,
        "admission_time",
    ),
    _quarantine(
        "discharge_is_in_the_future",
        "A discharge event states a discharge_time more than 5 minutes later than its arrival at the hub.",
        (c("event_type") == "discharge") & (c("discharge_time") > _latest),
        "discharge_time",
    ),
    _quarantine(
        "discharge_precedes_admission",
        "The discharge is earlier than the admission.",
        _discharged_at < c("admission_time"),
        "discharge_time",
        "admission_time",
    ),
    _quarantine(
        "event_is_a_duplicate",
        "A lifecycle event with the same event_id, event time and body reached the hub before: a redelivery.",
        None,
    ),
    _quarantine(
        "event_id_is_reused",
        "An event with the same event_id and event time, but another body, reached the hub before.",
        None,
        "event_id",
    ),
    _quarantine(
        "rules_have_changed",
        "It was rejected under rules, a mapping or a department list that have changed since; replay accepts it.",
        None,
    ),
    _flag(
        "age_is_out_of_range",
        "age is not a whole number from 0 to 120; stored as null.",
        c("age_unusable"),
    ),
    _flag(
        "gender_is_unknown",
        "gender is none of Female, Male, Other, Unknown, F, M; stored as Unknown.",
        c("gender_unusable"),
    ),
    _flag(
        "wait_is_out_of_range",
        "wait_minutes is not a number from 0 to 10080; stored as null.",
        c("wait_minutes_unusable"),
    ),
    _flag(
        "department_is_not_listed",
        "The department is not in the reference list of its hospital; kept, with an inferred dimension member.",
        c("department").is_not_null() & ~c("department_is_listed"),
    ),
    _flag(
        "discharge_status_is_unknown",
        f"discharge_status is none of {', '.join(events.DISCHARGE_STATUSES)}; stored as null.",
        c("discharge_status_unusable"),
    ),
    _flag(
        "visit_class_is_unknown",
        f"visit_class is none of {', '.join(events.VISIT_CLASSES)}; stored as null.",
        c("visit_class_unusable"),
    ),
    _flag(
        "admission_type_is_unknown",
        f"admission_type is none of {', '.join(events.ADMISSION_TYPES)}; stored as null.",
        c("admission_type_unusable"),
    ),
    _flag(
        "assigner_is_unusable",
        "patient_assigner, visit_assigner or merged_patient_assigner is not text of 1 to 64 characters; the number "
        "gets the scope that it has without one.",
        c("patient_assigner_unusable") | c("visit_assigner_unusable") | c("merged_patient_assigner_unusable"),
    ),
    _flag(
        "event_id_is_unusable",
        "event_id is not text of 1 to 64 characters; the hash of the body stands in for it.",
        c("event_id_unusable"),
    ),
    _flag(
        "bed_is_unusable",
        "bed_id is not a whole number or text of 1 to 64 characters; stored as null.",
        c("bed_id_unusable"),
    ),
    _flag(
        "optional_time_is_unusable",
        f"A time that the event need not state ({', '.join(events.TIME_FIELDS[1:])}, or a snapshot's event_time) is "
        f"given but not a readable timestamp, is before {events.EARLIEST_TIME:%Y}, or plans a discharge more than ten "
        "years ahead (9999-12-31 for an open end); stored as null.",
        pl.any_horizontal(c(f"{field}_unusable") for field in events.TIME_FIELDS),
    ),
    _flag(
        "optional_time_is_in_the_future",
        f"{', '.join(events.TIMES_NOT_AHEAD[:-1])} or {events.TIMES_NOT_AHEAD[-1]} is more than 5 minutes later than "
        "the event's arrival at the hub; stored as null.",
        c("optional_time_is_ahead"),
    ),
    _flag(
        "stays_are_unusable",
        "stays is no list of placements with department and from, in a snapshot; stored as null.",
        c("stays_unusable"),
    ),
    _flag(
        "stay_is_in_the_future",
        "An entry of stays begins later than the event's arrival at the hub, and is left out, or ends later, and is "
        "open.",
        c("stay_is_ahead"),
    ),
    _flag(
        "time_is_estimated",
        "The sender states that something has happened and not when: an Encounter that is finished without an end "
        "ends when it was last updated; a date without a time has the time of day that the mapping names.",
        c("time_is_estimated"),
    ),
    _flag(
        "visit_is_an_account",
        "An HL7 message without a visit number (PV1-19): the patient account number (PID-18) stands in for it.",
        c("visit_is_an_account"),
    ),
)

QUARANTINE_RULES = tuple(r for r in RULES if r.severity is Severity.QUARANTINE)
FLAG_RULES = tuple(r for r in RULES if r.severity is Severity.FLAG)
INTERPRETERS_FLAGS = ("time_is_estimated", "visit_is_an_account")
"""Flags that an interpreter raises, by name: each is a column of the read frame."""
DUPLICATE = "event_is_a_duplicate"
REUSED_ID = "event_id_is_reused"
RULES_CHANGED = "rules_have_changed"
ALL = "all"
"""Stands in ``data_quality_day.rule`` for the count of events, whatever rules they break."""
