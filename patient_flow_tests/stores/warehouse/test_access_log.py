"""The access log: chains that show tampering, several processes, retention, and what each role may do with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from patient_flow.contracts.access_log import RETENTION_CHAIN, Entry, Kind, LogReader, head_entries
from patient_flow.stores.warehouse import access_log
from patient_flow.stores.warehouse.access_log import AccessLog, ChainWriter
from patient_flow.stores.warehouse.errors import AccessLogBroken, WarehouseError
from patient_flow.stores.warehouse.schema import ACCESS_LOG
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stacks import Servers
from patient_flow_tests.stores.warehouse.processes import VIEWS_PER_PROCESS
from patient_flow_tests.stores.warehouse.roles import guard, url_of

KEY = "a key of the tests"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOG = ACCESS_LOG.c


def view(at: datetime = NOW, viewer: str = "a. martin") -> Entry:
    return Entry(at, viewer, "page department=Pédiatrie", "hospitals *; departments *", Kind.PAGE, "r1")


def writer(warehouse: Warehouse, at: datetime = NOW) -> ChainWriter:
    return ChainWriter(AccessLog(warehouse), KEY, lambda: at)


def findings(warehouse: Warehouse, key: str = KEY) -> list[str]:
    return list(AccessLog(warehouse).review(key, NOW).findings)


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write names the heads, as if an hour had passed."""
    monkeypatch.setattr(access_log, "HEARTBEAT", timedelta(0))


@pytest.fixture(params=["sqlite", "postgresql"])
def logged(request: pytest.FixtureRequest, running: Servers, tmp_path: Path, always_due: None) -> Iterator[Warehouse]:
    """A warehouse in which one process has ended, a second one named its end, and a third one named the second."""
    is_server = request.param == "postgresql"
    warehouse = Warehouse(running.new_url() if is_server else f"sqlite:///{tmp_path}/warehouse.db", request.param)
    warehouse.init()
    first, second, third = (writer(warehouse) for _ in range(3))
    for _ in range(3):
        first.write([view(), view()])
    first.end()
    second.write([view()])
    second.write([view()])
    third.write([view()])
    yield warehouse
    warehouse.dispose()


def rows(warehouse: Warehouse) -> list[dict[str, object]]:
    with warehouse.reading() as connection:
        found = connection.execute(sa.select(ACCESS_LOG).order_by(LOG.chain, LOG.number))
        return [dict(row._mapping) for row in found]


def replace(warehouse: Warehouse, lines: list[dict[str, object]]) -> None:
    with warehouse.writing() as connection:
        connection.execute(sa.delete(ACCESS_LOG))
        if lines:
            connection.execute(sa.insert(ACCESS_LOG), lines)


def test_every_kind_of_tampering_shows(logged: Warehouse) -> None:
    lines = rows(logged)
    ended = next(line["chain"] for line in lines if line["kind"] == Kind.END)
    own = [line for line in lines if line["chain"] == ended]
    others = [line for line in lines if line["chain"] != ended]
    assert findings(logged) == []

    def changed(**values: object) -> list[dict[str, object]]:
        return [*others, *own[:2], {**own[2], **values}, *own[3:]]

    tampered = {
        **{f"changed {name}": changed(**{name: "x"}) for name in ("viewer", "what", "scope", "kind", "request_id")},
        "changed time": changed(at=NOW.replace(minute=1, tzinfo=None)),
        "deleted in the middle": [*others, *own[:2], *own[3:]],
        "deleted at the beginning": [*others, *own[1:]],
        "end cut off": [*others, *own[:-2]],
        "chain dropped": others,
        "inserted": [*lines, {**own[-1], "number": len(own) + 1}],
        "moved to another chain": [*lines, {**own[0], "chain": "f" * 32}],
        "two lines exchanged": [*others, {**own[1], "number": 3}, {**own[2], "number": 2}, own[0], *own[3:]],
        "renumbered after a deletion": [*others, own[0], *({**line, "number": n} for n, line in enumerate(own[2:], 2))],
    }
    for name, state in tampered.items():
        replace(logged, state)
        assert findings(logged), name
    replace(logged, lines)
    assert findings(logged) == []
    assert findings(logged, "another key") == [
        "No line fits PATIENT_FLOW_ACCESS_LOG_KEY: it is not the key that the lines were written with."
    ]


