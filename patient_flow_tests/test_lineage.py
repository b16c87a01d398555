"""Every column of every table has its sources, or is stated to be ours."""

from __future__ import annotations

import pytest

from patient_flow.contracts import events, lineage
from patient_flow.contracts.tables import LAKE_TABLES, WAREHOUSE_TABLES, Table
from patient_flow.stores.reference import COLUMNS

OUTSIDE = {
    lineage.EVENT_HUB: {*lineage.HUB_FIELDS, *events.FIELDS},
    lineage.DEPARTMENT_LIST: set(lineage.LIST_COLUMNS),
}
KNOWN = {**OUTSIDE, **{table.path: set(table.schema) for table in LAKE_TABLES}}


@pytest.mark.parametrize("table", LAKE_TABLES, ids=lambda table: table.path)
def test_every_column_has_its_sources_or_is_ours_and_never_both(table: Table) -> None:
    sources, ours = lineage.sources(table), lineage.GENERATED_COLUMNS.get(table.path, {})
    assert set(sources) | set(ours) == set(table.schema)
    assert not set(sources) & set(ours)
    assert all(sources.values())
    assert all(ours.values())


@pytest.mark.parametrize("table", LAKE_TABLES, ids=lambda table: table.path)
def test_every_source_is_a_column_of_an_earlier_table(table: Table) -> None:
    paths = [other.path for other in LAKE_TABLES]
    for column, sources in lineage.sources(table).items():
        assert len(set(sources)) == len(sources), column
        for source, name in sources:
            assert name in KNOWN[source], (column, source, name)
            assert source in OUTSIDE or paths.index(source) < paths.index(table.path), (column, source)


@pytest.mark.parametrize("table", WAREHOUSE_TABLES, ids=lambda table: table.path)
def test_the_warehouse_takes_columns_over_as_they_are(table: Table) -> None:
    assert lineage.warehouse_sources(table) == {
        column.name: ((table.path, column.name),) for column in table.warehouse_columns
    }


def test_the_department_list_is_the_one_that_is_read() -> None:
    assert tuple(COLUMNS) == lineage.LIST_COLUMNS
