"""Hashes: surrogate keys, pseudonyms, and the short hashes that find rows fast.

All are functions of natural keys alone, so that any order of events and any rebuild gives the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import polars as pl

T = TypeVar("T", str, bytes)

SEPARATOR = "\x1f"
"""Between the parts of a natural key; control characters cannot occur in one (``transforms.read`` refuses them)."""


def surrogate_key(parts: Sequence[pl.Expr]) -> pl.Expr:
    """63-bit key of a natural key: BLAKE2b of its parts, joined; 1 … 2⁶³-1 (0 is the unknown member).

    Null where one of the ``parts`` is; instants count in microseconds.
    """
    return pl.concat_str([part.cast(pl.String) for part in parts], separator=SEPARATOR).map_batches(
        _keys, return_dtype=pl.Int64
    )


def short_hash(hexadecimal: pl.Expr) -> pl.Expr:
    """60 bits of a hexadecimal hash as an integer: cheap to store, scan and compare; not an identity.

    Null where the text is no hexadecimal number (the unknown members).
    """
    return hexadecimal.str.slice(0, 15).str.to_integer(base=16, dtype=pl.Int64, strict=False)


def pseudonym(identifier: pl.Expr, secret: str, kind: str) -> pl.Expr:
    """Keyed 128-bit hash (BLAKE2b, hexadecimal) of an identifier; null stays null.

    ``kind`` ("patient", "visit") separates name spaces: the same number as a visit and as a patient must not match.
    """
    keyed = hashlib.blake2b(digest_size=16, key=hashlib.sha512(secret.encode()).digest(), person=kind.encode())
    return identifier.map_batches(lambda values: _once_each(values, keyed), return_dtype=pl.String)


def derived_visit(where: pl.Expr | None = None) -> pl.Expr:
    """``visit_id`` of a snapshot whose sender gives no visit number: null if a part is missing, or not ``where``.

    From the pseudonym of the patient, so that it can be derived again with the survivor of a merge (flow F3). The key
    is no secret: the pseudonym has been made with one.
    """
    parts = [pl.col("hospital_id"), pl.col("patient_id"), pl.col("admission_time").dt.epoch("us").cast(pl.String)]
    text = pl.concat_str(parts, separator=SEPARATOR)
    return pseudonym(text if where is None else pl.when(where).then(text), "", "derived visit")


def _once_each(values: pl.Series, keyed: hashlib.blake2b) -> pl.Series:
    """The hexadecimal hashes of ``values``; where most of them occur several times, each is hashed once."""
    if values.null_count() == values.len():
        return values
    distinct = values.unique()
    if 2 * distinct.len() > values.len():
        return _hexadecimal(values, keyed)
    hashed = pl.DataFrame([distinct.rename("text"), _hexadecimal(distinct, keyed).rename("hash")])
    found = values.rename("text").to_frame().join(hashed, on="text", how="left", maintain_order="left")
    return found["hash"].rename(values.name)


def _hexadecimal(values: pl.Series, keyed: hashlib.blake2b) -> pl.Series:
    return pl.Series(values.name, _hashed(values, keyed, hashlib.blake2b.hexdigest), dtype=pl.String)


def _keys(values: pl.Series) -> pl.Series:
    digests = _hashed(values, hashlib.blake2b(digest_size=8), hashlib.blake2b.digest)
    numbers = pl.Series(values.name, digests, dtype=pl.Binary).bin.reinterpret(dtype=pl.UInt64, endianness="big")
    return (numbers // 2).cast(pl.Int64).clip(lower_bound=1)


def _hashed(values: pl.Series, begun: hashlib.blake2b, result: Callable[[hashlib.blake2b], T]) -> list[T | None]:
    """The ``result`` of hashing each text. Copying a hash that has its key takes half the time of making one."""
    copy, found = begun.copy, list[T | None]()
    for value in values.cast(pl.Binary).to_list():
        if value is None:
            found.append(None)
            continue
        state = copy()
        state.update(value)
        found.append(result(state))
    return found
