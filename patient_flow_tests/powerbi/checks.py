"""What must hold of the project beyond Microsoft's schemas: a list of problems, empty for a sound project."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from patient_flow_tests.powerbi import dax_reading
from patient_flow_tests.powerbi.star import REPORT, End, Star
from patient_flow_tests.powerbi.tmdl_reading import Node, TmdlError

ROLES: Mapping[str, tuple[set[str], set[str]]] = {
    "textbox": (set(), set()),
    "slicer": ({"Values"}, set()),
    "card": ({"Values"}, set()),
    "tableEx": ({"Values"}, set()),
    "pivotTable": ({"Rows", "Values"}, {"Columns"}),
    "barChart": ({"Category", "Y"}, {"Series"}),
    "clusteredBarChart": ({"Category", "Y"}, {"Series"}),
    "columnChart": ({"Category", "Y"}, {"Series"}),
    "clusteredColumnChart": ({"Category", "Y"}, {"Series"}),
    "lineChart": ({"Category", "Y"}, {"Series"}),
}
"""Type of a visual → field wells that it needs, and that it may have besides."""

_PAGE = (1280, 720)
"""Width and height of a page."""


def problems(files: Mapping[str, str]) -> list[str]:
    """Everything that is wrong with the project in ``files``."""
    star = Star(files)
    try:
        return [*_names(star), *_references(star), *_tables(star), *_relationships(star), *_dax(star), *_report(star)]
    except (TmdlError, json.JSONDecodeError) as error:
        return [str(error)]


def _twice(names: Iterable[str], of: str) -> Iterator[str]:
    yield from (f"{of} {name} twice" for name, count in Counter(names).items() if count > 1)


def _names(star: Star) -> Iterator[str]:
    yield from _twice((node.name for node in star.all("table")), "table")
    yield from _twice((measure.name for table in star.tables.values() for measure in table.all("measure")), "measure")
    for name, table in star.tables.items():
        members = [child.name for child in table.children if child.kind in ("column", "measure", "hierarchy")]
        yield from _twice(members, f"in {name}")
    yield from _twice(re.findall(r"lineageTag: (\S+)", "\n".join(star.files.values())), "lineage tag")
    for path, nodes in star.nodes.items():
        if "/tables/" in path or "/roles/" in path:
            names = [node.name for node in nodes]
            if names != [path.rsplit("/", 1)[1].removesuffix(".tmdl")]:
                yield f"{path} holds {names}"


def _references(star: Star) -> Iterator[str]:
    """Each table and role is listed in ``model.tmdl`` and has its file."""
    for kind in ("table", "role"):
        listed = {node.name for node in star.all(f"ref {kind}")}
        there = {node.name for node in star.all(kind)}
        yield from (f"{kind} {name} is listed or there, not both" for name in listed ^ there)


def _tables(star: Star) -> Iterator[str]:
    parameters = {node.name for node in star.all("expression")}
    for name, table in star.tables.items():
        source = table.one("partition").properties["source"]
        yield from (f"{name}: M says {word}" for word in _unknown_in_m(source, parameters))
        selected = re.search(r"Table\.SelectColumns\(Rows, \{(.*?)\}\)", source)
        read = set(re.findall(r'"(\w+)"', selected[1])) if selected else set()
        wanted = {column.properties.get("sourceColumn", "") for column in table.all("column") if not column.expression}
        yield from (f"{name}: {column!r} is read or declared, not both" for column in read ^ wanted)
        for child in table.children:
            yield from _member(name, child, star)


def _member(table: str, child: Node, star: Star) -> Iterator[str]:
    columns = star.columns[table]
    if child.kind in ("column", "measure", "hierarchy") and not child.description:
        yield f"{table}: {child.kind} {child.name} has no description"
    if child.kind == "measure" and not child.properties.keys() >= {"formatString", "displayFolder"}:
        yield f"measure {child.name} has no format or folder"
    if child.kind == "column":
        sorting = child.properties.get("sortByColumn", child.name)
        if sorting not in columns:
            yield f"{table}: {child.name} is sorted by {sorting}"
        if bool(child.expression) == ("sourceColumn" in child.properties):
            yield f"{table}: {child.name} is neither read nor calculated, or both"
    if child.kind == "hierarchy":
        levels = [level.properties["column"] for level in child.all("level")]
        yield from (f"{table}: {child.name} has no column {level}" for level in levels if level not in columns)


_M_TOKEN = re.compile(r'"(?:[^"]|"")*"|\[\w+\](?!\s*=)|[A-Za-z_][\w.]*|[\d.]+|<>|\S')
_M_WORDS = {"let", "in", "each", "type", "text", "null", "Schema", "Item", "Data"}
_M_FUNCTIONS = {
    "Sql.Database",
    "Table.SelectColumns",
    "Table.SelectRows",
    "Table.Distinct",
    "Table.Group",
    "List.Max",
}


def _unknown_in_m(source: str, parameters: set[str]) -> Iterator[str]:
    tokens = _M_TOKEN.findall(source)
    steps = set(re.findall(r"^\t(\w+) = ", source, re.MULTILINE))
    known = _M_WORDS | _M_FUNCTIONS | steps | parameters
    for token in tokens:
        if re.fullmatch(r"[A-Za-z_][\w.]*", token) and token not in known:
            yield token
    for opening, closing in ("()", "{}", "[]"):
        if source.count(opening) != source.count(closing):
            yield f"an odd number of {opening}{closing}"
    *_, last = tokens
    if last not in steps:
        yield f"in {last}"


def _relationships(star: Star) -> Iterator[str]:
    def data_type(end: End) -> str:
        column = star.columns.get(end.table, {}).get(end.column)
        return column.properties["dataType"] if column else "missing"

    active: dict[str, set[str]] = {}
    for many, one, is_active in star.relationships:
        types = data_type(many), data_type(one)
        if types[0] != types[1] or "missing" in types:
            yield f"{many} is {types[0]}, {one} is {types[1]}"
        if is_active:
            if many.table in active.get(one.table, set()):
                yield f"two active relationships from {many.table} to {one.table}"
            active.setdefault(one.table, set()).add(many.table)
    for start in active:
        reached = Counter(_paths(start, active))
        yield from (f"{start} filters {end} by {ways} paths" for end, ways in reached.items() if ways > 1)


def _paths(start: str, active: Mapping[str, set[str]]) -> Iterator[str]:
    for following in active.get(start, ()):
        yield following
        yield from _paths(following, active)


def _dax(star: Star) -> Iterator[str]:
    for name, measure in star.measures.items():
        yield from (f"{name}: {problem}" for problem in dax_reading.problems(measure.expression, star))
    for table, columns in star.columns.items():
        for name, column in columns.items():
            if column.expression:
                found = dax_reading.problems(column.expression, star, row_of=table)
                yield from (f"{table}[{name}]: {problem}" for problem in found)
    for role in star.all("role"):
        for permission in role.all("tablePermission"):
            if permission.name not in star.tables:
                yield f"{role.name}: no table {permission.name}"
            found = dax_reading.problems(permission.expression, star, row_of=permission.name)
            yield from (f"{role.name}: {problem}" for problem in found)


def _report(star: Star) -> Iterator[str]:
    pages = json.loads(star.files[f"{REPORT}pages/pages.json"])
    folders = {path.removeprefix(f"{REPORT}pages/").split("/")[0] for path in star.files if path.endswith("page.json")}
    if set(pages["pageOrder"]) != folders or pages["activePageName"] not in folders:
        yield f"pages {pages} and folders {folders} differ"
    bound = json.loads(star.files["PatientFlow.Report/definition.pbir"])["datasetReference"]["byPath"]["path"]
    if not any(path.startswith(f"{bound.removeprefix('../')}/") for path in star.files):
        yield f"the report is bound to {bound}"
    for path, visual in star.visuals.items():
        yield from (f"{path}: {problem}" for problem in _visual(path, visual, star))


def _visual(path: str, visual: Mapping[str, Any], star: Star) -> Iterator[str]:
    if visual["name"] != path.split("/")[-2]:
        yield f"is called {visual['name']}"
    place, shown = visual["position"], visual["visual"]
    if place["x"] + place["width"] > _PAGE[0] or place["y"] + place["height"] > _PAGE[1]:
        yield "leaves the page"
    needed, allowed = ROLES.get(shown["visualType"], ({"a known type"}, set()))
    wells = shown.get("query", {}).get("queryState", {})
    if not needed <= wells.keys() <= needed | allowed:
        yield f"{shown['visualType']} has the wells {sorted(wells)}"
    projections = [projection for well in wells.values() for projection in well["projections"]]
    yield from (problem for projection in projections for problem in _field(projection["field"], star))
    for name in ("queryRef", "nativeQueryRef"):
        yield from _twice((projection[name] for projection in projections), name)
    if not shown["visualContainerObjects"]["general"][0]["properties"]["altText"]:
        yield "has no alternative text"


def _field(field: Mapping[str, Any], star: Star) -> Iterator[str]:
    ((kind, said),) = field.items()
    table, name = said["Expression"]["SourceRef"]["Entity"], said["Property"]
    there = star.homes.get(name) == table if kind == "Measure" else name in star.columns.get(table, {})
    if not there:
        yield f"no {kind.lower()} {table}.{name}"
    elif kind == "Column" and "isHidden" in star.columns[table][name].properties:
        yield f"{table}.{name} is hidden"
