"""What tests need and a machine may lack: without it they skip and say how to install it; where CI is set they fail."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest


def require(found: object, what: str, command: str) -> None:
    """Skips the test when a program is not there; fails it where CI is set, so that nothing is skipped unseen."""
    if found:
        return
    message = f"{what} is not installed: {command}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def require_program(name: str, install: str) -> str:
    """Path of a program."""
    found = shutil.which(name)
    require(found, name, install)
    return str(found)


def require_module(name: str, install: str) -> None:
    """For the top of a test module: without package ``name`` it is skipped as a whole."""
    if importlib.util.find_spec(name) is None:
        missing = f"{name} is not installed: {install}"
        if os.environ.get("CI"):
            raise ModuleNotFoundError(missing)
        pytest.skip(missing, allow_module_level=True)


def require_npm_package(name: str, version: str) -> Path:
    """The folder in which Node.js finds npm's package ``name``: of ``NODE_PATH``, or that of global packages."""
    npm = require_program("npm", "apt-get install npm")
    shared = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=True).stdout.strip()
    folders = [Path(folder) for folder in (*os.environ.get("NODE_PATH", "").split(os.pathsep), shared) if folder]
    found = next((folder for folder in folders if (folder / name).is_dir()), None)
    require(found, f"the package {name}", f"npm install --global {name}@{version}")
    assert found is not None
    return found
