"""The views of ``contracts.views`` in the words of each target."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from patient_flow.contracts import measures
from patient_flow.contracts.views import PERCENTILE, SQL_MACROS, VIEWS, View
from patient_flow.stores.warehouse.schema import ALL_TABLES, sql_type
from patient_flow.stores.warehouse.targets.base import Definition, Target

TABLES: Mapping[str, sa.TableClause] = {
    view.name: sa.table(view.name, *(sa.column(column.name, sql_type(column)) for column in view.columns))
    for view in VIEWS
}
"""View name → selectable with typed columns."""


class SqlMacro:
    """An idiom with arguments, written ``{name[argument]}`` or ``{name[argument, argument]}`` in a view.

    ``more`` are arguments that follow the written ones.
    """

    def __init__(self, template: str, *more: str) -> None:
        self._template = template
        self._more = more

    def __getitem__(self, arguments: str) -> str:
        return self._template.format(*(argument.strip() for argument in arguments.split(",")), *self._more)


def definition(view: View, target: Target) -> Definition:
    """``view`` in the words of ``target``."""
    idioms = target.idioms
    words: dict[str, object] = {
        **{table.name: target.quoted(table.name) for table in ALL_TABLES},
        "now": idioms.now,
        "this_hour": idioms.this_hour,
        "true": idioms.true,
        "flag": SqlMacro(idioms.flag),
        "hours_since": SqlMacro(idioms.hours_since),
        "readmission_deadline": SqlMacro(idioms.days_later, str(measures.READMISSION_DAYS)),
        "percentile": SqlMacro(PERCENTILE),
    }
    phrases = {name: phrase.format_map(words) for name, phrase in SQL_MACROS.items()}
    return Definition(view.name, view.description, view.sql.strip().format_map({**words, **phrases}))
