"""Raw events for the batch comparison, seeded: both forms of events, dirt and redeliveries, in the order of the hub.

4 % are delivered again, 1 % are malformed, 3 % are dirty (half rejected, half flagged). Of the others half are
reference snapshots and half belong to visits of several events. About 11,000 events a day. Written from the contract,
not from the package's code.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl

DEPARTMENTS = ("Emergency", "Surgery", "ICU", "Pediatrics", "Maternity", "Oncology", "Cardiology")
START = datetime(2025, 1, 1, tzinfo=UTC)
EVENTS_A_DAY = 11_000
MALFORMED = (
    b'{"patient_id": "x"',
    b"\xff\xfe",
    b"[1,2]",
    b"",
    b"null",
    b'{"a":1}{"b":2}',
    b'{"a":1},{"b":2}',
    b"\x00\x01garbage",
)
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_START_US = int((START - _EPOCH) / timedelta(microseconds=1))
_encode = msgspec.json.encode


def events(total: int, seed: int = 7) -> pl.DataFrame:
    """About ``total`` events: partition_id, sequence_number, enqueued_at, body."""
    maker = _Maker(random.Random(seed), total)
    rows = maker.clean()
    rows += maker.redelivered(rows) + maker.malformed() + maker.dirty()
    rows.sort(key=lambda row: row[0])
    frame = pl.DataFrame(rows, schema={"enqueued_at": pl.Int64, "body": pl.Binary}, orient="row")
    number = pl.int_range(pl.len())
    return frame.select(
        partition_id=(number % 4).cast(pl.String),
        sequence_number=number // 4,
        enqueued_at=pl.col("enqueued_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        body="body",
    )


class _Maker:
    """Bodies with the instant (microseconds since 1970) at which the hub takes them."""

    def __init__(self, chance: random.Random, total: int) -> None:
        self._chance, self._total = chance, total
        self._span_us = int(total / EVENTS_A_DAY * DAY_US)
        self._patients = max(10, total // 6)
        self._share = {name: int(total * share) for name, share in (("again", 0.04), ("bad", 0.01), ("dirty", 0.03))}

    def clean(self) -> list[tuple[int, bytes]]:
        rows: list[tuple[int, bytes]] = []
        while len(rows) < self._total - sum(self._share.values()):
            for _ in range(4):  # a visit has about four events as well
                at = self._instant()
                rows.append((self._taken(at, 60), _encode(self._snapshot(at))))
            rows += self._visit()
        return rows

    def redelivered(self, rows: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        chosen = (self._chance.choice(rows) for _ in range(self._share["again"]))
        return [(self._taken(at, 3600), body) for at, body in chosen]

    def malformed(self) -> list[tuple[int, bytes]]:
        return [(self._instant(), self._chance.choice(MALFORMED)) for _ in range(self._share["bad"])]

    def dirty(self) -> list[tuple[int, bytes]]:
        rows = []
        for number in range(self._share["dirty"]):
            at = self._instant()
            event = {**self._snapshot(at), **self._fault(number % 6, at)}
            rows.append((self._taken(at, 60), _encode(event)))
        return rows

    def _fault(self, kind: int, at: int) -> dict[str, Any]:
        return (
            {"patient_id": None},
            {"discharge_time": _naive(at - 2 * HOUR_US)},
            {"admission_time": _naive(at + 10 * HOUR_US), "discharge_time": _naive(at + 83 * HOUR_US)},
            {"age": 121 + self._chance.randrange(30)},
            {"department": "Dialysis"},
            {"gender": "X"},
        )[kind]

    def _instant(self) -> int:
        return _START_US + int(self._chance.random() * self._span_us)

    def _taken(self, at: int, within_seconds: int) -> int:
        return at + int(1e6 * (1 + self._chance.random() * within_seconds))

    def _patient(self, at: int) -> dict[str, Any]:
        number = int(self._chance.random() * self._patients)
        born = (number * 7919) % (95 * 365)
        return {
            "patient_id": f"{number:08x}-{(number * 2654435761) & 0xFFFF:04x}-4000-8000-{number:012x}",
            "gender": ("Female", "Male")[number & 1],
            "age": (born + (at - _START_US) // DAY_US) // 365,
        }

    def _snapshot(self, at: int) -> dict[str, Any]:
        stay = int((1 + self._chance.random() * 71) * HOUR_US)
        return {
            **self._patient(at),
            "department": self._chance.choice(DEPARTMENTS),
            "admission_time": _naive(at),
            "discharge_time": _naive(at + stay),
            "bed_id": self._chance.randint(1, 500),
            "hospital_id": self._chance.randint(1, 7),
        }

    def _visit(self) -> list[tuple[int, bytes]]:
        chance, at = self._chance, self._instant()
        patient = self._patient(at)
        visit = {
            "visit_id": f"{chance.getrandbits(96):024x}",
            "patient_id": patient.pop("patient_id"),
            "hospital_id": chance.randint(1, 7),
        }
        stages: list[tuple[str, int, dict[str, Any]]] = [("arrival", at, {"department": "Emergency", **patient})]
        at += self._hours(0.02, 6)
        place = chance.randrange(7)
        stages.append(("admission", at, {**self._bed(place), "admission_time": _utc(at)}))
        for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
            at += self._hours(0.2, 72)
            place = (place + chance.randint(1, 6)) % 7
            stages.append(("transfer", at, self._bed(place)))
        if chance.random() < 0.9:
            at += self._hours(0.2, 96)
            stages.append(("discharge", at, {"discharge_status": chance.choice(("home", "transferred", "deceased"))}))
        return [
            (
                self._taken(at, 2),
                _encode(
                    {
                        "schema_version": "1",
                        "event_id": f"{chance.getrandbits(128):032x}",
                        "event_type": kind,
                        "event_time": _utc(at),
                        **visit,
                        **stated,
                    }
                ),
            )
            for kind, at, stated in stages
        ]

    def _bed(self, place: int) -> dict[str, Any]:
        return {"department": DEPARTMENTS[place], "bed_id": f"B{self._chance.randint(1, 400)}"}

    def _hours(self, least: float, most: float) -> int:
        return int((least + self._chance.random() * most) * HOUR_US)


def _naive(us: int) -> str:
    return (_EPOCH + timedelta(microseconds=us)).replace(tzinfo=None).isoformat()


def _utc(us: int) -> str:
    return f"{(_EPOCH + timedelta(microseconds=us)).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
