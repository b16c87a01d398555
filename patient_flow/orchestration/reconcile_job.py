"""The command ``reconcile`` as an asset with a check, and a job of the UI's launchpad. It never runs beside a batch.

Its metadata name differences by hospital, department and time: no patient and no visit. Not here: the command itself
(``reconciling``).
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from patient_flow import reconciling
from patient_flow.contracts.tables import SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.importing import Options, instant
from patient_flow.monitoring.catalogue import STREAM_MATCHES_EXTRACT
from patient_flow.monitoring.finding import Row
from patient_flow.monitoring.rules.extracts import stream_matches_extract
from patient_flow.orchestration.checks import result_of, spec_of
from patient_flow.orchestration.reports import OWNERS, POOL, RECONCILIATION_KEY, lake_key
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.tags import MANUAL_TAGS
from patient_flow.transforms.reconciliation import Difference, Stay


class ReconcileConfig(dg.Config):
    """Config of the asset, as the launchpad shows it."""

    paths: list[str] = Field(
        default=[],
        description="Extracts of one instant: files, folders or patterns that the code location can read, or abfss:// "
        "addresses. Without one nothing is compared.",
    )
    as_of: str | None = Field(
        default=None,
        description="When the extract was taken, such as 2026-11-29T06:00 (local time unless it has an offset). Leave "
        "it out where its rows state one event time.",
    )
    undo: str | None = Field(
        default=None, description="Withdraw the corrections of extracts that were taken on this local day (2026-11-29)."
    )
    encoding: str | None = Field(default=None, description="Encoding of text files. Leave it out to have it guessed.")
    separator: str | None = Field(default=None, description="Separator of CSV. Leave it out to have it guessed.")
    accept_overlap: bool = Field(
        default=False, description="Compare although the numbers of the extract do not fit those of the lake."
    )
    dry_run: bool = Field(
        default=True, description="Report the differences and write nothing. Set it to false to correct or withdraw."
    )


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            RECONCILIATION_KEY,
            deps=[lake_key(SILVER_EVENTS)],
            skippable=True,
            group_name="audit",
            description="Differences between a nightly extract (ward list, census, FHIR Encounters) and the stream. "
            "Materialized by the job `reconcile`; without an extract it stays as it is.",
            kinds={"deltalake", "csv"},
            owners=OWNERS,
        )
    ],
    check_specs=[spec_of(STREAM_MATCHES_EXTRACT, RECONCILIATION_KEY)],
    name="reconciliation__differences",
    can_subset=True,  # so that neither result is required where nothing was compared
    pool=POOL,
)
def reconciliation_differences(
    context: dg.AssetExecutionContext, config: ReconcileConfig, patient_flow: PatientFlow
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Logs a line per difference. An invalid config or file fails at once, without a retry."""
    outcome = reconciling.Outcome()
    try:
        for line in _lines(config, patient_flow, outcome):
            context.log.info(line)
    except OperatorError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if config.dry_run:
        context.log.info("nothing was changed: this was a dry run")
    if not outcome.reports:  # the findings of the newest extract stay
        return
    counts = dict(sorted(Counter(str(each.kind) for each in outcome.differences).items()))
    rows = [_row(each) for each in outcome.differences]
    finding = stream_matches_extract(len(outcome.reports), counts, rows, outcome.corrections)
    yield dg.MaterializeResult(asset_key=RECONCILIATION_KEY, metadata=dict(finding.figures))
    yield result_of(STREAM_MATCHES_EXTRACT, RECONCILIATION_KEY, finding)


def _lines(config: ReconcileConfig, patient_flow: PatientFlow, outcome: reconciling.Outcome) -> Iterator[str]:
    services = patient_flow.services()
    if config.undo is not None:
        if config.paths:
            raise OperatorError("undo takes a day and no paths")
        return iter(()) if config.dry_run else reconciling.undo(services, config.undo)
    if not config.paths:
        return iter(())
    options = Options(
        instant(config.as_of, services.settings.timezone),
        config.encoding,
        config.separator,
        config.accept_overlap,
        config.dry_run,
    )
    return reconciling.reconcile(services, config.paths, options, outcome, names=False)


def _row(difference: Difference) -> Row:
    return {
        "difference": str(difference.kind),
        "hospital": difference.hospital,
        "stream": _place(difference.stream),
        "extract": _place(difference.extract),
        "correction": ", ".join(
            f"{each.event_type} at {each.event_time:%Y-%m-%d %H:%M}" for each in difference.corrections
        ),
        "not_corrected": difference.held_back,
    }


def _place(stay: Stay | None) -> str | None:
    if stay is None:
        return None
    left = "" if stay.is_in_bed or stay.until is None else f", left {stay.until:%Y-%m-%d %H:%M}"
    return f"{stay.department} since {stay.since:%Y-%m-%d %H:%M}{left}"


reconcile = dg.define_asset_job(
    "reconcile",
    selection=dg.AssetSelection.assets(RECONCILIATION_KEY),
    description="Holds a nightly extract against the stream, and corrects the stream where PATIENT_FLOW_EXTRACT_RULES "
    "says so. Open the launchpad (hover over a field for its description) and enter paths; dry_run is on by default. "
    "The job waits for a running micro-batch, and the next one waits for the job.",
    executor_def=dg.in_process_executor,
    config={"ops": {"reconciliation__differences": {"config": {"paths": [], "dry_run": True}}}},
    tags=MANUAL_TAGS,
)
