"""Dated notes and targets of control charts, from the TOML file of PATIENT_FLOW_CHART_NOTES.

A note says what changed on a date, in one hospital or in all, for one measure or for all: the charts that it concerns
begin a new phase there. Changes of the rules of figures (``contracts.figure_changes``) are notes by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from patient_flow.contracts.figure_changes import CURRENT
from patient_flow.contracts.measure_types import Text
from patient_flow.contracts.measures import BY_NAME
from patient_flow.contracts.toml_keys import TomlKeys
from patient_flow.errors import OperatorError

_NOTE_KEYS = ("date", "hospital", "measure", "en", "fr")


class ChartNotesError(OperatorError):
    """The file cannot be used; the message names line and key of each mistake."""


@dataclass(frozen=True)
class ChartNote:
    """What changed on a date. An empty hospital or measure means all."""

    date: date
    text: Text
    hospital: str = ""
    measure: str = ""


@dataclass(frozen=True)
class ChartNotes:
    """All notes, and the target of each measure that has one."""

    notes: tuple[ChartNote, ...] = ()
    targets: Mapping[str, float] = field(default_factory=dict)

    def of(self, measure: str, hospital: str) -> list[ChartNote]:
        """The notes on a chart of ``measure``, oldest first; ``hospital`` is empty for a chart of several.

        A note on one hospital concerns a chart of several too: their sum changed with it.
        """
        found = [
            note
            for note in self.notes
            if note.measure in ("", measure) and (not hospital or note.hospital in ("", hospital))
        ]
        return sorted(found, key=lambda note: note.date)

    def with_change(self, changed_on: date | None) -> ChartNotes:
        """These, and a note of the newest change of the rules of figures, loaded on ``changed_on`` (None: never)."""
        if changed_on is None:
            return self
        change = ChartNote(
            changed_on,
            Text(f"figures follow other rules: {CURRENT.figures.en}", f"règles de calcul : {CURRENT.figures.fr}"),
        )
        return ChartNotes((*self.notes, change), self.targets)


def parse_notes(text: str, name: str) -> ChartNotes:
    """The notes in the TOML ``text`` of the file ``name``. Raises :class:`ChartNotesError` with every mistake."""
    try:
        toml = TomlKeys(text)
    except ValueError as error:
        raise ChartNotesError(f"PATIENT_FLOW_CHART_NOTES: {name}, {error}") from error
    faults = [
        f"line {toml.line(key)}: {key} is unknown; the file has [[note]] and [targets]"
        for key in toml.values
        if key not in ("note", "targets")
    ]
    notes, targets = toml.values.get("note", []), toml.values.get("targets", {})
    if not isinstance(notes, list) or not all(isinstance(note, dict) for note in notes):
        notes, faults = [], [*faults, f"line {toml.line('note')}: note must be written as [[note]]"]
    if not isinstance(targets, dict):
        targets, faults = {}, [*faults, f"line {toml.line('targets')}: targets must be written as [targets]"]
    for number, note in enumerate(notes):
        faults += [f"line {toml.line('note', key, table=number)}: {fault}" for key, fault in _faults_of(note)]
    for key, value in targets.items():
        if key not in BY_NAME:
            faults.append(f"line {toml.line('targets', key)}: {key} is no measure (infra/docs/measures.md lists them)")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            faults.append(f"line {toml.line('targets', key)}: {key} must be a number")
    if faults:
        raise ChartNotesError(f"PATIENT_FLOW_CHART_NOTES: {name}, {'; '.join(faults)}")
    return ChartNotes(
        tuple(
            ChartNote(
                note["date"],
                Text(note["en"], note.get("fr", note["en"])),
                note.get("hospital", ""),
                note.get("measure", ""),
            )
            for note in notes
        ),
        {measure: float(target) for measure, target in targets.items()},
    )


def _faults_of(note: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in note.items():
        if key not in _NOTE_KEYS:
            yield key, f"{key} is unknown; a note has {', '.join(_NOTE_KEYS)}"
        elif key != "date" and not isinstance(value, str):
            yield key, f'{key} must be a text, as in {key} = "{value}"'
    if not isinstance(note.get("date"), date) or isinstance(note.get("date"), datetime):
        yield "date", "date must be a date without quotes, as in date = 2026-03-01"
    if not note.get("en"):
        yield "en", "en, the text of the note, is missing"
    measure = note.get("measure", "")
    if isinstance(measure, str) and measure and measure not in BY_NAME:
        yield "measure", f"{measure} is no measure (infra/docs/measures.md lists them)"
