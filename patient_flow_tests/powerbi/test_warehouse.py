"""Every column that the model reads is in the warehouse, with a type that fits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from patient_flow.stores.warehouse import schema, scripts, views
from patient_flow_tests.powerbi.star import Star

FITTING: Mapping[str, tuple[type[Any], ...]] = {
    "int64": (sa.Integer,),
    "double": (sa.Float,),
    "string": (sa.String,),
    "boolean": (sa.Boolean,),
    "dateTime": (sa.DateTime, sa.Date),
}

RELATIONS: dict[str, sa.Table | sa.TableClause] = {
    **{table.name: table for table in schema.ALL_TABLES},
    **views.TABLES,
}


def item_of(star: Star, table: str) -> str:
    """The relation that the query of ``table`` reads."""
    source = star.tables[table].one("partition").properties["source"]
    (item,) = re.findall(r'Item = "(\w+)"', source)
    return item


def test_every_column_is_in_the_warehouse_with_a_fitting_type(star: Star) -> None:
    problems = []
    for table, columns in star.columns.items():
        if table == "ReaderScope":  # made by the access script: see test_roles
            continue
        relation = RELATIONS[item_of(star, table)]
        for column in columns.values():
            if "sourceColumn" not in column.properties:
                continue
            there = relation.columns.get(column.properties["sourceColumn"])
            if there is None or not isinstance(there.type, FITTING[column.properties["dataType"]]):
                problems.append(f"{table}.{column.name} against {relation.name}: {there!r}")
    assert not problems


@pytest.mark.parametrize("kind", ["synapse", "mssql", "fabric"])
def test_every_relation_is_in_the_script_of_each_target_that_power_bi_reads(star: Star, kind: str) -> None:
    created = set(re.findall(r"CREATE (?:TABLE|VIEW) (?:\[?dbo\]?\.)?\[?(\w+)", scripts.ddl(kind)))
    read = {item_of(star, table) for table in star.tables} - {"ReaderScope"}
    assert read <= created


def test_the_model_has_every_table_of_the_warehouse(star: Star) -> None:
    read = {item_of(star, table) for table in star.tables}
    assert {table.name for table in schema.TABLES.values()} <= read
