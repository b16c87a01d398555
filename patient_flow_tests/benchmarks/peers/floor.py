"""What no reader of bodies in Python can go below: each body decoded once, its columns written once. No rule, no key.

python floor.py LAKE OUT
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "2")

import msgspec
import polars as pl


class Body(msgspec.Struct, gc=False):
    """The fields of the feed."""

    schema_version: str | None = None
    event_id: str | None = None
    event_type: str | None = None
    visit_id: str | None = None
    event_time: str | None = None
    patient_id: str | None = None
    hospital_id: int | str | None = None
    department: str | None = None
    gender: str | None = None
    age: int | None = None
    admission_time: str | None = None
    discharge_time: str | None = None
    bed_id: int | str | None = None
    discharge_status: str | None = None


SCHEMA = {name: pl.Int64 if name == "age" else pl.String for name in Body.__struct_fields__}
TIMES = ("event_time", "admission_time", "discharge_time")


def main(lake: str, out: str) -> None:
    began = time.perf_counter()
    frame = pl.read_parquet(
        f"{lake}/bronze/patient_events/**/*.parquet", columns=["partition_id", "enqueued_at", "body"]
    )
    read = time.perf_counter()
    decode, nothing, items = msgspec.json.Decoder(Body).decode, Body(), []
    for body in frame["body"].to_list():
        try:
            items.append(decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError):
            items.append(nothing)
    lines = msgspec.json.Encoder().encode_lines(items)
    columns = pl.read_ndjson(lines, schema=SCHEMA).with_columns(
        pl.col(TIMES).str.strip_suffix("Z").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    )
    decoded = time.perf_counter()
    Path(out).mkdir(parents=True, exist_ok=True)
    pl.concat([frame.drop("body"), columns], how="horizontal").write_parquet(f"{out}/events.parquet")
    steps = {"read": read - began, "decode": decoded - read, "write": time.perf_counter() - decoded}
    print(json.dumps({"steps": {name: round(seconds, 2) for name, seconds in steps.items()}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
