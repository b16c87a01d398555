"""The model for aggregate readers: published days and months as the warehouse has them, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from patient_flow.powerbi import project
from patient_flow.powerbi.declarations import Storage
from patient_flow.stores.warehouse.schema import AGGREGATE_DAY, AGGREGATE_MONTH
from patient_flow_tests.powerbi.star import Star


@pytest.fixture(scope="module")
def star() -> Star:
    return Star(project.aggregate_files())


def test_the_model_reads_published_days_and_months_only(star: Star) -> None:
    relations = {relation.name: set(relation.c.keys()) for relation in (AGGREGATE_DAY, AGGREGATE_MONTH)}
    read = re.findall(r'Item = "(\w+)"', "".join(star.files.values()))
    assert sorted(read) == sorted(relations) == sorted(star.tables)
    for table, columns in star.columns.items():
        assert set(columns) <= relations[table]


def test_measures_never_add_a_hospital_to_its_departments(star: Star) -> None:
    assert len(star.measures) == 7
    for name, measure in star.measures.items():
        assert re.search(r'AggregateDay\[department\] (=|<>) ""', str(measure)), name


def test_it_is_written_beside_the_other_project(tmp_path: Path) -> None:
    assert project.write_aggregates(tmp_path, storage=Storage.DIRECT_QUERY) == len(project.aggregate_files())
    assert [folder.name for folder in tmp_path.iterdir()] == [project.AGGREGATES_MODEL]
