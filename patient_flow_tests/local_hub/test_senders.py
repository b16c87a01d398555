"""The senders of the documentation send what they show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from patient_flow.local_hub.testing import HubThread
from patient_flow_tests.local_hub.clients import bodies, properties, receive
from patient_flow_tests.local_hub.test_javascript import node_with_package

PAGE = Path(__file__).parents[2] / "infra" / "docs" / "senders.md"


def example(language: str) -> str:
    """The code block of a language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(code)


def sent(command: list[str], folder: Path, **environment: str) -> list[dict[str, Any]]:
    """The events in a new hub after a sender has run."""
    with HubThread(folder / "hub", partitions=1) as hub:
        own = {"EVENTHUB_CONNECTION": hub.connection, **environment}
        subprocess.run(command, env=os.environ | own, check=True, timeout=60)
        count = properties(hub.connection)["last_enqueued_sequence_number"] + 1
        return [json.loads(body) for body in bodies(receive(hub.connection, count))]


def test_the_python_sender_sends_its_event(tmp_path: Path) -> None:
    (event,) = sent([sys.executable, "-c", example("python")], tmp_path)
    assert (event["event_type"], event["patient_id"]) == ("admission", "P42")


def test_the_javascript_sender_sends_its_event(tmp_path: Path) -> None:
    node, node_path = node_with_package()
    (event,) = sent([node, "-e", example("javascript")], tmp_path, NODE_PATH=node_path)
    assert (event["event_type"], event["patient_id"]) == ("discharge", "P42")
