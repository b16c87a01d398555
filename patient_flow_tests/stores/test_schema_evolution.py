"""A lake made by an older version: it gains columns by itself, and refuses what would need a decision."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from patient_flow.contracts.columns import Column
from patient_flow.contracts.tables import Table
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import LakeError, SchemaDrift

OLD = Table(
    "gold",
    "wards",
    "Wards.",
    (Column("key", pl.Int64(), "Key"), Column("beds", pl.Int16(), "Beds")),
    key=("key",),
)
WITH_COLUMN = replace(OLD, columns=(*OLD.columns, Column("staff", pl.Int64(), "Staff")))
WIDER = replace(OLD, columns=(OLD.columns[0], Column("beds", pl.Int64(), "Beds")))


@pytest.fixture
def old_lake(lake: Lake) -> Lake:
    lake.open(OLD).append(pl.DataFrame({"key": [1], "beds": [20]}), {"source": 5})
    return lake


def test_a_new_column_is_added_empty_and_progress_stays(old_lake: Lake) -> None:
    opened = old_lake.open(WITH_COLUMN)
    assert opened.scan().collect().rows() == [(1, 20, None)]
    assert opened.checkpoint("source") == 5
    opened.append(pl.DataFrame({"key": [2], "beds": [30], "staff": [9]}), {"source": 6})
    assert old_lake.open(WITH_COLUMN).scan().sort("key").collect().rows() == [(1, 20, None), (2, 30, 9)]


def test_a_wider_type_is_refused_with_the_command_to_run_and_migrated_by_it(old_lake: Lake) -> None:
    with pytest.raises(SchemaDrift, match=r"beds is short, not long.*patient-flow migrate"):
        old_lake.open(WIDER)
    assert "1 row rewritten" in (old_lake.migrate(WIDER) or "")
    opened = old_lake.open(WIDER)
    assert opened.scan().collect().rows() == [(1, 20)]
    assert opened.checkpoint("source") == 5
    opened.append(pl.DataFrame({"key": [2], "beds": [100_000]}), {"source": 6})


def test_a_lake_of_a_newer_version_is_refused(old_lake: Lake) -> None:
    old_lake.open(WITH_COLUMN)
    with pytest.raises(SchemaDrift, match="staff is not known"):
        old_lake.open(OLD)


def test_a_migration_that_would_lose_values_changes_nothing(lake: Lake) -> None:
    lake.open(WIDER).append(pl.DataFrame({"key": [1], "beds": [100_000]}), {})
    with pytest.raises(LakeError, match="cannot be converted"):
        lake.migrate(OLD)
    assert lake.open(WIDER).scan().collect().rows() == [(1, 100_000)]


def test_a_table_that_fits_needs_no_migration(old_lake: Lake) -> None:
    assert old_lake.migrate(OLD) is None
