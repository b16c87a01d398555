"""``patient-flow reconcile``: its options."""

from __future__ import annotations

import click

from patient_flow.settings import load


@click.command(
    epilog="\b\nExample:\n  patient-flow reconcile wardlist.csv --as-of 2026-11-29T06:00 --dry-run\n"
    "  patient-flow reconcile extracts/2026-11-29.ndjson --as-of 2026-11-29T06:00\n"
    "  patient-flow reconcile --undo 2026-11-29",
)
@click.argument("extracts", nargs=-1)
@click.option(
    "--as-of",
    metavar="TIME",
    help="When the extract was taken; local unless it has an offset  [default: the event time that its rows state]",
)
@click.option("--encoding", help="Encoding of text files  [default: guessed]")
@click.option("--separator", help="Separator of CSV files; \\t for the tab  [default: guessed]")
@click.option("--accept-overlap", is_flag=True, help="Compare although the numbers do not fit those of the lake.")
@click.option("--dry-run", is_flag=True, help="Report the differences and the corrections, and write nothing.")
@click.option("--undo", metavar="DATE", help="Withdraw the corrections of extracts that were taken on this local day.")
def command(
    extracts: tuple[str, ...],
    as_of: str | None,
    encoding: str | None,
    separator: str | None,
    accept_overlap: bool,
    dry_run: bool,
    undo: str | None,
) -> None:
    """Compare a nightly extract (ward list, census, FHIR Encounters) with the stream.

    EXTRACTS are files, folders, patterns or abfss:// addresses of complete lists of the patients in bed. Each
    difference is named; where the rules of PATIENT_FLOW_EXTRACT_RULES let the extract win, events correct the stream.
    """
    from patient_flow import importing, reconciling
    from patient_flow.services import Services

    if bool(extracts) == bool(undo):
        raise click.UsageError("name the extracts to compare, or a day to withdraw with --undo")
    settings = load()
    services = Services(settings)
    if undo:
        lines = reconciling.undo(services, undo)
    else:
        taken_at = importing.instant(as_of, settings.timezone)
        options = reconciling.Options(taken_at, encoding, separator, accept_overlap, dry_run)
        lines = reconciling.reconcile(services, extracts, options)
    for line in lines:
        click.echo(line)
