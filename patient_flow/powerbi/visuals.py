"""A writer of one PBIR visual: its fields, position and texts. Not here: the visuals of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

VISUAL_SCHEMA = (
    "https://developer.microsoft.com/json-schemas/fabric/item/report/definition/visualContainer/2.0.0/schema.json"
)


@dataclass(frozen=True)
class Field:
    """A column or measure of the model, and what the visual calls it."""

    table: str
    name: str
    caption: str = ""
    is_measure: bool = False

    @property
    def reference(self) -> str:
        """The name that formatting refers to."""
        return f"{self.table}.{self.name}"

    @property
    def expression(self) -> Json:
        """The field in PBIR's semantic query."""
        kind = "Measure" if self.is_measure else "Column"
        return {kind: {"Expression": {"SourceRef": {"Entity": self.table}}, "Property": self.name}}

    @property
    def projection(self) -> Json:
        """The field in a role of a visual."""
        projection = {
            "field": self.expression,
            "queryRef": self.reference,
            "nativeQueryRef": self.caption or self.name,
        }
        return {**projection, "displayName": self.caption} if self.caption else projection


@dataclass(frozen=True)
class Place:
    """Position of a visual on its page, in pixels from the top left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Visual:
    """One visual. ``roles`` are its field wells; ``about`` is the text for screen readers."""

    name: str
    kind: str
    place: Place
    about: str
    roles: Mapping[str, Sequence[Field]] = field(default_factory=dict)
    title: str = ""
    objects: Json = field(default_factory=dict)
    sync_group: str = ""
    falling: Field | None = None
    """The field by which rows are sorted, highest first; None for the order of the first column."""

    def written(self, order: int) -> Json:
        """The contents of ``visual.json``; ``order`` is the visual's turn for the Tab key."""
        visual: Json = {"visualType": self.kind}
        if self.roles:
            visual["query"] = {
                "queryState": {
                    role: {"projections": [field.projection for field in fields]} for role, fields in self.roles.items()
                }
            }
        if self.falling is not None:
            order_by = {"field": self.falling.expression, "direction": "Descending"}
            visual["query"]["sortDefinition"] = {"sort": [order_by], "isDefaultSort": True}
        if self.objects:
            visual["objects"] = self.objects
        visual["visualContainerObjects"] = {
            "title": properties(show=truth(bool(self.title)), **({"text": text(self.title)} if self.title else {})),
            "general": properties(altText=text(self.about)),
        }
        if self.sync_group:
            visual["syncGroup"] = {"groupName": self.sync_group, "fieldChanges": True, "filterChanges": True}
        visual["drillFilterOtherVisuals"] = True
        return {
            "$schema": VISUAL_SCHEMA,
            "name": self.name,
            "position": {
                "x": self.place.x,
                "y": self.place.y,
                "z": order,
                "height": self.place.height,
                "width": self.place.width,
                "tabOrder": order,
            },
            "visual": visual,
        }


def text(value: str) -> Json:
    """A text constant."""
    return _literal("'" + value.replace("'", "''") + "'")


def truth(value: bool) -> Json:
    """A truth constant."""
    return _literal(str(value).lower())


def properties(**values: Json) -> list[Json]:
    """One formatting object with these properties, for the whole visual."""
    return [{"properties": values}]


def heading(name: str, place: Place, words: str) -> Visual:
    """A page's headline."""
    run = {"value": words, "textStyle": {"fontWeight": "bold", "fontSize": "18pt"}}
    objects = {"general": [{"properties": {"paragraphs": [{"textRuns": [run]}]}}]}
    return Visual(name, "textbox", place, words, objects=objects)


def slicer(name: str, place: Place, column: Field, mode: str, *, is_shared: bool = True) -> Visual:
    """A filter, of all pages that have it if shared. ``mode`` is Dropdown, Basic (a list) or Between (a range)."""
    caption = column.caption or column.name
    return Visual(
        name,
        "slicer",
        place,
        f"Filter by {caption.lower()}",
        {"Values": [column]},
        objects={
            "data": properties(mode=text(mode)),
            "header": properties(show=truth(True), text=text(caption)),
        },
        sync_group=name if is_shared else "",
    )


def card(name: str, place: Place, measure: Field) -> Visual:
    """One number."""
    return Visual(name, "card", place, f"{measure.caption or measure.name}, one number", {"Values": [measure]})


def shaded(measure: Field, colors: Sequence[tuple[str, float]]) -> Json:
    """Formatting of a matrix: the background of ``measure`` goes through three ``colors``, each at its value."""
    low, middle, high = ({"color": _constant(f"'{color}'"), "value": _constant(f"{value}D")} for color, value in colors)
    rule = {
        "linearGradient3": {
            "min": low,
            "mid": middle,
            "max": high,
            "nullColoringStrategy": {"strategy": _constant("'asZero'")},
        }
    }
    fill = {"expr": {"FillRule": {"Input": measure.expression, "FillRule": rule}}}
    return {
        "values": [
            {
                "properties": {"backColor": {"solid": {"color": fill}}},
                "selector": {"data": [{"dataViewWildcard": {"matchingOption": 1}}], "metadata": measure.reference},
            }
        ]
    }


def levelled(shown: Field, judged: Field, levels: Sequence[tuple[float, str]]) -> Json:
    """Formatting of a table: the background of ``shown`` is the color of the highest level that ``judged`` reaches.

    ``levels`` are (lowest value, color), the highest first.
    """
    cases = [
        {
            "Condition": {
                # 2 is "greater than or equal"
                "Comparison": {"ComparisonKind": 2, "Left": judged.expression, "Right": _constant(f"{lowest}D")}
            },
            "Value": _constant(f"'{color}'"),
        }
        for lowest, color in levels
    ]
    fill = {"expr": {"Conditional": {"Cases": cases}}}
    return {
        "values": [
            {
                "properties": {"backColor": {"solid": {"color": fill}}},
                "selector": {"data": [{"dataViewWildcard": {"matchingOption": 1}}], "metadata": shown.reference},
            }
        ]
    }


def _literal(value: str) -> Json:
    return {"expr": _constant(value)}


def _constant(value: str) -> Json:
    return {"Literal": {"Value": value}}