def test_an_end_that_nobody_has_named_yet_shows_with_the_next_line_of_its_process(warehouse: Warehouse) -> None:
    process = writer(warehouse)
    process.write([view(), view(), view()])
    with warehouse.writing() as connection:
        connection.execute(sa.delete(ACCESS_LOG).where(LOG.number > 2))
    process.write([view()])
    assert findings(warehouse) == [f"Lines 3 to 4 of chain {process._head.chain} are missing."]


def test_a_chain_without_end_is_named_once_it_is_silent(warehouse: Warehouse) -> None:
    killed, running = writer(warehouse, NOW - timedelta(hours=3)), writer(warehouse)
    killed.write([view(NOW - timedelta(hours=3))])
    running.write([view()])
    review = AccessLog(warehouse).review(KEY, NOW)
    assert (review.findings, review.unfinished) == ([], [killed._head.chain])


def test_a_line_whose_writing_failed_is_written_once(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AccessLog(warehouse)
    process = ChainWriter(log, KEY, lambda: NOW)
    append = log.append

    def fails(is_written: bool) -> Callable[[object], None]:
        def attempt(lines: object) -> None:
            if is_written:
                append(lines)  # type: ignore[arg-type]
            raise WarehouseError("the answer was lost")

        return attempt

    for is_written in (False, True):
        monkeypatch.setattr(log, "append", fails(is_written))
        with pytest.raises(WarehouseError):
            process.write([view(viewer=f"before {is_written}")])
        monkeypatch.setattr(log, "append", append)
        process.write([view(viewer=f"after {is_written}")])
    process.end()
    process.end()
    assert [line["viewer"] for line in rows(warehouse)] == [
        *("", "before False", "after False", "before True", "after True", "")
    ]
    assert findings(warehouse) == []


@pytest.mark.long
def test_processes_at_the_same_time_write_chains_of_their_own(running: Servers, tmp_path: Path) -> None:
    for kind, url in (("sqlite", f"sqlite:///{tmp_path}/w.db"), ("postgresql", running.new_url())):
        warehouse = Warehouse(url, kind)
        warehouse.init()
        script = Path(__file__).with_name("processes.py")
        started = [subprocess.Popen([sys.executable, script, "look", url, kind]) for _ in range(3)]
        assert [process.wait(120) for process in started] == [0] * 3
        review = AccessLog(warehouse).review("key", datetime.now(UTC))
        assert (review.findings, review.unfinished) == ([], [])
        assert (len(review.heads), sum(review.views.values())) == (3, 3 * VIEWS_PER_PROCESS)
        warehouse.dispose()


def test_retention_deletes_old_lines_and_the_rest_stays_verifiable(logged: Warehouse) -> None:
    log = AccessLog(logged)
    old = writer(logged, NOW - timedelta(days=500))
    old.write([view(NOW - timedelta(days=500), "long ago")] * 2)
    still_open = writer(logged, NOW - timedelta(days=400))
    still_open.write([view(NOW - timedelta(days=400), "long ago")])
    still_open.write([view(viewer="today")])
    for days in (0, 1, 2):  # the second and third pruning find nothing old
        at = NOW + timedelta(days=days)
        log.prune(KEY, at - timedelta(days=365), at)
        assert log.review(KEY, at).findings == []
    kept = {str(line["viewer"]) for line in rows(logged)}
    assert (kept & {"long ago", "today"}, old._head.chain in {head.chain for head in log.heads()}) == ({"today"}, False)
    # A year later everything but the newest lines goes, and the anchors of the first pruning are replaced.
    later = NOW + timedelta(days=400)
    still_open.write([view(later)])
    assert log.prune(KEY, later - timedelta(days=365), later) > 10
    review = log.review(KEY, later)
    assert (review.findings, len({head.chain for head in review.heads})) == ([], 2)
    anchors = [line for line in rows(logged) if line["chain"] == RETENTION_CHAIN]
    with logged.writing() as connection:
        connection.execute(sa.delete(ACCESS_LOG).where(LOG.chain == RETENTION_CHAIN))
    assert log.review(KEY, later).findings, "without its anchors the log is not intact"
    replace(logged, [*rows(logged), *anchors])
    assert log.review(KEY, later).findings == []


def test_retention_deletes_nothing_of_a_log_that_is_not_intact(logged: Warehouse) -> None:
    with logged.writing() as connection:
        connection.execute(sa.update(ACCESS_LOG).where(LOG.number == 2).values(viewer="somebody else"))
    before, later = rows(logged), NOW + timedelta(days=400)
    with pytest.raises(AccessLogBroken, match="nothing of it was deleted"):
        AccessLog(logged).prune(KEY, later - timedelta(days=365), later)
    assert rows(logged) == before


def test_a_process_that_starts_during_a_pruning_may_name_what_it_deletes(warehouse: Warehouse) -> None:
    log, long_ago = AccessLog(warehouse), NOW - timedelta(days=400)
    old = writer(warehouse, long_ago)
    old.write([view(long_ago)])
    heads = log.heads()
    log.prune(KEY, NOW - timedelta(days=365), NOW)
    late = ChainWriter(log, KEY, lambda: NOW)
    late._named_at = float("inf")  # it has read the heads before
    late.write(head_entries(Kind.HEADS, heads, NOW))
    assert findings(warehouse) == []


def test_many_heads_take_several_lines() -> None:
    heads = [access_log.Head(f"{number:032x}", 12345, "f" * 64) for number in range(100)]
    entries = head_entries(Kind.HEADS, heads, NOW)
    assert len(entries) > 3
    assert max(len(entry.what) for entry in entries) <= ACCESS_LOG.c.what.type.length
    lines = access_log.continued(KEY, access_log.Head("a"), entries)
    assert len(LogReader(KEY, NOW).read(lines).findings) == 50  # all are missing, and fifty are named


@pytest.fixture
def guarded(database: str) -> Iterator[str]:
    """A PostgreSQL warehouse under its access script, with one line in the log."""
    owner = Warehouse(database, "postgresql")
    guard(owner, {"nina": "reader", "screen": "dashboard", "lora": "loader"})
    with owner._engine.begin() as connection:
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO patient_flow_reader")
    writer(owner).write([view()])
    yield database
    owner.dispose()


def test_the_dashboard_only_adds_lines_readers_see_none_and_the_loader_prunes(guarded: str) -> None:
    nina, screen, lora = (Warehouse(url_of(user, guarded), "postgresql") for user in ("nina", "screen", "lora"))
    writer(screen, NOW - timedelta(days=400)).write([view(NOW - timedelta(days=400))])
    assert len(AccessLog(screen).heads()) == 2
    for statement in (
        'SELECT viewer FROM "AccessLog"',
        "UPDATE \"AccessLog\" SET viewer = '' RETURNING number",
        'DELETE FROM "AccessLog" RETURNING number',
        'INSERT INTO "AccessLog" SELECT * FROM "AccessLog" RETURNING number',
        'TRUNCATE "AccessLog"',
    ):
        with pytest.raises(WarehouseError, match="permission denied"):
            screen.query(statement)
    assert nina.query('SELECT * FROM "AccessLog"').is_empty()  # although somebody granted all tables
    with pytest.raises(WarehouseError, match=r"row-level security|permission denied"):
        writer(nina).write([view()])
    assert AccessLog(lora).prune(KEY, NOW - timedelta(days=365), NOW) == 2
    assert findings(lora) == []
    for warehouse in (nina, screen, lora):
        warehouse.dispose()


def test_a_warehouse_of_an_earlier_version_gets_the_table_by_migration(guarded: str) -> None:
    owner, lora, screen = (Warehouse(url_of(user, guarded), "postgresql") for user in ("postgres", "lora", "screen"))
    with owner._engine.begin() as connection:
        connection.exec_driver_sql('DROP VIEW "AccessLogHeads"')
        connection.exec_driver_sql('DROP TABLE "AccessLog"')
    lora.init()  # as each micro-batch does: the loader may create nothing
    assert set(lora.loaded_versions().values()) == {None}
    with pytest.raises(WarehouseError, match="Run `patient-flow warehouse migrate`"):
        AccessLog(screen).heads()
    shown = owner.migrate(dry_run=False)
    assert [statement.split("(")[0].strip() for statement in shown[:1]] == ['CREATE TABLE "AccessLog"']
    assert owner.migrate(dry_run=True) == []
    for warehouse in (owner, lora, screen):
        warehouse.dispose()
