"""Every rule: what it compares, its threshold, severity, cadence and audience, and what to do about a finding.

Each has a page of its name in ``infra/docs/runbook``. A new check is a function in ``rules``, its entry here and its
page.
"""

from __future__ import annotations

from datetime import timedelta

from patient_flow.contracts import tables
from patient_flow.contracts.forecasts import JUDGED_DAYS
from patient_flow.contracts.tables import WAREHOUSE_TABLES, references
from patient_flow.monitoring import bed_alerts
from patient_flow.monitoring.finding import Finding, Severity
from patient_flow.monitoring.inputs import CheckInputs
from patient_flow.monitoring.rule import EVENT_TTL, SETTLE_WINDOW, Audience, Cadence, Rule
from patient_flow.monitoring.rules import (
    arrival,
    forecasts,
    freshness,
    keys,
    mapping,
    occupancy,
    reconciliation,
    senders,
    stays,
    system,
)
from patient_flow.monitoring.thresholds import (
    DATA_AGE,
    DATA_STALE_MINUTES,
    DELAYED,
    DEPARTMENT_LIST_AGE,
    FIELD_KNOWN_DAYS,
    FORECAST_FULL,
    NEW_FIELD_HOURS,
    NO_EVENTS_HOURS,
    OCCUPANCY,
    OCCUPANCY_AUDITED_HOURS,
    OCCUPANCY_PLAUSIBLE,
    QUARANTINE,
    QUARANTINE_MIN_EVENTS,
    QUARANTINE_SPIKE_PCT,
    SENDER_KNOWN_DAYS,
    SENDER_SILENT,
    VOLUME,
    VOLUME_MIN_EVENTS,
    VOLUME_WEEKS,
    Threshold,
)

BATCH, HOURLY, NIGHTLY, WATCH = Cadence.BATCH, Cadence.HOURLY, Cadence.NIGHTLY, Cadence.WATCH
WARNING, ERROR = Severity.WARNING, Severity.ERROR

REBUILD = "Run `patient-flow rebuild`."
REBUILD_SAFELY = "Run `patient-flow rebuild`; the warehouse keeps its last good state meanwhile."
RELOAD = "Find out who else writes to the warehouse; then run `patient-flow warehouse reload`."


def _events_arrive_once(inputs: CheckInputs) -> Finding:
    bronze = inputs.bronze_events()
    if inputs.whole_history:
        return arrival.all_events_arrive_once(bronze)
    return arrival.new_events_arrive_once(bronze)


def _occupancy_plausible(inputs: CheckInputs) -> Finding:
    census, since = inputs.bed_census(OCCUPANCY_AUDITED_HOURS)
    departments = inputs.scan(tables.DIM_DEPARTMENT).collect()
    return occupancy.occupancy_plausible(census, departments, OCCUPANCY_PLAUSIBLE, since=since)


def _every_hospital_sends(inputs: CheckInputs) -> Finding:
    # Nobody knows who sent the events that bronze has and silver has not.
    read_until = None if inputs.silver_is_behind() else inputs.read_progress().read_until
    return senders.every_hospital_sends(
        inputs.last_sent(SENDER_KNOWN_DAYS),
        inputs.department_list["hospital_id"],
        SENDER_SILENT,
        now=inputs.checked_at,
        read_until=read_until,
    )


