"""Damaged data files on Blob Storage (Azurite): each table is repaired, and what no store holds is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import polars as pl
import pytest
from azure.storage.blob import BlobClient

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    FACT_PATIENT_FLOW,
    LAKE_TABLES,
    QUARANTINE,
    SILVER_EVENTS,
    Table,
)
from patient_flow.local_hub.testing import HubThread
from patient_flow.pipeline.repair import repair
from patient_flow.pipeline.steps import StepContext
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.inspection import check
from patient_flow_tests.builders import NOW, step_context
from patient_flow_tests.damage import BODIES, micro_batch, rows, send
from patient_flow_tests.servers import ACCOUNT, AZURITE_KEY
from patient_flow_tests.stacks import Servers

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def blobs(running: Servers) -> str:
    return f"{running.azurite['AZURITE_BLOB_STORAGE_URL']}/{ACCOUNT}"


@pytest.fixture(scope="module")
def context(blobs: str, tmp_path_factory: pytest.TempPathFactory, departments: pl.DataFrame) -> Iterator[StepContext]:
    with HubThread(tmp_path_factory.mktemp("hub"), partitions=2) as thread:
        hub = Hub(connection=thread.connection, host="127.0.0.1", name="patient-flow", consumer_group="$Default")
        lake = Lake(f"abfss://{{layer}}@{ACCOUNT}.dfs.core.windows.net/damaged")
        made = StepContext(lake, step_context(lake, departments).parser, "Europe/Paris", NOW, "test", hub, 1000)
        send(thread, BODIES)
        micro_batch(made)
        yield made


def delete(blob: BlobClient) -> None:
    blob.delete_blob()


def cut(blob: BlobClient) -> None:
    content = blob.download_blob().readall()
    blob.upload_blob(content[: len(content) // 2], overwrite=True)


def damage_a_file(context: StepContext, blobs: str, table: Table, damage: Callable[[BlobClient], None]) -> None:
    opened = context.lake.open(table)
    place = urlsplit(f"{opened.uri.rstrip('/')}/{next(iter(opened.file_sizes()))}")
    with BlobClient(blobs, str(place.username), place.path.strip("/"), credential=AZURITE_KEY) as blob:
        damage(blob)


@pytest.mark.parametrize(
    ("table", "damage"),  # test_repair damages files of every kind in every way
    [(BRONZE_EVENTS, delete), (SILVER_EVENTS, cut), (QUARANTINE, delete), (FACT_PATIENT_FLOW, cut)],
    ids=lambda value: value.name if isinstance(value, Table) else value.__name__,
)
def test_a_damaged_blob_is_named_and_its_table_repaired(
    context: StepContext, blobs: str, table: Table, damage: Callable[[BlobClient], None]
) -> None:
    before = rows(context.lake)
    damage_a_file(context, blobs, table, damage)
    assert [found.table for found in check(context.lake, table)] == [table]
    said = list(repair(context))
    assert not any("lost for good" in line for line in said), said
    assert [found for known in LAKE_TABLES for found in check(context.lake, known)] == []
    micro_batch(context)
    after = rows(context.lake)
    assert [name for name in before if not after[name].equals(before[name])] == []


def test_a_whole_lake_is_left_alone(context: StepContext) -> None:
    versions = {table.path: context.lake.open(table).version for table in LAKE_TABLES}
    assert list(repair(context)) == ["no table had to be computed again"]
    assert {table.path: context.lake.open(table).version for table in LAKE_TABLES} == versions


def test_events_that_neither_hub_nor_quarantine_holds_are_named(context: StepContext, blobs: str) -> None:
    """Last of this module: its lake has lost events from now on, and silver keeps what it accepted of them."""
    accepted = context.lake.open(SILVER_EVENTS).row_count()
    damage_a_file(context, blobs, BRONZE_EVENTS, delete)
    unreachable = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true;"
    hub = Hub(connection=unreachable, host="127.0.0.1", name="patient-flow", consumer_group="$Default")
    said = list(repair(replace(context, hub=hub)))
    assert any(line.startswith("lost for good from bronze/patient_events: partition") for line in said)
    assert context.lake.open(SILVER_EVENTS).row_count() == accepted
    assert list(repair(context)) == ["no table had to be computed again"]
