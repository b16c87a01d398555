"""The rules of the catalogue as Dagster asset checks.

A micro-batch checks only what the warehouse has not loaded yet, so that the cost follows the batch. Hourly and nightly
checks belong to an asset of their own that nothing materializes, so no micro-batch ever pays for them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import dagster as dg
import polars as pl

from patient_flow.contracts.departments import DepartmentListError
from patient_flow.contracts.tables import LAKE_TABLES, WAREHOUSE_TABLES, Table
from patient_flow.monitoring.catalogue import CHECKS as RULES
from patient_flow.monitoring.catalogue import DATA_FRESH
from patient_flow.monitoring.finding import COULD_NOT_RUN, Finding, Row, combine, warning
from patient_flow.monitoring.inputs import ReadProgress
from patient_flow.monitoring.rule import Cadence, Rule
from patient_flow.orchestration.check_context import HISTORY_TABLE, CheckContext, ask_hub, utc_now
from patient_flow.orchestration.failures import described, sentence_of
from patient_flow.orchestration.reports import OWNERS, lake_key, warehouse_key
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.services import Services
from patient_flow.stores.lake.errors import STORE_ERRORS, UNDECODABLE, LakeError, is_undecodable
from patient_flow.stores.lake.inspection import name_damage
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.warehouse import Warehouse

HISTORY = dg.AssetSpec(
    dg.AssetKey(["audit", "whole_history"]),
    deps=[warehouse_key(table) for table in WAREHOUSE_TABLES],
    group_name="audit",
    description="Everything the pipeline ever received. The job `audit` checks all of it each night, "
    "`hourly_checks` the last hours; micro-batches check only what is new.",
    kinds={"deltalake", "sql"},
    owners=OWNERS,
)


def spec_of(rule: Rule, key: dg.AssetKey, *, may_block: bool = True) -> dg.AssetCheckSpec:
    """``rule`` as a check of the asset ``key``; the description includes the remedy."""
    return dg.AssetCheckSpec(
        rule.name,
        asset=key,
        blocking=rule.blocking and may_block,
        description=f"{rule.compares} If not: {rule.action} See {rule.page}.",
        metadata={"runbook": rule.page},
    )


def result_of(rule: Rule, key: dg.AssetKey, finding: Finding) -> dg.AssetCheckResult:
    """The finding of ``rule`` about ``key``. Only an error of a blocking check stops the run."""
    metadata: dict[str, Any] = dict(finding.figures)
    if finding.rows:
        metadata["details"] = _table(finding.rows)
    if not finding.is_ok:
        metadata |= {"what to do": rule.action, "runbook": rule.page}
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=rule.name,
        passed=finding.is_ok,
        severity=dg.AssetCheckSeverity.ERROR if finding.is_error else dg.AssetCheckSeverity.WARN,
        description=rule.describe(finding),
        metadata=metadata,
    )


def _table(rows: Sequence[Row]) -> dg.TableMetadataValue:
    names = list(dict.fromkeys(name for row in rows for name in row))
    is_number = {
        name: all(isinstance(row.get(name, 0), int | float) for row in rows if row.get(name) is not None)
        for name in names
    }
    columns = [dg.TableColumn(name, type="number" if is_number[name] else "string") for name in names]
    # A table's records must have the same fields.
    records = [dg.TableRecord({name: "" if row.get(name) is None else row[name] for name in names}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema(columns=columns))


def _evaluate(rule: Rule, context: CheckContext) -> Finding:
    if rule.evaluate is None:
        raise ValueError(f"the load of the warehouse evaluates {rule.name}")
    with context.services.lake.writing():  # versions that it compares with are not deleted meanwhile
        return rule.evaluate(context)


# --- each batch -----------------------------------------------------------------------------------------------------


def rules_of(table: Table) -> list[Rule]:
    """Rules that a micro-batch evaluates on a table of the lake."""
    return [rule for rule in RULES if Cadence.BATCH in rule.cadences and table in rule.tables and not rule.on_warehouse]


def _batch_checks(table: Table) -> dg.AssetChecksDefinition:
    key, rules = lake_key(table), rules_of(table)

    @dg.multi_asset_check(
        name=f"check_{table.layer}_{table.name}", specs=[spec_of(rule, key) for rule in rules], can_subset=True
    )
    def check(context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow) -> Iterator[dg.AssetCheckResult]:
        services = patient_flow.services()
        with described(context.op_execution_context, services.settings):
            loaded = _loaded_versions(context.run.run_id, services) if table.warehouse else {}
            inputs = CheckContext(services, table, loaded)
            for rule in rules:
                if dg.AssetCheckKey(key, rule.name) in context.selected_asset_check_keys:
                    yield result_of(rule, key, _evaluate(rule, inputs))

    return check


_loaded_of_run: dict[str, Mapping[str, int | None]] = {}


def _loaded_versions(run_id: str, services: Services) -> Mapping[str, int | None]:
    """Gold versions that the warehouse has loaded, asked once per run: before the load they do not change.

    While it is away, the versions before the newest commits: it loads nothing then, and the step that loads it says so.
    The first run that finds it again checks all that it lacks.
    """
    if run_id not in _loaded_of_run:
        _loaded_of_run.clear()
        try:
            _loaded_of_run[run_id] = _ask_loaded_versions(services.warehouse)
        except WarehouseError:
            newest = {table.path: services.lake.open(table).version for table in WAREHOUSE_TABLES}
            _loaded_of_run[run_id] = {path: max(version - 1, 0) for path, version in newest.items()}
    return _loaded_of_run[run_id]


def _ask_loaded_versions(warehouse: Warehouse) -> Mapping[str, int | None]:
    try:
        return warehouse.loaded_versions()
    except WarehouseError:  # its tables may not exist yet; if it is down, init raises
        warehouse.init()
        return warehouse.loaded_versions()


FRESHNESS_KEY = warehouse_key(DATA_FRESH.tables[0])
"""The asset that shows the age of the data: all tables of the warehouse are loaded together."""


@dg.multi_asset_check(name="check_data_age", specs=[spec_of(DATA_FRESH, FRESHNESS_KEY)])
def check_data_age(context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow) -> Iterator[dg.AssetCheckResult]:
    """Lag of the warehouse behind the hub at the end of a micro-batch."""
    inputs = CheckContext(patient_flow.services(), DATA_FRESH.tables[0])
    with described(context.op_execution_context):
        yield result_of(DATA_FRESH, FRESHNESS_KEY, _evaluate(DATA_FRESH, inputs))


CHECKS = [*(_batch_checks(table) for table in LAKE_TABLES if rules_of(table)), check_data_age]

# --- hourly and nightly ---------------------------------------------------------------------------------------------


def rules_at(cadence: Cadence) -> list[Rule]:
    """Rules of the asset ``audit/whole_history`` by cadence."""
    return [rule for rule in RULES if cadence in rule.cadences]


def evaluate_history(rule: Rule, services: Services, now: datetime, progress: Callable[[], ReadProgress]) -> Finding:
    """A rule over the whole history, of all its tables. A store that fails is a warning and hides no other rule."""
    try:
        checked = rule.tables or (HISTORY_TABLE,)
        findings = {
            table.path: _evaluate(
                rule, CheckContext(services, table, {}, whole_history=True, checked_at=now, progress=progress)
            )
            for table in checked
        }
        return combine(findings) if len(findings) > 1 else findings[checked[0].path]
    except UNDECODABLE as error:  # before the errors of Polars: a panic is none of them
        damage = name_damage(services.lake, rule.tables or LAKE_TABLES) if is_undecodable(error) else None
        reason = type(error).__name__ if damage is None else sentence_of(damage)
        return warning(f"{COULD_NOT_RUN}{reason.rstrip('.')}.")
    except pl.exceptions.PolarsError as error:  # its text may repeat values
        return warning(f"{COULD_NOT_RUN}{type(error).__name__}.")
    except (LakeError, WarehouseError, DepartmentListError, *STORE_ERRORS) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        return warning(f"{COULD_NOT_RUN}{type(error).__name__}: {reason}.")


def _check_history(
    context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow, cadence: Cadence
) -> Iterator[dg.AssetCheckResult]:
    """Each rule in turn. Errors fail the run, which names them, unless micro-batches report them already."""
    services, now = patient_flow.services(), utc_now()
    progress = cache(lambda: ask_hub(services, now))
    selected = {key.name for key in context.selected_asset_check_keys}
    failed: list[str] = []
    for rule in rules_at(cadence):
        if rule.name not in selected:
            continue
        finding = evaluate_history(rule, services, now, progress)
        if not finding.is_ok:
            context.log.warning(f"{rule.name}: {rule.describe(finding)}")
        if finding.is_error and not rule.is_judged_by_batches:
            failed.append(rule.name)
        yield result_of(rule, HISTORY.key, finding)
    if failed:
        raise dg.Failure(
            f"{context.run.job_name}: {cadence.value} checks failed: {', '.join(failed)}", allow_retries=False
        )


def _history_specs(cadence: Cadence) -> list[dg.AssetCheckSpec]:
    return [spec_of(rule, HISTORY.key, may_block=False) for rule in rules_at(cadence)]


@dg.multi_asset_check(name="check_whole_history", specs=_history_specs(Cadence.NIGHTLY), can_subset=True)
def check_whole_history(
    context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow
) -> Iterator[dg.AssetCheckResult]:
    """Rules whose cost grows with the history."""
    yield from _check_history(context, patient_flow, Cadence.NIGHTLY)


@dg.multi_asset_check(name="check_recent_data", specs=_history_specs(Cadence.HOURLY), can_subset=True)
def check_recent_data(
    context: dg.AssetCheckExecutionContext, patient_flow: PatientFlow
) -> Iterator[dg.AssetCheckResult]:
    """Rules about the last hours and weeks."""
    yield from _check_history(context, patient_flow, Cadence.HOURLY)


HISTORY_CHECKS = [check_recent_data, check_whole_history]
