"""Row-level security: who sees which hospitals and departments.

Conditions stand on dimensions; relationships carry them to every fact. Membership is not in the files: it is given in
the Power BI service. A person in several roles sees what any of them shows.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from patient_flow.contracts.tables import WAREHOUSE_TABLES, has_totals
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


def _has_department(table: str, condition: str) -> str:
    """True for the rows of ``table`` whose department meets ``condition``; no hospital's total does."""
    return f"""\
{table}[department_key] IN
    SELECTCOLUMNS(
        FILTER(DimDepartment, DimDepartment[department_key] <> 0 && {condition}),
        "department_key", DimDepartment[department_key]
    )"""


_HOSPITAL, _DEPARTMENT = (_listed_or_all(name, f"DimDepartment[{name}]") for name in ("hospital_id", "department"))
_OF_READER = _scope_of_reader(_HOSPITAL + "\n            && " + _DEPARTMENT)
_WITH_TOTALS = tuple(table.warehouse_name for table in WAREHOUSE_TABLES if has_totals(table))


def _with_totals_of_reader() -> Iterator[tuple[str, str]]:
    """A hospital's total is for readers of all its departments, a department's row for its readers."""
    for table in _WITH_TOTALS:
        total = _listed_or_all("hospital_id", f"{table}[hospital_id]") + " && ISBLANK(ReaderScope[department])"
        yield (
            table,
            f"({table}[department_key] = 0 && {_scope_of_reader(total)})\n    || {_has_department(table, _OF_READER)}",
        )


READER_SCOPE = Role(
    "Reader scope",
    "Everybody sees what ReaderScope lists for their sign-in name; who is not listed sees nothing.",
    (
        ("DimHospital", _scope_of_reader(_listed_or_all("hospital_id", "DimHospital[hospital_id]"))),
        ("DimDepartment", _OF_READER),
        # Rows of whole hospitals have no department: only who sees all departments sees them.
        (
            "BedsExpected",
            _scope_of_reader(
                _listed_or_all("hospital_id", "BedsExpected[hospital_id]")
                + "\n            && "
                + _listed_or_all("department", "BedsExpected[department]")
            ),
        ),
        *_with_totals_of_reader(),
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
                    *(
                        (table, _has_department(table, f"DimDepartment[department] = {_text(name)}"))
                        for table in _WITH_TOTALS
                    ),
                ),
            )
            for name in names
        ),
    )


def _text(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
