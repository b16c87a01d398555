"""A server that speaks just enough TDS 7.4 for Microsoft's ODBC driver, and writes down what it is asked.

``python -m patient_flow_tests.stores.warehouse.tds_responder LOGFILE [SCRIPT]`` listens on a free loopback port, prints
``ready: PORT`` and serves until its standard input ends. It executes nothing. A process of its own, because the driver
holds the interpreter's lock while it waits for an answer.

Each request is a line of JSON in LOGFILE: ``connection``, ``what`` (``batch``, ``begin``, ``commit``, ``rollback`` or
the procedure called), ``statement``, ``in_transaction`` as the driver marks the request, and ``values``, those bound to
the statement, one list per call in the request. SCRIPT is JSON: ``rows``, ``counts`` and ``errors`` map a part of a
statement to the rows that it selects, the number of rows that it says it changed, or the number and message of the
error that it ends in.

No TLS (the driver needs ``Encrypt=no``), no cancelling, no result but texts, whole numbers and nulls.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

Row = Sequence[Any]

PRELOGIN, LOGIN, BATCH, RPC, TRANSACTION, REPLY = 0x12, 0x10, 0x01, 0x03, 0x0E, 0x04
PACKET_BYTES = 4096
COLLATION = bytes.fromhex("0904d00034")
PROCEDURES = {10: "sp_executesql", 11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 15: "sp_unprepare"}
STATEMENT_AT = {"sp_executesql": 0, "sp_prepare": 2, "sp_prepexec": 2}
"""Procedure → which of its arguments is the statement."""

VALUES_AT = {"sp_executesql": 2, "sp_prepexec": 3}
"""Procedure → at which argument the bound values begin."""

TRANSACTION_REQUESTS = {5: "begin", 7: "commit", 8: "rollback"}
TRANSACTION_CHANGES = {"begin": 8, "commit": 9, "rollback": 10}
DONE, DONE_PROCEDURE = 0xFD, 0xFE
MORE, FAILED, COUNTED = 0x01, 0x02, 0x10

FIRST_QUESTIONS: Mapping[str, Sequence[Row]] = {
    "ProductVersion": [["16.0.1000.6"]],
    "schema_name()": [["dbo"]],
    "transaction_isolation_level": [["READ COMMITTED"]],
    "sys.system_views": [["dm_exec_sessions"]],
    "test max support": [["test max support"]],
    "fn_listextendedproperty": [["1"]],
}
"""What SQLAlchemy asks on a new connection, with answers of an SQL Server."""


class Reader:
    """Takes little-endian fields off a request, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def is_at_end(self) -> bool:
        return self.at >= len(self.data)

    def bytes(self, length: int) -> bytes:
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, length: int) -> int:
        return int.from_bytes(self.bytes(length), "little")

    def headers(self) -> bool:
        """Skips ALL_HEADERS; True when they name a transaction that the request belongs to."""
        end = self.number(4)
        is_inside = False
        while self.at < end:
            length, kind = self.number(4), self.number(2)
            body = self.bytes(length - 6)
            is_inside |= kind == 2 and any(body[:8])
        return is_inside

    def call(self) -> tuple[str, list[Any]]:
        """One procedure call: its name and its arguments."""
        length = self.number(2)
        name = PROCEDURES.get(self.number(2), "?") if length == 0xFFFF else self.bytes(2 * length).decode("utf-16-le")
        self.bytes(2)
        arguments = []
        while not self.is_at_end and self.data[self.at] != 0xFF:
            self.bytes(2 * self.number(1) + 1)
            arguments.append(self.value())
        self.bytes(1)
        return name, arguments

    def value(self) -> Any:
        """One argument: whole numbers and texts as such, the rest as hexadecimal digits."""
        kind = self.number(1)
        if kind in (0x26, 0x68, 0x6D):  # whole number, bit, float
            self.bytes(1)
            raw = self.bytes(self.number(1))
            return (raw.hex() if kind == 0x6D else int.from_bytes(raw, "little", signed=True)) if raw else None
        if kind in (0x28, 0x29, 0x2A):  # date, time, datetime2
            self.bytes(0 if kind == 0x28 else 1)
            return self.bytes(self.number(1)).hex() or None
        if kind in (0xA7, 0xE7):  # varchar, nvarchar
            size = self.number(2)
            self.bytes(len(COLLATION))
            raw = self.chunks() if size == 0xFFFF else self.short()
            return None if raw is None else raw.decode("utf-16-le" if kind == 0xE7 else "latin-1")
        raise ValueError(f"an argument of type {kind:#x}")

    def short(self) -> bytes | None:
        length = self.number(2)
        return None if length == 0xFFFF else self.bytes(length)

    def chunks(self) -> bytes | None:
        if self.number(8) == 0xFFFFFFFFFFFFFFFF:
            return None
        found = b""
        while length := self.number(4):
            found += self.bytes(length)
        return found


