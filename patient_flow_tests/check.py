"""Everything that must hold before a change lands, without root: ``uv run python -m patient_flow_tests.check``.

Arguments go on to pytest: ``--all`` runs every test, as CI does, and with it the coverage floor of ``pyproject.toml``.
``.ci/run`` installs the programs that tests need and calls this.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
STATIC_CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))


def commands(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """What is run, in this order; coverage costs half as much time again, so only a complete run measures it."""
    coverage = ("--cov", "--cov-report=term:skip-covered") if "--all" in arguments else ()
    return [*STATIC_CHECKS, ("pytest", *coverage, *arguments)]


def main(arguments: Sequence[str]) -> int:
    """Runs the checks, stops at the first that fails, and gives its exit code."""
    for command in commands(arguments):
        print("$", *command, flush=True)  # noqa: T201
        exit_code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode
        if exit_code:
            return exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
