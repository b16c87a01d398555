"""Fixtures: warehouses on the databases of the stacks, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stacks import Servers, Stack


@pytest.fixture
def database(running: Servers) -> str:
    """URL of a new, empty PostgreSQL database, for tests of what only PostgreSQL has."""
    return running.new_url()


@pytest.fixture
def empty(stack: Stack) -> Iterator[Warehouse]:
    """A warehouse that nobody has initialised."""
    warehouse = Warehouse(stack.warehouse_url(), stack.warehouse_kind)
    yield warehouse
    warehouse.dispose()


@pytest.fixture
def warehouse(empty: Warehouse) -> Warehouse:
    """An initialised warehouse without rows."""
    empty.init()
    return empty


@pytest.fixture
def twin(warehouse: Warehouse) -> Iterator[Callable[[], Warehouse]]:
    """Makes further Warehouse objects on the same database, as other processes would have."""
    twins: list[Warehouse] = []

    def make() -> Warehouse:
        twins.append(Warehouse(url_of(warehouse), warehouse.kind))
        return twins[-1]

    yield make
    for made in twins:
        made.dispose()


def url_of(warehouse: Warehouse) -> str:
    """The URL a warehouse was made with."""
    return warehouse._url
