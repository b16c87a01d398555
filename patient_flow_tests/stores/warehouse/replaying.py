"""Statements recorded on one warehouse and sent again to the driver of others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from patient_flow.stores.warehouse.warehouse import Warehouse

Recorded = list[tuple[sa.Executable, Any]]


@contextlib.contextmanager
def statements() -> Iterator[Recorded]:
    """What is executed meanwhile on any engine of this process, each statement once, without texts for the driver."""
    recorded: Recorded = []
    seen: set[str] = set()

    def record(_: object, clause: sa.Executable, multiple: Any, single: Any, __: object) -> None:
        if isinstance(clause, sa.ClauseElement) and (text := str(clause)) not in seen:
            seen.add(text)
            recorded.append((clause, multiple or single))

    sa.event.listen(sa.Engine, "before_execute", record)
    try:
        yield recorded
    finally:
        sa.event.remove(sa.Engine, "before_execute", record)


def replay(warehouse: Warehouse, recorded: Recorded) -> None:
    """Send the statements to another kind of warehouse."""
    with warehouse.writing() as connection:
        for clause, parameters in recorded:
            connection.execute(clause, parameters)
