"""``patient-flow import``: its options, and the progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import click

from patient_flow.file_options import FileOptions, file_options
from patient_flow.settings import load


@contextmanager
def _bar(what: str, rows: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on the terminal; nothing where the output goes elsewhere."""
    shows: AbstractContextManager[Any] = click.progressbar(length=rows, label=what, file=sys.stderr)
    with shows as bar:
        shown = 0

        def progress(done: int) -> None:
            nonlocal shown
            bar.update(done - shown)
            shown = done

        yield progress


@click.command(
    "import",
    epilog="\b\nExample:\n  patient-flow import exports/2024-*.csv --separator ';'\n"
    "  patient-flow import wardlist.csv --as-of 2026-11-29T06:00\n"
    "  patient-flow import --undo exports/2024-03.csv",
)
@click.argument("paths", nargs=-1)
@file_options(
    as_of="When an extract was taken; local unless it has an offset.",
    accept_overlap="Import although the numbers do not fit those of the lake.",
    dry_run="Examine the files, compare them with the lake, and write nothing.",
)
@click.option("--undo", metavar="FILE", help="Withdraw the rows of this file, named by its path or SHA-256.")
@click.option("--capture", is_flag=True, help="Restore lost events from files of Event Hubs Capture (Avro).")
@click.option("--partition", help="With --capture: their partition, where the paths do not name it.")
@click.option("--hub-created-at", metavar="TIME", help="With --capture: when their hub was created.")
def command(
    paths: tuple[str, ...],
    given: FileOptions,
    undo: str | None,
    capture: bool,
    partition: str | None,
    hub_created_at: str | None,
) -> None:
    """Import history and extracts from files: CSV, JSON lines, Parquet, HL7 v2 batches, FHIR NDJSON; also gzip.

    PATHS are files, folders, patterns or abfss:// addresses. The source mapping applies as to events of the hub. A file
    is imported once; an import that was killed goes on where it ended. Ends with a report of what became of the rows.
    """
    from patient_flow import importing
    from patient_flow.services import Services

    if bool(paths) == bool(undo):
        raise click.UsageError("name the files to import, or one file to withdraw with --undo")
    settings = load()
    services = Services(settings)
    if not capture and (partition or hub_created_at):
        raise click.UsageError("--partition and --hub-created-at go with --capture")
    if capture:
        created = importing.instant(hub_created_at, "UTC", "--hub-created-at")
        lines = importing.restore_capture(services, paths, partition, created)
    elif undo:
        lines = importing.undo(services, undo, _bar)
    else:
        lines = importing.import_files(services, paths, given.import_options(settings.timezone), _bar)
    for line in lines:
        click.echo(line)
