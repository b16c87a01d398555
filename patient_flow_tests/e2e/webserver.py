"""Questions to a running Dagster UI, as its own pages ask them: GraphQL over HTTP."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

LOCATION = "patient_flow.definitions"
SENSOR = "event_hub_backlog"

_T = TypeVar("_T")
_REPOSITORY = f'repositoryName: "__repository__", repositoryLocationName: "{LOCATION}"'


@dataclass(frozen=True)
class Webserver:
    """The UI on a port of the loopback address."""

    port: int

    def ask(self, question: str) -> dict[str, Any]:
        """The answer's data. Raises OSError while nobody answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": question}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def locations(self) -> list[dict[str, Any]]:
        """Code locations: name, state, and the error that kept one from loading."""
        answer = self.ask(
            """{ workspaceOrError { ... on Workspace { locationEntries {
                name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
        )
        return answer["workspaceOrError"]["locationEntries"]

    def ticks(self, sensor: str = SENSOR, limit: int = 20) -> list[dict[str, Any]]:
        """Finished ticks of a sensor, newest first."""
        answer = self.ask(
            f"""{{ sensorOrError(sensorSelector: {{ {_REPOSITORY}, sensorName: "{sensor}" }}) {{
                ... on Sensor {{ sensorState {{ status ticks(limit: {limit}) {{
                    timestamp status skipReason runIds error {{ message }} }} }} }} }} }}"""
        )
        ticks = answer["sensorOrError"]["sensorState"]["ticks"]
        return [tick for tick in ticks if tick["status"] != "STARTED"]

    def runs(self) -> list[dict[str, Any]]:
        """All runs, newest first."""
        return self.ask("{ runsOrError { ... on Runs { results { runId status jobName } } } }")["runsOrError"][
            "results"
        ]

    def materializations(self) -> dict[str, dict[str, int]]:
        """Asset key → the whole numbers in the metadata of its newest materialisation."""
        answer = self.ask(
            """{ assetNodes { assetKey { path } isMaterializable assetMaterializations(limit: 1) {
                metadataEntries { label ... on IntMetadataEntry { intValue } } } } }"""
        )
        return {
            "/".join(node["assetKey"]["path"]): {
                entry["label"]: entry["intValue"]
                for materialization in node["assetMaterializations"]
                for entry in materialization["metadataEntries"]
                if "intValue" in entry
            }
            for node in answer["assetNodes"]
            if node["isMaterializable"]
        }

    def checks(self) -> dict[str, bool | None]:
        """Asset key and check → whether it passed; None when it never ran."""
        answer = self.ask(
            """{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks {
                name executionForLatestMaterialization { evaluation { success } } } } } } }"""
        )
        return {
            "/".join([*node["assetKey"]["path"], check["name"]]): _passed(check)
            for node in answer["assetNodes"]
            for check in node["assetChecksOrError"].get("checks", [])
        }


def wait_for(look: Callable[[], _T], seconds: float = 180.0) -> _T:
    """What ``look`` finds once it finds something; a server that does not answer yet counts as nothing."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing within {seconds:.0f} s"
        time.sleep(0.3)


def _passed(check: dict[str, Any]) -> bool | None:
    execution = check["executionForLatestMaterialization"]
    evaluation = None if execution is None else execution["evaluation"]
    return None if evaluation is None else evaluation["success"]
