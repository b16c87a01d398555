"""What tests need and a machine may lack: without it they skip and say how to install it; where CI is set they fail."""

from __future__ import annotations

import importlib.util
import os
import shutil

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
