"""The Event Hub through port 443: AMQP over WebSockets, and a proxy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import websockets

from patient_flow.settings import SettingsError, load
from patient_flow.stores.hub import Hub

NAMESPACE = {"PATIENT_FLOW_EVENTHUB_NAMESPACE": "name.servicebus.windows.net"}


class Bridge(threading.Thread):
    """A WebSocket endpoint as that of Event Hubs, in front of the local hub's AMQP port."""

    def __init__(self, hub_port: int) -> None:
        super().__init__(daemon=True)
        self.hub_port = hub_port
        self.port = 0
        self.paths: list[str] = []
        self.is_ready = threading.Event()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop, self.end = asyncio.get_running_loop(), asyncio.Event()
        async with websockets.serve(self._relay, "127.0.0.1", 0, subprotocols=["AMQPWSB10"]) as server:  # type: ignore[list-item]
            self.port = next(iter(server.sockets)).getsockname()[1]
            self.is_ready.set()
            await self.end.wait()

    async def _relay(self, socket: Any) -> None:
        self.paths.append(socket.request.path)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.hub_port)

        async def down() -> None:
            while data := await reader.read(65536):
                await socket.send(data)
            await socket.close()

        relayed = asyncio.create_task(down())
        try:
            async for data in socket:
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
            relayed.cancel()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.end.set)
        self.join(10)


@pytest.fixture
def bridge(hub_thread: Any) -> Iterator[Bridge]:
    port = int(hub_thread.connection.partition(";")[0].rpartition(":")[2])
    made = Bridge(port)
    made.start()
    assert made.is_ready.wait(10)
    yield made
    made.stop()


def test_a_hub_answers_over_websockets(hub_thread: Any, bridge: Bridge) -> None:
    """The client leaves the port of a connection string aside here: the bridge is its custom endpoint."""
    connection = hub_thread.connection
    settings = load(
        environ={"PATIENT_FLOW_EVENTHUB_CONNECTION": connection, "PATIENT_FLOW_EVENTHUB_TRANSPORT": "websockets"}
    )
    hub = Hub(
        connection=connection,
        host="127.0.0.1",
        name="patient-flow",
        consumer_group="$Default",
        client_options={**settings.hub_client_options, "custom_endpoint_address": f"sb://127.0.0.1:{bridge.port}"},
    )
    assert hub.peek().partitions
    assert bridge.paths
    assert {path.rstrip("/") for path in bridge.paths} == {"/$servicebus/websocket"}


def test_amqp_without_a_proxy_is_the_default() -> None:
    assert load(environ=NAMESPACE).hub_client_options == {}


def test_a_proxy_implies_websockets_and_keeps_its_password_out_of_messages() -> None:
    settings = load(environ={**NAMESPACE, "PATIENT_FLOW_HTTP_PROXY": "http://flow:s%40crt@proxy.example:3128"})
    options = settings.hub_client_options
    assert options["transport_type"].name == "AmqpOverWebsocket"
    assert options["http_proxy"] == {
        "proxy_hostname": "proxy.example",
        "proxy_port": 3128,
        "username": "flow",
        "password": "s@crt",
    }
    assert "s%40crt" not in repr(settings)


@pytest.mark.parametrize("value", ["proxy.example:3128", "https://proxy.example", "http://", "http://proxy:port"])
def test_a_proxy_that_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="PATIENT_FLOW_HTTP_PROXY must be"):
        load(environ={**NAMESPACE, "PATIENT_FLOW_HTTP_PROXY": value})


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(SettingsError, match="PATIENT_FLOW_EVENTHUB_TRANSPORT"):
        load(environ={**NAMESPACE, "PATIENT_FLOW_EVENTHUB_TRANSPORT": "kafka"})
