"""Relationships between tables. Filters flow from a dimension to its facts only; no two active paths meet.

Relationships of facts follow from the names of their columns (:func:`patient_flow.contracts.tables.references`).
"""

from __future__ import annotations

from collections.abc import Iterator

from patient_flow.contracts.tables import DIM_DEPARTMENT, DIM_TIME, WAREHOUSE_TABLES, Table, has_totals, references
from patient_flow.powerbi.declarations import Relationship

_ROLES = {"from_department_key": "DimOrigin"}
"""Foreign keys that lead to a copy of their dimension, so that a filter on one department of a transfer is none on the
other."""


def _of(fact: Table) -> Iterator[Relationship]:
    """A fact's foreign keys, and the columns for which the model has a dimension of its own.

    Of several foreign keys to one dimension only one relationship is active: that of the instant by which the fact is
    sorted, else the first. Measures date by the others with TREATAS.

    Rows of a whole hospital have no department, so that a relationship with the departments would hide them from every
    reader with limits: such tables have one with the hospitals, and roles and measures follow the department's key.
    """
    dimensions = references(fact)
    if has_totals(fact):
        dimensions = {name: dimension for name, dimension in dimensions.items() if dimension is not DIM_DEPARTMENT}
    columns: dict[tuple[str, str], list[str]] = {}
    for column, dimension in dimensions.items():
        columns.setdefault((_ROLES.get(column, dimension.warehouse_name), dimension.key[0]), []).append(column)
    for (target, key), names in columns.items():
        preferred = f"{fact.sort_by.removesuffix('_at')}_{key}"
        active = preferred if preferred in names else names[0]
        for name in names:
            yield Relationship(fact.warehouse_name, name, target, key, is_active=name == active)
    # A filter on the day or the hospital already reaches the fact through an hour or a department.
    for column, target, reached_by in (
        ("date", "DimDate", DIM_TIME),
        ("hospital_id", "DimHospital", DIM_DEPARTMENT),
        ("gender", "DimGender", None),
    ):
        if column in fact.schema and reached_by not in dimensions.values():
            yield Relationship(fact.warehouse_name, column, target, column)


RELATIONSHIPS: tuple[Relationship, ...] = (
    Relationship("DimTime", "date", "DimDate", "date"),
    Relationship("DimDepartment", "hospital_id", "DimHospital", "hospital_id"),
    # A department is a text there, empty for the whole hospital: roles filter it by a condition of their own.
    Relationship("BedsExpected", "hospital_id", "DimHospital", "hospital_id"),
    *(relationship for table in WAREHOUSE_TABLES if not table.is_dimension for relationship in _of(table)),
)
