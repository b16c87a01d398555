"""The whole project: which files there are, and writing them to a folder.

``files`` is pure and deterministic: the same contracts, departments and arguments give the same text, identifiers
included. ``infra/powerbi`` is its outcome for the shipped departments; a test keeps it current.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from patient_flow.powerbi import aggregates, model, report
from patient_flow.powerbi.declarations import Storage
from patient_flow.powerbi.ids import tag
from patient_flow.powerbi.queries import Source
from patient_flow.powerbi.roles import roles

NAME = "PatientFlow"
MODEL, REPORT = f"{NAME}.SemanticModel", f"{NAME}.Report"
AGGREGATES = f"{NAME}Aggregates"
AGGREGATES_MODEL = f"{AGGREGATES}.SemanticModel"

_SCHEMAS = "https://developer.microsoft.com/json-schemas/fabric"
_SEMANTIC_MODEL = {
    "$schema": f"{_SCHEMAS}/item/semanticModel/definitionProperties/1.0.0/schema.json",
    "version": "4.2",
    "settings": {},
}
_IGNORED = "# what Power BI Desktop keeps for itself\n**/.pbi/localSettings.json\n**/.pbi/cache.abf\n"


def files(
    departments: pl.DataFrame, *, storage: Storage = Storage.IMPORT, source: Source | None = None
) -> dict[str, str]:
    """Every file of the project: path relative to its folder → text.

    ``departments`` is the department list; each hospital and each department in it gets a static role. ``source``
    is the model's warehouse until its parameters are set.
    """
    definition = model.files(roles(departments), storage=storage, source=source or Source())
    shortcut = {
        "$schema": f"{_SCHEMAS}/pbip/pbipProperties/1.0.0/schema.json",
        "version": "1.0",
        "artifacts": [{"report": {"path": REPORT}}],
        "settings": {"enableAutoRecovery": True},
    }
    bound_report = {
        "$schema": f"{_SCHEMAS}/item/report/definitionProperties/2.0.0/schema.json",
        "version": "4.0",
        "datasetReference": {"byPath": {"path": f"../{MODEL}"}},
    }
    return {
        ".gitignore": _IGNORED,
        f"{NAME}.pbip": report.as_json(shortcut),
        f"{MODEL}/.platform": _platform("SemanticModel"),
        f"{MODEL}/definition.pbism": report.as_json(_SEMANTIC_MODEL),
        **{f"{MODEL}/definition/{path}": contents for path, contents in definition.items()},
        f"{REPORT}/.platform": _platform("Report"),
        f"{REPORT}/definition.pbir": report.as_json(bound_report),
        **{f"{REPORT}/{path}": contents for path, contents in report.files().items()},
    }


def aggregate_files(*, storage: Storage = Storage.IMPORT, source: Source | None = None) -> dict[str, str]:
    """The model for aggregate readers, without a report: relative path → text."""
    definition = model.files((), storage=storage, source=source or Source(), contents=aggregates.CONTENTS)
    return {
        f"{AGGREGATES_MODEL}/.platform": _platform("SemanticModel", AGGREGATES),
        f"{AGGREGATES_MODEL}/definition.pbism": report.as_json(_SEMANTIC_MODEL),
        **{f"{AGGREGATES_MODEL}/definition/{path}": contents for path, contents in definition.items()},
    }


def write_aggregates(folder: Path, *, storage: Storage = Storage.IMPORT) -> int:
    """Writes the model for aggregate readers to ``folder``, replacing its definition; returns the number of files."""
    return _write(folder, aggregate_files(storage=storage), (AGGREGATES_MODEL,))


def write(
    folder: Path, departments: pl.DataFrame, *, storage: Storage = Storage.IMPORT, source: Source | None = None
) -> int:
    """Writes the project to ``folder`` and returns the number of files.

    Both ``definition`` folders are replaced: changes made in Power BI Desktop are lost unless they are saved elsewhere.
    """
    return _write(folder, files(departments, storage=storage, source=source), (MODEL, REPORT))


def _write(folder: Path, written: dict[str, str], items: tuple[str, ...]) -> int:
    for item in items:
        shutil.rmtree(folder / item / "definition", ignore_errors=True)
    for path, contents in written.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(contents, encoding="utf-8", newline="\n")
    return len(written)


def _platform(kind: str, name: str = NAME) -> str:
    return report.as_json(
        {
            "$schema": f"{_SCHEMAS}/gitIntegration/platformProperties/2.0.0/schema.json",
            "metadata": {"type": kind, "displayName": name},
            "config": {"version": "2.0", "logicalId": tag("item", kind) if name == NAME else tag("item", kind, name)},
        }
    )
