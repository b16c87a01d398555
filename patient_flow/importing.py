"""``patient-flow import``: files into bronze and on to the warehouse, and back out of it; a report at the end.

Each function yields lines for the operator. Both may run beside micro-batches. Not here: formats (``files``) and how
rows enter bronze (``pipeline.imports``).
"""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from patient_flow.contracts.tables import BRONZE_EVENTS, ERASED, IGNORED, QUARANTINE, SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.files import Source, examine_all, identify, locate
from patient_flow.operations import load_all, publish_aggregates, step_context
from patient_flow.pipeline import capture, import_checks, imports
from patient_flow.pipeline.graph import run_gold, step_of
from patient_flow.pipeline.hub_probe import peek
from patient_flow.pipeline.steps import StepContext
from patient_flow.services import Services
from patient_flow.stores import blobs
from patient_flow.stores.hub import HubUnavailable
from patient_flow.wording import plural

ROWS_BETWEEN_GOLD = 100_000
"""Rows after which gold and warehouse follow: what one step reads for them has to fit into memory."""
_DEMO_LIST = (
    "note: the department list is the demo's, and its hospitals will be in the tables: set "
    "PATIENT_FLOW_DEPARTMENTS to a list of yours"
)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class Watch(Protocol):
    """Shows the progress of one file."""

    def __call__(self, what: str, rows: int) -> AbstractContextManager[imports.Progress]:
        """Begins to show ``what``, which ends at so many ``rows``."""


@dataclass(frozen=True)
class Options:
    """How files are read. ``as_of`` is when an extract was taken.

    Without it each row of an import counts at its latest instant, and an extract that is reconciled states it itself.
    With ``dry_run`` files are examined and compared with the lake, and nothing is written.
    """

    as_of: datetime | None = None
    encoding: str | None = None
    separator: str | None = None
    accept_overlap: bool = False
    dry_run: bool = False


