"""The services that production uses, each as a program of this machine: PostgreSQL, Azurite, a token endpoint.

Everything listens on loopback at a free port, keeps its files in a temporary folder and ends with its ``with`` block.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import ipaddress
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from patient_flow_tests.required import require_program

ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of Azurite's one account: the same everywhere, and documented."""
INSTALL_POSTGRESQL = "apt-get install -y postgresql"
INSTALL_AZURITE = "npm install --global azurite@3.35.0"
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Certificate:
    """A certificate for loopback names, signed by itself."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """A certificate for ``localhost``, ``*.blob.localhost`` and 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "patient_flow tests")])
    now = datetime.now(UTC)
    names = [
        x509.DNSName("localhost"),
        x509.DNSName("*.blob.localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(folder / "server.crt", folder / "server.key")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def postgresql(certificate: Certificate | None = None) -> Iterator[int]:
    """A PostgreSQL server whose administrator ``postgres`` needs no password; gives its port.

    With a certificate all others come over TLS and show a password.
    """
    initdb = _postgresql_program("initdb")
    owner = _server_user()
    as_owner = _as_user(owner)
    with contextlib.ExitStack() as stack:
        # Not below pytest's folders, which other users (the server's) may not enter.
        folder = Path(tempfile.mkdtemp(prefix="patient-flow-postgresql-"))
        stack.callback(shutil.rmtree, folder)
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        subprocess.run(
            [*as_owner, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        port = free_port()
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
            "synchronous_commit": "off",
        }
        if certificate:
            _demand_tls(data, certificate, owner)
            settings["ssl"] = "on"
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = stack.enter_context((folder / "log").open("wb"))
        program = str(Path(initdb).resolve().with_name("postgres"))
        server = subprocess.Popen([*as_owner, program, "-D", data, *options], stdout=log, stderr=log, cwd=folder)
        stack.enter_context(_ended(server, signal.SIGQUIT))  # at once: nobody needs the data again
        _wait_for_port(port, server, folder / "log")
        _wait_for_answers(port)
        yield port


def _demand_tls(data: Path, certificate: Certificate, owner: pwd.struct_passwd | None) -> None:
    """The administrator is trusted, all others come over TLS with a password: Azure's way, where it is a token."""
    (data / "pg_hba.conf").write_text(
        "host all postgres 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
    )
    for source, name in ((certificate.certificate, "server.crt"), (certificate.key, "server.key")):
        shutil.copy(source, data / name)
        (data / name).chmod(0o600)
        if owner:
            os.chown(data / name, owner.pw_uid, owner.pw_gid)


@contextlib.contextmanager
def azurite(folder: Path, certificate: Certificate | None = None) -> Iterator[int]:
    """Microsoft's emulator of Blob Storage; gives its port. With a certificate: TLS, and Entra ID tokens are taken."""
    program = require_program("azurite", INSTALL_AZURITE)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        program,
        *("--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--queuePort", str(free_port()), "--tablePort", str(free_port())),
    ]
    if certificate:
        command += ["--oauth", "basic", "--cert", str(certificate.certificate), "--key", str(certificate.key)]
    with (folder / "azurite.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        with _ended(server, signal.SIGKILL):  # asked to, it waits for its clients to hang up
            _wait_for_port(port, server, folder / "azurite.log")
            yield port


@dataclass
class TokenRequest:
    """What somebody asked the token endpoint for."""

    resource: str
    client_id: str
    header: str


class TokenEndpoint:
    """Hands out tokens as Container Apps do: at IDENTITY_ENDPOINT, to who shows IDENTITY_HEADER."""

    HEADER = "the-secret-of-this-replica"

    def __init__(self) -> None:
        self.requests: list[TokenRequest] = []
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                asked = TokenRequest(
                    query.get("resource", [""])[0],
                    query.get("client_id", [""])[0],
                    self.headers.get("X-IDENTITY-HEADER", ""),
                )
                endpoint.requests.append(asked)
                allowed = asked.header == endpoint.HEADER
                body = json.dumps(endpoint.answer(asked.resource) if allowed else {"error": "unauthorized"}).encode()
                self.send_response(200 if allowed else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/msi/token"

    def __enter__(self) -> TokenEndpoint:
        """Serves from a thread."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What Container Apps put into the environment of an app with a user-assigned identity."""
        return {
            "IDENTITY_ENDPOINT": self.url,
            "IDENTITY_HEADER": self.HEADER,
            "AZURE_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
        }

    @classmethod
    def token(cls, resource: str) -> str:
        """A token that nobody signed, the same for the same resource."""
        day = 24 * 3600
        start = int(time.time()) // day * day
        tenant = "99999999-8888-7777-6666-555555555555"
        claims = {"aud": resource, "iss": f"https://sts.windows.net/{tenant}/", "nbf": start, "iat": start}
        parts = [{"alg": "RS256", "typ": "JWT"}, {**claims, "exp": start + 2 * day}]
        return ".".join([*(_base64(json.dumps(part).encode()) for part in parts), _base64(b"unsigned")])

    @classmethod
    def answer(cls, resource: str) -> dict[str, str]:
        """The endpoint's answer."""
        expires = str(int(time.time()) + 24 * 3600)
        token = cls.token(resource)
        return {"access_token": token, "expires_on": expires, "resource": resource, "token_type": "Bearer"}


def _wait_for_answers(port: int) -> None:
    """A PostgreSQL that has just opened its port still refuses everybody for a moment."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _postgresql_program(name: str) -> str:
    """Debian keeps the server's programs out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else require_program(name, INSTALL_POSTGRESQL)


def _server_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root; Debian's package brings a user for it."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise LookupError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _as_user(user: pwd.struct_passwd | None) -> list[str]:
    """The words before a command that run it as ``user``.

    ``Popen(user=...)`` forks where it otherwise calls vfork. gRPC, which Dagster brings, starts its threads again in a
    forked child, where their files are closed: the child then dies of SIGBUS now and then before it runs the program.
    """
    if user is None:
        return []
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes], by: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    try:
        yield
    finally:
        process.send_signal(by)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not listen on {port}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
