"""The package keeps to the architecture that ``layers.toml`` declares: import order, libraries, pure parts, sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import patient_flow

ROOT = Path(patient_flow.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
RULES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("layers.toml").read_text())
PARTS: dict[str, list[str]] = RULES["parts"]
PURITY, SIZE, WORKERS = RULES["purity"], RULES["size"], RULES["workers"]


def name_of(module: Path) -> str:
    return str(module.relative_to(ROOT))


def part_of(module: Path) -> str:
    return module.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def imports(module: Path) -> set[str]:
    """Full names of what a module imports, relative imports resolved."""
    package = ["patient_flow", *module.relative_to(ROOT).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, [base, node.module]))
            found |= {f"{name}.{alias.name}" for alias in node.names}
    return found


def attributes(module: Path) -> set[str]:
    return {node.attr for node in ast.walk(parsed(module)) if isinstance(node, ast.Attribute)}


def test_the_declared_parts_are_the_parts_of_the_package() -> None:
    assert {part_of(module) for module in MODULES} - {"__init__"} == set(PARTS)


def test_the_declared_imports_contain_no_cycle() -> None:
    remaining = {part: set(others) for part, others in PARTS.items()}
    while lowest := {part for part, others in remaining.items() if not others & set(remaining)}:
        remaining = {part: others for part, others in remaining.items() if part not in lowest}
    assert not remaining


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_imports_only_the_parts_below_its_own(module: Path) -> None:
    part = part_of(module)
    known = {name.split(".")[1] for name in imports(module) if name.startswith("patient_flow.")}
    assert known - {part, "errors", "wording"} <= set(PARTS.get(part, ()))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_library_is_imported_only_by_its_declared_parts(module: Path) -> None:
    libraries = {name.split(".")[0] for name in imports(module)}
    declared: dict[str, list[str]] = RULES["libraries"]
    misplaced = {name for name in libraries & set(declared) if part_of(module) not in declared[name]}
    assert not misplaced


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) in PURITY["parts"]], ids=name_of)
def test_a_pure_part_uses_neither_io_nor_a_clock(module: Path) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & set(PURITY["forbidden_imports"])
    assert not attributes(module) & set(PURITY["forbidden_attributes"])


def test_only_the_declared_parts_read_the_environment() -> None:
    def reads_environment(module: Path) -> bool:
        return any(
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and f"{node.value.id}.{node.attr}" in ("os.environ", "os.getenv")
            for node in ast.walk(parsed(module))
        )

    assert {part_of(module) for module in MODULES if reads_environment(module)} <= set(RULES["environment"]["readers"])


def test_no_process_is_started_in_a_way_that_forks_this_one() -> None:
    """These arguments keep subprocess from vfork, and a fork of a process with gRPC's threads crashes now and then."""
    forking = {"preexec_fn", "user", "group", "extra_groups"}

    def starts_by_fork(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "subprocess"
            and any(keyword.arg is None or keyword.arg in forking for keyword in node.keywords)
        )

    modules = [*MODULES, *sorted(Path(__file__).parent.rglob("*.py"))]
    assert not [str(module) for module in modules if any(map(starts_by_fork, ast.walk(parsed(module))))]


def test_a_module_is_short_or_has_a_reason_not_to_be() -> None:
    long = {name_of(module) for module in MODULES if len(module.read_text().splitlines()) > SIZE["max_lines"]}
    assert long == set(SIZE["modules"])


def test_a_class_is_small_or_has_a_reason_not_to_be() -> None:
    def methods(node: ast.ClassDef) -> int:
        return sum(isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) for item in node.body)

    large = {
        f"{name_of(module)}:{node.name}"
        for module in MODULES
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.ClassDef) and methods(node) > SIZE["max_methods"]
    }
    assert large == set(SIZE["classes"])


def test_workers_of_a_cluster_need_few_packages() -> None:
    loaded, packages = loaded_by(*WORKERS["entry_points"])
    assert {name for name in loaded if name.startswith(tuple(WORKERS["heavy_parts"]))} == set(WORKERS["loaded"])
    assert packages - {"patient_flow"} <= set(WORKERS["packages"])


def test_the_client_of_a_cluster_is_not_loaded_before_it_is_needed() -> None:
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
