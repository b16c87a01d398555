"""``python -m patient_flow.pipeline.reading_process``: reads bodies for the process that started it (``reading``).

It ends when the pipe to that process does, however that one ended; it is not interrupted by the keyboard itself.
Workers of a cluster do not run this: pseudonyms are made here.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from contextlib import suppress
from io import BytesIO
from typing import IO, Any

if __name__ == "__main__":
    os.putenv("POLARS_MAX_THREADS", "1")  # there is one such process per core

import polars as pl

from patient_flow.transforms.accept import candidates, validate
from patient_flow.transforms.read import ParserConfig, read_events


def read(rows: pl.DataFrame, parser: ParserConfig) -> pl.DataFrame:
    """The candidates for silver among bronze ``rows``."""
    return candidates(validate(read_events(rows, parser)), parser.secret)


def send(value: Any, pipe: IO[bytes]) -> None:
    """Sends a frame, as Arrow, or any other value that can be pickled."""
    if isinstance(value, pl.DataFrame):
        buffer = BytesIO()
        value.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())  # writes columns of nulls much faster
        value = buffer.getbuffer()
        pipe.write(b"A" + len(value).to_bytes(8, "big"))
        pipe.write(value)
    else:
        content = pickle.dumps(value)
        pipe.write(b"P" + len(content).to_bytes(8, "big"))
        pipe.write(content)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """The next value that the other side sent. Raises ``EOFError`` when that side has ended."""
    head = pipe.read(9)
    content = pipe.read(int.from_bytes(head[1:], "big"))
    if len(head) < 9 or len(content) < int.from_bytes(head[1:], "big"):
        raise EOFError
    return pl.read_ipc_stream(content) if head[:1] == b"A" else pickle.loads(content)  # noqa: S301  (of our own process)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Reads rows until there are no more requests."""
    parser = receive(requests)
    while True:
        rows = receive(requests)
        try:
            answer: Any = read(rows, parser)
        except BaseException as error:  # noqa: BLE001  (raised again by the process that started this one)
            error.add_note(f"In a process that reads bodies:\n{traceback.format_exc()}")
            answer = error
        send(answer, answers)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError), os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever prints would otherwise print among the answers
        serve(sys.stdin.buffer, answers)
