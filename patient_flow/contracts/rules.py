"""The quality rules, declared once: name, meaning, severity, and the expression that finds a violation.

Each name says what is wrong, as it stands in ``quarantine.reasons`` or ``patient_events.quality_flags``. The
expressions run on the frame that ``transforms.read`` returns: every contract field, typed, null when absent or
unusable; ``<field>_unusable``, true where the body states something that cannot be used; and a few facts about the
body (``is_unreadable``, ``is_unsupported``, ``states_event_time``, ``department_is_listed``). The two rules on identity
have no expression: they compare events with each other (``transforms.accept``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import polars as pl

from patient_flow.contracts import events

c = pl.col


class Severity(Enum):
    """What a violation does to the event."""

    QUARANTINE = "quarantine"
    FLAG = "flag"


@dataclass(frozen=True)
class Rule:
    """One quality rule; ``violation`` is true for an event that breaks it."""

    name: str
    meaning: str
    severity: Severity
    violation: pl.Expr | None


def _quarantine(name: str, meaning: str, violation: pl.Expr | None) -> Rule:
    return Rule(name, meaning, Severity.QUARANTINE, violation)


def _flag(name: str, meaning: str, violation: pl.Expr) -> Rule:
    return Rule(name, meaning, Severity.FLAG, violation)


_is_readable = ~c("is_unreadable") & ~c("is_unsupported")
_is_lifecycle = c("event_type").is_in(events.LIFECYCLE_TYPES)
_is_snapshot = c("event_type") == events.SNAPSHOT
_latest = c("enqueued_at") + events.CLOCK_TOLERANCE
_discharged_at = pl.coalesce("discharge_time", pl.when(c("event_type") == "discharge").then("event_time"))

RULES: tuple[Rule, ...] = (
    _quarantine(
        "body_is_not_a_json_object",
        "The body is not one JSON object in UTF-8 (nor an HL7 v2 message).",
        c("is_unreadable"),
    ),
    _quarantine(
        "message_type_is_unsupported",
        "The body is an HL7 message or FHIR resource of a kind that states nothing about a patient's flow.",
        c("is_unsupported"),
    ),
    _quarantine(
        "schema_version_is_unsupported",
        "schema_version is not 1 or 1.x.",
        _is_readable & ~c("schema_version").str.contains(r"^1(\.[0-9]+)*$"),
    ),
    _quarantine(
        "event_type_is_unknown",
        f"event_type is none of {', '.join(events.EVENT_TYPES)}.",
        _is_readable & ~c("event_type").is_in(events.EVENT_TYPES),
    ),
    _quarantine(
        "patient_is_missing",
        "No usable patient_id (text of 1 to 64 characters).",
        _is_readable & c("patient_id").is_null(),
    ),
    _quarantine(
        "hospital_is_missing",
        "No usable hospital_id (a whole number, or text of 1 to 64 characters).",
        _is_readable & c("hospital_id").is_null(),
    ),
    _quarantine(
        "visit_is_missing",
        "A lifecycle event without a usable visit_id.",
        _is_readable & _is_lifecycle & c("visit_id").is_null(),
    ),
    _quarantine(
        "department_is_missing",
        "An arrival, admission, transfer or snapshot without a usable department.",
        _is_readable & c("event_type").is_in(events.TYPES_WITH_DEPARTMENT) & c("department").is_null(),
    ),
    _quarantine(
        "event_time_is_unusable",
        "A lifecycle event without a readable event_time.",
        _is_readable & _is_lifecycle & c("event_time").is_null(),
    ),
    _quarantine(
        "admission_time_is_unusable",
        "A snapshot without a readable admission_time.",
        _is_readable & _is_snapshot & c("admission_time").is_null(),
    ),
    _quarantine(
        "event_is_in_the_future",
        "event_time is more than 5 minutes later than the event's arrival at the hub.",
        c("states_event_time") & (c("event_time") > _latest),
    ),
    _quarantine(
        "arrival_is_in_the_future",
        "arrival_time is more than 5 minutes later than the event's arrival at the hub.",
        c("arrival_time") > _latest,
    ),
    _quarantine(
        "triage_is_in_the_future",
        "triage_time is more than 5 minutes later than the event's arrival at the hub.",
        c("triage_time") > _latest,
    ),
    _quarantine(
        "admission_is_in_the_future",
        "admission_time is more than 5 minutes later than the event's arrival at the hub.",
        c("admission_time") > _latest,
    ),
    _quarantine(
        "discharge_is_in_the_future",
        "A discharge event states a discharge_time more than 5 minutes later than its arrival at the hub.",
        (c("event_type") == "discharge") & (c("discharge_time") > _latest),
    ),
    _quarantine(
        "discharge_precedes_admission",
        "The discharge is earlier than the admission.",
        _discharged_at < c("admission_time"),
    ),
    _quarantine(
        "event_is_a_duplicate",
        "An event with the same event_id, event time and body reached the hub before: a redelivery.",
        None,
    ),
    _quarantine(
        "event_id_is_reused",
        "An event with the same event_id and event time, but another body, reached the hub before.",
        None,
    ),
    _quarantine(
        "rules_have_changed",
        "It was rejected under rules, a mapping or a department list that have changed since; replay takes it in.",
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
        "arrival_time, triage_time, admission_time, discharge_time or a snapshot's event_time is given but not a "
        f"readable timestamp, is before {events.EARLIEST_TIME:%Y}, or plans a discharge more than ten years ahead "
        "(9999-12-31 for an open end); stored as null.",
        pl.any_horizontal(c(f"{field}_unusable") for field in events.TIME_FIELDS),
    ),
)

QUARANTINE_RULES = tuple(r for r in RULES if r.severity is Severity.QUARANTINE)
FLAG_RULES = tuple(r for r in RULES if r.severity is Severity.FLAG)
DUPLICATE = "event_is_a_duplicate"
REUSED_ID = "event_id_is_reused"
RULES_CHANGED = "rules_have_changed"
ALL = "all"
"""Stands in ``data_quality_day.rule`` for the count of events, whatever rules they break."""
