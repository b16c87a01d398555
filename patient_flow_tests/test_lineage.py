"""Every column of every table has sources or says what generates it, and every table has one step that reads them."""

from __future__ import annotations

import pytest

from patient_flow.contracts.columns import DEPARTMENT_LIST, EVENT_HUB, ExternalSource
from patient_flow.contracts.tables import LAKE_TABLES, Table
from patient_flow.pipeline.graph import ALL_STEPS, step_of
from patient_flow.stores.reference import COLUMNS

OUTSIDE = {source.path: set(source.columns) for source in (EVENT_HUB, DEPARTMENT_LIST)}
KNOWN = {**OUTSIDE, **{table.path: set(table.schema) for table in LAKE_TABLES}}


@pytest.mark.parametrize("table", LAKE_TABLES, ids=lambda table: table.path)
def test_every_column_has_either_sources_or_a_generator(table: Table) -> None:
    for column in table.columns:
        assert bool(column.sources) != bool(column.generated_by), column.name


@pytest.mark.parametrize("table", LAKE_TABLES, ids=lambda table: table.path)
def test_every_source_is_a_column_of_an_earlier_table_that_the_step_reads(table: Table) -> None:
    paths = [other.path for other in LAKE_TABLES]
    read = {source.path for source in step_of(table).reads}
    for column in table.columns:
        assert len(set(column.sources)) == len(column.sources), column.name
        for source, name in column.sources:
            assert name in KNOWN[source], (column.name, source, name)
            assert source in OUTSIDE or paths.index(source) < paths.index(table.path), (column.name, source)
            assert source in read, (column.name, source)


def test_every_table_has_one_step_and_is_made_after_what_the_step_reads() -> None:
    assert [step.table for step in ALL_STEPS] == list(LAKE_TABLES)
    for number, step in enumerate(ALL_STEPS):
        made = {earlier.table for earlier in ALL_STEPS[:number]}
        assert {read for read in step.reads if isinstance(read, Table)} <= made, step.table.path


@pytest.mark.parametrize("source", [EVENT_HUB, LAKE_TABLES[0]], ids=lambda source: source.path)
def test_a_source_that_does_not_exist_is_refused_where_it_is_declared(source: Table | ExternalSource) -> None:
    with pytest.raises(KeyError, match="has no column nothing"):
        source.of("nothing")


def test_the_department_list_is_the_one_that_is_read() -> None:
    assert tuple(COLUMNS) == DEPARTMENT_LIST.columns
