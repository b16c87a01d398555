"""An installation without extras and dependency groups imports, runs and watches everything that needs no extra."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import patient_flow
from patient_flow_tests.e2e.processes import ROOT, Machine, micro_batch
from patient_flow_tests.e2e.visits import send, visits
from patient_flow_tests.plain_install import canonical, extra_modules, plain_distributions, plain_environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_EXTRAS = {
    # module: (extra, the only file that imports it, the words of its error)
    "dagster_msteams": ("teams", "orchestration/channels.py", "install patient-flow[teams]"),
    "pyspark": ("spark", "stores/cluster.py", "[spark]"),
    "pyarrow": ("spark", "stores/cluster.py", "[spark]"),
    "pandas": ("spark", "stores/cluster.py", "[spark]"),
}
BROUGHT = {"grpc": "grpcio", "requests": "requests"}
"""Modules of distributions that plain dependencies bring, pinned as constraints."""

IMPORT_EVERYTHING = """
import importlib, pkgutil, patient_flow
for module in pkgutil.walk_packages(patient_flow.__path__, "patient_flow."):
    if module.name != "patient_flow.__main__":
        importlib.import_module(module.name)
from patient_flow.orchestration.run_worker import preload
preload("patient_flow.definitions")
"""


def third_party_imports() -> Iterator[tuple[str, Path]]:
    """Top-level modules that the package imports anywhere, at the top or inside a function, with the file."""
    for file in sorted(Path(patient_flow.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, "patient_flow"}:
                yield name, file


def test_every_import_is_a_plain_dependency_or_an_extra_with_an_error_that_names_it() -> None:
    plain = {canonical(Requirement(line).name) for line in PROJECT["dependencies"]}
    known = packages_distributions()
    for name, file in third_party_imports():
        if name in OF_EXTRAS:
            extra, only, words = OF_EXTRAS[name]
            assert file == ROOT / "patient_flow" / only
            assert extra in PROJECT["optional-dependencies"]
            assert words in file.read_text()
        elif name in BROUGHT:
            assert BROUGHT[name] in plain_distributions(), name
        else:
            assert {canonical(owner) for owner in known.get(name, ())} & plain, f"{file}: {name}"


def test_modules_of_extras_and_groups_are_not_plain() -> None:
    optional = {"pyarrow", "pyspark", "dagster_msteams", "psycopg", "pytest", "scipy", "pandas"}
    assert optional & extra_modules() == optional & set(packages_distributions())
    assert not {"polars", "deltalake", "numpy", "dagster", "azure", "grpc", "requests"} & extra_modules()


@pytest.mark.long
def test_a_plain_installation_imports_every_module_and_runs_a_micro_batch(tmp_path: Path) -> None:
    plain = plain_environment()
    with Machine(tmp_path / "machine") as machine:
        hub = machine.start("hub", "patient-flow", "hub", **plain)
        hub.wait_for("^ready: ")
        send(machine.connection, [visit.body for visit in visits(20, datetime.now(UTC))])
        machine.run("python", "-c", IMPORT_EVERYTHING, **plain).assert_success()
        machine.run(*micro_batch(), **plain).assert_success()
        status = machine.run("patient-flow", "status", **plain)
        status.assert_success()
        hub.interrupt()
