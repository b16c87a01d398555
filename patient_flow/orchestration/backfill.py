"""The commands ``rebuild``, ``replay-quarantine`` and ``warehouse reload`` as a job of the UI's launchpad.

They never run beside a micro-batch. The config is checked before anything changes. Not here: the commands themselves
(``operations``).
"""

from typing import Literal

import dagster as dg
from pydantic import Field

from patient_flow import operations
from patient_flow.errors import OperatorError
from patient_flow.orchestration.reports import POOL
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import MANUAL_TAGS


class BackfillConfig(dg.Config):
    """Config of the op, as the launchpad shows it."""

    operation: Literal["rebuild", "replay_quarantine", "reload"] = Field(
        description="rebuild: recompute silver, gold and warehouse from bronze (after a change of a rule, mapping or "
        "department list that affects accepted events; takes minutes per million events). replay_quarantine: validate "
        "rejected events again and load those that are accepted. reload: reload the warehouse tables that differ from "
        "gold (after somebody changed rows there)."
    )
    rule: str | None = Field(
        default=None,
        description="Only with replay_quarantine: replay only events that this rule rejected, such as "
        "department_is_missing. Leave it out to replay all.",
    )
    reason: str = Field(
        description="One line for later readers of the run: the change that requires it, and who requested it. No "
        "names of patients."
    )
    dry_run: bool = Field(
        default=True, description="Log the changes without making them. Set it to false to make them."
    )


@dg.op(
    description="Rebuilds, replays the quarantine or reloads the warehouse, as configured. Micro-batches wait.",
    pool=POOL,
)
def run_backfill(context: dg.OpExecutionContext, config: BackfillConfig, patient_flow: PatientFlow) -> None:
    """Logs a line per step. An invalid config fails at once, without a retry."""
    services = patient_flow.services()
    try:
        backfill = operations.Backfill(config.operation, config.rule, config.reason)
        context.log.info(f"{backfill.operation}: {backfill.reason}")
        lines = backfill.preview(services) if config.dry_run else backfill.run(services)
        for line in lines:
            context.log.info(line)
    except OperatorError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if config.dry_run:
        context.log.info("nothing was changed: this was a dry run")


@dg.job(
    description="Backfill: rebuilds silver, gold and warehouse from bronze, replays the quarantine, or reloads the "
    "warehouse. Open the launchpad (hover over a field for its description), choose an operation and enter a reason; "
    "dry_run is on by default. The job waits for a running micro-batch, and the next one waits for the job.",
    executor_def=dg.in_process_executor,
    # The launchpad's default. Without it the launchpad shows the resource's settings, which belong in the environment.
    config={"ops": {"run_backfill": {"config": {"operation": "rebuild", "reason": "", "dry_run": True}}}},
    # A rebuild of years takes hours and empties silver first: Dagster neither ends it after the hour that a
    # micro-batch has, nor restarts it. The next micro-batch completes a rebuild that died.
    tags=MANUAL_TAGS,
)
def backfill() -> None:
    """One op."""
    run_backfill()
