"""Facts, silver, quarantine → what is counted of them: the census of beds, and data quality."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DATA_QUALITY_DAY,
    DIM_DEPARTMENT,
    ERASED,
    FACT_BED_CENSUS,
    FACT_PATIENT_FLOW,
    IGNORED,
    QUARANTINE,
)
from patient_flow.pipeline import incremental
from patient_flow.pipeline.checkpoints import (
    CENSUS_UNTIL,
    PART,
    TIME_ZONE,
    consumed,
    consumption,
    identity_of,
    is_replaced,
    no_consumption,
    version_of,
)
from patient_flow.pipeline.incremental import (
    changes_of,
    replace,
    versions_changed,
    zone_changed,
)
from patient_flow.pipeline.received import newest_event
from patient_flow.pipeline.steps import StepContext, StepResult, is_up_to_date, open_complete_silver, retry_on_conflict
from patient_flow.stores.lake.changes import RowsWritten
from patient_flow.stores.lake.snapshot import partitions_in_steps
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms import census, quality

c = pl.col


@retry_on_conflict
def fact_bed_census(context: StepContext) -> StepResult:
    """FactBedCensus counts the hours that changed stays occupy, and the hours since, for those still in bed."""
    lake, run_id = context.lake, context.run_id
    target, flow = lake.open(FACT_BED_CENSUS), lake.open(FACT_PATIENT_FLOW)
    departments, silver = lake.open(DIM_DEPARTMENT), open_complete_silver(lake)
    sources = (flow, departments, silver)
    if is_up_to_date(target, *sources):
        return StepResult(FACT_BED_CENSUS, target.version)
    until = newest_event(silver)
    checkpoints = CENSUS_UNTIL.of(until)
    if until is None:  # no event is left, or there was none yet
        return replace(target, target.scan().collect(), target.table.empty(), sources, checkpoints, run_id=run_id)
    versions = departments.scan().collect()
    changes = changes_of(target, flow, census.STAY_COLUMNS)
    counted = CENSUS_UNTIL.read(target.checkpoint)
    if (
        counted is None
        or until < counted  # newer rows of files, or an erased event, count no more
        or changes is None
        or is_replaced(target, silver)
        or versions_changed(target, departments)
    ):
        return _whole_census(target, sources, versions, until, run_id=run_id)
    still_in_bed = flow.scan().filter(
        c("discharge_at").is_null() | (c("discharge_at") > counted),
        c("confirmed_until").is_null() | (c("confirmed_until") > counted),
        ~c("stay_key").is_in(changes.both["stay_key"].implode()),
    )
    change = census.bed_hours(
        pl.concat(
            [
                census.spans(changes.before, until=counted, weight=-1),
                census.spans(changes.after, until=until),
                census.spans(still_in_bed, until=until, after=counted),
            ]
        ),
        versions,
    )
    before = (
        target.scan()
        .filter(
            c("census_month").is_in(change["census_month"].unique().implode()),
            c("time_key").is_in(change["time_key"].unique().implode()),
        )
        .collect()
        .join(change, on=list(FACT_BED_CENSUS.key), how="semi")
    )
    return replace(target, before, census.add(before, change), sources, checkpoints, run_id=run_id)


def _whole_census(
    target: LakeTable, sources: tuple[LakeTable, ...], versions: pl.DataFrame, until: datetime, *, run_id: str
) -> StepResult:
    """All hours, in parts of months: stays that last longer are carried over to the next part."""
    flow = sources[0]
    carried, since, written = census.no_spans(), "", RowsWritten()
    parts = partitions_in_steps(flow, incremental.STAYS_AT_ONCE) or [[]]
    for number, months in enumerate(parts, start=1):
        admitted = flow.scan().filter(c("admission_month").is_in(months))
        spans = pl.concat([carried, census.spans(admitted, until=until)])
        is_here, checkpoints = c("census_month") >= since, {**consumption(*sources), **CENSUS_UNTIL.of(until)}
        if number < len(parts):
            # Nothing counts as consumed yet: what is added to half a census would count twice.
            since = parts[number][0]
            checkpoints = {**no_consumption(*sources), **PART.of(number), **CENSUS_UNTIL.of(None)}
            is_here &= c("census_month") < since
            spans, carried = census.split(spans, datetime.strptime(since, "%Y-%m").replace(tzinfo=UTC))
        before = target.scan().filter(is_here).collect(engine="streaming")
        written += target.replace(before, census.bed_hours(spans, versions), checkpoints, run_id=run_id)
    return StepResult(FACT_BED_CENSUS, target.version, written, consumed=incremental.versions_of(sources))


@retry_on_conflict
def data_quality_day(context: StepContext) -> StepResult:
    """DataQualityDay adds what changed in silver, ignored and quarantine to its counts."""
    lake, zone, run_id = context.lake, context.timezone, context.run_id
    target, silver, rejected = lake.open(DATA_QUALITY_DAY), open_complete_silver(lake), lake.open(QUARANTINE)
    counted = (silver, lake.open(IGNORED), rejected)
    # How far the counts rest on bronze, if the versions belong together: the check on received events goes on there.
    belong_together = all(consumed(rejected, source) == source.version for source in counted[:-1])
    received = {
        name: number
        for source in (BRONZE_EVENTS, *((ERASED,) if consumed(rejected, lake.open(ERASED)) is not None else ()))
        for key in (version_of(source), identity_of(source))
        for name, number in key.of(key.read(rejected.checkpoint) if belong_together else None).items()
    }
    of_another_zone = zone_changed(target, zone)
    if is_up_to_date(target, *counted) and not of_another_zone:
        return StepResult(DATA_QUALITY_DAY, target.version)
    checkpoints = {**received, **TIME_ZONE.of(zone)}
    columns = (quality.SILVER_COLUMNS, quality.IGNORED_COLUMNS, quality.QUARANTINE_COLUMNS)
    changes = [changes_of(target, source, names) for source, names in zip(counted, columns, strict=True)]
    in_silver, in_ignored, in_quarantine = changes
    if of_another_zone or in_silver is None or in_ignored is None or in_quarantine is None:
        after = _all_quality(*counted, zone)
        return replace(target, target.scan().collect(), after, counted, checkpoints, run_id=run_id)
    change = quality.total(
        quality.data_quality_day(in_silver.after, in_ignored.after, in_quarantine.after, zone),
        quality.negative(quality.data_quality_day(in_silver.before, in_ignored.before, in_quarantine.before, zone)),
    )
    before = (
        target.scan()
        .filter(c("date").is_in(change["date"].unique().implode()))
        .collect()
        .join(change, on=list(DATA_QUALITY_DAY.key), how="semi")
    )
    return replace(target, before, quality.total(before, change), counted, checkpoints, run_id=run_id)


def _all_quality(silver: LakeTable, ignored: LakeTable, rejected: LakeTable, zone: str) -> pl.DataFrame:
    """DataQualityDay of all rows of the three tables, which may be larger than memory."""
    limit = incremental.EVENTS_AT_ONCE
    return quality.total(
        DATA_QUALITY_DAY.empty(),
        *(quality.count_accepted(rows, zone) for rows in silver.batches(quality.SILVER_COLUMNS, limit)),
        *(quality.count_ignored(rows, zone) for rows in ignored.batches(quality.IGNORED_COLUMNS, limit)),
        *(quality.count_rejected(rows, zone) for rows in rejected.batches(quality.QUARANTINE_COLUMNS, limit)),
    )
