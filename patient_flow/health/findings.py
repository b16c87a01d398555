"""What a rule found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Row = Mapping[str, int | float | str | None]
Figures = Mapping[str, int | float]


@dataclass(frozen=True)
class Finding:
    """``sentence`` says what was found; ``is_grave`` that going on would spread it.

    ``figures`` are for plots, ``rows`` for reading. Neither may hold a patient, a visit or a body.
    """

    is_fine: bool
    sentence: str
    is_grave: bool = False
    figures: Figures = field(default_factory=dict)
    rows: Sequence[Row] = ()


def fine(sentence: str, figures: Figures | None = None, rows: Sequence[Row] = ()) -> Finding:
    """Nothing to do."""
    return Finding(True, sentence, figures=dict(figures or {}), rows=rows)


def warning(sentence: str, figures: Figures | None = None, rows: Sequence[Row] = ()) -> Finding:
    """Somebody should look; the pipeline goes on."""
    return Finding(False, sentence, figures=dict(figures or {}), rows=rows)


def grave(sentence: str, figures: Figures | None = None, rows: Sequence[Row] = ()) -> Finding:
    """Going on would spread what is wrong."""
    return Finding(False, sentence, is_grave=True, figures=dict(figures or {}), rows=rows)


def combined(findings: Mapping[str, Finding]) -> Finding:
    """One finding of the same rule's findings by table: broken ones are said by name, all figures stand in rows."""
    broken = {name: finding for name, finding in findings.items() if not finding.is_fine}
    rows: list[Row] = [
        {"table": name, "is_fine": str(finding.is_fine), **finding.figures} for name, finding in findings.items()
    ]
    if not broken:
        return fine(next(iter(findings.values())).sentence, figures={"tables": len(findings)}, rows=rows)
    said = " ".join(f"{name}: {finding.sentence}" for name, finding in broken.items())
    worst = grave if any(finding.is_grave for finding in broken.values()) else warning
    return worst(said, figures={"tables": len(findings), "broken_tables": len(broken)}, rows=rows)
