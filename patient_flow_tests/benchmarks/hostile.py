"""A million hostile bodies through reading and judging: no exception, no loss, bounded memory.

    python -m patient_flow_tests.benchmarks.hostile --bodies 1000000

Valid bodies are damaged at random (bytes flipped, cut, doubled, values swapped for nasty ones) and mixed with noise.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.columns import INSTANT
from patient_flow.dialects import fhir, hl7
from patient_flow.stores.reference import read_departments
from patient_flow.transforms.accept import candidates, validate
from patient_flow.transforms.read import ParserConfig, read_events

NASTY: list[object] = [None, True, -1, 10**400, 1e308, [], {}, [[[]]], {"a": {"b": []}}]
NASTY += ["", " ", "\x00", "a" * 70, "1e400"]
NASTY += ["0001-01-01T00:00:00", "9999-12-31T23:59:59Z", "2026-02-30T00:00:00", "2026-11-20T10:15:00+99:99"]
NASTY += ["-1", "nan", "\u202e", "é" * 64]
HL7 = b"MSH|^~\\&|A|B|C|D|20261120101500||ADT^A01|1|P|2.5\rPID|1||42||X\rPV1|1|I|ICU^1^2"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
AT_ONCE = 50_000


def body(chance: random.Random) -> bytes:
    """One body, hostile or not."""
    kind = chance.random()
    if kind < 0.1:
        return chance.randbytes(chance.randrange(200))
    if kind < 0.2:
        return damaged(HL7, chance)
    stated = {name: chance.choice([*NASTY, "x", "2026-11-20T10:15:00", "admission", 3]) for name in events.FIELDS}
    for name in chance.sample(events.FIELDS, chance.randrange(len(events.FIELDS))):
        del stated[name]
    text = json.dumps(stated, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    return damaged(text, chance) if kind < 0.6 else text


def damaged(text: bytes, chance: random.Random) -> bytes:
    """``text`` with a few bytes changed, cut or doubled."""
    changed = bytearray(text)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(changed) + 1)
        act = chance.randrange(3)
        if act == 0:
            changed[place : place + 1] = chance.randbytes(1)
        elif act == 1:
            del changed[place:]
        else:
            changed[place:place] = changed[:place]
        changed = changed[:4000] or bytearray(b"{")
    return bytes(changed)


def main() -> None:
    """Feeds the bodies in batches and prints what became of them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--bodies", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    chance = random.Random(asked.seed)
    parser = ParserConfig(read_departments(), "k", formats=(hl7.interpret, fhir.interpret))
    began, accepted, rejected, reasons = time.perf_counter(), 0, 0, set[str]()
    for start in range(0, asked.bodies, AT_ONCE):
        count = min(AT_ONCE, asked.bodies - start)
        bronze = pl.DataFrame(
            {
                "hub_created_at": pl.Series([NOW] * count, dtype=INSTANT),
                "partition_id": ["0"] * count,
                "sequence_number": pl.Series(range(start, start + count), dtype=pl.Int64),
                "enqueued_at": pl.Series([NOW] * count, dtype=INSTANT),
                "body": pl.Series([body(chance) for _ in range(count)], dtype=pl.Binary),
            }
        )
        judged = validate(read_events(bronze, parser))
        fine = candidates(judged, "k").height
        refused = judged.filter(pl.col("reasons").list.len() > 0).height
        assert judged["sequence_number"].equals(bronze["sequence_number"])
        assert fine + refused == count, (fine, refused, count)
        accepted, rejected = accepted + fine, rejected + refused
        reasons |= set(judged["reasons"].explode().drop_nulls())
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(f"{asked.bodies:,} bodies = {accepted:,} accepted + {rejected:,} rejected for {len(reasons)} reasons")
    print(f"{time.perf_counter() - began:.0f} s, peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
