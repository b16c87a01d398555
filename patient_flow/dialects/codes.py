"""The code tables of HL7 v2 and FHIR R4 that have a counterpart in the contract.

A code that is not listed stays as it is: the rules then flag it, or quarantine the event, by name.
"""

from __future__ import annotations

from collections.abc import Mapping

HL7_EVENT_TYPES: Mapping[str, str] = {
    "A01": "admission",
    "A02": "transfer",
    "A03": "discharge",
    "A04": "arrival",
    "A06": "admission",  # an outpatient becomes an inpatient
    "A08": "update",
    "A11": "cancel_admission",
    "A12": "cancel_transfer",
    "A13": "cancel_discharge",
}
"""Trigger event (HL7 table 0003) → event type.

Not listed, because they state no movement that has happened, or none that the contract knows: A05 (pre-admission) and
A14–A16 are plans, A07 ends the inpatient class but not the visit, A09 and A10 track a journey, A40 merges patients.
"""

FHIR_EVENT_TYPES: Mapping[str, str] = {
    "arrived": "arrival",
    "triaged": "triage",
    "in-progress": "visit_snapshot",
    "onleave": "visit_snapshot",  # the bed stays the patient's
    "finished": "visit_snapshot",
    "cancelled": "cancel_admission",
}
"""Encounter.status → event type. ``planned``, ``entered-in-error`` and ``unknown`` state nothing that has happened."""

HL7_GENDERS: Mapping[str, str] = {
    "F": "Female",
    "M": "Male",
    "O": "Other",
    "A": "Other",  # ambiguous
    "U": "Unknown",
    "N": "Unknown",  # not applicable
}
"""Administrative sex (HL7 table 0001)."""

_TRANSFERRED = ("02", "03", "04", "05", "43", "51", "61", "62", "63", "64", "65", "66", "69", "70")
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
}
"""Discharge disposition (HL7 table 0112, as used with the UB-04 codes)."""

FHIR_DISCHARGE_STATUSES: Mapping[str, str] = {
    "home": "home",
    "alt-home": "home",
    "other-hcf": "transferred",
    "hosp": "transferred",
    "long": "transferred",
    "psy": "transferred",
    "rehab": "transferred",
    "snf": "transferred",
    "aadvice": "left_against_advice",
    "exp": "deceased",
    "oth": "other",
}
"""Discharge disposition (FHIR value set encounter-discharge-disposition)."""
