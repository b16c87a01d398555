"""Where visuals stand on a page, and what all pages share: the filters in the head, the row of cards."""

from __future__ import annotations

from dataclasses import dataclass

from patient_flow.powerbi.measures import BY_NAME
from patient_flow.powerbi.visuals import Field, Place, Visual, card, heading, slicer

WIDTH, HEIGHT = 1280, 720
_MARGIN, GAP = 16, 12
_FULL = WIDTH - 2 * _MARGIN


@dataclass(frozen=True)
class Page:
    """One page; ``name`` is its folder, ``title`` what readers see."""

    name: str
    title: str
    visuals: tuple[Visual, ...]


def measure(name: str, caption: str = "") -> Field:
    """A measure of the model as a field."""
    return Field(BY_NAME[name].table, name, caption, is_measure=True)


DATE = Field("DimDate", "date", "Date")
HOUR = Field("DimTime", "hour", "Hour")
SHIFT = Field("DimTime", "shift", "Shift")
HOSPITAL = Field("DimHospital", "hospital_name", "Hospital")
DEPARTMENT = Field("DimDepartment", "department", "Department")
ORIGIN = Field("DimOrigin", "department", "From")
GENDER = Field("DimGender", "gender", "Gender")
RULE = Field("DataQualityDay", "rule", "Rule")


def _column(of: int, first: int, span: int = 1) -> tuple[int, int]:
    """Left edge and width of ``span`` of ``of`` equal columns, the ``first`` of which is 0."""
    width = (_FULL - (of - 1) * GAP) // of
    return _MARGIN + first * (width + GAP), span * width + (span - 1) * GAP


def place(of: int, first: int, y: int, height: int, span: int = 1) -> Place:
    """``span`` of ``of`` equal columns from column ``first`` on; ``y`` and ``height`` in pixels."""
    x, width = _column(of, first, span)
    return Place(x, y, width, height)


def head(title: str) -> tuple[Visual, ...]:
    """Headline and the filters that all pages share."""
    return (
        heading("heading", place(4, 0, 12, 64), title),
        slicer("hospital", place(4, 1, 12, 64), HOSPITAL, "Dropdown"),
        slicer("gender", place(4, 2, 12, 64), GENDER, "Dropdown"),
        slicer("period", place(4, 3, 12, 64), DATE, "Between"),
    )


def cards(*measures: Field) -> tuple[Visual, ...]:
    """A row of numbers below the head."""
    return tuple(
        card(f"card_{number}", place(len(measures), number, 88, 92), measure) for number, measure in enumerate(measures)
    )


UPPER, LOWER, ROW = 192, 454, 250
"""Top of the two rows of charts, and their height."""
