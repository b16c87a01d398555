"""The semantic model as its files say it: tables, columns, measures, relationships, roles, queries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from patient_flow_tests.powerbi.tmdl_reading import Node, read, unquoted

MODEL = "PatientFlow.SemanticModel/definition/"
REPORT = "PatientFlow.Report/definition/"


@dataclass(frozen=True)
class End:
    """A column that a relationship names."""

    table: str
    column: str


@dataclass(frozen=True)
class Star:
    """A project's files, and what they say."""

    files: Mapping[str, str]

    @cached_property
    def nodes(self) -> dict[str, list[Node]]:
        """TMDL file → its objects."""
        return {path: _read(text) for path, text in self.files.items() if path.endswith(".tmdl")}

    def all(self, kind: str) -> list[Node]:
        """Every object of a kind that stands at the left margin of a file."""
        return [node for nodes in self.nodes.values() for node in nodes if node.kind == kind]

    @cached_property
    def tables(self) -> dict[str, Node]:
        """Table name → table."""
        return {node.name: node for node in self.all("table")}

    @cached_property
    def columns(self) -> dict[str, dict[str, Node]]:
        """Table name → column name → column."""
        return {name: {column.name: column for column in node.all("column")} for name, node in self.tables.items()}

    @cached_property
    def measures(self) -> dict[str, Node]:
        """Measure name → measure."""
        return {measure.name: measure for node in self.tables.values() for measure in node.all("measure")}

    @cached_property
    def homes(self) -> dict[str, str]:
        """Measure name → its table."""
        return {measure.name: name for name, node in self.tables.items() for measure in node.all("measure")}

    @cached_property
    def relationships(self) -> list[tuple[End, End, bool]]:
        """(many side, one side, active) of each relationship."""
        return [
            (_end(node.properties["fromColumn"]), _end(node.properties["toColumn"]), "isActive" not in node.properties)
            for node in self.all("relationship")
        ]

    @cached_property
    def visuals(self) -> dict[str, Any]:
        """Path of each visual's file → its contents."""
        return {path: json.loads(text) for path, text in self.files.items() if path.endswith("visual.json")}


@cache
def _read(text: str) -> list[Node]:
    """Tests plant one mistake at a time: the other files need not be read again."""
    return read(text)


def _end(reference: str) -> End:
    table, column = reference.split(".", 1)
    return End(unquoted(table), unquoted(column))
