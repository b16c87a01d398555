"""Keeps Python's bytecode in pytest's cache where the environment forbids it beside the sources.

Loaded first of all (``-p`` in ``pyproject.toml``). The tests start dozens of Python processes; with
``PYTHONDONTWRITEBYTECODE`` each of them compiles Dagster and Polars again, for five seconds of a core.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
