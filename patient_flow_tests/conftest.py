"""Fixtures and options that many tests share: the stack they run on, a hub in a thread, the shipped departments.

``pytest`` runs what one machine needs in minutes: the embedded stack, without tests marked ``long``. ``pytest --all``
adds the production stack, the long tests and the full number of Hypothesis examples. ``--stack`` and ``-m`` choose
more precisely.

A test that uses ``stack``, or a fixture made from it, runs once per chosen stack;
``@pytest.mark.embedded_only("why")`` keeps it on the embedded one. How a stack is made: ``stacks``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from patient_flow.local_hub.testing import HubThread
from patient_flow.pipeline import key_check
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.reference import read_departments
from patient_flow_tests import azure_client, examples
from patient_flow_tests.stacks import EMBEDDED, PRODUCTION, STACKS, Embedded, Production, Servers, Stack

_RAN_ON = "stack"
_SLOW = {"e2e", "scenarios"}
"""Folders of tests that start processes, or run whole micro-batches for each example."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--all`` and ``--stack``."""
    parser.addoption(
        "--all", action="store_true", help="both stacks, the tests marked long, and every Hypothesis example"
    )
    parser.addoption(
        "--stack",
        choices=(*STACKS, "both"),
        help="embedded: a folder and SQLite; production: Azurite and PostgreSQL (default: embedded, with --all both)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Applies ``--all`` before test modules are imported, in xdist's workers too."""
    runs_all = config.getoption("all")
    if config.option.stack is None:
        config.option.stack = "both" if runs_all else EMBEDDED
    if not runs_all and not config.option.markexpr:
        config.option.markexpr = "not long"
    suppressed = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    settings.register_profile(
        "patient_flow",
        deadline=None,
        suppress_health_check=suppressed,
        max_examples=examples.EVERY if runs_all else examples.FEW,
    )
    settings.load_profile("patient_flow")
    azure_client.poll_quickly()
    key_check.COST = 2  # in production a tenth of a second for each lake


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that uses a stack becomes one test per stack."""
    if "stack" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("stack")
    names: Sequence[object] = STACKS if asked == "both" else (asked,)
    if only := metafunc.definition.get_closest_marker("embedded_only"):
        skip = pytest.mark.skip(reason=f"embedded only: {only.args[0]}")
        names = [EMBEDDED if EMBEDDED in names else pytest.param(EMBEDDED, marks=skip)]
    metafunc.parametrize("stack", names, indirect=True, scope="session")


def pytest_itemcollected(item: pytest.Item) -> None:
    """The stack of a test travels with its report, which xdist's workers send home."""
    if isinstance(item, pytest.Function):
        on = item.callspec.params.get("stack", "no stack") if hasattr(item, "callspec") else "no stack"
        only = " only" if item.get_closest_marker("embedded_only") else ""
        item.user_properties.append((_RAN_ON, on + only))
        is_long = item.get_closest_marker("long") or "scenarios" in item.path.parts
        if on == PRODUCTION or is_long:  # code that coverage has already seen
            item.add_marker("no_cover")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests passed on each stack."""
    passed = Counter(dict(report.user_properties).get(_RAN_ON) for report in terminalreporter.getreports("passed"))
    if any(passed.get(name) for name in STACKS):
        said = ", ".join(f"{name}: {number}" for name, number in sorted(passed.items(), key=str))
        terminalreporter.write_line(f"passed per stack: {said}")


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling | None:
    """``loadfile``, but a file's tests on the one stack and on the other may go to different workers."""
    return _FileAndStack(config, log) if config.getoption("dist") == "loadfile" else None


class _FileAndStack(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _scope_of(nodeid)


def _scope_of(nodeid: str) -> str:
    """What one worker runs as a whole: the tests of a file on one stack."""
    stack = re.search(rf"[\[-]({'|'.join(STACKS)})[\]-]", nodeid)
    return f"{nodeid.split('::', 1)[0]}@{stack[1] if stack else ''}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, then those with many tests: workers that end with short files end together.

    On Azurite and PostgreSQL a test takes some five times as long.
    """
    tests = Counter[str]()
    for scope in (_scope_of(item.nodeid) for item in items):
        tests[scope] += 5 if scope.endswith(PRODUCTION) else 1
    long = {_scope_of(item.nodeid) for item in items if item.get_closest_marker("long") or _SLOW & set(item.path.parts)}
    items.sort(key=lambda item: ((scope := _scope_of(item.nodeid)) not in long, -tests[scope], scope))


@pytest.fixture(scope="session")
def running() -> Iterator[Servers]:
    """Servers that start when first asked for, one of each kind per worker."""
    with Servers() as started:
        yield started


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, running: Servers, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack of this test; whatever it makes is new and empty."""
    folder = tmp_path_factory.mktemp(request.param)
    return Embedded(folder) if request.param == EMBEDDED else Production(folder, running)


@pytest.fixture
def lake(stack: Stack) -> Iterator[Lake]:
    """An empty lake."""
    with stack.lakes(1) as (made,):
        yield made


@pytest.fixture
def lakes(stack: Stack) -> Callable[[int], AbstractContextManager[list[Lake]]]:
    """Makes so many empty lakes, for as long as a ``with`` block lasts."""
    return stack.lakes


@pytest.fixture
def instance(stack: Stack) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance with storage of its own."""
    with dg.DagsterInstance.from_config(str(stack.dagster_home())) as made:
        yield made


@pytest.fixture(scope="session")
def departments() -> pl.DataFrame:
    """The shipped list of 7 hospitals and 7 departments."""
    return read_departments()


@pytest.fixture
def hub_thread(tmp_path: Path) -> Iterator[HubThread]:
    """A local Event Hub named patient-flow with 4 partitions."""
    with HubThread(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def hub(hub_thread: HubThread) -> Hub:
    """The pipeline's view of that hub."""
    return Hub(connection=hub_thread.connection, host="127.0.0.1", name="patient-flow", consumer_group="$Default")
