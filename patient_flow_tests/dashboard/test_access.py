"""Headers, host names and connections: nobody sees more than the proxy says, and nobody keeps others from the page."""

from __future__ import annotations

import asyncio
import csv
import io
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from markupsafe import Markup
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from patient_flow.dashboard import middleware, server
from patient_flow.dashboard.access import Refused, SignIn
from patient_flow.dashboard.spreadsheet import to_csv, visible
from patient_flow_tests.dashboard.test_server import served

SIGN_IN = SignIn("X-User", "X-Hospitals", "X-Departments", trusted_proxies=("proxy",))


def departments(value: bytes) -> frozenset[str] | None:
    """What a viewer with this value in the header of departments may see."""
    headers = Headers(raw=[(b"x-user", b"a. martin"), (b"x-hospitals", b"*"), (b"x-departments", value)])
    return SIGN_IN.viewer(headers, "proxy").departments


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        (b'["Ear, Nose and Throat", "ICU"]', {"Ear, Nose and Throat", "ICU"}),
        (b"Ear%2C%20Nose%20and%20Throat,ICU", {"Ear, Nose and Throat", "ICU"}),
        ("Pédiatrie".encode(), {"Pédiatrie"}),
        ("Pédiatrie".encode("latin-1"), {"Pédiatrie"}),
        (b"P%C3%A9diatrie", {"Pédiatrie"}),
        (b'["P\\u00e9diatrie"]', {"Pédiatrie"}),
        (b"Intensive Care", {"Intensive Care"}),
        (b"[1, 2]", {"1", "2"}),
        (b"", set()),
        (b"[]", set()),
        (b"*,ICU", {"*", "ICU"}),
        (b'["*"]', {"*"}),
        (b"%2A", {"*"}),
    ],
)
def test_a_limit_names_exactly_what_the_proxy_wrote(value: bytes, allowed: set[str]) -> None:
    assert departments(value) == allowed


def test_only_a_star_alone_gives_everything() -> None:
    assert departments(b"*") is None


@pytest.mark.parametrize(
    "value", [b"Ear, Nose and Throat", b"Ophtalmologie, ORL", b'["ICU"', b'[{"a": 1}]', b'["ICU"] x']
)
def test_a_limit_that_could_be_read_in_two_ways_is_refused(value: bytes) -> None:
    with pytest.raises(Refused, match="X-Departments") as refused:
        departments(value)
    assert refused.value.status == 403


@pytest.mark.parametrize("header", [b"x-user", b"x-hospitals", b"x-departments"])
def test_a_header_that_is_sent_twice_is_refused(header: bytes) -> None:
    """The browser's comes first, the proxy's second: neither order may win."""
    raw = [(b"x-user", b"a. martin"), (b"x-hospitals", b"1"), (b"x-departments", b"ICU"), (header, b"*")]
    with pytest.raises(Refused, match="2 times"):
        SIGN_IN.viewer(Headers(raw=raw), "proxy")


