"""A hub in a thread of the test process, with hooks for events that a test cannot wait for.

Not here: assertions, fixtures, clients.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from patient_flow.local_hub.hub import Namespace, Retention, open_namespace
from patient_flow.local_hub.log import SEGMENT_BYTES
from patient_flow.local_hub.server import Server
from patient_flow.settings import local_hub_connection

_T = TypeVar("_T")
_END_OF_TIME = 1 << 62  # milliseconds
_FOREVER = Retention(timedelta(days=365 * 100))


class HubThread:
    """A local hub that serves from a background thread while the ``with`` block runs.

    All methods are called from the test's thread and return when the operation is complete. After :meth:`stop`,
    :meth:`start` serves the same folder on the same port again, like after a restart of the hub's process.
    """

    def __init__(
        self,
        data: Path,
        hubs: Sequence[str] = ("patient-flow",),
        partitions: int = 4,
        *,
        consumer_groups: Sequence[str] = (),
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.port = 0
        self._data = data
        self._hubs = hubs
        self._partitions = partitions
        self._consumer_groups = consumer_groups
        self._segment_bytes = segment_bytes

    def __enter__(self) -> HubThread:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def connection(self) -> str:
        """Connection string for the real clients."""
        return local_hub_connection(self.port)

    def start(self) -> None:
        """Open the folder and listen. Raises like :func:`patient_flow.local_hub.server.serve`."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="local-hub", daemon=True)
        self._thread.start()
        try:
            self._namespace, self._server = self._call(self._open())
        except BaseException:
            self._end_loop()
            raise
        self.port = self._server.port

    def stop(self) -> None:
        """Stop listening, close all connections and unlock the folder."""
        if self._loop.is_closed():
            return
        self._call(self._server.stop())
        self._namespace.close()
        self._end_loop()

    def abort_connections(self) -> None:
        """Drop all connections, like a network failure."""
        self._call(self._abort())

    def truncate(self, hub: str, partition: str) -> None:
        """Delete all events of a partition, like retention that overtook every reader."""
        found = self._namespace.hub(hub)
        target = found.partition(partition) if found else None
        if target is None:
            raise KeyError((hub, partition))
        self._call(target.expire(before=_END_OF_TIME))

    def recreate(self, hub: str) -> None:
        """Delete a hub and create it again: another ``created_at``, sequence numbers from 0. Drops all connections."""
        self._call(self._recreate(hub))

    def delay_credit(self, seconds: float) -> None:
        """Delay each grant of credit, like the latency of a distant hub."""
        self._server.broker.credit_delay = seconds

    def limit_silence(self, seconds: float) -> None:
        """End connections that are silent for so long."""
        self._server.broker.idle_seconds = seconds

    async def _open(self) -> tuple[Namespace, Server]:
        namespace = open_namespace(self._data, self._hubs, self._partitions, segment_bytes=self._segment_bytes)
        try:
            return namespace, await Server.start(namespace, self.port, _FOREVER, self._consumer_groups)
        except BaseException:
            namespace.close()
            raise

    async def _abort(self) -> None:
        self._server.abort_connections()

    async def _recreate(self, hub: str) -> None:
        self._server.abort_connections()  # first: links to the old hub must be closed
        await self._namespace.recreate(hub)

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end_loop(self) -> None:
        self._call(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
