"""Headings that several tables share, in English and French."""

from __future__ import annotations

from patient_flow.contracts.measure_types import Text

HOSPITAL, DEPARTMENT = Text("Hospital", "Hôpital"), Text("Department", "Service")
IN_BEDS, BED = Text("In beds now", "Présents maintenant"), Text("Bed", "Lit")
SINCE = Text("Since", "Depuis")
