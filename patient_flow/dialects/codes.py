"""The code tables of HL7 v2 and FHIR R4 that have a counterpart in the contract.

A code that is not listed is kept unchanged: the rules then flag it, or quarantine the event, by name.
"""

from __future__ import annotations

from collections.abc import Mapping

HL7_EVENT_TYPES: Mapping[str, str] = {
    "A01": "admission",
    "A02": "transfer",
    "A03": "discharge",
    "A04": "arrival",
    "A06": "admission",  # an outpatient becomes an inpatient
    "A07": "update",  # an inpatient becomes an outpatient: the class says it
    "A08": "update",
    "A11": "cancel_admission",
    "A12": "cancel_transfer",
    "A13": "cancel_discharge",
    "A18": "merge_patient",
    "A34": "merge_patient",
    "A40": "merge_patient",
    "A47": "merge_patient",
}
"""Trigger event (HL7 table 0003) → event type.

Not listed, because they state no movement that has happened, or none that the contract knows: A05 (pre-admission) and
A14–A16 are plans, A09 and A10 track a journey, A17 swaps beds, A37 and A42 … A50 unlink, move and merge visits.
"""

HL7_PERSON_RECORDS = ("A28", "A31")
"""Triggers that add or update a person's record, whatever visit there may be."""
OUTPATIENT_AGAIN = "A07"

FHIR_EVENT_TYPES: Mapping[str, str] = {
    "arrived": "arrival",
    "triaged": "triage",
    "in-progress": "visit_snapshot",
    "onleave": "visit_snapshot",  # the bed stays the patient's
    "finished": "visit_snapshot",
    "cancelled": "void_visit",
    "entered-in-error": "void_visit",
}
"""Encounter.status → event type. ``planned`` and ``unknown`` state nothing that has happened."""

HL7_CLASSES: Mapping[str, str] = {
    "E": "emergency",
    "I": "inpatient",
    "B": "inpatient",  # obstetrics
    "O": "outpatient",
    "R": "outpatient",  # recurring
    "P": "preadmission",
}
"""Patient class (HL7 table 0004)."""

HL7_ADMISSION_TYPES: Mapping[str, str] = {
    "A": "emergency",  # accident
    "E": "emergency",
    "U": "emergency",  # urgent
    "C": "elective",
    "R": "elective",  # routine
    "L": "maternity",  # labour and delivery
    "N": "newborn",
}
"""Admission type (HL7 table 0007)."""

FHIR_CLASSES: Mapping[str, str] = {
    "EMER": "emergency",
    "IMP": "inpatient",
    "ACUTE": "inpatient",
    "NONAC": "inpatient",
    "OBSENC": "observation",
    "SS": "day_case",  # short stay
    "AMB": "outpatient",
    "VR": "virtual",
    "HH": "home",
    "PRENC": "preadmission",
}
"""Encounter.class (value set ActEncounterCode)."""

HL7_GENDERS: Mapping[str, str] = {
    "F": "Female",
    "M": "Male",
    "O": "Other",
    "A": "Other",  # ambiguous
    "U": "Unknown",
    "N": "Unknown",  # not applicable
}
"""Administrative sex (HL7 table 0001)."""

_TRANSFERRED = ("02", "05", "43", "66", "69", "70")
_CARE_FACILITY = ("03", "04", "51", "61", "62", "63", "64", "65")
"""Nursing, rehabilitation, long-term and psychiatric care: not another acute hospital."""
HL7_DISCHARGE_STATUSES: Mapping[str, str] = {
    "01": "home",
    "06": "home",  # with a home health service
    "07": "left_against_advice",
    "08": "home",  # with intravenous therapy
    "20": "deceased",
    "40": "deceased",
    "41": "deceased",
    "42": "deceased",
    "50": "home",  # hospice care at home
    **dict.fromkeys(_TRANSFERRED, "transferred"),
    **dict.fromkeys(_CARE_FACILITY, "care_facility"),
}
"""Discharge disposition (HL7 table 0112, as used with the UB-04 codes)."""

FHIR_DISCHARGE_STATUSES: Mapping[str, str] = {
    "home": "home",
    "alt-home": "home",
    "other-hcf": "transferred",
    "hosp": "transferred",
    "long": "care_facility",
    "psy": "care_facility",
    "rehab": "care_facility",
    "snf": "care_facility",
    "aadvice": "left_against_advice",
    "exp": "deceased",
    "oth": "other",
}
"""Discharge disposition (FHIR value set encounter-discharge-disposition)."""
