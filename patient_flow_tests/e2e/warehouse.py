"""The warehouse as somebody sees it who has its address and plain SQL, and nothing of this project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

Rows = list[tuple[Any, ...]]


def ask(url: str, question: str) -> Rows:
    """Rows of a query."""
    with _connected(url) as connection:
        return [tuple(row) for row in connection.exec_driver_sql(question)]


def change(url: str, statement: str) -> None:
    """Changes rows behind everybody's back."""
    with _connected(url) as connection:
        connection.exec_driver_sql(statement)
        connection.commit()


def everything(url: str) -> dict[str, Rows]:
    """All rows of all tables, sorted."""
    with _connected(url) as connection:
        names = sa.inspect(connection).get_table_names()
    return {name: sorted(ask(url, f'SELECT * FROM "{name}"'), key=repr) for name in names}


def stars(url: str, digits: int) -> dict[str, Rows]:
    """The same, numbers rounded, without the load log, which tells of runs and not of patients."""
    return {
        name: [tuple(round(value, digits) if isinstance(value, float) else value for value in row) for row in rows]
        for name, rows in everything(url).items()
        if name != "LoadLog"
    }


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()
