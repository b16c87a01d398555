"""The latest instant that a body states: when an event of a file counts as received."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from patient_flow.contracts import events
from patient_flow.contracts.columns import INSTANT
from patient_flow.transforms.columns import columns, one_row_per_part, parse_each
from patient_flow.transforms.read import ParserConfig, parse_timestamps

_LATEST = "latest"

c = pl.col

_times_of: Callable[[bytes], Any] = msgspec.json.Decoder(
    msgspec.defstruct("Times", [(name, object, None) for name in (*events.TIME_FIELDS, events.STAYS)], gc=False)
).decode
_NO_OBJECT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def latest_stated(body: pl.Series, parser: ParserConfig, now: datetime) -> pl.Series:
    """Of each body the latest instant that it states and that is not later than ``now``; ``now`` where it states none.

    Instants of all its parts count, and those of ``stays``.
    """
    is_mapped = bool(parser.mappings) or parser.unwrap is not None
    plain = None if is_mapped else _plainly(body)
    if plain is None:
        return _carefully(body, parser, now)
    found = _latest(plain, now)
    unclear = found.is_null()
    if unclear.any():
        places = unclear.arg_true()
        found = found.scatter(places, _carefully(body.gather(places), parser, now))
    return found


def _plainly(body: pl.Series) -> pl.DataFrame:
    """The time fields of bodies in the contract's own form; a row of nulls for others, and for those with ``stays``."""
    found: list[object] = []
    for content in body:
        try:
            stated = _times_of(content)
        except _NO_OBJECT:
            stated = None
        found.append(None if stated is None or stated.stays is not None else stated)
    return pl.DataFrame([_texts(name, [getattr(item, name, None) for item in found]) for name in events.TIME_FIELDS])


def _texts(name: str, values: list[object]) -> pl.Series:
    return pl.Series(name, [value if isinstance(value, str) else None for value in values], dtype=pl.String)


def _carefully(body: pl.Series, parser: ParserConfig, now: datetime) -> pl.Series:
    parsed = parse_each(body, parser.mappings, parser.formats, parser.unwrap)
    rows = pl.DataFrame({"row": pl.int_range(body.len(), eager=True)})
    parts = pl.concat([one_row_per_part(rows, parsed), columns(parsed)], how="horizontal")
    stays = [
        (parts["row"][place], text)
        for place, part in parsed.careful.items()
        for stay in part.stays
        for text in (stay.since, stay.until)
        if text
    ]
    listed = pl.DataFrame(stays, schema={"row": pl.Int64(), "event_time": pl.String()}, orient="row")
    stated = pl.concat([parts.select("row", *events.TIME_FIELDS), listed], how="diagonal")
    latest = stated.select("row", _latest(stated, now).alias(_LATEST)).group_by("row").agg(c(_LATEST).max())
    found = rows.join(latest, on="row", how="left", maintain_order="left")
    return found.select(c(_LATEST).fill_null(pl.lit(now, INSTANT))).to_series()


def _latest(texts: pl.DataFrame, now: datetime) -> pl.Series:
    """The latest usable instant of each row, not later than ``now``."""
    stated = [name for name in events.TIME_FIELDS if texts[name].null_count() < texts.height]
    if not stated:
        return pl.repeat(None, texts.height, dtype=INSTANT, eager=True)
    instants = pl.DataFrame([parse_timestamps(texts[name].str.strip_chars()) for name in stated])
    return instants.select(pl.max_horizontal(pl.when(c(name) <= now).then(name) for name in stated)).to_series()
