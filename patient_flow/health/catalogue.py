"""Every check by name: what it watches, whether it stops the pipeline, and what to do when it fails.

Each has a page of that name in ``infra/docs/runbook``. Not here: how it judges.
"""

from __future__ import annotations

from dataclasses import dataclass

from patient_flow.contracts import measures
from patient_flow.health.findings import Finding

RUNBOOK = "infra/docs/runbook"


@dataclass(frozen=True)
class Check:
    """``stops`` the pipeline when what it finds is grave; ``todo`` is one sentence for whoever is on duty."""

    name: str
    meaning: str
    todo: str
    stops: bool = False

    @property
    def page(self) -> str:
        """Its page of the runbook."""
        return f"{RUNBOOK}/{self.name}.md"

    def said(self, finding: Finding) -> str:
        """What was found and, unless all is well, what to do and where to read on."""
        return finding.sentence if finding.is_fine else f"{finding.sentence} {self.todo} See {self.page}."


ARRIVE_ONCE = Check(
    "events_arrive_once",
    "Hub → bronze, per partition: every sequence number arrives, and arrives once.",
    "For numbers that came twice stop the sensor and call the developers; for numbers that are missing compare with "
    "the hub's retention and ask the senders to send them again.",
    stops=True,
)
ACCEPTED_ONCE = Check(
    "identities_are_accepted_once",
    "Silver: no two accepted events share (event_id, event_time), nor their place in the hub.",
    "Run `patient-flow rebuild`.",
    stops=True,
)
ACCOUNTED_FOR = Check(
    "received_is_accepted_plus_quarantined",
    "Per partition, events received (bronze) = accepted (silver) + quarantined.",
    "Run `patient-flow rebuild`.",
    stops=True,
)
KEYS_UNIQUE = Check(
    "keys_are_unique",
    "No two rows of the table share its key.",
    "Run `patient-flow rebuild`; the warehouse keeps its last good state meanwhile.",
    stops=True,
)
KEYS_KNOWN = Check(
    "keys_are_in_their_dimension",
    "Every key of the table is in the dimension that it points to.",
    "Materialize the dimension and this table again; if that does not help, run `patient-flow rebuild`.",
    stops=True,
)
VERSIONS_CHAINED = Check(
    "versions_have_no_gap_or_overlap",
    "Versions of a member follow each other without gap or overlap, and exactly one is current.",
    "Run `patient-flow rebuild`; the warehouse keeps its last good state meanwhile.",
    stops=True,
)
EVENTS_COUNTED = Check(
    "every_event_is_counted",
    "The table's counts add up to the rows of silver and quarantine.",
    "Run `patient-flow rebuild`.",
    stops=True,
)
ROWS_EQUAL = Check(
    "rows_equal_gold",
    "The table has as many rows in the warehouse as in the lake.",
    "Find out who else writes to the warehouse; then run `patient-flow warehouse reload`.",
    stops=True,
)
OCCUPANCY = Check(
    "occupancy_is_plausible",
    f"No department is above {measures.OCCUPANCY_PLAUSIBLE_PCT:g} % of its staffed beds; no hour counts less than one.",
    "Compare the department's beds in the list with the ward, and ask its hospital whether discharges are sent.",
    stops=True,
)
FEW_QUARANTINED = Check(
    "few_events_are_quarantined",
    f"Of the newest day's events, at most {measures.QUARANTINE_WARNING_PCT:g} % are quarantined (judged from "
    f"{measures.QUARANTINE_LEAST_EVENTS} events on).",
    "Ask the sender about the rules named here; after a mapping or rule changed, run `patient-flow replay-quarantine`.",
)
DEPARTMENTS_CURRENT = Check(
    "department_list_is_current",
    "Events name only departments of the list, and the list is kept up.",
    "Look the departments up in DimDepartment (`is_inferred`) and add them to the list (PATIENT_FLOW_DEPARTMENTS), or "
    "correct their spelling at the sender; of an old list ask for the present beds.",
)
DATA_RECENT = Check(
    "newest_event_is_recent",
    f"No event waits at the hub for more than {measures.DATA_AGE_WARNING_MINUTES} minutes "
    f"(grave above {measures.DATA_AGE_FAILURE_MINUTES}); an idle hospital is not late.",
    "See in the runs whether micro-batches fail or wait, and whether the hub answers.",
)
VOLUME = Check(
    "volume_is_usual",
    f"The last full hour has as many events as that hour of the {measures.VOLUME_WEEKS} weeks before, by a factor of "
    f"{measures.VOLUME_FACTOR:g}.",
    "Ask the senders: too few is a lost connection, too many a repeated or a test feed.",
)
HOSPITALS_SEND = Check(
    "every_hospital_sends",
    f"Of every hospital that sent in the last {measures.SENDER_KNOWN_DAYS} days an event was accepted within "
    f"{measures.SENDER_SILENT_HOURS} hours.",
    "See whether events of the hospitals named here are in quarantine; if none is, call their interface team.",
)
FIELDS_KNOWN = Check(
    "senders_send_known_fields",
    "Senders did not start to send fields that the contract does not know and that they did not send in the "
    f"{measures.FIELD_KNOWN_DAYS} days before.",
    "Nothing is lost (silver keeps them in `extra`); ask the sender what they mean, and map them if they matter.",
)
SCHEMAS = Check(
    "schemas_are_as_declared",
    "Tables of lake and warehouse have the columns that this version declares.",
    "Run `patient-flow migrate` for the lake, `patient-flow warehouse migrate` for the warehouse.",
)
CENSUS = Check(
    "census_matches_facts",
    "The bed census, made again from all stays, is the one that the micro-batches added up.",
    "Run `patient-flow rebuild`.",
)
STAYS = Check(
    "stays_match_events",
    "The stays of a part of all visits, made again from their events, are the ones in FactPatientFlow; another part "
    "every night.",
    "Run `patient-flow rebuild`.",
)
VERIFIED = Check(
    "warehouse_equals_gold",
    "Rows, sums and checksums of the warehouse are those of the gold versions that it holds.",
    "Find out who else writes to the warehouse; then run `patient-flow warehouse reload`.",
)

ALL_CHECKS = (
    ARRIVE_ONCE,
    ACCEPTED_ONCE,
    ACCOUNTED_FOR,
    KEYS_UNIQUE,
    KEYS_KNOWN,
    VERSIONS_CHAINED,
    EVENTS_COUNTED,
    ROWS_EQUAL,
    OCCUPANCY,
    FEW_QUARANTINED,
    DEPARTMENTS_CURRENT,
    DATA_RECENT,
    VOLUME,
    HOSPITALS_SEND,
    FIELDS_KNOWN,
    SCHEMAS,
    CENSUS,
    STAYS,
    VERIFIED,
)
