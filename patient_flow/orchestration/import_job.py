"""The command ``import`` as a job of the UI's launchpad. It never runs beside a micro-batch.

Not here: the command itself (``importing``).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from patient_flow import importing
from patient_flow.errors import OperatorError
from patient_flow.orchestration.reports import POOL
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import MANUAL_TAGS
from patient_flow.services import Services
from patient_flow.wording import plural


class ImportConfig(dg.Config):
    """Config of the op, as the launchpad shows it."""

    paths: list[str] = Field(
        description="Files, folders or patterns that the code location can read, or abfss:// addresses. CSV, JSON "
        "lines, Parquet, HL7 v2 batches, FHIR NDJSON, also gzip. To undo an import: one file, or its SHA-256."
    )
    undo: bool = Field(default=False, description="Withdraw the rows of the file instead of importing it.")
    as_of: str | None = Field(
        default=None,
        description="When an extract was taken, such as 2026-11-29T06:00 (local time unless it has an offset). Leave "
        "it out for history: each row then counts at the latest instant that it states.",
    )
    encoding: str | None = Field(default=None, description="Encoding of text files. Leave it out to have it guessed.")
    separator: str | None = Field(default=None, description="Separator of CSV. Leave it out to have it guessed.")
    accept_overlap: bool = Field(
        default=False, description="Import although the numbers of the files do not fit those of the lake."
    )
    dry_run: bool = Field(
        default=True, description="Examine the files and write nothing. Set it to false to import or withdraw."
    )


@dg.op(description="Imports files into the lake, or withdraws one, as configured. Micro-batches wait.", pool=POOL)
def run_import(context: dg.OpExecutionContext, config: ImportConfig, patient_flow: PatientFlow) -> None:
    """Logs a line per file and outcome. An invalid config or file fails at once, without a retry."""
    services = patient_flow.services()

    @contextmanager
    def watch(what: str, rows: int) -> Iterator[Callable[[int], None]]:
        yield lambda done: context.log.info(f"{what}: {done:,} of {plural(rows, 'row')}")

    try:
        lines = _lines(config, services, watch)
        for line in lines:
            context.log.info(line)
    except OperatorError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if config.dry_run:
        context.log.info("nothing was changed: this was a dry run")


def _lines(config: ImportConfig, services: Services, watch: importing.Watch) -> Iterator[str]:
    if not config.undo:
        options = importing.Options(
            importing.instant(config.as_of, services.settings.timezone),
            config.encoding,
            config.separator,
            config.accept_overlap,
            config.dry_run,
        )
        return importing.import_files(services, config.paths, options, watch)
    if len(config.paths) != 1:
        raise OperatorError("undo takes one file, or its SHA-256")
    return iter(()) if config.dry_run else importing.undo(services, config.paths[0], watch)


@dg.job(
    description="Imports history and extracts from files, or withdraws one. Open the launchpad (hover over a field for "
    "its description) and enter paths; dry_run is on by default. The job waits for a running micro-batch, and the next "
    "one waits for the job.",
    executor_def=dg.in_process_executor,
    config={"ops": {"run_import": {"config": {"paths": [], "dry_run": True}}}},
    tags=MANUAL_TAGS,  # an import that died goes on when a person starts it again
)
def import_files() -> None:
    """One op."""
    run_import()
