"""``patient-flow reconcile`` compares a nightly extract with the stream, and corrects it by the site's rules.

Each function yields lines for the operator. Not here: what differs (``transforms.reconciliation``).
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

from patient_flow import importing
from patient_flow.contracts.tables import SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.files import Source, examine
from patient_flow.operations import step_context
from patient_flow.pipeline import corrections, import_checks, imports, reconciliation
from patient_flow.pipeline.reconciliation import Extract, Report
from patient_flow.pipeline.steps import StepContext
from patient_flow.services import Services
from patient_flow.transforms.reconciliation import MEANINGS, Difference, Kind
from patient_flow.wording import plural


@dataclass
class Outcome:
    """What was found: a report per extract, and how many corrections were written. Filled while the lines are read."""

    reports: list[Report] = field(default_factory=list)
    corrections: int = 0

    @property
    def differences(self) -> list[Difference]:
        """Those of all extracts."""
        return [difference for report in self.reports for difference in report.named]


def reconcile(
    services: Services,
    places: Sequence[str],
    options: importing.Options,
    outcome: Outcome | None = None,
    *,
    names: bool = True,
) -> Iterator[str]:
    """Holds the extracts that ``places`` name against the stream, in the order of their names; loads the warehouse.

    With ``names`` the lines name visits by the numbers of the extract, else by their pseudonyms. Raises
    ``FileRefused``, ``ImportRefused`` and :class:`OperatorError` before anything is written for an extract.
    """
    outcome = Outcome() if outcome is None else outcome
    context = step_context(services, run_id=f"reconcile-{uuid.uuid4()}", now=datetime.now(UTC))
    with tempfile.TemporaryDirectory(prefix="patient-flow-reconcile-") as folder:
        importing.judge(context)
        extracts: list[Extract] = []
        for path in importing.files_of(places, Path(folder)):
            source = examine(path, encoding=options.encoding, separator=options.separator)
            if source.notes:
                yield str(source)
                yield from (f"  {note}" for note in source.notes)
            extracts.append(_read(services, context, source, options))
        for _, group in groupby(sorted(extracts, key=_taken_at), key=_taken_at):
            reports = _compare(services, context, list(group))
            outcome.reports += reports
            for report in reports:
                yield from _lines(report, names=names)
                if not options.dry_run:
                    written = corrections.write(context, report)
                    outcome.corrections += written
                    yield f"  {plural(written, 'correction')} written" + _undo_hint(context, report, written)
    if outcome.corrections:
        yield from importing.load(services, context)


def undo(services: Services, text: str) -> Iterator[str]:
    """Withdraws the corrections of extracts taken on a local day (YYYY-MM-DD); loads the warehouse.

    Raises :class:`OperatorError` for another text, or a day without corrections.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise OperatorError(f"--undo takes a local day such as 2026-11-29; it is {text!r}") from None
    context = step_context(services, run_id=f"undo-{uuid.uuid4()}", now=datetime.now(UTC))
    importing.judge(context)
    yield f"{plural(corrections.withdraw(context, day), 'correction')} withdrawn"
    yield from importing.load(services, context)


def _read(services: Services, context: StepContext, source: Source, options: importing.Options) -> Extract:
    """An extract whose numbers fit those of the lake, once that has what the hub accepted until it was taken."""
    extract = reconciliation.read_extract(source, services.parser, services.lake, context.now, options.as_of)
    if extract.rows.is_empty():
        broken = (
            ", ".join(f"{reason} {number:,}" for reason, number in extract.refused.items()) or "none holds an event"
        )
        raise OperatorError(
            f"{source.path.name} has {plural(source.rows, 'row')}, and none can be read ({broken}): "
            "`patient-flow mapping try` shows row by row what the source mapping makes of them"
        )
    reconciliation.require_silver_until(context, extract.taken_at)
    if not options.accept_overlap and services.lake.open(SILVER_EVENTS).row_count():
        batches = imports.batches(source, services.parser, context.now, extract.taken_at)
        fits = import_checks.compare(services.lake, batches, services.parser, only_numbered=True)
        fits.require_fit(source.path.name)
    return extract


def _compare(services: Services, context: StepContext, extracts: Sequence[Extract]) -> list[Report]:
    """Reports on extracts of one instant: nobody is absent whom one of them lists."""
    importing.follow(context)  # what was in bed when they were taken is looked for in gold
    rules = services.extract_rules
    listed = [frozenset(extract.rows["visit_id"].drop_nulls()) for extract in extracts]
    elsewhere = [frozenset().union(*listed[:number], *listed[number + 1 :]) for number in range(len(listed))]
    return [
        reconciliation.compare(context, extract, rules, listed_elsewhere=others)
        for extract, others in zip(extracts, elsewhere, strict=True)
    ]


def _taken_at(extract: Extract) -> datetime:
    return extract.taken_at


def _undo_hint(context: StepContext, report: Report, written: int) -> str:
    if not written:
        return ""
    local = report.extract.taken_at.astimezone(ZoneInfo(context.timezone))
    return f"; to undo: patient-flow reconcile --undo {local:%Y-%m-%d}"


def _lines(report: Report, *, names: bool) -> Iterator[str]:
    extract = report.extract
    yield (
        f"{extract.name}: taken at {extract.taken_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{plural(extract.numbers.height, 'visit')}, hospitals {', '.join(extract.hospitals)}"
    )
    yield from (f"  {note}" for note in report.notes)
    counts = report.counts()
    if not counts:
        yield "  no differences"
    for kind, number in counts.items():
        yield f"  {kind} {number:,}: {MEANINGS[Kind(kind)]}"
        for difference in report.named:
            if difference.kind == kind:
                yield f"    {describe(difference, report, names=names)}"
    confirmed = sum(difference.kind is None and bool(difference.corrections) for difference in report.differences)
    if confirmed:
        yield f"  {plural(confirmed, 'stay')} confirmed"


def describe(difference: Difference, report: Report, *, names: bool) -> str:
    """One difference in a line: the visit, where each side has the patient, and what is done about it."""
    number = report.numbers.get(difference.visit, {}).get("visit_id") if names else None
    parts = [f"visit {number or difference.visit}, hospital {difference.hospital}:"]
    for side, stay in (("stream", difference.stream), ("extract", difference.extract)):
        if stay is None:
            parts.append(f"{side} none;")
        elif stay.until is not None and stay.until <= report.extract.taken_at:
            parts.append(f"{side} left {stay.department} {stay.until:%Y-%m-%d %H:%M};")
        else:
            parts.append(f"{side} {stay.department} since {stay.since:%Y-%m-%d %H:%M};")
    made = ", ".join(
        f"{each.event_type} at {each.event_time:%Y-%m-%d %H:%M}{' (estimated)' if each.is_estimated else ''}"
        for each in difference.corrections
    )
    parts.append(f"not corrected: {difference.held_back}" if difference.held_back else made)
    return " ".join(parts)
