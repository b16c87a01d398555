"""Microsoft's Event Hubs client without its idle pauses, for the processes that run tests."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from azure.eventhub import _client_base
from azure.eventhub._pyamqp import client as _amqp_client

_PAUSE = 0.05
"""Seconds that the client sleeps after each frame while it opens a connection or a link: most of a test's time."""


def poll_quickly() -> None:
    """From now on the client looks for the next frame at once; its longer pauses (retries, keep-alive) stay."""
    modules: tuple[Any, ...] = (_client_base, _amqp_client)
    for module in modules:
        module.time = SimpleNamespace(**{**vars(time), "sleep": _sleep})


def _sleep(seconds: float) -> None:
    time.sleep(seconds if seconds > _PAUSE else 0.001)
