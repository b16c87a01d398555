"""A writer of TMDL: objects, their properties and expressions, nested by tabs. Independent of this model."""

from __future__ import annotations

import re
from collections.abc import Iterable

Lines = list[str]


def quoted(name: str) -> str:
    """``name`` as an identifier: in quotes unless it is one plain word."""
    return name if re.fullmatch(r"\w+", name) else "'" + name.replace("'", "''") + "'"


def assigned(head: str, expression: str) -> Lines:
    """``head = expression``; several lines stand below, deeper than the properties that follow them.

    Four spaces at the start of a line of ``expression`` become a tab.
    """
    if "\n" not in expression:
        return [f"{head} = {expression}"]
    return [f"{head} =", *indented(map(_tabbed, expression.splitlines()), 2)]


def _tabbed(line: str) -> str:
    code = line.lstrip(" ")
    return "\t" * ((len(line) - len(code)) // 4) + code


def node(
    head: Lines, properties: Iterable[Lines] = (), children: Iterable[Lines] = (), *, description: str = ""
) -> Lines:
    """An object: its description, its head, then properties, then child objects set apart by empty lines."""
    lines = [f"/// {description}"] if description else []
    lines += head
    for written in properties:
        lines += indented(written)
    for child in children:
        lines += ["", *indented(child)]
    return lines


def indented(lines: Iterable[str], depth: int = 1) -> Lines:
    """``lines`` moved ``depth`` tabs to the right; empty ones stay empty."""
    return ["\t" * depth + line if line else "" for line in lines]


def text(*objects: Lines) -> str:
    """The contents of a file that holds ``objects``."""
    return "\n\n".join("\n".join(lines) for lines in objects) + "\n"
