"""Changes of the rules by which figures are computed: each is dated in the warehouse when its figures are loaded.

``LoadLog`` keeps the version of the loaded figures and when it changed, so that a reader who compares with a figure of
before finds the reason.
"""

from __future__ import annotations

from typing import NamedTuple

from patient_flow.contracts.measure_types import Text


class FigureChange(NamedTuple):
    """One change: its version, which is also that of the rules of visits, and the figures that differ since."""

    version: int
    figures: Text


CHANGES = (
    FigureChange(
        2,
        Text(
            "admissions, discharges, transfers, waits, lengths of stay and readmissions are those of ward stays; "
            "attendances of emergency departments are counted by themselves; the headline occupancy covers inpatient, "
            "critical care and maternity; staffed beds count from a department's first patient on; stays that no event "
            "confirms any more are in no figure of now",
            "entrées, sorties, transferts, attentes, durées de séjour et réadmissions sont celles des séjours en unité "
            "d’hospitalisation ; les passages aux urgences sont comptés à part ; le taux d’occupation principal porte "
            "sur l’hospitalisation, les soins critiques et la maternité ; les lits armés comptent à partir du premier "
            "patient du service ; les séjours que rien ne confirme plus ne figurent dans aucun chiffre du moment",
        ),
    ),
)
"""In order of their versions. A new one makes all facts again (``pipeline.recomputation``)."""
CURRENT = CHANGES[-1]
