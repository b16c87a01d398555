"""The lake on Blob Storage as Azurite plays it: two processes race, and every event is in bronze once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from azure.eventhub import EventData, EventHubProducerClient
from azure.storage.blob import BlobClient, BlobServiceClient
from deltalake import write_deltalake

from patient_flow.contracts.tables import BRONZE_EVENTS, DIM_DEPARTMENT
from patient_flow.local_hub.testing import HubThread
from patient_flow.settings import LAYERS
from patient_flow.stores.lake.catalog import EXPORTS, Lake
from patient_flow.stores.lake.errors import LakeError
from patient_flow.stores.staging import StagingExpired
from patient_flow_tests import servers
from patient_flow_tests.servers import ACCOUNT, AZURITE_KEY
from patient_flow_tests.stacks import OWN_KEYS, Servers

EVENTS = 300
DRAIN = """
import sys
from dataclasses import replace
from datetime import UTC, datetime
from patient_flow.contracts.tables import BRONZE_EVENTS
from patient_flow.operations import step_context
from patient_flow.pipeline import bronze
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.stores.hub import HubUnavailable
from patient_flow.stores.lake.errors import LakeError

services = Services(load())
commits = conflicts = 0
while services.lake.open(BRONZE_EVENTS).row_count() < int(sys.argv[1]):
    try:
        context = step_context(services, run_id="race", now=datetime.now(UTC))
        bronze.ingest(replace(context, max_events=20))
        commits += 1
    except (LakeError, HubUnavailable):  # the loser: refused by the lake, or disconnected by the other
        conflicts += 1
print(commits, conflicts)
"""


@pytest.mark.long
def test_two_processes_race_on_blob_storage_and_nothing_is_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with servers.azurite(tmp_path / "azurite") as port, HubThread(tmp_path / "hub", partitions=2) as hub:
        with BlobServiceClient(f"http://127.0.0.1:{port}/{ACCOUNT}", credential=AZURITE_KEY) as client:
            for layer in LAYERS:
                client.create_container(layer)
        with EventHubProducerClient.from_connection_string(hub.connection, eventhub_name="patient-flow") as producer:
            for partition in ("0", "1"):
                batch = producer.create_batch(partition_id=partition)
                for number in range(EVENTS // 2):
                    batch.add(EventData(json.dumps({"patient_id": f"{partition}-{number}"})))
                producer.send_batch(batch)
        storage = {
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}",
        }
        environment = {
            **os.environ,
            **storage,
            "PATIENT_FLOW_LAKE_URI": f"abfss://{{layer}}@{ACCOUNT}.dfs.core.windows.net",
            **OWN_KEYS,
            "PATIENT_FLOW_EVENTHUB_CONNECTION": hub.connection,
        }
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", DRAIN, str(EVENTS)], env=environment, stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        said = [racer.communicate(timeout=120)[0].split() for racer in racers]
        assert [racer.returncode for racer in racers] == [0, 0]
        assert sum(int(commits) + int(conflicts) for commits, conflicts in said) >= EVENTS // 20

        for name, value in storage.items():
            monkeypatch.setenv(name, value)
        bronze = Lake(environment["PATIENT_FLOW_LAKE_URI"]).open(BRONZE_EVENTS).scan().collect()
        counted = bronze.group_by("partition_id").agg(
            rows=pl.len(), numbers=pl.col("sequence_number").n_unique(), last=pl.col("sequence_number").max()
        )
        assert sorted(counted.rows()) == [(p, EVENTS // 2, EVENTS // 2, EVENTS // 2 - 1) for p in ("0", "1")]


def test_a_container_that_is_not_there_is_a_named_error(running: Servers) -> None:
    assert running.azurite
    with pytest.raises(LakeError, match="bronze/patient_events"):
        Lake(f"abfss://{{layer}}-of-nobody@{ACCOUNT}.dfs.core.windows.net").open(BRONZE_EVENTS)


def test_exports_for_the_warehouse_are_written_to_the_configured_container(running: Servers) -> None:
    """The address is that of the account in Azure; here Azurite has the same path."""
    environment = running.azurite
    rows = pl.DataFrame({"stay_key": [1, 2]})
    address = Lake(f"abfss://{{layer}}@{ACCOUNT}.dfs.core.windows.net/below").export("FactPatientFlow_1", rows)
    assert address == f"https://{ACCOUNT}.dfs.core.windows.net/gold/below/{EXPORTS}/FactPatientFlow_1.parquet"
    url = f"{environment['AZURITE_BLOB_STORAGE_URL']}/{ACCOUNT}/{address.partition('.net/')[2]}"
    with BlobClient.from_blob_url(url, credential=AZURITE_KEY) as blob:
        assert pl.read_parquet(blob.download_blob().readall()).equals(rows)


def test_what_a_cluster_stages_is_read_and_removed_on_blob_storage(running: Servers) -> None:
    assert running.azurite
    lake = Lake(f"abfss://{{layer}}@{ACCOUNT}.dfs.core.windows.net/staged")
    kept = lake.open(DIM_DEPARTMENT)
    staging = lake.staging("gold", "run")
    staging.clear()  # there is nothing yet
    rows = pl.DataFrame({"part": [1, 2, 2], "name": ["a", "b", "c"]})
    write_deltalake(staging.uri("names"), rows, partition_by=["part"])
    staged = staging.open("names")
    assert staged.parts("part") == [1, 2]
    assert sorted(staged.part("part", 2, pl.Schema({"name": pl.String()}))["name"]) == ["b", "c"]
    assert staged.row_count() == 3
    lake.staging("gold", "a later run").clear()
    with pytest.raises(StagingExpired):
        staging.open("names")
    with pytest.raises(StagingExpired):
        staged.part("part", 2, pl.Schema({"name": pl.String()}))
    assert lake.open(DIM_DEPARTMENT).version == kept.version
