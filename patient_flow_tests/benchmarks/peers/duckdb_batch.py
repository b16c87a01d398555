"""The batch job in DuckDB: the statements of ``duckdb_batch.sql``, from bronze's Parquet files to Parquet.

    python duckdb_batch.py LAKE OUT

It leaves out what favours it: sorting, cancels, updates, attendances, other spellings of timestamps, canonical hashes
(bytes are hashed), unknown fields, Delta commits, checkpoints, the change feed and flushing to disk.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import duckdb

SETTINGS = "SET threads=2; SET preserve_insertion_order=false; SET TimeZone='UTC'"


def main(lake: str, out: str) -> None:
    Path(out).mkdir(parents=True)
    database = duckdb.connect()
    database.execute(SETTINGS)
    statements = Path(__file__).with_suffix(".sql").read_text().replace("$lake", lake).replace("$out", out)
    seconds, last = {}, time.perf_counter()
    for part in statements.split("-- step: ")[1:]:
        name, _, sql = part.partition("\n")
        database.execute(sql)
        seconds[name] = round(time.perf_counter() - last, 2)
        last = time.perf_counter()
    print(json.dumps({"steps": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
