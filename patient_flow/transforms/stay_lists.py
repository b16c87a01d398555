"""``stays`` of a snapshot: the placements that it lists → the text that silver keeps (flow F9).

The text is a JSON list of ``{"department", "bed_id", "from", "to"}`` in order of ``from``, instants in microseconds
since 1970, ``to`` null for a patient who is still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.columns import INSTANT
from patient_flow.transforms.bodies import StatedStay
from patient_flow.transforms.names import clean_names

_RESOLVED = {
    "place": pl.get_index_type(),
    "stays": pl.String(),
    "stays_wrong": pl.Boolean(),
    "stay_is_ahead": pl.Boolean(),
    "last_department": pl.String(),
    "last_bed_id": pl.String(),
    "first_since": INSTANT,
}
_encode = msgspec.json.Encoder(order="sorted").encode


def entries(frame: pl.DataFrame, stated: Mapping[int, Iterable[StatedStay]]) -> pl.DataFrame:
    """One row per entry of ``stated`` (by row index in ``frame``), with the columns of the event that contains it."""
    rows = [
        (place, stay.department, stay.bed_id, stay.since, stay.until)
        for place, stays in stated.items()
        for stay in stays
    ]
    schema = {"place": pl.get_index_type(), **dict.fromkeys(("department", "bed_id", "since", "until"), pl.String())}
    listed = pl.DataFrame(rows, schema=schema, orient="row")
    around = frame.with_row_index("place").select("place", "hospital_id", "event_type", "enqueued_at")
    return listed.with_columns(clean_names(listed["department"])).join(
        around, on="place", how="left", maintain_order="left"
    )


def resolved(timed: pl.DataFrame) -> pl.DataFrame:
    """Per ``place``: ``stays`` as silver keeps it, null where one entry is unusable (``stays_wrong``).

    An entry that begins ahead of the hub is left out, one that ends ahead of it is open; both set ``stay_is_ahead``.
    """
    rows = [_resolved(group) for group in timed.sort("place", "since", maintain_order=True).partition_by("place")]
    return pl.DataFrame(rows, schema=_RESOLVED, orient="row")


def _resolved(group: pl.DataFrame) -> tuple[object, ...]:
    place, latest = group["place"][0], group["enqueued_at"][0] + events.CLOCK_TOLERANCE
    listed = list(group.select("department", "bed_id", "since", "until").iter_rows())
    is_wrong = (
        group["event_type"][0] != events.SNAPSHOT
        or group["since"].null_count() > 0
        or group["department"].null_count() > 0
        or bool(group["until_unusable"].any())
    )
    if is_wrong:
        return place, None, True, False, None, None, None
    begun = [stay for stay in listed if stay[2] <= latest]
    is_ahead = len(begun) < len(listed) or any(until is not None and until > latest for *_, until in begun)
    department, bed_id, *_ = (begun or listed)[-1]
    kept = [
        {
            "department": name,
            "bed_id": bed,
            "from": _micros(since),
            "to": _micros(until) if _is_past(until, latest) else None,
        }
        for name, bed, since, until in begun
    ]
    return place, _encode(kept).decode() if kept else None, False, is_ahead, department, bed_id, listed[0][2]


def _is_past(until: datetime | None, latest: datetime) -> bool:
    return until is not None and until <= latest


def _micros(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000 + instant.microsecond