def instant(text: str | None, zone: str, option: str = "--as-of") -> datetime | None:
    """The time that an operator gives ``option``, local in ``zone`` unless it has an offset.

    Raises :class:`OperatorError`.
    """
    if text is None:
        return None
    try:
        stated = datetime.fromisoformat(text)
        return (stated if stated.tzinfo else stated.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: before the year 1 in UTC
        raise OperatorError(f"{option} takes a time such as 2026-11-29T06:00; it is {text!r}") from None


def import_files(services: Services, places: Sequence[str], options: Options, watch: Watch) -> Iterator[str]:
    """Imports the files that ``places`` name, in the order of their names; loads the warehouse.

    Every file is examined, and compared with the lake, before one of them is written. Raises ``FilesRefused``,
    ``ImportRefused`` and :class:`OperatorError`.
    """
    with tempfile.TemporaryDirectory(prefix="patient-flow-import-") as folder:
        yield from _import(services, files_of(places, Path(folder)), options, watch)


def files_of(places: Sequence[str], folder: Path, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """The files that ``places`` name, each once; those on blob storage are copied to ``folder``."""
    found = [
        path
        for number, place in enumerate(places)
        for path in (
            blobs.fetch(place, folder / str(number)) if blobs.is_remote(place) else locate(place, suffixes=suffixes)
        )
    ]
    return list(dict.fromkeys(found))


def _import(services: Services, paths: Sequence[Path], options: Options, watch: Watch) -> Iterator[str]:
    now = datetime.now(UTC)
    if options.as_of is not None and options.as_of > now:
        raise OperatorError(f"--as-of {options.as_of:%Y-%m-%d %H:%M} UTC is in the future")
    context = step_context(services, run_id=f"import-{uuid.uuid4()}", now=now)
    sources = examine_all(paths, encoding=options.encoding, separator=options.separator)
    if not services.settings.departments and not services.departments.is_empty():
        yield _DEMO_LIST
    for source in sources:
        yield str(source)
        yield from (f"  {note}" for note in source.notes)
    bronze = services.lake.open(BRONZE_EVENTS)
    new = [source for source in sources if not imports.is_begun(bronze, source.sha256)]
    if not options.accept_overlap and services.lake.open(SILVER_EVENTS).row_count():
        for source in new:
            batches = imports.batches(source, services.parser, now, options.as_of)
            import_checks.compare(services.lake, batches, services.parser).require_fit(source.path.name)
    if options.dry_run:
        return
    rows = 0
    for source in sources:
        if imports.is_complete(services.lake.open(BRONZE_EVENTS), source):
            yield f"{source.path.name}: imported before, nothing to do"
            continue
        with watch(source.path.name, source.rows) as progress:
            written = imports.write(
                services.lake,
                source,
                services.parser,
                now=now,
                as_of=options.as_of,
                run_id=context.run_id,
                progress=progress,
            )
            for added in written:
                rows = _follow(services, context, rows + added)
        yield from _report(services, source)
    yield from _finish(services, context)


def restore_capture(
    services: Services, places: Sequence[str], partition: str | None, hub_created_at: datetime | None
) -> Iterator[str]:
    """Restores bronze from files of Event Hubs Capture; the tables after bronze follow. Yields what is lost for good.

    Raises ``CaptureRefused`` before a row is written where files and bronze do not fit together.
    """
    context = step_context(services, run_id=f"capture-{uuid.uuid4()}", now=datetime.now(UTC))
    with tempfile.TemporaryDirectory(prefix="patient-flow-capture-") as folder:
        found = capture.survey(files_of(places, Path(folder), (".avro",)), partition)
        yield f"{plural(len(found.files), 'file')} with {plural(found.rows.height, 'event')}"
        yield from found.notes()
        if found.rows.is_empty():
            return
        try:
            state = peek(services.hub)
        except HubUnavailable as error:
            state = None
            yield f"the hub cannot be asked, so everything is restored: {error}"
        created = capture.created_at(context, found, state, hub_created_at)
        yield from capture.restore(context, found, created, state)
        capture.record_losses(context, found, created)
    yield from _finish(services, context)


def undo(services: Services, what: str, watch: Watch) -> Iterator[str]:
    """Withdraws the rows of a file, named by its path or its SHA-256; loads the warehouse.

    Raises :class:`OperatorError` for a file that was not imported.
    """
    context = step_context(services, run_id=f"undo-{uuid.uuid4()}", now=datetime.now(UTC))
    sha256 = what.lower() if _SHA256.fullmatch(what) else identify(Path(what))
    judge(context)  # what the rows kept out is looked for in the tables that follow bronze
    with watch(f"withdraw {sha256[:12]}", imports.count(services.lake, sha256)) as progress:
        rows, gone = 0, 0
        for done in imports.withdraw(services.lake, sha256, now=context.now, run_id=context.run_id, progress=progress):
            rows, gone = _follow(services, context, rows + done - gone), done
    yield f"{plural(gone, 'row')} withdrawn"
    yield from _finish(services, context)


def _follow(services: Services, context: StepContext, rows: int) -> int:
    """The tables that judge events follow bronze, and from time to time gold and warehouse.

    Returns the rows that these have yet to follow.
    """
    if rows < ROWS_BETWEEN_GOLD:
        judge(context)
        return rows
    for _ in load(services, context):
        pass
    return 0


def judge(context: StepContext) -> None:
    """The tables that judge events follow bronze."""
    for table in (SILVER_EVENTS, ERASED, IGNORED, QUARANTINE):
        step_of(table).run(context)


def follow(context: StepContext) -> None:
    """All tables of the lake follow bronze."""
    judge(context)
    for _ in run_gold(context):
        pass


def load(services: Services, context: StepContext) -> Iterator[str]:
    """All tables of the lake follow bronze, and the warehouse follows them; a line per table."""
    follow(context)
    yield from load_all(services, context.run_id)


def _finish(services: Services, context: StepContext) -> Iterator[str]:
    """What is published is never written again: only when all rows are there."""
    yield from load(services, context)
    published = publish_aggregates(services, context.now, with_history=True)
    if published:
        yield f"{plural(published, 'day of hospitals', 'days of hospitals')} published for aggregate readers"


def _report(services: Services, source: Source) -> Iterator[str]:
    outcome = imports.outcome_of(services.lake, source.sha256)
    ignored = sum(outcome.ignored.values())
    yield (
        f"{source.path.name}: {plural(outcome.rows, 'row')} imported: {outcome.accepted:,} accepted, "
        f"{ignored:,} ignored, {outcome.rejected_rows:,} quarantined"
    )
    if outcome.erased:
        yield f"  erased: {outcome.erased:,} of persons who were erased"
    yield from (f"  ignored: {name} {number:,}" for name, number in outcome.ignored.items())
    yield from (f"  quarantined: {reason} {number:,}" for reason, number in outcome.quarantined.items())
    yield f"  to undo: patient-flow import --undo {source.sha256}"
