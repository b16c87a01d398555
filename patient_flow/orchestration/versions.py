"""Code versions: a fingerprint of the modules whose code determines the rows of a table.

They change with the code, without a number to maintain by hand. Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from pathlib import Path

from patient_flow.pipeline.graph import Step

WAREHOUSE = ("pipeline.load", "stores.warehouse.changes", "stores.warehouse.schema")
"""Modules that determine the rows of the warehouse's tables, besides gold."""

_PACKAGE = "patient_flow"
_PURE = ("transforms.", "dialects.", "contracts.")
_DECLARATIONS = ("contracts.",)


def code_version(step: Step) -> str:
    """Version of the code that makes the table of ``step``.

    All imports of pure modules count. Of the imports of the step's own module only contracts count, because that module
    also contains steps of other tables.
    """
    return fingerprint(step.modules)


@functools.cache
def fingerprint(modules: tuple[str, ...]) -> str:
    """12 hexadecimal digits that change with the code of ``modules`` and of those of their imports that count."""
    waiting, seen = list(modules), set(modules)
    digests = []
    while waiting:
        name = waiting.pop()
        digest, imported = _read(name)
        digests.append(f"{name} {digest}")
        waiting += sorted(imported - seen)
        seen |= imported
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()[:12]


@functools.cache
def _read(module: str) -> tuple[str, frozenset[str]]:
    """Digest of a module's code, and those of its imports that count."""
    tree = ast.parse(_source(module))
    followed = _PURE if module.startswith(_PURE) else _DECLARATIONS
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{_PACKAGE}."):
            base = node.module.removeprefix(f"{_PACKAGE}.")
            names = {f"{base}.{alias.name}" for alias in node.names}
            imported |= {name for name in {base, *names} if name.startswith(followed) and _place(name) is not None}
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant("")  # a docstring
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(imported)


def _source(module: str) -> str:
    place = _place(module)
    if place is None:
        raise ModuleNotFoundError(f"{_PACKAGE}.{module}")
    return place.read_text(encoding="utf-8")


def _place(module: str) -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    place = Path(spec.origin).parent / f"{module.replace('.', '/')}.py"
    return place if place.exists() else None
