"""The commands ``rebuild``, ``replay-quarantine`` and ``warehouse reload`` as a job of the UI's launchpad.

They run in the slot of the micro-batch. Not here: what they do (``operations``). The config is checked before anything
is touched.
"""

from typing import Literal

import dagster as dg
from pydantic import Field

from patient_flow import operations
from patient_flow.errors import OperatorError
from patient_flow.orchestration.automation import DAY_SECONDS, PIPELINE_TAG
from patient_flow.orchestration.reports import POOL
from patient_flow.orchestration.resources import PatientFlow


class BackfillConfig(dg.Config):
    """The form in the launchpad."""

    what: Literal["rebuild", "replay_quarantine", "reload"] = Field(
        description="rebuild: silver, gold and warehouse again, from bronze (after a rule, mapping or department list "
        "changed for events that were accepted; takes minutes per million events). replay_quarantine: judge rejected "
        "events again; what is accepted now flows on. reload: load tables of the warehouse that differ from gold anew "
        "(after somebody changed rows there)."
    )
    rule: str | None = Field(
        default=None,
        description="Only with replay_quarantine: only events that were rejected for this rule, such as "
        "department_is_missing. Leave it out for all.",
    )
    why: str = Field(
        description="One line for whoever reads the run later: what changed, who asked. No names of patients."
    )
    dry_run: bool = Field(default=True, description="Only say what would be done. Set it to false to do it.")


@dg.op(
    description="Rebuilds, replays quarantine or mends warehouse, as the config says. Micro-batches wait meanwhile.",
    pool=POOL,
)
def run_backfill(context: dg.OpExecutionContext, config: BackfillConfig, patient_flow: PatientFlow) -> None:
    """One line of log per step; a config that makes no sense fails at once, with one sentence."""
    services = patient_flow.services()
    try:
        asked = operations.Backfill(config.what, config.rule, config.why)
        context.log.info(f"{asked.what}: {asked.why}")
        lines = asked.preview(services) if config.dry_run else asked.run(services)
        for line in lines:
            context.log.info(line)
    except OperatorError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if config.dry_run:
        context.log.info("nothing was changed: dry_run is true")


@dg.job(
    description="Back-fill: silver, gold and warehouse made again from bronze, quarantine judged again, or warehouse "
    "mended. Open the launchpad, where every field is described (point at it): say why, and what if it is not rebuild; "
    "dry_run is on until you turn it off. It waits for the micro-batch at work, and the next one waits for it.",
    executor_def=dg.in_process_executor,
    # What the launchpad shows at first; without it, the resource's settings, which nobody is to change there.
    config={"ops": {"run_backfill": {"config": {"what": "rebuild", "why": "", "dry_run": True}}}},
    tags={
        **PIPELINE_TAG,
        # A rebuild of years takes hours, and empties silver first: it is neither ended after the hour that a
        # micro-batch has, nor started over. What one that died left to do, the next micro-batch does.
        "dagster/max_runtime": DAY_SECONDS,
        "dagster/max_retries": "0",
        "dagster/retry_on_asset_or_op_failure": "false",
    },
)
def backfill() -> None:
    """One op."""
    run_backfill()
