"""The views of ``contracts.views`` in the words of each target."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from patient_flow.contracts.views import VIEWS, View
from patient_flow.stores.warehouse.schema import ALL_TABLES, sql_type
from patient_flow.stores.warehouse.targets.base import Definition, Target

TABLES: Mapping[str, sa.TableClause] = {
    view.name: sa.table(view.name, *(sa.column(column.name, sql_type(column)) for column in view.columns))
    for view in VIEWS
}
"""View name → selectable with typed columns."""


class _Phrase:
    """An idiom with arguments, written ``{name[argument]}`` or ``{name[argument, argument]}`` in a view."""

    def __init__(self, template: str) -> None:
        self._template = template

    def __getitem__(self, arguments: str) -> str:
        return self._template.format(*(argument.strip() for argument in arguments.split(",")))


def definition(view: View, target: Target) -> Definition:
    """``view`` in the words of ``target``."""
    words = {
        **{table.name: target.quoted(table.name) for table in ALL_TABLES},
        "now": target.idioms.now,
        "true": target.idioms.true,
        "hours_since": _Phrase(target.idioms.hours_since),
        "days_later": _Phrase(target.idioms.days_later),
    }
    return Definition(view.name, view.description, view.sql.strip().format_map(words))
