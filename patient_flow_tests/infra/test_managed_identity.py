"""delta-rs on Container Apps: tokens come from the endpoint that the image's entry point names."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from patient_flow_tests.servers import TokenEndpoint

OPEN = (
    "from deltalake import DeltaTable; print(DeltaTable.is_deltatable('abfss://bronze@account.dfs.core.windows.net/t'))"
)


@contextmanager
def _empty_storage() -> Iterator[tuple[str, list[str]]]:
    """A storage account without blobs that remembers who asked: its address and the Authorization headers."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            body = b"<?xml version='1.0'?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def test_delta_rs_signs_in_as_the_user_assigned_identity() -> None:
    with TokenEndpoint() as tokens, _empty_storage() as (storage, seen):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AZURE")},
            **tokens.environment,
            "AZURE_MSI_ENDPOINT": tokens.url,
            "AZURE_STORAGE_ENDPOINT": storage,
            "AZURE_ENDPOINT": storage,
            "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ALLOW_HTTP": "true",
        }
        done = subprocess.run(
            [sys.executable, "-c", OPEN], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.strip() == "False", done.stderr
        (asked,) = tokens.requests
        assert (asked.resource, asked.header) == ("https://storage.azure.com", TokenEndpoint.HEADER)
        assert asked.client_id == tokens.environment["AZURE_CLIENT_ID"]
        assert set(seen) == {f"Bearer {TokenEndpoint.token(asked.resource)}"}