EVENTS_ARRIVE_ONCE = Rule(
    "events_arrive_once",
    "Hub → bronze, per partition: every sequence number arrives, and arrives once.",
    "For duplicates stop the sensor `event_hub_backlog` and call the developers; for missing events compare with the "
    "hub's retention and ask the senders to send them again.",
    ERROR,
    (BATCH, NIGHTLY),
    tables=(tables.BRONZE_EVENTS,),
    blocking=True,
    evaluate=_events_arrive_once,
)
EVENT_IDENTITIES_UNIQUE = Rule(
    "event_identities_unique",
    "Silver: no two accepted events share (event_id, event_time) or their coordinates in the hub.",
    REBUILD,
    ERROR,
    (BATCH, NIGHTLY),
    tables=(tables.SILVER_EVENTS,),
    blocking=True,
    evaluate=lambda inputs: reconciliation.event_identities_unique(inputs.accepted_events()),
)
COUNTS_RECONCILE = Rule(
    "counts_reconcile",
    "Per partition, events received (bronze, in parts) = accepted (silver) + ignored + quarantined + erased.",
    REBUILD,
    ERROR,
    (BATCH, NIGHTLY),
    tables=(tables.QUARANTINE,),
    blocking=True,
    evaluate=lambda inputs: reconciliation.counts_reconcile(inputs.reconciliation_counts()),
)
KEYS_UNIQUE = Rule(
    "keys_unique",
    "No two rows of the table have the same key.",
    REBUILD_SAFELY,
    ERROR,
    (BATCH, NIGHTLY),
    tables=WAREHOUSE_TABLES,
    blocking=True,
    evaluate=lambda inputs: keys.keys_unique(inputs.changes, inputs.table.key),
)
FOREIGN_KEYS_EXIST = Rule(
    "foreign_keys_exist",
    "Every foreign key of the table is in its dimension.",
    "Materialize the dimension and this table again; if that does not help, run `patient-flow rebuild`.",
    ERROR,
    (BATCH, NIGHTLY),
    tables=tuple(table for table in WAREHOUSE_TABLES if references(table)),
    blocking=True,
    evaluate=lambda inputs: keys.foreign_keys_exist(inputs.foreign_keys()),
)
SCD2_INTERVALS_VALID = Rule(
    "scd2_intervals_valid",
    "Versions of a member have neither gaps nor overlaps, and exactly one is current; a department may be closed.",
    REBUILD_SAFELY,
    ERROR,
    (BATCH, NIGHTLY),
    tables=tuple(table for table in WAREHOUSE_TABLES if table.path in keys.SCD2_MEMBERS),
    blocking=True,
    evaluate=lambda inputs: keys.scd2_intervals_valid(
        inputs.member_versions(), keys.SCD2_MEMBERS[inputs.table.path], may_pause=inputs.table.path in keys.PAUSING
    ),
)
QUALITY_COUNTS_RECONCILE = Rule(
    "quality_counts_reconcile",
    "The table's counts add up to the rows of silver, ignored and quarantine.",
    REBUILD,
    ERROR,
    (BATCH, NIGHTLY),
    tables=(tables.DATA_QUALITY_DAY,),
    blocking=True,
    evaluate=lambda inputs: reconciliation.quality_counts_reconcile(
        inputs.scan(tables.DATA_QUALITY_DAY).collect(), inputs.quality_counts()
    ),
)
STREAM_MATCHES_EXTRACT = Rule(
    "stream_matches_extract",
    "The newest extract and the stream have the same patients in bed.",
    "Ask the hospital's interface team for the missing messages, or let the extract win in PATIENT_FLOW_EXTRACT_RULES.",
    WARNING,
    (Cadence.EXTRACT,),
)
ROW_COUNTS_MATCH = Rule(
    "row_counts_match",
    "The table has as many rows in the warehouse as in the lake.",
    RELOAD,
    ERROR,
    (BATCH,),
    tables=WAREHOUSE_TABLES,
    on_warehouse=True,
    blocking=True,
)
OCCUPANCY_PLAUSIBLE_RULE = Rule(
    "occupancy_plausible",
    f"No department is above {OCCUPANCY_PLAUSIBLE.warning:g} {OCCUPANCY_PLAUSIBLE.unit}; no hour counts less than one "
    "patient.",
    "Compare the department's beds in the list with the ward, and ask its hospital whether discharges are sent.",
    ERROR,
    (BATCH, NIGHTLY),
    OCCUPANCY_PLAUSIBLE,
    tables=(tables.FACT_BED_CENSUS,),
    blocking=True,
    evaluate=_occupancy_plausible,
)
QUARANTINE_RATE_ACCEPTABLE = Rule(
    "quarantine_rate_acceptable",
    f"At most {QUARANTINE.warning:g} % of the newest day's events are quarantined (from {QUARANTINE_MIN_EVENTS} events "
    "on; without rejected rows of imports).",
    "Ask the sender about the rules named here; after a mapping or rule changed, run `patient-flow replay-quarantine`.",
    WARNING,
    (BATCH,),
    QUARANTINE,
    tables=(tables.DATA_QUALITY_DAY,),
    evaluate=lambda inputs: senders.quarantine_rate(
        inputs.newest_day_quality(), QUARANTINE, min_events=QUARANTINE_MIN_EVENTS
    ),
)
DEPARTMENT_LIST_CURRENT = Rule(
    "department_list_current",
    "Events name only departments of the list, and the list is kept up to date.",
    "Look up the departments in DimDepartment (`is_inferred`) and add them to the list (PATIENT_FLOW_DEPARTMENTS), or "
    "correct their spelling at the sender; if the list is old, ask for the present beds.",
    WARNING,
    (BATCH, HOURLY),
    DEPARTMENT_LIST_AGE,
    tables=(tables.DIM_DEPARTMENT,),
    evaluate=lambda inputs: senders.department_list_current(
        inputs.scan(tables.DIM_DEPARTMENT).collect(),
        inputs.department_list,
        DEPARTMENT_LIST_AGE,
        now=inputs.checked_at,
        is_demo_list=inputs.uses_demo_list,
    ),
)
DATA_FRESH = Rule(
    "data_fresh",
    f"No event waits at the hub for more than {DATA_AGE.warning:g} minutes (an error above {DATA_AGE.error:g}); an "
    "idle hospital is not late.",
    "See in the runs whether micro-batches fail or wait, and whether the hub answers.",
    ERROR,
    (BATCH, HOURLY),
    DATA_AGE,
    tables=(tables.FACT_PATIENT_FLOW,),
    on_warehouse=True,
    evaluate=lambda inputs: freshness.data_fresh(
        inputs.read_progress(), inputs.newest_loaded_event_at(), inputs.checked_at, DATA_AGE
    ),
)
EVENT_VOLUME_NORMAL = Rule(
    "event_volume_normal",
    f"The last full hour has as many events as that hour of the {VOLUME_WEEKS} weeks before, within a factor of "
    f"{VOLUME.warning:g}.",
    "Ask the senders: too few events mean a lost connection, too many a repeated or a test feed.",
    WARNING,
    (HOURLY,),
    VOLUME,
    evaluate=lambda inputs: senders.event_volume_normal(
        inputs.volume(VOLUME_WEEKS),
        VOLUME,
        min_events=VOLUME_MIN_EVENTS,
        read_until=inputs.read_progress().read_until,
    ),
)
EVERY_HOSPITAL_SENDS = Rule(
    "every_hospital_sends",
    f"Every hospital that sent in the last {SENDER_KNOWN_DAYS} days has an accepted event within "
    f"{SENDER_SILENT.warning:g} hours.",
    "See whether events of the hospitals named here are in quarantine; if none is, call their interface team.",
    WARNING,
    (HOURLY,),
    SENDER_SILENT,
    evaluate=_every_hospital_sends,
)
NO_NEW_FIELDS = Rule(
    "no_new_fields",
    "Senders send no field that the contract does not define and that they did not send in the "
    f"{FIELD_KNOWN_DAYS} days before.",
    "Nothing is lost (silver keeps the fields in `extra`); ask the sender what they mean, and map them if they matter.",
    WARNING,
    (HOURLY,),
    evaluate=lambda inputs: senders.no_new_fields(inputs.new_fields(NEW_FIELD_HOURS, FIELD_KNOWN_DAYS)),
)
SCHEMAS_MATCH = Rule(
    "schemas_match",
    "Tables of lake and warehouse have the columns that this version declares; the warehouse also its tables, indexes, "
    "keys and views.",
    "Run `patient-flow migrate` for the lake, `patient-flow warehouse migrate` for the warehouse.",
    ERROR,
    (HOURLY,),
    evaluate=lambda inputs: reconciliation.schemas_match(inputs.schema_differences()),
)
STAYS_MATCH_EVENTS = Rule(
    "stays_match_events",
    "A part of all visits, another one every night: FactPatientFlow equals the stays recomputed from the events.",
    REBUILD,
    ERROR,
    (NIGHTLY,),
    evaluate=lambda inputs: reconciliation.rows_match(
        inputs.recomputed_facts(tables.FACT_PATIENT_FLOW),
        ["stay_key"],
        [name for name in tables.FACT_PATIENT_FLOW.schema if name not in ("stay_key", "quality_flags")],
    ),
)
ATTENDANCES_MATCH_EVENTS = Rule(
    "attendances_match_events",
    "A part of all visits, another one every night: every visit with an attendance has one row in FactEdAttendance, "
    "every other visit none.",
    REBUILD,
    ERROR,
    (NIGHTLY,),
    evaluate=lambda inputs: reconciliation.rows_match(
        inputs.recomputed_facts(tables.FACT_ED_ATTENDANCE),
        ["attendance_key"],
        [name for name in tables.FACT_ED_ATTENDANCE.schema if name not in ("attendance_key", "quality_flags")],
    ),
)
STAYS_CONFIRMED = Rule(
    "stays_confirmed",
    "Events confirm every open stay and attendance (PATIENT_FLOW_UNCONFIRMED_DAYS; the list's `unconfirmed_days`).",
    "Ask the hospitals named here for the discharges that they did not send; the view UnconfirmedStays lists them.",
    WARNING,
    (HOURLY,),
    evaluate=lambda inputs: stays.stays_confirmed(
        inputs.scan(tables.FACT_PATIENT_FLOW),
        inputs.scan(tables.FACT_ED_ATTENDANCE),
        inputs.scan(tables.DIM_DEPARTMENT),
        now=inputs.checked_at,
    ),
)
VISIT_NUMBERS_UNAMBIGUOUS = Rule(
    "visit_numbers_unambiguous",
    f"No visit of the last {stays.RECENT_DAYS} days has a number that stands for two visits.",
    "Set `visit_scope` (or `patient_scope`) in the source mapping (PATIENT_FLOW_SOURCE_MAPPING), so that a number is "
    "unique within its scope; then run `patient-flow rebuild`.",
    WARNING,
    (HOURLY,),
    evaluate=lambda inputs: stays.visit_numbers_unambiguous(
        inputs.scan(tables.FACT_PATIENT_FLOW),
        inputs.scan(tables.FACT_ED_ATTENDANCE),
        inputs.scan(tables.DIM_DEPARTMENT),
        now=inputs.checked_at,
    ),
)
VISITS_RECOMPUTED = Rule(
    "visits_recomputed",
    "Every visit follows the present department list, PATIENT_FLOW_UNCONFIRMED_DAYS and rules.",
    "Wait: each run makes some of them again, within PATIENT_FLOW_MAX_EVENTS_PER_RUN events;"
    " `patient-flow status` counts the others.",
    WARNING,
    (HOURLY,),
    evaluate=lambda inputs: stays.visits_recomputed(inputs.visits_to_recompute()),
)
EVENTS_FOLLOW_MAPPING = Rule(
    "events_follow_mapping",
    "All events were read with the present source mapping and the names of the present department list.",
    "Run `patient-flow rebuild` to read accepted events again, and `patient-flow replay-quarantine` for rejected ones; "
    "or leave them, where the change is for new events only.",
    WARNING,
    (HOURLY,),
    evaluate=lambda inputs: mapping.events_follow_mapping(inputs.former_rows()),
)
FORECAST_HOLDS = Rule(
    "forecast_holds",
    "In the last week, the intervals of the forecast cover what they promise, and no baseline was better; before "
    f"{JUDGED_DAYS} days are judged nothing is shown.",
    "Ask what changed in these hospitals (a closed ward, an outbreak, a feed that lags). The dashboard shows the "
    "baseline until the forecast is better again.",
    WARNING,
    (HOURLY,),
    evaluate=lambda inputs: forecasts.forecast_holds(inputs.scan(tables.FORECAST_SHOWN).collect()),
)
CENSUS_MATCHES_FACTS = Rule(
    "census_matches_facts",
    "The bed census that micro-batches maintain equals the census recomputed from all stays.",
    REBUILD,
    ERROR,
    (NIGHTLY,),
    evaluate=lambda inputs: reconciliation.rows_match(
        inputs.recomputed_census(), tables.FACT_BED_CENSUS.key, ["occupied_beds"]
    ),
)
WAREHOUSE_MATCHES_GOLD = Rule(
    "warehouse_matches_gold",
    "Rows, sums and checksums of the warehouse equal those of the gold versions that it loaded.",
    RELOAD,
    ERROR,
    (NIGHTLY,),
    evaluate=lambda inputs: reconciliation.warehouse_matches_gold(inputs.warehouse_differences()),
)
ACCESS_LOG_INTACT = Rule(
    "access_log_intact",
    "No line of the access log was changed, inserted or deleted, except by its retention.",
    "Keep the table as it is, run `patient-flow access-log verify`, and tell the data protection officer.",
    ERROR,
    (NIGHTLY,),
    evaluate=lambda inputs: system.access_log_intact(inputs.access_log()),
)