def test_a_foreign_host_name_that_points_here_gets_nothing(client: TestClient) -> None:
    for path in ("/", "/figures", "/export.csv", "/static/page.css"):
        assert client.get(path, headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"Host": "localhost:8050"}).status_code == 200
    assert client.get("/", headers={"Host": "[::1]:8050"}).status_code == 200
    assert client.get("/health", headers={"Host": "10.1.2.3"}).status_code == 200  # a container platform's probe


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Request heads have half a second."""
    monkeypatch.setattr(server, "REQUEST_HEAD_SECONDS", 0.5)


def test_connections_that_send_no_whole_request_are_closed(impatient: None, tmp_path: Path) -> None:
    served_here = _Here(tmp_path)
    with served_here as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for number, connection in enumerate(silent):
            connection.sendall([b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: "][number % 2])
        began = time.monotonic()
        for connection in silent:
            connection.settimeout(5)
            while connection.recv(1000):
                pass
            connection.close()
        assert time.monotonic() - began < 5
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as reply:
            assert reply.status in (200, 503)


class _Here:
    """The dashboard in a thread of this process, so that its limits can be changed."""

    def __init__(self, folder: Path) -> None:
        from patient_flow.services import Services
        from patient_flow.settings import load

        self._services = Services(load(environ={"PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{folder}/warehouse.db"}))
        self._ready = threading.Event()

    def __enter__(self) -> int:
        import uvicorn

        servers: list[uvicorn.Server] = []
        original = server._Server

        def remember(*arguments: object) -> uvicorn.Server:
            servers.append(original(*arguments))  # type: ignore[arg-type]
            return servers[-1]

        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(server, "_Server", remember)
        addresses: list[str] = []

        def ready(address: str) -> None:
            addresses.append(address)
            self._ready.set()

        self._thread = threading.Thread(target=lambda: server.serve(self._services, port=0, on_ready=ready))
        self._thread.start()
        assert self._ready.wait(20)
        self._servers = servers
        return int(addresses[0].rstrip("/").rpartition(":")[2])

    def __exit__(self, *_: object) -> None:
        self._servers[0].should_exit = True
        self._thread.join(20)
        self._patch.undo()
        assert not self._thread.is_alive()


def test_a_kept_connection_is_served_again_and_again(tmp_path: Path) -> None:
    import http.client

    with served(tmp_path) as (_, address):
        connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"))
        for _ in range(3):
            connection.request("GET", "/health")
            assert connection.getresponse().read()
        connection.close()


@pytest.mark.parametrize("path", ["/", "/figures", "/patients.csv", "/trends", "/what-if"])
def test_requests_beyond_the_queue_limit_get_503_with_retry_after(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "MAX_WAITING_PAGES", 2)
    statuses: list[int] = []

    async def scenario() -> None:
        release = asyncio.Event()

        async def slow(scope: object, receive: object, send: object) -> None:
            await release.wait()

        queue = middleware.BoundedQueue(slow)  # type: ignore[arg-type]

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(int(str(message["status"])))

        scope = {"type": "http", "path": path, "method": "GET", "headers": []}
        waiting = [asyncio.create_task(queue(scope, None, send)) for _ in range(2)]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await queue(scope, None, send)  # type: ignore[arg-type]
        release.set()
        await asyncio.gather(*waiting)
        await queue(scope, None, send)  # type: ignore[arg-type]

    asyncio.run(scenario())
    assert statuses == [503]


@pytest.mark.parametrize(
    "text",
    [
        "=HYPERLINK()",
        "x;=cmd|'/c calc'!A1;y",
        "x;  =1+1",
        "x\t@SUM(1)",
        "a|+1",
        "\u00a0-1",
        '";=1',
        "\uff1d1+1",
        "a,\uff20x",
        "line\n=1",
    ],
)
def test_no_text_of_an_event_starts_a_formula_whatever_separator_a_spreadsheet_splits_at(text: str) -> None:
    written = to_csv([[text, 1.5, -2, None]])
    for separator in ",;\t|":
        for record in csv.reader(io.StringIO(written.replace('"', "")), delimiter=separator):
            cells = [cell.strip(" \u00a0'\"\r\n") for cell in record]
            raw = [cell.lstrip(" \u00a0") for cell in record]
            assert not any(
                cell[:1] in tuple("=+@\uff1d\uff0b\uff0d\uff20") and not before.startswith("'")
                for cell, before in zip(cells, raw, strict=True)
            ), record


def test_numbers_stay_numbers() -> None:
    assert to_csv([[-1.5, None, "ICU", 3]]) == "-1.5,,ICU,3\r\n"


def test_characters_that_reorder_a_name_are_shown() -> None:
    assert visible("ICU\u202eyregruS") == "ICU\\u202eyregruS"
    assert visible("Réanimation") == "Réanimation"
    assert visible(Markup("<b>\u2066x</b>")) == Markup("<b>\\u2066x</b>")
    assert "\u202e" not in to_csv([["ICU\u202e"]])
