"""Parquet: rows as JSON objects, instants in ISO 8601."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from patient_flow.files.source import FileRefused, Source
from patient_flow.wording import plural

_ROWS = 20_000
_READ_ERRORS = (pl.exceptions.PolarsError, OSError)


def examined(source: Source) -> Source:
    """``source`` with its number of rows. Raises :class:`FileRefused`."""
    try:
        scanned = pl.scan_parquet(source.path)
        rows = int(scanned.select(pl.len()).collect().item())
        columns = scanned.collect_schema()
    except _READ_ERRORS as error:
        raise _refused(source, error) from None
    if not rows:
        raise FileRefused(source.path, "the Parquet file has no rows")
    return replace(source, rows=rows, header=tuple(columns.names()))


def bodies(source: Source, after: int) -> Iterator[tuple[int, bytes]]:
    """Rows after number ``after``."""
    scanned = pl.scan_parquet(source.path).slice(after)
    texts = [_text(name, dtype) for name, dtype in scanned.collect_schema().items()]
    number = after
    try:
        for batch in scanned.select(texts).collect_batches(chunk_size=_ROWS, maintain_order=True):
            for body in batch.write_ndjson().encode().splitlines():
                number += 1
                yield number, body
    except _READ_ERRORS as error:
        raise _refused(source, error) from None
    if number != source.rows:
        raise FileRefused(source.path, f"{plural(source.rows - number, 'row')} cannot be decoded; fetch the file again")


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        form = "%Y-%m-%dT%H:%M:%S%.6f" + ("" if dtype.time_zone is None else "%:z")
        return column.dt.strftime(form)
    if isinstance(dtype, pl.Binary):
        return column.cast(pl.String, strict=False)
    if isinstance(dtype, pl.Decimal):
        return column.cast(pl.Float64)
    return column


def _refused(source: Source, error: Exception) -> FileRefused:
    reason = " ".join(str(error).split())[:200]
    return FileRefused(source.path, f"the Parquet file cannot be read ({reason}); fetch it again")