CHECKS = (
    EVENTS_ARRIVE_ONCE,
    EVENT_IDENTITIES_UNIQUE,
    COUNTS_RECONCILE,
    KEYS_UNIQUE,
    FOREIGN_KEYS_EXIST,
    SCD2_INTERVALS_VALID,
    QUALITY_COUNTS_RECONCILE,
    ROW_COUNTS_MATCH,
    STREAM_MATCHES_EXTRACT,
    OCCUPANCY_PLAUSIBLE_RULE,
    QUARANTINE_RATE_ACCEPTABLE,
    DEPARTMENT_LIST_CURRENT,
    DATA_FRESH,
    EVENT_VOLUME_NORMAL,
    EVERY_HOSPITAL_SENDS,
    NO_NEW_FIELDS,
    SCHEMAS_MATCH,
    STAYS_MATCH_EVENTS,
    ATTENDANCES_MATCH_EVENTS,
    STAYS_CONFIRMED,
    VISIT_NUMBERS_UNAMBIGUOUS,
    VISITS_RECOMPUTED,
    EVENTS_FOLLOW_MAPPING,
    FORECAST_HOLDS,
    CENSUS_MATCHES_FACTS,
    WAREHOUSE_MATCHES_GOLD,
    ACCESS_LOG_INTACT,
)
"""Rules that run as asset checks."""

