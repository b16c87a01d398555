"""The import order of the layers: this list is the diagram."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import patient_flow

ROOT = Path(patient_flow.__file__).parent

MAY_IMPORT = {
    "settings": set(),
    "contracts": set(),
    "transforms": {"contracts"},
    "dialects": {"contracts", "transforms"},
    "health": {"contracts"},
    "monitoring": {"contracts"},
    "stores": {"contracts"},
    "pipeline": {"contracts", "monitoring", "transforms", "stores"},
    "local_hub": {"settings"},
    "simulator": {"settings", "contracts"},
    "services": {"settings", "dialects", "transforms", "stores"},
    "powerbi": {"contracts"},
    "dashboard": {"contracts", "services", "settings", "stores", "transforms"},
    "status": {"contracts", "monitoring", "pipeline", "services", "stores"},
    "operations": {"contracts", "pipeline", "services", "stores"},
    "alerts": {"monitoring"},
    "orchestration": {
        "alerts",
        "contracts",
        "dialects",
        "health",
        "monitoring",
        "operations",
        "pipeline",
        "services",
        "settings",
        "stores",
    },
    "definitions": {"orchestration"},
    "demo": {"orchestration", "services", "settings", "status"},
    "cli": {
        "dashboard",
        "demo",
        "dialects",
        "local_hub",
        "operations",
        "pipeline",
        "powerbi",
        "services",
        "settings",
        "simulator",
        "status",
        "stores",
    },
    "__main__": {"cli"},
}
"""Part of the package → the other parts it may know. Nothing points upwards."""

ONLY_PLACE_FOR = {
    "dagster": {"orchestration", "definitions"},
    "dagster_msteams": {"orchestration"},
    "smtplib": {"orchestration"},
    "deltalake": {"stores"},
    "pyspark": {"stores"},
    "pyarrow": {"stores"},
    "grpc": {"stores", "orchestration"},  # there: of Dagster's own processes
    "sqlalchemy": {"stores", "orchestration"},  # there: Dagster's own tables
    "pyodbc": {"stores"},
    "azure": {"stores", "simulator"},
    "click": {"cli", "status", "demo"},
}
"""Library → the parts that may import it."""

PURE = ("contracts", "transforms", "dialects", "health", "monitoring", "alerts")
NOT_PURE = {"os", "io", "logging", "pathlib", "random", "socket", "time", "subprocess"}
CLOCKS = {"now", "utcnow", "today"}

MODULES = sorted(ROOT.rglob("*.py"))


def part_of(module: Path) -> str:
    return module.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(module: Path) -> set[str]:
    """Full names of what a module imports, relative imports resolved."""
    package = ["patient_flow", *module.relative_to(ROOT).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, [base, node.module]))
            found |= {f"{name}.{alias.name}" for alias in node.names}
    return found


def test_every_part_of_the_package_has_its_place_in_the_diagram() -> None:
    assert {part_of(module) for module in MODULES} - {"__init__"} <= set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(module: Path) -> None:
    part = part_of(module)
    known = {name.split(".")[1] for name in imports(module) if name.startswith("patient_flow.")}
    assert known - {part} <= MAY_IMPORT.get(part, set())


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_each_outside_library_is_known_in_one_place(module: Path) -> None:
    libraries = {name.split(".")[0] for name in imports(module)}
    for library, places in ONLY_PLACE_FOR.items():
        assert library not in libraries or part_of(module) in places, library


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) in PURE], ids=lambda m: m.name)
def test_pure_parts_read_neither_clock_nor_surroundings(module: Path) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & NOT_PURE
    calls = {node.attr for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Attribute)}
    assert not calls & CLOCKS


def test_settings_are_the_only_reader_of_the_environment() -> None:
    readers = {part_of(module) for module in MODULES if {"os.environ", "os.getenv"} & reads(module)}
    assert readers <= {"settings", "demo"}  # the demo hands its own environment on to the processes it starts


def reads(module: Path) -> set[str]:
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


LIGHT = (
    "patient_flow.stores.cluster",
    "patient_flow.pipeline.workers",
    "patient_flow.dialects.hl7",
    "patient_flow.dialects.fhir",
    "patient_flow.dialects.mapping",
)
"""What a cluster's workers import."""

WORKERS_HAVE = {"polars", "_polars_runtime_32", "msgspec", "hl7", "typing_extensions", "_distutils_hack"}
"""What infra/docs/cluster.md says, and what is used where it happens to be there."""


def test_workers_of_a_cluster_need_few_packages() -> None:
    loaded, packages = loaded_by(*LIGHT)
    ours = {name for name in loaded if name.startswith(("patient_flow.pipeline.", "patient_flow.stores."))}
    assert ours == {"patient_flow.pipeline.workers", "patient_flow.stores.cluster"}
    assert packages - {"patient_flow"} <= WORKERS_HAVE


def test_the_client_of_a_cluster_is_loaded_where_it_is_asked_for() -> None:
    loaded, _ = loaded_by("patient_flow.cli", "patient_flow.operations")
    assert not loaded & {"pyspark", "pyarrow", "grpc", "pandas"}


def loaded_by(*modules: str) -> tuple[set[str], set[str]]:
    """All modules that a fresh Python has loaded after importing these, and the installed packages among them."""
    program = (
        f"import {', '.join(modules)}\nimport sys\nloaded = set(sys.modules)\n"
        "from importlib.metadata import packages_distributions as known\n"
        "print(*loaded)\nprint(*{name.partition('.')[0] for name in loaded} & set(known()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded, packages = (set(line.split()) for line in done.stdout.splitlines())
    return loaded, packages
