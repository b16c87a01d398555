"""What operators do while micro-batches load: their loads are no differences, and a lost race is run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest

from patient_flow import operations
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DIM_DEPARTMENT,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    WAREHOUSE_TABLES,
)
from patient_flow.errors import OperatorError
from patient_flow.pipeline.checkpoints import FOLDED_WITH
from patient_flow.pipeline.load import load_warehouse
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.stores.warehouse import reconciliation
from patient_flow.stores.warehouse.errors import WarehouseConflict
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import NOW, bronze, snapshot
from patient_flow_tests.stacks import Stack


@pytest.fixture
def services(stack: Stack) -> Iterator[Services]:
    """After a first micro-batch: everything agrees."""
    made = Services(load(stack.settings(), environ={}))
    made.lake.open(BRONZE_EVENTS).append(bronze([snapshot(patient_id=name) for name in "abc"]), {})
    list(operations.rebuild(made))
    yield made
    made.warehouse.dispose()


def other_load(services: Services, number: int) -> None:
    """A micro-batch elsewhere that brings a change of gold into the warehouse."""
    gold = services.lake.open(DIM_DEPARTMENT)
    before = gold.scan().filter(pl.col("department_key") != 0).collect().sort("department_key").head(1)
    gold.replace(before, before.with_columns(staff=pl.lit(1_000 + number)), {})
    warehouse = Warehouse(services.settings.warehouse_url, services.settings.warehouse_kind)
    load_warehouse(services.lake, warehouse, WAREHOUSE_TABLES, now=NOW, run_id="other")
    warehouse.dispose()


def loads_meanwhile(
    monkeypatch: pytest.MonkeyPatch, services: Services, place: object, name: str, times: int
) -> Callable[[], int]:
    """Whoever calls what is in this ``place`` is overtaken by another load so many times; tells how often it was."""
    really, happened = getattr(place, name), []

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        if len(happened) < times and kwargs.get("run_id") != "other":
            happened.append(name)
            other_load(services, len(happened))
        return really(*args, **kwargs)

    monkeypatch.setattr(place, name, overtaken)
    return lambda: len(happened)


@pytest.mark.embedded_only("the repair below is overtaken by a load on both stacks")
def test_what_a_micro_batch_loads_while_the_warehouse_is_compared_is_no_difference(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for times in (1, 3):
        with monkeypatch.context() as patch:
            happened = loads_meanwhile(patch, services, reconciliation, "verify", times)
            assert operations.verify_warehouse(services) == []
            assert happened() == times


@pytest.mark.embedded_only("how often an operation is tried, on any storage")
def test_a_table_that_is_loaded_faster_than_it_is_compared_is_named_instead_of_called_wrong(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads_meanwhile(monkeypatch, services, reconciliation, "verify", 100)
    with pytest.raises(OperatorError, match="DimDepartment is loaded faster than it can be compared"):
        operations.verify_warehouse(services)


def test_what_somebody_changed_is_found_and_mended_while_micro_batches_load(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    with services.warehouse._engine.begin() as stranger:
        stranger.exec_driver_sql('DELETE FROM "FactPatientFlow"')
    loads_meanwhile(monkeypatch, services, reconciliation, "verify", 1)
    assert {difference.table for difference in operations.verify_warehouse(services)} == {FACT_PATIENT_FLOW.path}
    assert list(operations.reload_warehouse(services)) == [
        "warehouse FactPatientFlow: 3 rows inserted, 0 updated, 0 deleted"
    ]
    assert list(operations.reload_warehouse(services)) == [operations.AGREEMENT]


def test_a_load_that_another_overtook_is_run_again(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    happened = loads_meanwhile(monkeypatch, services, Warehouse, "load", 1)
    said = list(operations.rebuild(services))
    assert happened() == 1
    assert said[-1] == operations.AGREEMENT


@pytest.mark.embedded_only("how often an operation is tried, on any storage")
def test_a_load_that_is_overtaken_again_and_again_gives_up(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(*_args: object, **_kwargs: object) -> None:
        raise WarehouseConflict("somebody loaded first")

    monkeypatch.setattr(Warehouse, "load", overtaken)
    monkeypatch.setattr(operations.time, "sleep", lambda _seconds: None)
    other = services.lake.open(DIM_DEPARTMENT)
    other.append(DIM_DEPARTMENT.empty(), {"source": 1})
    with pytest.raises(WarehouseConflict):
        list(operations.replay_quarantine(services))


@pytest.mark.embedded_only("how often an operation is tried, on any storage")
def test_a_migration_names_the_figures_that_follow_other_rules(services: Services) -> None:
    assert list(operations.migrate_lake(services)) == ["every lake table matches this version"]
    for table in (FACT_PATIENT_FLOW, FACT_ED_ATTENDANCE):
        services.lake.open(table).record(FOLDED_WITH.of("rules of an older version"))
    said = "\n".join(operations.migrate_lake(services))
    assert "figures change: admissions, discharges" in said
    assert "the next runs compute 3 visits again" in said
    assert "warehouse migrate" in said
