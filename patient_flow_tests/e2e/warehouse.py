"""The warehouse as somebody sees it who has the file and plain SQL, and nothing of this project."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

Rows = list[tuple[Any, ...]]


def ask(file: Path, question: str) -> Rows:
    """Rows of a query."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(question).fetchall()


def everything(file: Path) -> dict[str, Rows]:
    """All rows of all tables, sorted."""
    names = ask(file, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {name: sorted(ask(file, f'SELECT * FROM "{name}"'), key=repr) for (name,) in names}


def stars(file: Path, digits: int) -> dict[str, Rows]:
    """The same, numbers rounded, without the load log, which tells of runs and not of patients."""
    return {
        name: [tuple(round(value, digits) if isinstance(value, float) else value for value in row) for row in rows]
        for name, rows in everything(file).items()
        if name != "LoadLog"
    }
