"""Hashes: surrogate keys, pseudonyms, and the short hashes that find rows fast.

All are functions of natural keys alone, so that any order of events and any rebuild gives the same ones. Python hashes
in the calling thread: in an expression, one of Polars' threads would wait for the interpreter's lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import polars as pl

T = TypeVar("T", str, bytes)

SEPARATOR = "\x1f"
"""Between the parts of a natural key; control characters cannot occur in one (``transforms.read`` refuses them)."""


def with_surrogate_key(rows: pl.DataFrame, name: str, parts: Sequence[pl.Expr]) -> pl.DataFrame:
    """``rows`` with ``name``, a 63-bit key: BLAKE2b of ``parts``, joined; 1 … 2⁶³-1 (0 is the unknown member).

    Null where one of the ``parts`` is, which are texts, numbers or instants in microseconds.
    """
    natural = rows.select(pl.concat_str([part.cast(pl.String) for part in parts], separator=SEPARATOR)).to_series()
    digests = _hashed(natural, hashlib.blake2b(digest_size=8), hashlib.blake2b.digest)
    numbers = pl.Series(name, digests, dtype=pl.Binary).bin.reinterpret(dtype=pl.UInt64, endianness="big")
    return rows.with_columns((numbers // 2).cast(pl.Int64).clip(lower_bound=1))


def short_hash(hexadecimal: pl.Expr) -> pl.Expr:
    """60 bits of a hexadecimal hash as an integer: cheap to store, scan and compare; not an identity.

    Null where the text is no hexadecimal number (the unknown members).
    """
    return hexadecimal.str.slice(0, 15).str.to_integer(base=16, dtype=pl.Int64, strict=False)


def pseudonyms(identifiers: pl.Series, secret: str, kind: str) -> pl.Series:
    """Keyed 128-bit hashes (BLAKE2b, hexadecimal) of ``identifiers``, texts; null stays null.

    ``kind`` ("patient", "visit") separates name spaces: the same number as a visit and as a patient must not match.
    """
    keyed = hashlib.blake2b(digest_size=16, key=hashlib.sha512(secret.encode()).digest(), person=kind.encode())
    if identifiers.null_count() == identifiers.len():
        return identifiers.cast(pl.String)
    return pl.Series(identifiers.name, _hashed(identifiers, keyed, hashlib.blake2b.hexdigest), dtype=pl.String)


def derived_visits(rows: pl.DataFrame) -> pl.Series:
    """``visit_id`` of snapshots whose sender gives no visit number: null if a part is missing.

    From the pseudonym of the patient, so that it can be derived again with the survivor of a merge (flow F3). The key
    is no secret: the pseudonym has been made with one.
    """
    parts = [pl.col("hospital_id"), pl.col("patient_id"), pl.col("admission_time").dt.epoch("us").cast(pl.String)]
    return pseudonyms(rows.select(pl.concat_str(parts, separator=SEPARATOR)).to_series(), "", "derived visit")


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
