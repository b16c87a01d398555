"""``patient-flow reconcile``: its options."""

from __future__ import annotations

import click

from patient_flow.file_options import FileOptions, file_options
from patient_flow.settings import load


@click.command(
    epilog="\b\nExample:\n  patient-flow reconcile wardlist.csv --as-of 2026-11-29T06:00 --dry-run\n"
    "  patient-flow reconcile extracts/2026-11-29.ndjson --as-of 2026-11-29T06:00\n"
    "  patient-flow reconcile --undo 2026-11-29",
)
@click.argument("extracts", nargs=-1)
@file_options(
    as_of="When the extract was taken; local unless it has an offset  [default: the event time that its rows state]",
    accept_overlap="Compare although the numbers do not fit those of the lake.",
    dry_run="Report the differences and the corrections, and write nothing.",
)
@click.option("--undo", metavar="DATE", help="Withdraw the corrections of extracts that were taken on this local day.")
def command(
    extracts: tuple[str, ...],
    given: FileOptions,
    undo: str | None,
) -> None:
    """Compare a nightly extract (ward list, census, FHIR Encounters) with the stream.

    EXTRACTS are files, folders, patterns or abfss:// addresses of complete lists of the patients in bed. Each
    difference is named; where the rules of PATIENT_FLOW_EXTRACT_RULES let the extract win, events correct the stream.
    """
    from patient_flow import reconciling
    from patient_flow.services import Services

    if bool(extracts) == bool(undo):
        raise click.UsageError("name the extracts to compare, or a day to withdraw with --undo")
    settings = load()
    services = Services(settings)
    if undo:
        lines = reconciling.undo(services, undo)
    else:
        lines = reconciling.reconcile(services, extracts, given.import_options(settings.timezone))
    for line in lines:
        click.echo(line)
