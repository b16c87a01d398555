"""What a DAX expression mentions, and whether it is written properly. Written apart from any DAX engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from patient_flow_tests.powerbi.star import Star

_TOKEN = re.compile(
    r"""
      (?P<text>"(?:[^"]|"")*")
    | (?P<column>(?:'(?:[^']|'')+'|[A-Za-z_]\w*)\[[^\]]+\])
    | (?P<bracket>\[[^\]]+\])
    | (?P<word>'(?:[^']|'')+'|[A-Za-z_][\w.]*)
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<sign><>|<=|>=|&&|\|\||[-+*/&=<>(),])
    | (?P<space>\s+)
    | (?P<wrong>.)
    """,
    re.VERBOSE,
)

ARGUMENTS: Mapping[str, tuple[int, int]] = {
    "ADDCOLUMNS": (3, 99),
    "MINX": (2, 2),
    "MAXX": (2, 2),
    "ALLSELECTED": (0, 99),
    "ABS": (1, 1),
    "AVERAGE": (1, 1),
    "AVERAGEX": (2, 2),
    "CALCULATE": (1, 99),
    "CALCULATETABLE": (1, 99),
    "COUNT": (1, 1),
    "COUNTROWS": (0, 1),
    "DATEDIFF": (3, 3),
    "DAY": (1, 1),
    "DISTINCT": (1, 1),
    "DISTINCTCOUNT": (1, 1),
    "DIVIDE": (2, 3),
    "FILTER": (2, 2),
    "GENERATE": (2, 2),
    "HOUR": (1, 1),
    "IF": (2, 3),
    "ISBLANK": (1, 1),
    "ISEMPTY": (1, 1),
    "ISFILTERED": (1, 1),
    "KEEPFILTERS": (1, 1),
    "LOOKUPVALUE": (3, 99),
    "MAX": (1, 2),
    "MEDIAN": (1, 1),
    "MIN": (1, 2),
    "MONTH": (1, 1),
    "NATURALINNERJOIN": (2, 2),
    "PERCENTILE.INC": (2, 2),
    "RELATED": (1, 1),
    "REMOVEFILTERS": (0, 99),
    "SELECTCOLUMNS": (3, 99),
    "SUM": (1, 1),
    "SUMMARIZE": (2, 99),
    "SUMX": (2, 2),
    "SWITCH": (3, 99),
    "TREATAS": (2, 99),
    "TRUE": (0, 0),
    "USERPRINCIPALNAME": (0, 0),
    "UTCNOW": (0, 0),
    "VALUES": (1, 1),
    "WEEKDAY": (1, 2),
    "YEAR": (1, 1),
}
"""Function → least and most arguments. A function that is not here is unknown: add it when a measure needs it."""

_KEYWORDS = {"VAR", "RETURN", "NOT", "IN", "DAY"}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def problems(dax: str, star: Star, *, row_of: str = "") -> list[str]:
    """What is wrong with ``dax`` in the model ``star``; ``row_of`` names the table whose rows it is asked for."""
    tokens = [_Token(str(m.lastgroup), m[0]) for m in _TOKEN.finditer(dax) if m.lastgroup != "space"]
    found = [f"cannot read {token.text!r}" for token in tokens if token.kind == "wrong"]
    found += _unbalanced(tokens)
    if found:
        return found
    return [*_unknown_columns(tokens, star), *_unknown_names(tokens, star, row_of), *_calls(tokens)]


def _unbalanced(tokens: list[_Token]) -> Iterator[str]:
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth < 0:
            break
    if depth:
        yield "parentheses do not match"


def _unknown_columns(tokens: list[_Token], star: Star) -> Iterator[str]:
    for token in tokens:
        if token.kind == "column":
            table, name = token.text[:-1].split("[", 1)
            if name not in star.columns.get(table.strip("'"), {}):
                yield f"no column {token.text}"


def _unknown_names(tokens: list[_Token], star: Star, row_of: str) -> Iterator[str]:
    """Measures, columns that the expression itself makes, variables, tables."""
    variables = {name.text for word, name in pairwise(tokens) if word.text == "VAR"}
    made = {token.text.strip('"') for token in tokens if token.kind == "text"}
    own = set(star.columns.get(row_of, {}))
    for token, following in zip(tokens, [*tokens[1:], _Token("end", "")], strict=True):
        if token.kind == "bracket" and token.text[1:-1] not in star.measures.keys() | made | own:
            yield f"no measure {token.text}"
        if token.kind == "word" and token.text not in _KEYWORDS:
            known = ARGUMENTS if following.text == "(" else variables | star.columns.keys()
            if token.text.strip("'") not in known:
                yield f"unknown word {token.text}"
    used = [token.text for token in tokens if token.kind == "word"]
    yield from (f"variable {name} is never used" for name in variables if used.count(name) < 2)


def _calls(tokens: list[_Token]) -> Iterator[str]:
    """Calls with too few or too many arguments."""
    stack: list[list[str | int]] = []
    for before, token in zip([_Token("start", ""), *tokens], tokens, strict=False):
        if token.text == "(":
            stack.append([before.text if before.kind == "word" else "", 0])
        elif token.text == ")":
            name, commas = stack.pop()
            count = 0 if before.text == "(" else int(commas) + 1
            if name in ARGUMENTS:
                least, most = ARGUMENTS[str(name)]
                if not least <= count <= most:
                    yield f"{name} with {count} arguments"
        elif token.text == "," and stack:
            stack[-1][1] = int(stack[-1][1]) + 1