RUN_FAILED = Rule(
    "run_failed",
    "The newest run of a job failed, or a step of the running micro-batch is repeated.",
    "Open the run: its error says what to do; the next run tries again.",
    ERROR,
    (WATCH,),
    resolve_after=SETTLE_WINDOW,
)
CHECK_FAILED = Rule(
    "check_failed",
    "The newest evaluation of a check failed.",
    "Do what the check says; `Runs` shows whether a later run passes it.",
    ERROR,
    (WATCH,),
    resolve_after=SETTLE_WINDOW,
)
DATA_STALE = Rule(
    "data_stale",
    "Events that the hub accepted are in the warehouse within minutes (PATIENT_FLOW_ALERT_STALE_MINUTES).",
    "See in *Runs* whether micro-batches fail or wait in the queue; terminate a run that does not move.",
    ERROR,
    (WATCH,),
    Threshold("minutes", DATA_STALE_MINUTES),
)
NO_EVENTS = Rule(
    "no_events",
    "Some hospital sent an event within hours (PATIENT_FLOW_ALERT_SILENCE_HOURS).",
    "Ask the interface team whether the senders still reach the Event Hub.",
    WARNING,
    (WATCH,),
    Threshold("hours", NO_EVENTS_HOURS),
)
QUARANTINE_SPIKE = Rule(
    "quarantine_spike",
    "The share of the last 15 minutes' events that was quarantined (PATIENT_FLOW_ALERT_QUARANTINE_PCT).",
    "Ask the sender that the alert names; the asset silver/quarantine has the reasons of each micro-batch.",
    WARNING,
    (WATCH,),
    Threshold("% of the events", QUARANTINE_SPIKE_PCT),
    resolve_after=SETTLE_WINDOW,
)
OCCUPANCY_HIGH = Rule(
    bed_alerts.FULL,
    "Occupied beds against staffed beds of a department (PATIENT_FLOW_ALERT_OCCUPANCY_…).",
    bed_alerts.MAKE_ROOM.en,
    ERROR,
    (WATCH,),
    OCCUPANCY,
    audience=Audience.BED_MANAGEMENT,
)
DISCHARGES_DELAYED = Rule(
    bed_alerts.DELAYED,
    "Patients in beds whose ready time, else planned discharge, has passed, per patient in bed of a hospital.",
    bed_alerts.ASK_THE_WARDS.en,
    ERROR,
    (WATCH,),
    DELAYED,
    resolve_after=timedelta(hours=1),
    audience=Audience.BED_MANAGEMENT,
)
BEDS_FULL_AHEAD = Rule(
    bed_alerts.AHEAD,
    "Departments and hospitals do not reach their staffed beds within 24 hours, by the newest forecast.",
    bed_alerts.PREPARE.en,
    WARNING,
    (WATCH,),
    FORECAST_FULL,
    audience=Audience.BED_MANAGEMENT,
)
HUB_DOWN = Rule(
    "hub_down",
    "The Event Hub answers.",
    "Start the hub (locally `patient-flow hub`), or ask the network team about its address and port.",
    ERROR,
    (WATCH,),
)
HUB_SLOW = Rule(
    "hub_slow",
    "The Event Hub answers within seconds.",
    "Wait five minutes; if it stays slow, look at the hub's throttling and the network.",
    ERROR,
    (WATCH,),
    resolve_after=SETTLE_WINDOW,
)
HUB_REFUSED = Rule(
    "hub_refused",
    "The Event Hub is the one that bronze follows.",
    "Correct PATIENT_FLOW_EVENTHUB_…, or materialize bronze once with `adopt_hub: true`.",
    ERROR,
    (WATCH,),
)
HUB_RECREATED = Rule(
    "hub_recreated",
    "The Event Hub was deleted and recreated.",
    "Ask who recreated it; the pipeline follows the new hub by itself.",
    ERROR,
    (WATCH,),
    resolve_after=EVENT_TTL,
)
PARTITION_ADDED = Rule(
    "partition_added",
    "The Event Hub has a new partition.",
    "Nothing: the pipeline reads it by itself.",
    WARNING,
    (WATCH,),
    resolve_after=EVENT_TTL,
)
EVENTS_EXPIRED = Rule(
    "events_expired",
    "The hub's retention deleted unread events.",
    "Ask the senders to send these events again, or restore them with `patient-flow import --capture`.",
    ERROR,
    (WATCH,),
    resolve_after=EVENT_TTL,
)
STORE_DOWN = Rule(
    "store_down",
    "Lake, warehouse and department list answer.",
    "Start this store, end the program that locks it, or correct what the message names.",
    ERROR,
    (WATCH,),
)
DAMAGED_TABLE = Rule(
    "damaged_table",
    "Every file of the lake that runs read is present and unchanged.",
    "Launch the job `lake_repair` (*Jobs*, its *Launchpad*): it restores the table, and its receipt names lost events.",
    ERROR,
    (WATCH,),
)
DISK_FULL = Rule(
    "disk_full",
    "The disks of a local lake and warehouse have room.",
    "Free room on this disk: old logs, files of other programs. Nothing else is to be done.",
    ERROR,
    (WATCH,),
)
SETTINGS_INVALID = Rule(
    "settings_invalid",
    "The department list, the source mapping and the names of settings are valid.",
    "Correct what the alert names; the next run reads lists and mappings again, a restart the settings.",
    ERROR,
    (WATCH,),
)
PSEUDONYM_KEY_WEAK = Rule(
    "pseudonym_key_weak",
    "Where the lake is not on this machine, nobody can guess the key of the pseudonyms (PATIENT_FLOW_PSEUDONYM_KEY).",
    "Set a new key and run `patient-flow rebuild`.",
    WARNING,
    (WATCH,),
)

ALERTS = (
    RUN_FAILED,
    CHECK_FAILED,
    DATA_STALE,
    NO_EVENTS,
    QUARANTINE_SPIKE,
    OCCUPANCY_HIGH,
    DISCHARGES_DELAYED,
    BEDS_FULL_AHEAD,
    HUB_DOWN,
    HUB_SLOW,
    HUB_REFUSED,
    HUB_RECREATED,
    PARTITION_ADDED,
    EVENTS_EXPIRED,
    STORE_DOWN,
    DAMAGED_TABLE,
    DISK_FULL,
    SETTINGS_INVALID,
    PSEUDONYM_KEY_WEAK,
)
"""Rules that the alert sensor watches."""

RULES = (*CHECKS, *ALERTS)
BY_NAME = {rule.name: rule for rule in RULES}
