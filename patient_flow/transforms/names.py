"""Names of departments as senders write them → the form in which they are compared, and the form that is shown.

Two names are the same department when their folded forms are equal: Unicode NFKC, without regard to case, characters
without width left out, every run of blanks one blank.
"""

from __future__ import annotations

import unicodedata

import polars as pl

_FORMAT_CHARACTERS = "Cf"
"""Unicode's category of zero-width blanks and joiners, byte order marks, soft hyphens and direction marks."""


def clean_name(name: str) -> str:
    """``name`` in NFKC, without zero-width characters, trimmed, its blanks collapsed; the case stays."""
    if name.isascii():
        return " ".join(name.split())
    normal = unicodedata.normalize("NFKC", name)
    return " ".join("".join(each for each in normal if unicodedata.category(each) != _FORMAT_CHARACTERS).split())


def fold_name(name: str) -> str:
    """The form in which names are compared."""
    return unicodedata.normalize("NFKC", clean_name(name).casefold())


def clean_names(names: pl.Series) -> pl.Series:
    """:func:`clean_name` of each; null stays null, and so becomes a name of nothing but blanks."""
    return _each(names, {name: clean_name(name) or None for name in names.unique().drop_nulls()})


def fold_names(names: pl.Series) -> pl.Series:
    """:func:`fold_name` of each; null stays null."""
    return _each(names, {name: fold_name(name) or None for name in names.unique().drop_nulls()})


def _each(names: pl.Series, of: dict[str, str | None]) -> pl.Series:
    if all(name == other for name, other in of.items()):
        return names
    return names.replace_strict(of, return_dtype=pl.String, default=None)
