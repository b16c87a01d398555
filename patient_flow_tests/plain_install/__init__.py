"""Processes that can import what a plain installation has, and nothing of extras and dependency groups."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).parent


def canonical(name: str) -> str:
    """The name of a distribution as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def plain_distributions() -> set[str]:
    """The package and all that ``pip install patient-flow`` brings with it, by the metadata of installed versions."""
    found: set[str] = set()
    wanted = [("patient-flow", "")]
    seen = set(wanted)
    while wanted:
        name, extra = wanted.pop()
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # for another platform, or of an extra
            continue
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = {(canonical(requirement.name), more) for more in ("", *requirement.extras)}
                wanted += needed - seen
                seen |= needed
    return found


def extra_modules() -> set[str]:
    """Top-level modules that only extras and dependency groups install."""
    plain = plain_distributions()
    return {
        module
        for module, distributions in packages_distributions().items()
        if module != "patient_flow_tests" and not {canonical(name) for name in distributions} & plain
    }


def plain_environment() -> dict[str, str]:
    """Environment variables with which Python refuses to import :func:`extra_modules` (``sitecustomize.py``)."""
    path = os.pathsep.join(filter(None, [str(HERE / "site"), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "PLAIN_INSTALL_LACKS": ",".join(sorted(extra_modules()))}
