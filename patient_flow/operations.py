"""Operator commands besides micro-batches: rebuild after bronze, replay the quarantine, reload the warehouse.

Each function yields one line per step. All of them may run beside micro-batches: their loads are not mistaken for
differences, and a lost race is retried. Not here: how a step works (``pipeline``).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts import rules, tables
from patient_flow.contracts.figure_changes import CURRENT
from patient_flow.errors import OperatorError
from patient_flow.pipeline import distributed, load
from patient_flow.pipeline.erasure import finish
from patient_flow.pipeline.erasure.erase import Erasure
from patient_flow.pipeline.erasure.receipt import Receipt
from patient_flow.pipeline.graph import run_gold, step_of
from patient_flow.pipeline.publication import publish
from patient_flow.pipeline.rebuild import rebuild as rebuild_lake
from patient_flow.pipeline.recomputation import Basis, waiting_visits
from patient_flow.pipeline.repair import repair
from patient_flow.pipeline.replay import replay
from patient_flow.pipeline.silver import KeyRefused, check_key
from patient_flow.pipeline.steps import StepContext, StepResult
from patient_flow.services import Services
from patient_flow.stores.cluster import Cluster
from patient_flow.stores.lake.inspection import Damage, check
from patient_flow.stores.warehouse import reconciliation
from patient_flow.stores.warehouse.aggregates import Aggregates
from patient_flow.stores.warehouse.errors import WarehouseConflict
from patient_flow.wording import plural

MAX_ATTEMPTS = 5
"""Attempts of a comparison or a load when micro-batches load at the same time."""
AGREEMENT = "lake and warehouse agree"


def step_context(services: Services, *, run_id: str, now: datetime) -> StepContext:
    """The context of the steps of one run, from ``services``."""
    settings = services.settings
    return StepContext(
        services.lake,
        services.parser,
        settings.timezone,
        now,
        run_id,
        services.hub,
        settings.max_events_per_run,
        unconfirmed_days=settings.unconfirmed_days,
    )


def rebuild(services: Services, remote: str | None = None, token: str | None = None) -> Iterator[str]:
    """Recomputes silver and gold from bronze and loads the differences into the warehouse.

    A warehouse table that still differs from gold (somebody changed its rows) is reloaded completely. With ``remote``
    (``sc://HOST:PORT``) a Spark cluster does the work per row and per key; ``token`` opens it.
    """
    context = step_context(services, run_id=_run_id("rebuild"), now=datetime.now(UTC))
    if remote is None:
        yield from map(_format_result, rebuild_lake(context))
    else:
        clear_returned(services)  # a cluster knows erased persons by the marker in their place alone
        with Cluster(remote, token) as cluster:
            yield from map(_format_result, distributed.rebuild(context, cluster))
    yield from load_all(services, context.run_id)
    yield from reload_warehouse(services)


def replay_quarantine(services: Services, reason: str | None = None) -> Iterator[str]:
    """Validates quarantined events again; those that are accepted now reach gold and warehouse.

    Raises :class:`OperatorError` for an unknown rule.
    """
    if reason is not None:
        _require_rule(reason)
    context = step_context(services, run_id=_run_id("replay"), now=datetime.now(UTC))
    replayed = replay(context, reason=reason)
    validated = plural(int(replayed.figures["judged_again"]), "event")
    yield f"{validated} validated again, {replayed.figures['accepted']:,} accepted"
    for table in (tables.IGNORED, tables.QUARANTINE):
        yield _format_result(step_of(table).run(context))
    yield from map(_format_result, run_gold(context))
    yield from load_all(services, context.run_id)


@dataclass(frozen=True)
class Backfill:
    """A backfill that an operator requests: ``operation`` is ``rebuild``, ``replay_quarantine`` or ``reload``.

    Raises :class:`OperatorError` for an invalid combination.
    """

    operation: str
    rule: str | None
    reason: str

    def __post_init__(self) -> None:
        if self.operation not in ("rebuild", "replay_quarantine", "reload"):
            raise OperatorError(f"operation must be rebuild, replay_quarantine or reload; it is {self.operation}")
        if not self.reason.strip():
            raise OperatorError("reason is empty: state in one line what changed, for later readers of this run")
        if self.rule is not None and self.operation != "replay_quarantine":
            raise OperatorError(
                "rule applies to replay_quarantine only: leave rule out, or choose operation: replay_quarantine"
            )
        if self.rule is not None:
            _require_rule(self.rule)

    def preview(self, services: Services) -> Iterator[str]:
        """Yields what :meth:`run` would do; changes nothing."""
        lake = services.lake
        if self.operation == "rebuild":
            received = lake.open(tables.BRONZE_EVENTS).row_count() if lake.exists(tables.BRONZE_EVENTS) else 0
            yield f"{plural(received, 'event')} of bronze would be read again to recompute silver, gold and warehouse"
            return
        if self.operation == "reload":
            different = sorted({difference.table for difference in verify_warehouse(services)})
            yield f"would be reloaded: {', '.join(different)}" if different else AGREEMENT
            return
        if not lake.exists(tables.QUARANTINE):
            yield "the quarantine is empty"
            return
        rejected = lake.open(tables.QUARANTINE).scan().select(pl.col("reasons"))
        if self.rule is not None:
            rejected = rejected.filter(pl.col("reasons").list.contains(self.rule))
        yield f"{plural(rejected.select(pl.len()).collect().item(), 'quarantined event')} would be validated again"

    def run(self, services: Services) -> Iterator[str]:
        """Runs the backfill; yields one line per step."""
        match self.operation:
            case "rebuild":
                yield from rebuild(services)
            case "reload":
                yield from reload_warehouse(services)
            case _:
                yield from replay_quarantine(services, self.rule)


def publish_aggregates(services: Services, now: datetime, *, with_history: bool = False) -> int:
    """Publishes closed days for aggregate readers; returns the number of hospitals' days, 0 where nothing is published.

    ``with_history`` adds days before the first published one: an import calls it when it ends.
    """
    settings = services.settings
    if not settings.suppress_below:
        return 0
    zone = ZoneInfo(settings.timezone)
    return publish(
        services.lake,
        Aggregates(services.warehouse),
        settings.suppress_below,
        zone,
        now,
        with_history=with_history,
    )


def check_lake(services: Services) -> Iterator[Damage]:
    """Damaged files of the lake, table by table. Reads every file once."""
    for table in tables.LAKE_TABLES:
        yield from check(services.lake, table)


def repair_lake(services: Services, log: Callable[[str], None]) -> Iterator[str]:
    """Repairs damaged tables and loads what differs into the warehouse; states what is lost for good.

    ``log`` takes a line where it has to wait for another writer.
    """
    context = step_context(services, run_id=_run_id("repair"), now=datetime.now(UTC))
    yield from repair(context, lambda: log("waiting until no other writer is active"))
    yield from load_all(services, context.run_id)
    yield from reload_warehouse(services)


def erase(services: Services, number: str, scope: str | None, *, dry_run: bool, log: Callable[[str], None]) -> Receipt:
    """Erases the person with this patient number from lake and warehouse; returns the receipt.

    ``log`` takes a line for each phase. Raises :class:`OperatorError` for a number that is empty, or known under
    several scopes where ``scope`` is None.
    """
    if not number.strip():
        raise OperatorError("the patient's number is empty")
    context = step_context(services, run_id=_run_id("erasure"), now=datetime.now(UTC))
    erasure = Erasure(context, services.warehouse, number.strip(), scope, log)
    return erasure.preview() if dry_run else erasure.run()


def clear_returned(services: Services) -> int:
    """Erased events that came back: their bodies leave bronze and its history. Returns how many they were."""
    context = step_context(services, run_id=_run_id("erasure"), now=datetime.now(UTC))
    return finish.clear_returned(context, services.warehouse)


def migrate_lake(services: Services) -> Iterator[str]:
    """Rewrites the lake tables whose column types differ from the declared ones; states figures that will change."""
    done = [line for table in tables.LAKE_TABLES if (line := services.lake.migrate(table)) is not None]
    yield from done or ["every lake table matches this version"]
    yield from _figure_changes(services)


def _figure_changes(services: Services) -> Iterator[str]:
    """The figures that are not yet computed by the rules of this version, and what to do."""
    lake, settings = services.lake, services.settings
    if not lake.exists(tables.FACT_PATIENT_FLOW):
        return
    basis = Basis(settings.timezone, settings.unconfirmed_days, lake.open(tables.DIM_DEPARTMENT))
    if basis.has_rules_of(lake.open(tables.FACT_PATIENT_FLOW)):
        return
    yield f"figures change: {CURRENT.figures.en}"
    try:
        check_key(lake.open(tables.SILVER_EVENTS), settings.pseudonym_key)
    except KeyRefused as refused:
        yield str(refused)
    else:
        waiting = waiting_visits(lake, settings.timezone, settings.unconfirmed_days)
        yield f"the next runs compute {plural(waiting, 'visit')} again; `patient-flow status` says how many are left"
    yield "run `patient-flow warehouse migrate`: the load that brings the new figures dates the change in LoadLog"


def verify_warehouse(services: Services) -> list[reconciliation.Difference]:
    """Differences between the warehouse and the gold versions that it has loaded.

    Raises :class:`OperatorError` for a table that was loaded during each attempt to compare it.
    """
    return [difference for table in tables.WAREHOUSE_TABLES for difference in _differences(services, table)]


def _differences(services: Services, table: tables.Table) -> list[reconciliation.Difference]:
    """Differences of one table, compared again when a load came in between."""
    version = services.warehouse.loaded_versions()[table.path]
    for _ in range(MAX_ATTEMPTS):
        if version is None or not services.lake.exists(table):
            return []
        gold = {table.path: services.lake.open(table).at(version)}
        different = reconciliation.verify(services.warehouse, gold)
        compared, version = version, services.warehouse.loaded_versions()[table.path]
        if not different or version == compared:
            return different
    raise OperatorError(
        f"{table.warehouse_name} is loaded faster than it can be compared: try again with the sensor event_hub_backlog "
        "off, or start the job backfill with operation: reload, which waits for its turn"
    )


def reload_warehouse(services: Services) -> Iterator[str]:
    """Reloads the warehouse tables that differ from gold, completely and in one transaction."""
    different = {difference.table for difference in verify_warehouse(services)}
    to_reload = [table for table in tables.WAREHOUSE_TABLES if table.path in different]
    if to_reload:
        yield from load_all(services, _run_id("reload"), to_reload, as_a_whole=True)
    else:
        yield AGREEMENT


def load_all(
    services: Services,
    run_id: str,
    selected: Sequence[tables.Table] = tables.WAREHOUSE_TABLES,
    *,
    as_a_whole: bool = False,
) -> Iterator[str]:
    """Loads the ``selected`` tables into the warehouse, also beside micro-batches; a line per table."""
    for number in range(1, MAX_ATTEMPTS + 1):
        try:
            results = load.load_warehouse(
                services.lake,
                services.warehouse,
                selected,
                now=datetime.now(UTC),
                run_id=run_id,
                as_a_whole=as_a_whole,
            )
            break
        except WarehouseConflict:  # a micro-batch loaded first: the next attempt starts from its versions
            if number == MAX_ATTEMPTS:
                raise
            time.sleep(0.2 * number)
    for result in results.values():
        yield _format_result(result, f"warehouse {result.table.warehouse_name}")


def _format_result(result: StepResult, name: str | None = None) -> str:
    written = result.written
    return (
        f"{name or result.table.path}: {plural(written.inserted, 'row')} inserted, "
        f"{written.updated:,} updated, {written.deleted:,} deleted"
    )


def _require_rule(name: str) -> None:
    known = [rule.name for rule in rules.QUARANTINE_RULES]
    if name not in known:
        raise OperatorError(f"there is no rule {name}; the rules are: {', '.join(known)}")


def _run_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4()}"
