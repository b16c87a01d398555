"""The semantic model as TMDL files.

Not here: what it contains (``tables``, ``relationships``, ``measures``, ``roles``) and TMDL's own rules (``tmdl``).
"""

from __future__ import annotations

from collections.abc import Sequence

from patient_flow.powerbi.declarations import Column, Contents, Hierarchy, Measure, Relationship, Role, Storage, Table
from patient_flow.powerbi.ids import tag
from patient_flow.powerbi.measures import MEASURES
from patient_flow.powerbi.queries import Source, parameter
from patient_flow.powerbi.relationships import RELATIONSHIPS
from patient_flow.powerbi.tables import TABLES
from patient_flow.powerbi.tmdl import Lines, assigned, node, quoted, text

COMPATIBILITY_LEVEL = 1600
CULTURE = "en-US"


EVERYTHING = Contents(tuple(TABLES), tuple(MEASURES), tuple(RELATIONSHIPS))
"""The model of readers who may see small numbers."""


def files(
    roles: Sequence[Role], *, storage: Storage, source: Source, contents: Contents = EVERYTHING
) -> dict[str, str]:
    """Files of the model's ``definition`` folder: relative path → text."""
    relationships = {
        "relationships.tmdl": text(*(_relationship(relationship) for relationship in contents.relationships))
    }
    return {
        "database.tmdl": text(node(["database"], [[f"compatibilityLevel: {COMPATIBILITY_LEVEL}"]])),
        "model.tmdl": _model(contents, roles),
        "expressions.tmdl": text(*(_parameter(*declared) for declared in source.parameters)),
        **(relationships if contents.relationships else {}),
        **{f"tables/{table.name}.tmdl": text(_table(contents, table, storage)) for table in contents.tables},
        **{f"roles/{role.name}.tmdl": text(_role(role)) for role in roles},
    }


def _model(contents: Contents, roles: Sequence[Role]) -> str:
    model = node(
        ["model Model"],
        [
            [f"culture: {CULTURE}"],
            ["defaultPowerBIDataSourceVersion: powerBI_V3"],
            # Every number has a named measure: dragging a column onto a visual does not add it up.
            ["discourageImplicitMeasures"],
            [f"sourceQueryCulture: {CULTURE}"],
            node(["dataAccessOptions"], [["legacyRedirects"], ["returnErrorValuesAsNull"]]),
        ],
    )
    # No hidden date tables behind every date column: DimDate is the calendar.
    annotation = ["annotation __PBI_TimeIntelligenceEnabled = 0"]
    references = [
        *(f"ref table {quoted(table.name)}" for table in contents.tables),
        *(f"ref role {quoted(role.name)}" for role in roles),
    ]
    return text(model, annotation, references)


def _parameter(name: str, value: str, description: str) -> Lines:
    return node(
        assigned(f"expression {name}", parameter(value)),
        [[f"lineageTag: {tag('expression', name)}"]],
        [["annotation PBI_ResultType = Text"]],
        description=description,
    )


def _relationship(relationship: Relationship) -> Lines:
    ends = (relationship.from_table, relationship.from_column, relationship.to_table, relationship.to_column)
    return node(
        [f"relationship {tag('relationship', *ends)}"],
        [
            *([] if relationship.is_active else [["isActive: false"]]),
            [f"fromColumn: {quoted(relationship.from_table)}.{quoted(relationship.from_column)}"],
            [f"toColumn: {quoted(relationship.to_table)}.{quoted(relationship.to_column)}"],
        ],
    )


def _table(contents: Contents, table: Table, storage: Storage) -> Lines:
    return node(
        [f"table {quoted(table.name)}"],
        [
            *_when(table.is_hidden, "isHidden"),
            [f"lineageTag: {tag('table', table.name)}"],
            *_when(table.is_calendar, "dataCategory: Time"),
        ],
        [
            *(_measure(measure) for measure in contents.measures if measure.table == table.name),
            *(_column(table, column) for column in table.columns),
            *(_hierarchy(table, hierarchy) for hierarchy in table.hierarchies),
            _partition(table, storage),
            ["annotation PBI_ResultType = Table"],
        ],
        description=table.description,
    )


def _measure(measure: Measure) -> Lines:
    return node(
        assigned(f"measure {quoted(measure.name)}", measure.dax),
        [
            [f"formatString: {measure.format}"],
            [f"displayFolder: {measure.folder}"],
            [f"lineageTag: {tag('measure', measure.name)}"],
        ],
        description=measure.description,
    )


def _column(table: Table, column: Column) -> Lines:
    head = f"column {quoted(column.name)}"
    return node(
        assigned(head, column.expression) if column.expression else [head],
        [
            [f"dataType: {column.data_type.value}"],
            *_when(column.is_hidden, "isHidden"),
            *_when(column.is_key, "isKey"),
            *_when(bool(column.format), f"formatString: {column.format}"),
            *_when(bool(column.folder), f"displayFolder: {column.folder}"),
            [f"lineageTag: {tag('table', table.name, 'column', column.name)}"],
            ["summarizeBy: none"],
            *_when(not column.expression, f"sourceColumn: {column.name}"),
            *_when(bool(column.sort_by), f"sortByColumn: {quoted(column.sort_by)}"),
        ],
        [
            ["annotation SummarizationSetBy = User"],
            *_when(column.is_date_only, "annotation UnderlyingDateTimeDataType = Date"),
        ],
        description=column.description,
    )


def _hierarchy(table: Table, hierarchy: Hierarchy) -> Lines:
    path = ("table", table.name, "hierarchy", hierarchy.name)
    return node(
        [f"hierarchy {quoted(hierarchy.name)}"],
        [[f"lineageTag: {tag(*path)}"]],
        [
            node(
                [f"level {quoted(level)}"],
                [[f"lineageTag: {tag(*path, 'level', level)}"], [f"column: {quoted(column)}"]],
            )
            for level, column in hierarchy.levels
        ],
        description=hierarchy.description,
    )


def _partition(table: Table, storage: Storage) -> Lines:
    return node(
        [f"partition {quoted(table.name)} = m"],
        [[f"mode: {_mode(table, storage)}"], assigned("source", table.query)],
    )


def _mode(table: Table, storage: Storage) -> str:
    """Under DirectQuery dimensions are dual: copied for slicers, asked in the warehouse when joined to facts."""
    if storage is Storage.IMPORT:
        return "import"
    return "directQuery" if table.is_fact else "dual"


def _role(role: Role) -> Lines:
    return node(
        [f"role {quoted(role.name)}"],
        [["modelPermission: read"]],
        [assigned(f"tablePermission {quoted(table)}", condition) for table, condition in role.permissions],
        description=role.description,
    )


def _when(holds: bool, line: str) -> list[Lines]:
    return [[line]] if holds else []
