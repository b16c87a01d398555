"""A look comes back in time and names what is silent: hub or lake; and leaves nothing behind that piles up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from azure.eventhub._pyamqp._transport import SSLTransport

from patient_flow import status
from patient_flow.local_hub.testing import HubThread
from patient_flow.pipeline import bronze, hub_probe
from patient_flow.pipeline.hub_probe import Failure, HubFailure, HubStatus, probe_hub
from patient_flow.settings import local_hub_connection
from patient_flow.stores import amqp
from patient_flow.stores.hub import Hub, HubTimeout
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.pipeline.test_bronze import ingest, send


class Silence:
    """A listener that accepts every connection and never says anything."""

    def __init__(self, listener: socket.socket) -> None:
        self.port = listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self._listener = listener

    def accept(self) -> None:
        try:
            while True:
                self.connections.append(self._listener.accept()[0])
        except OSError:
            return


@contextmanager
def silence() -> Iterator[Silence]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = Silence(listener)
        thread = threading.Thread(target=silent.accept)
        thread.start()
        try:
            yield silent
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in silent.connections:
                connection.close()


@pytest.fixture
def silent() -> Iterator[Silence]:
    with silence() as listening:
        yield listening


def failure_of(seen: HubStatus | HubFailure) -> Failure | None:
    return seen.failure if isinstance(seen, HubFailure) else None


def reason_of(seen: HubStatus | HubFailure) -> str:
    return seen.reason if isinstance(seen, HubFailure) else ""


def newest(hub: Hub, lake: Lake) -> datetime | None:
    seen = probe_hub(hub, lake, 10)
    assert isinstance(seen, HubStatus)
    return seen.newest


def hub_at(port: int) -> Hub:
    return Hub(connection=local_hub_connection(port), host="127.0.0.1", name="patient-flow", consumer_group="$Default")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(f"{tmp_path}/{{layer}}")


@pytest.fixture
def no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where other tests of this process use one, delta-rs would go there, whatever address it is given."""
    for name in ("AZURE_STORAGE_USE_EMULATOR", "AZURITE_BLOB_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bronze, status):
        monkeypatch.setattr(module, "peek", partial(hub_probe.peek, seconds=0.2))


def test_probes_of_a_silent_hub_share_one_connection(silent: Silence, lake: Lake) -> None:
    began = time.monotonic()
    for _ in range(5):
        seen = probe_hub(hub_at(silent.port), lake, 10, seconds=0.5)
        assert failure_of(seen) is Failure.HUB_TIMEOUT
        assert "does not answer" in reason_of(seen)
    assert time.monotonic() - began < 5
    assert len(silent.connections) == 1


def test_a_connection_to_a_silent_hub_is_closed_and_the_next_probe_opens_another(
    silent: Silence, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "HANDSHAKE_SECONDS", 0.5)
    hub = hub_at(silent.port)
    assert failure_of(probe_hub(hub, lake, 10, seconds=0.2)) is Failure.HUB_TIMEOUT
    wait_for(
        lambda: (
            failure_of(probe_hub(hub, lake, 10, seconds=0.2)) is Failure.HUB_TIMEOUT and len(silent.connections) == 2
        )
    )


def test_the_client_times_out_on_a_silent_tls_peer(silent: Silence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp, "HANDSHAKE_SECONDS", 0.2)
    amqp.patch_handshake_timeout()
    with pytest.raises(TimeoutError, match="timed out"):
        SSLTransport("127.0.0.1", port=silent.port, ssl_opts={}).connect()


def test_the_client_pauses_shortly_between_the_steps_of_its_handshake(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the pinned client no longer sleeps 50 ms through the patched name, the patch may go."""
    pauses, sleep = [], time.sleep

    def note(seconds: float) -> None:
        pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    hub.peek()
    assert amqp.PAUSE_SECONDS in pauses
    assert 0.05 not in pauses


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.usefixtures("impatient")
def test_a_micro_batch_in_front_of_a_silent_hub_ends_with_an_error(silent: Silence, lake: Lake) -> None:
    with pytest.raises(HubTimeout, match="does not answer"):
        ingest(lake, hub_at(silent.port))


@pytest.mark.usefixtures("no_emulator")
def test_a_lake_that_never_answers_is_named_in_time_for_the_hub_did(hub: Hub, silent: Silence) -> None:
    """With the real client: where it stops all threads of the process while it waits, no patience helps."""
    lake = Lake(
        "az://{layer}",
        {
            "azure_storage_account_name": "account",
            "azure_storage_account_key": "a2V5",
            "azure_storage_endpoint": f"http://127.0.0.1:{silent.port}",
            "allow_http": "true",
            "timeout": "30s",
            "max_retries": "0",
        },
    )
    began = time.monotonic()
    seen = probe_hub(hub, lake, 10, seconds=6)
    assert failure_of(seen) is Failure.LAKE_DOWN
    assert "does not answer" in reason_of(seen)
    assert time.monotonic() - began < 20
    assert silent.connections


@pytest.mark.usefixtures("no_emulator")
def test_a_lake_that_is_away_is_named_with_the_cause_in_plain_text(hub: Hub) -> None:
    options = {"azure_storage_account_name": "account", "azure_storage_account_key": "a2V5", "max_retries": "0"}
    seen = probe_hub(
        hub, Lake("az://{layer}", {**options, "azure_storage_endpoint": "http://127.0.0.1:1", "allow_http": "true"}), 10
    )
    assert failure_of(seen) is Failure.LAKE_DOWN
    assert "error: Error performing GET" in reason_of(seen)
    assert "Connection refused" in reason_of(seen)
    assert reason_of(seen).isprintable()


def test_when_the_last_event_came_is_known_also_after_retention_dropped_it(
    hub: Hub, hub_thread: HubThread, lake: Lake
) -> None:
    assert newest(hub, lake) is None
    send(hub_thread, [b"{}"])
    before = newest(hub, lake)
    hub_thread.truncate("patient-flow", "0")
    after = newest(hub, lake)
    assert after == before
    assert before is not None
    assert datetime.now(UTC) - before < timedelta(minutes=5)
