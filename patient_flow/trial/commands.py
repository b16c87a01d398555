"""The commands ``patient-flow mapping …``: check a mapping file, try it on samples, draft one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from patient_flow.errors import OperatorError
from patient_flow.wording import plural

if TYPE_CHECKING:
    from patient_flow.dialects.mapping import SourceMappings
    from patient_flow.files import Source

_EXAMPLE = "\b\nExample:\n  "
_SAMPLES = click.argument("samples", nargs=-1, required=True, type=click.Path(path_type=Path))
_ENCODING = click.option("--encoding", help="Of text files, such as cp1252  [default: found in each file]")
_SEPARATOR = click.option("--separator", help="Of CSV, such as ';' or '\\t'  [default: found in each file]")


@click.group()
def mapping() -> None:
    """Source mappings: check a mapping file, try it on sample files, or draft one. Nothing is written to the lake."""


@mapping.command(epilog=f"{_EXAMPLE}patient-flow mapping check hospital.toml")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a mapping FILE and the files that it looks up."""
    from patient_flow.dialects.mapping import unreachable

    mappings = _read(file)
    names = ", ".join(repr(each.name) for each in mappings.mappings)
    click.echo(f"{file}: {plural(len(mappings.mappings), 'mapping')}{f': {names}' if names else ''}")
    for each in mappings.mappings:
        for name, lookup in each.lookup.items():
            click.echo(
                f"  lookup {name!r} of {each.name!r}: {plural(len(lookup.rows), 'row')}; "
                f"columns {', '.join(lookup.columns)}"
            )
    for later, earlier in unreachable(mappings.mappings):
        click.echo(f"  warning: {later!r} matches nothing: {earlier!r} before it takes every event of the format")


@mapping.command("try", epilog=f"{_EXAMPLE}patient-flow mapping try hospital.toml exports/*.csv messages.hl7")
@click.argument("file", type=click.Path(path_type=Path))
@_SAMPLES
@_ENCODING
@_SEPARATOR
@click.option("--events", default=20, show_default=True, type=click.IntRange(0), help="Events to show one by one.")
@click.option("--rows", default=100_000, show_default=True, type=click.IntRange(1), help="Rows of each file to try.")
@click.option(
    "--as-of",
    type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")),
    help="When the events reach the hub, UTC  [default: now]",
)
def try_(
    file: Path,
    samples: tuple[Path, ...],
    encoding: str | None,
    separator: str | None,
    events: int,
    rows: int,
    as_of: datetime | None,
) -> None:
    """Try a mapping FILE on SAMPLES: CSV, JSON, JSON lines, HL7 v2, FHIR NDJSON, Parquet.

    Shows for each event the mapping, what is read, and whether it is accepted, ignored or quarantined; then what the
    samples say of the file. They are read by the code of the pipeline, and nothing is written.
    """
    from patient_flow.services import Services
    from patient_flow.settings import load
    from patient_flow.trial.report import report
    from patient_flow.trial.trial import run_trial

    mappings = _read(file)
    sources = _examine(samples, encoding, separator)
    instant = datetime.now(UTC) if as_of is None else as_of.replace(tzinfo=UTC)
    trial = run_trial(mappings, sources, Services(load()).departments, as_of=instant, rows=rows)
    for line in report(trial, events=events):
        click.echo(line)
    cut = [source.path.name for source in sources if source.rows > rows]
    if cut:
        click.echo(f"only the first {plural(rows, 'row was', 'rows were')} tried of {', '.join(cut)} (--rows)")


@mapping.command(epilog=f"{_EXAMPLE}patient-flow mapping suggest exports/*.csv > hospital.toml")
@_SAMPLES
@_ENCODING
@_SEPARATOR
@click.option("--rows", default=10_000, show_default=True, type=click.IntRange(1), help="Rows of each file to read.")
def suggest(samples: tuple[Path, ...], encoding: str | None, separator: str | None, rows: int) -> None:
    """Draft a mapping file from the fields and values of SAMPLES, with comments for a person to finish it."""
    from patient_flow.trial.suggest import draft

    for line in draft(_examine(samples, encoding, separator), rows=rows):
        click.echo(line)


def _read(file: Path) -> SourceMappings:
    from patient_flow.services import read_mappings

    try:
        return read_mappings(str(file))
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise OperatorError(f"{file} is not UTF-8: save it as UTF-8") from None


def _examine(samples: Sequence[Path], encoding: str | None, separator: str | None) -> list[Source]:
    from patient_flow import files

    try:
        found = [path for sample in samples for path in files.locate(str(sample))]
        return [files.examine(path, encoding=encoding, separator=separator) for path in found]
    except OSError as error:
        raise OperatorError(f"{error.filename} cannot be read: {error.strerror or error}") from None