class Responder:
    """What all connections share: the log and the script."""

    def __init__(self, log: Path, script: Mapping[str, Mapping[str, Any]]) -> None:
        self.log = log
        self.rows = {**FIRST_QUESTIONS, **script.get("rows", {})}
        self.counts = script.get("counts", {})
        self.errors = script.get("errors", {})
        self.connections = count(1)
        self.transactions = count(1)
        self.writing = threading.Lock()

    def note(self, connection: int, what: str, statement: str | None, is_inside: bool, values: list[Row]) -> None:
        line = {
            "connection": connection,
            "what": what,
            "statement": statement,
            "in_transaction": is_inside,
            "values": values,
        }
        with self.writing, self.log.open("a") as log:
            log.write(json.dumps(line) + "\n")

    def serve(self, client: socket.socket) -> None:
        """One connection until it ends."""
        connection = next(self.connections)
        transaction = b""
        with client, contextlib.suppress(ConnectionError):
            for kind, data in requests(client):
                if kind == PRELOGIN:
                    reply = prelogin()
                elif kind == LOGIN:
                    reply = logged_in()
                elif kind == TRANSACTION:
                    reply, transaction = self.transact(connection, Reader(data), transaction)
                elif kind == BATCH:
                    reply = self.batch(connection, Reader(data))
                elif kind == RPC:
                    reply = self.procedures(connection, Reader(data))
                else:
                    return
                send(client, reply)

    def transact(self, connection: int, request: Reader, transaction: bytes) -> tuple[bytes, bytes]:
        is_inside = request.headers()
        what = TRANSACTION_REQUESTS[request.number(2)]
        self.note(connection, what, None, is_inside, [])
        new = struct.pack("<Q", next(self.transactions)) if what == "begin" else b""
        return environment(TRANSACTION_CHANGES[what], sized(new), sized(transaction)) + done(), new

    def batch(self, connection: int, request: Reader) -> bytes:
        is_inside = request.headers()
        statement = request.data[request.at :].decode("utf-16-le")
        self.note(connection, "batch", statement, is_inside, [])
        return self.result(statement, DONE, more=False)

    def procedures(self, connection: int, request: Reader) -> bytes:
        is_inside = request.headers()
        calls = []
        while not request.is_at_end:
            calls.append(request.call())
        name, arguments = calls[0]
        statement = arguments[STATEMENT_AT[name]] if name in STATEMENT_AT else None
        values = [arguments[VALUES_AT[name] :] for name, arguments in calls if name in VALUES_AT]
        self.note(connection, name, statement, is_inside, values)
        last = len(calls) - 1
        return b"".join(self.result(statement or "", DONE_PROCEDURE, more=at < last) for at in range(len(calls)))

    def result(self, statement: str, token: int, *, more: bool) -> bytes:
        """Rows for a SELECT, none where nothing is scripted; for the rest a number of rows, or an error."""
        failure = scripted(self.errors, statement)
        if failure is not None:
            return error(*failure) + done(token, FAILED)
        more_follows = MORE if more else 0
        rows = scripted(self.rows, statement)
        if rows is None and statement.lstrip().upper().startswith("SELECT"):
            rows = []
        if rows is not None:
            return table(rows) + done(token, more_follows | COUNTED, len(rows))
        changed = scripted(self.counts, statement)
        return done(token, more_follows | COUNTED, 1 if changed is None else changed)


