"""The command ``lake repair`` as a job of the UI: an operator closes the alert ``damaged_table`` without a terminal.

Not here: what is repaired, and what is refused (``pipeline.repair``).
"""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from patient_flow import operations
from patient_flow.orchestration.failures import described
from patient_flow.orchestration.reports import POOL
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import MANUAL_TAGS
from patient_flow.services import Services

LOST = "lost for good"
"""Begins the lines about events that neither files nor hub nor quarantine have."""


class RepairConfig(dg.Config):
    """Config of the op, as the launchpad shows it."""

    check_only: bool = Field(
        default=False,
        description="Name the damaged files and change nothing, as `patient-flow lake check` does. Without it damaged "
        "files and tables are moved to LAYER/_damaged, never deleted, and the tables are made again.",
    )


@dg.op(description="Repairs the damaged tables of the lake. Micro-batches wait.", pool=POOL)
def repair_lake(context: dg.OpExecutionContext, config: RepairConfig, patient_flow: PatientFlow) -> None:
    """Logs a line for each thing done; the lines are also the receipt in the metadata of the op's output."""
    services = patient_flow.services()
    receipt: list[str] = []
    with described(context, services.settings):
        lines = _check(services) if config.check_only else operations.repair_lake(services, context.log.info)
        for line in lines:
            receipt.append(line)
            (context.log.warning if line.startswith(LOST) else context.log.info)(line)
    context.add_output_metadata(
        {
            "receipt": dg.MetadataValue.md("\n".join(f"- {line}" for line in receipt)),
            "lost_for_good": sum(line.startswith(LOST) for line in receipt),
        }
    )


def _check(services: Services) -> Iterator[str]:
    damages = 0
    for damages, damage in enumerate(operations.check_lake(services), start=1):  # noqa: B007
        yield str(damage)
    yield "nothing was changed" if damages else "every file of the lake can be read and is what was written"


@dg.job(
    description="Repairs damaged tables of the lake, as `patient-flow lake repair` does: bronze from its other files, "
    "the hub and the quarantine, the others from bronze; then loads what differs into the warehouse. Damaged files are "
    "moved away, never deleted. It changes nothing where no file is damaged. The receipt is in the log of the run and "
    "in the metadata of the op's output. The job waits for a running micro-batch, and the next one waits for the job.",
    executor_def=dg.in_process_executor,
    config={"ops": {"repair_lake": {"config": {"check_only": False}}}},
    tags=MANUAL_TAGS,  # one that died is started again by a person, who reads first what it said
)
def lake_repair() -> None:
    """One op."""
    repair_lake()
