"""A strict reader of TMDL, written apart from the writer: it refuses what it does not know.

Knows the objects and properties that such a model may have, where an expression ends, and that tabs alone indent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_LINEAGE = {"lineageTag"}
_SHOWN = {"isHidden", "displayFolder"}

PROPERTIES: Mapping[str, set[str]] = {
    "database": {"compatibilityLevel"},
    "model": {"culture", "defaultPowerBIDataSourceVersion", "discourageImplicitMeasures", "sourceQueryCulture"},
    "dataAccessOptions": {"legacyRedirects", "returnErrorValuesAsNull"},
    "expression": _LINEAGE,
    "relationship": {"isActive", "fromColumn", "toColumn"},
    "table": {"isHidden", "dataCategory", *_LINEAGE},
    "measure": {"formatString", *_SHOWN, *_LINEAGE},
    "column": {"dataType", "isKey", "formatString", "summarizeBy", "sourceColumn", "sortByColumn", *_SHOWN, *_LINEAGE},
    "hierarchy": {*_SHOWN, *_LINEAGE},
    "level": {"column", *_LINEAGE},
    "partition": {"mode", "source"},
    "role": {"modelPermission"},
    "tablePermission": set(),
    "annotation": set(),
    "ref table": set(),
    "ref role": set(),
}
"""Kind of object → its properties."""

VALUES: Mapping[str, set[str]] = {
    "mode": {"import", "directQuery", "dual"},
    "dataType": {"int64", "double", "string", "boolean", "dateTime"},
    "summarizeBy": {"none"},
    "modelPermission": {"read"},
    "dataCategory": {"Time"},
    "isActive": {"false"},
    "compatibilityLevel": {"1600"},
}
"""Property → what it may say, where that is a short list."""

_NAME = r"'(?:[^']|'')+'|[\w-]+"
_OBJECT = re.compile(
    rf"(?P<kind>{'|'.join(sorted(PROPERTIES, key=len, reverse=True))})(?: (?P<name>{_NAME}))?(?: =(?P<value>.*))?"
)
_PROPERTY = re.compile(r"(?P<key>\w+)(?:: (?P<value>.+)| =(?P<expression>.*))?")


class TmdlError(ValueError):
    """What is wrong with the text, and in which line."""


@dataclass
class Node:
    """One object: ``measure 'Bed occupancy %' = …`` with what belongs to it."""

    kind: str
    name: str
    expression: str = ""
    description: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def all(self, kind: str) -> Iterator[Node]:
        """Children of this kind."""
        return (child for child in self.children if child.kind == kind)

    def one(self, kind: str) -> Node:
        """The only child of this kind."""
        (child,) = self.all(kind)
        return child


def read(text: str) -> list[Node]:
    """The objects of one file."""
    if not text.endswith("\n") or "\r" in text or text.startswith("\ufeff"):
        raise TmdlError("a file ends with a newline, has no carriage returns and no byte order mark")
    return _Reader(text.splitlines()).objects(0)


def unquoted(name: str) -> str:
    return name[1:-1].replace("''", "'") if name.startswith("'") else name


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._next = 0

    def objects(self, depth: int) -> list[Node]:
        """Objects at ``depth``, until a line stands further left."""
        found: list[Node] = []
        description = ""
        while (line := self._peek()) is not None and _depth(line) >= depth:
            code = self._take(depth)
            if code.startswith("/// "):
                description = code.removeprefix("/// ")
                continue
            found.append(self._object(code, depth, description))
            description = ""
        return found

    def _object(self, code: str, depth: int, description: str) -> Node:
        said = _OBJECT.fullmatch(code)
        if said is None:
            raise self._error(f"no object: {code}")
        node = Node(said["kind"], unquoted(said["name"] or ""), description=description)
        if said["value"] is not None:
            node.expression = said["value"].strip() or self._expression(depth)
        self._members(node, depth + 1)
        return node

    def _members(self, node: Node, depth: int) -> None:
        """Properties of ``node``, then its children: a property after a child is refused."""
        while (line := self._peek()) is not None and _depth(line) >= depth:
            code = line.strip("\t")
            said = _PROPERTY.fullmatch(code)
            key = said["key"] if said else ""
            if key not in PROPERTIES[node.kind] or code.startswith("///"):
                if _OBJECT.fullmatch(code) is None and not code.startswith("/// "):
                    raise self._error(f"{node.kind} has no {code}")
                node.children += self.objects(depth)
                return
            assert said is not None
            self._take(depth)
            if key in node.properties:
                raise self._error(f"{key} twice")
            value = said["value"] or said["expression"]
            node.properties[key] = "true" if value is None else value.strip() or self._expression(depth)
            if node.properties[key] not in VALUES.get(key, {node.properties[key]}):
                raise self._error(f"{key} may not be {node.properties[key]}")

    def _expression(self, depth: int) -> str:
        """The lines below that stand two deeper than the object or property they belong to."""
        body: list[str] = []
        while self._next < len(self._lines):
            line = self._lines[self._next]
            if line and _depth(line) < depth + 2:
                break
            body.append(line[depth + 2 :])
            self._next += 1
        if not "".join(body).strip():
            raise self._error("an expression is missing")
        return "\n".join(body).strip("\n")

    def _peek(self) -> str | None:
        while self._next < len(self._lines) and not self._lines[self._next]:
            self._next += 1
        return self._lines[self._next] if self._next < len(self._lines) else None

    def _take(self, depth: int) -> str:
        line = self._lines[self._next]
        if _depth(line) != depth:
            raise self._error(f"indented by {_depth(line)} instead of {depth}")
        if line != line.rstrip() or line[depth : depth + 1] == " ":
            raise self._error("spaces indent or end the line")
        self._next += 1
        return line[depth:]

    def _error(self, message: str) -> TmdlError:
        return TmdlError(f"line {self._next + 1}: {message}")


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip("\t"))