def scripted(answers: Mapping[str, Any], statement: str) -> Any:
    """The answer of the first part that is in ``statement``."""
    return next((answer for part, answer in answers.items() if part in statement), None)


def requests(client: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Type and body of each request, put together from its packets."""
    with client.makefile("rb") as stream:
        body = b""
        while header := stream.read(8):
            kind, status, length = struct.unpack(">BBH", header[:4])
            body += stream.read(length - 8)
            if status & 1:
                yield kind, body
                body = b""


def send(client: socket.socket, reply: bytes) -> None:
    """A reply, cut into packets."""
    room = PACKET_BYTES - 8
    parts = [reply[at : at + room] for at in range(0, len(reply), room)]
    for number, part in enumerate(parts, 1):
        client.sendall(struct.pack(">BBHHBB", REPLY, number == len(parts), len(part) + 8, 0, number % 256, 0) + part)


def prelogin() -> bytes:
    """Version 16.0.1000, no encryption, the only instance, no multiplexing."""
    options = {0: bytes.fromhex("100003e80000"), 1: b"\x02", 2: b"\x00", 4: b"\x00"}
    table, at = b"", 5 * len(options) + 1
    for token, value in options.items():
        table += struct.pack(">BHH", token, at, len(value))
        at += len(value)
    return table + b"\xff" + b"".join(options.values())


def logged_in() -> bytes:
    """Everybody may."""
    name = "responder"
    acknowledged = b"\x01\x74\x00\x00\x04" + text(name) + bytes.fromhex("100003e8")
    return (
        environment(1, text("patient_flow"), text("master"))
        + environment(7, sized(COLLATION), sized(b""))
        + struct.pack("<BH", 0xAD, len(acknowledged))
        + acknowledged
        + environment(4, text(str(PACKET_BYTES)), text(str(PACKET_BYTES)))
        + done()
    )


def environment(kind: int, new: bytes, old: bytes) -> bytes:
    return struct.pack("<BHB", 0xE3, 1 + len(new) + len(old), kind) + new + old


def text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode("utf-16-le")


def sized(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def done(token: int = DONE, status: int = 0, rows: int = 0) -> bytes:
    return struct.pack("<BHHQ", token, status, 0, rows)


def error(number: int, message: str) -> bytes:
    body = struct.pack("<iBBH", number, 1, 16, len(message)) + message.encode("utf-16-le") + text("") + text("")
    body += struct.pack("<I", 1)
    return struct.pack("<BH", 0xAA, len(body)) + body


def table(rows: Sequence[Row]) -> bytes:
    """Columns and rows; a column without a whole number in it is text."""
    numeric = [any(isinstance(value, int) for value in column) for column in zip(*rows, strict=True)] or [False]
    reply = struct.pack("<BH", 0x81, len(numeric))
    for number, is_number in enumerate(numeric):
        kind = bytes([0x26, 8]) if is_number else struct.pack("<BH", 0xE7, 400) + COLLATION
        reply += struct.pack("<IH", 0, 1) + kind + text(f"c{number}")
    for row in rows:
        reply += b"\xd1" + b"".join(cell(value, is_number) for value, is_number in zip(row, numeric, strict=True))
    return reply


def cell(value: Any, is_number: bool) -> bytes:
    if is_number:
        return b"\x00" if value is None else struct.pack("<Bq", 8, value)
    if value is None:
        return b"\xff\xff"
    raw = str(value).encode("utf-16-le")
    return struct.pack("<H", len(raw)) + raw


def main(log: str, script: str = "{}") -> None:
    """Serves until standard input ends."""
    responder = Responder(Path(log), json.loads(script))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                client, _ = listener.accept()
                threading.Thread(target=responder.serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        sys.stdout.write(f"ready: {listener.getsockname()[1]}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
