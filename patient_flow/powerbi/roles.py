"""Row-level security: who sees which hospitals and departments.

Conditions stand on dimensions; relationships carry them to every fact. Membership is not in the files: it is given in
the Power BI service. A person in several roles sees what any of them shows.
"""

from __future__ import annotations

import polars as pl

from patient_flow.powerbi.declarations import Role


def _scope_of_reader(place: str) -> str:
    """True for the rows that a line of ReaderScope grants to the signed-in user."""
    return f"""\
NOT ISEMPTY(
    FILTER(
        ReaderScope,
        ReaderScope[principal_name] = USERPRINCIPALNAME()
            && {place}
    )
)"""


def _listed_or_all(scope: str, column: str) -> str:
    return f"(ISBLANK(ReaderScope[{scope}]) || ReaderScope[{scope}] = {column})"


READER_SCOPE = Role(
    "Reader scope",
    "Everybody sees what ReaderScope lists for their sign-in name; who is not listed sees nothing.",
    (
        ("DimHospital", _scope_of_reader(_listed_or_all("hospital_id", "DimHospital[hospital_id]"))),
        (
            "DimDepartment",
            _scope_of_reader(
                _listed_or_all("hospital_id", "DimDepartment[hospital_id]")
                + "\n            && "
                + _listed_or_all("department", "DimDepartment[department]")
            ),
        ),
        # Rows of whole hospitals have no department: only who sees all departments sees them.
        (
            "BedsExpected",
            _scope_of_reader(
                _listed_or_all("hospital_id", "BedsExpected[hospital_id]")
                + "\n            && "
                + _listed_or_all("department", "BedsExpected[department]")
            ),
        ),
        ("ReaderScope", "ReaderScope[principal_name] = USERPRINCIPALNAME()"),
    ),
)


def roles(departments: pl.DataFrame) -> tuple[Role, ...]:
    """The dynamic role, and a static one for every hospital and every department of the list ``departments``."""
    hospitals = departments.unique("hospital_id", keep="last").sort("hospital_id")
    names = departments["department"].unique().sort()
    return (
        READER_SCOPE,
        *(
            Role(
                f"Hospital {hospital_id}",
                f"Sees {name or hospital_id} only.",
                (("DimHospital", f"DimHospital[hospital_id] = {_text(hospital_id)}"),),
            )
            for hospital_id, name in hospitals.select("hospital_id", "hospital_name").iter_rows()
        ),
        *(
            Role(
                f"Department {name}",
                f"Sees {name} of every hospital only.",
                (
                    ("DimDepartment", f"DimDepartment[department] = {_text(name)}"),
                    ("BedsExpected", f"BedsExpected[department] = {_text(name)}"),
                ),
            )
            for name in names
        ),
    )


def _text(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
