"""Names of the fields in silver's column ``extra``, of any number of texts. Values are never read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import polars as pl

_STRING = r'"(?:[^"\\]|\\.)*"'
_KEPT_OR_NOT = rf'({_STRING}:|[{{}}\[\]])|{_STRING}|[^"{{}}\[\]]+'
_TOKEN = re.compile(rf"({_STRING}):|([{{\[])|[}}\]]")


def outline(extra: pl.Expr) -> pl.Expr:
    """The texts without their values, names and brackets alone: the same for all events that state the same fields."""
    return extra.str.replace_all(_KEPT_OR_NOT, "${1}")


def names_in(outlines: Iterable[str]) -> set[str]:
    """Names of the fields, not of what is nested in them."""
    found: set[str] = set()
    for text in outlines:
        depth = 0
        for token in _TOKEN.finditer(text):
            name, opening = token.groups()
            if name is None:
                depth += 1 if opening else -1
            elif depth == 1:
                found.add(json.loads(name))
    return found
