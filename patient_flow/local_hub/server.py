"""The hub as a server on the loopback address: start, serve, stop.

Not here: the protocol on a connection (``connection``), the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from patient_flow.local_hub import protocol
from patient_flow.local_hub.connection import Connection
from patient_flow.local_hub.errors import PortTakenError
from patient_flow.local_hub.event_links import Broker
from patient_flow.local_hub.hub import Namespace, Retention, open_namespace
from patient_flow.local_hub.log import SEGMENT_BYTES
from patient_flow.local_hub.protocol import AmqpError
from patient_flow.settings import local_hub_connection

HOST = "127.0.0.1"

_CLOSE_TIMEOUT = 1.0


class Server:
    """A namespace that accepts connections. Create it with :meth:`start`, end it with :meth:`stop`."""

    def __init__(
        self, broker: Broker, connections: set[Connection], listener: asyncio.Server, retention_task: asyncio.Task[None]
    ) -> None:
        self.broker = broker
        self.port: int = listener.sockets[0].getsockname()[1]
        self._connections = connections
        self._listener = listener
        self._retention_task = retention_task

    @classmethod
    async def start(
        cls, namespace: Namespace, port: int, retention: Retention, consumer_groups: Sequence[str] = ()
    ) -> Server:
        """Listen on ``port`` of the loopback address; 0 selects any free port. Raises :class:`PortTakenError`."""
        broker = Broker(namespace, frozenset(group.lower() for group in consumer_groups))
        connections: set[Connection] = set()
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(lambda: Connection(broker, connections), HOST, port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise PortTakenError(
                f"port {port} is not available on {HOST}: stop the program that uses it, or choose another with --port"
            ) from None
        return cls(broker, connections, listener, loop.create_task(namespace.enforce_retention(retention)))

    async def stop(self) -> None:
        """Stop accepting connections, store everything received, close the connections."""
        self._listener.close()
        self._retention_task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._retention_task
        for connection in self._connections:
            connection.stop_reading()
        await self.broker.namespace.flush()
        for connection in tuple(self._connections):
            connection.close(AmqpError(protocol.CONNECTION_FORCED, "The hub is being stopped."))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                while self._connections:
                    await asyncio.sleep(0.01)
        self.abort_connections()

    def abort_connections(self) -> None:
        """Drop all connections without a close frame."""
        for connection in tuple(self._connections):
            connection.abort()


def serve(
    data: Path,
    port: int,
    hubs: Sequence[str],
    partitions: int,
    retention: timedelta,
    on_ready: Callable[[str], None],
    *,
    consumer_groups: Sequence[str] = (),
    max_partition_bytes: int | None = None,
    segment_bytes: int = SEGMENT_BYTES,
) -> None:
    """Serve hubs from a data folder until SIGINT or SIGTERM, then store everything and return.

    Every hub has the consumer group ``$Default`` and ``consumer_groups``. ``on_ready`` receives the connection string
    once connections are accepted. Port 0 selects any free port. Raises a
    :class:`patient_flow.local_hub.errors.HubError` with a one-line message for the operator.
    """
    limits = Retention(retention, max_partition_bytes)
    namespace = open_namespace(data, hubs, partitions, segment_bytes=segment_bytes)
    with contextlib.closing(namespace), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(namespace, port, limits, consumer_groups, on_ready))


async def _serve(
    namespace: Namespace,
    port: int,
    retention: Retention,
    consumer_groups: Sequence[str],
    on_ready: Callable[[str], None],
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows raises KeyboardInterrupt instead
            loop.add_signal_handler(number, stopping.set)
    server = await Server.start(namespace, port, retention, consumer_groups)
    on_ready(local_hub_connection(server.port))
    await stopping.wait()
    await server.stop()
