"""A migration of PostgreSQL beside readers, and where something depends on a key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from patient_flow.stores.warehouse.errors import WarehouseConflict
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stores.warehouse.earlier import scatter

FORMER, DECLARED = ["stay_key"], ["admission_time_key", "stay_key"]
VIEW = "CurrentPatients"


@pytest.fixture
def scattered(database: str) -> Iterator[Warehouse]:
    """A warehouse from when the key of stays was a hash."""
    warehouse = Warehouse(database, "postgresql")
    scatter(warehouse)
    yield warehouse
    warehouse.dispose()


def run(warehouse: Warehouse, *statements: str) -> None:
    with warehouse.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def key(warehouse: Warehouse) -> list[str]:
    with warehouse.reading() as connection:
        return sa.inspect(connection).get_pk_constraint("FactPatientFlow")["constrained_columns"]


def change_view(warehouse: Warehouse) -> None:
    """Gives a view of stays a definition of another version."""
    run(warehouse, f"COMMENT ON VIEW \"{VIEW}\" IS 'of another version'")


def forget_column(warehouse: Warehouse) -> None:
    """Takes from stays a column that no view reads."""
    run(warehouse, 'ALTER TABLE "FactPatientFlow" DROP COLUMN last_enqueued_at')


def lock_waits(watcher: sa.Connection) -> int:
    """Sessions that wait for a lock."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return int(watcher.exec_driver_sql(asked).scalar_one())


def migrate_beside_readers(warehouse: Warehouse, view: str) -> tuple[list[Future[Any]], list[str]]:
    """Before each statement of a migration a reader of ``view`` begins; those that wait go on with the migration."""
    readers: list[Future[Any]] = []
    waited_at: list[str] = []
    with ThreadPoolExecutor(100) as pool, sa.create_engine(warehouse._url, poolclass=sa.NullPool).connect() as watcher:
        watcher.execution_options(isolation_level="AUTOCOMMIT")

        def read(connection: sa.Connection, statement: str) -> None:
            before = lock_waits(watcher)
            reader = pool.submit(warehouse.query, f'SELECT count(*) FROM "{view}"')
            while not reader.done() and lock_waits(watcher) == before:
                time.sleep(0.01)
            readers.append(reader)
            if not reader.done():
                waited_at.append(statement)
            run_ddl(connection, statement)

        run_ddl = warehouse.target.run_ddl
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(warehouse.target, "run_ddl", read)
            warehouse.migrate(dry_run=False)
    return readers, waited_at


def test_readers_of_a_changed_view_wait_for_the_migration_and_do_not_end_it(scattered: Warehouse) -> None:
    change_view(scattered)
    readers, waited_at = migrate_beside_readers(scattered, VIEW)
    assert len(readers) > len(waited_at) > 0
    assert [reader.result().height for reader in readers] == [1] * len(readers)
    assert key(scattered) == DECLARED
    assert scattered.migrate(dry_run=True) == []


def test_readers_of_a_changed_view_do_not_end_a_migration_that_adds_a_column(scattered: Warehouse) -> None:
    forget_column(scattered)
    change_view(scattered)
    readers, waited_at = migrate_beside_readers(scattered, VIEW)
    assert len(readers) > len(waited_at) > 0
    assert [reader.result().height for reader in readers] == [1] * len(readers)
    assert scattered.migrate(dry_run=True) == []


def test_a_migration_that_a_reader_ends_changes_nothing_and_says_so(scattered: Warehouse) -> None:
    forget_column(scattered)
    change_view(scattered)
    pending = scattered.migrate(dry_run=True)
    engine = sa.create_engine(scattered._url, poolclass=sa.NullPool)
    with ThreadPoolExecutor(1) as pool, engine.connect() as reader, engine.connect() as watcher:
        watcher.execution_options(isolation_level="AUTOCOMMIT")
        reader.exec_driver_sql("SET deadlock_timeout = '1h'")  # the server ends the migration, not the reader
        reader.exec_driver_sql('SELECT count(*) FROM "FactPatientFlow"')

        def read(connection: sa.Connection, statement: str) -> None:
            if statement.startswith("ALTER TABLE"):
                readers.append(pool.submit(reader.exec_driver_sql, f'SELECT count(*) FROM "{VIEW}"'))
                while not readers[-1].done() and lock_waits(watcher) == 0:
                    time.sleep(0.01)
            run_ddl(connection, statement)

        readers: list[Future[Any]] = []
        run_ddl = scattered.target.run_ddl
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scattered.target, "run_ddl", read)
            with pytest.raises(WarehouseConflict) as raised:
                scattered.migrate(dry_run=False)
        assert [each.result().scalar_one() for each in readers] == [0]
    said = str(raised.value)
    expected = "a load or a reader was in the way; nothing was changed: run `patient-flow warehouse migrate` again ("
    assert said.startswith(expected)
    assert scattered.migrate(dry_run=True) == pending


def test_readers_go_on_while_new_indexes_are_made(scattered: Warehouse) -> None:
    readers, waited_at = migrate_beside_readers(scattered, VIEW)
    assert [reader.result().height for reader in readers] == [1] * len(readers)
    assert waited_at
    assert not [statement for statement in waited_at if statement.startswith("CREATE INDEX")]


@pytest.mark.parametrize(
    "dependent",
    [
        'CREATE TABLE note (stay_key BIGINT REFERENCES "FactPatientFlow" (stay_key))',
        'CREATE VIEW own AS SELECT stay_key, gender FROM "FactPatientFlow" GROUP BY stay_key',
        'ALTER TABLE "FactPatientFlow" REPLICA IDENTITY USING INDEX "FactPatientFlow_pkey"',
        'ALTER TABLE "FactPatientFlow" ALTER admission_time_key DROP NOT NULL',
    ],
    ids=["a foreign key", "a view that groups by it", "a replication", "nothing, but an hour may be null"],
)
def test_a_key_on_which_something_depends_stays_and_the_rest_is_migrated(scattered: Warehouse, dependent: str) -> None:
    change_view(scattered)
    run(scattered, dependent)
    assert scattered.migrate(dry_run=False)
    assert key(scattered) == FORMER
    assert scattered.migrate(dry_run=True) == []


def test_a_table_without_a_primary_key_gets_the_declared_one(scattered: Warehouse) -> None:
    run(scattered, 'ALTER TABLE "FactPatientFlow" DROP CONSTRAINT "FactPatientFlow_pkey"')
    scattered.migrate(dry_run=False)
    assert key(scattered) == DECLARED
    assert scattered.migrate(dry_run=True) == []
