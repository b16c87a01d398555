"""The README's commands exist, and something runs each of them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from patient_flow.cli import cli
from patient_flow_tests.e2e import processes
from patient_flow_tests.e2e.processes import ROOT

RUN_BY = {
    "pip install uv": ".ci/run",
    "uv run pytest": "patient_flow_tests/check.py",
    "uv run python -m patient_flow_tests.check": ".ci/run",
    "uv run python -m patient_flow_tests.benchmarks": "patient_flow_tests/benchmarks/test_suite.py",
    "uv run dagster dev": "patient_flow_tests/e2e/test_dagster_dev.py",
    "uv run dagster asset materialize --select '*' -m patient_flow.definitions": (
        "patient_flow_tests/e2e/test_foreign_producer.py"
    ),
    "uv run dagster asset materialize --select gold/dim_time -m patient_flow.definitions": (
        "patient_flow_tests/test_cli.py"
    ),
    "uv run patient-flow demo": "patient_flow_tests/e2e/test_demo.py",
    "uv run patient-flow hub": "patient_flow_tests/e2e/processes.py",
    "uv run patient-flow simulate --days 1": "patient_flow_tests/e2e/test_kills.py",
    "uv run patient-flow dashboard": "patient_flow_tests/e2e/test_demo.py",  # the demo starts it
    "uv run patient-flow lake check": "patient_flow_tests/test_cli.py",
    "uv run patient-flow mapping --help": "patient_flow_tests/test_trial.py",
    "uv run patient-flow departments check departments.csv": "patient_flow_tests/test_cli.py",
    "uv run patient-flow status": "patient_flow_tests/test_cli.py",
    "uv run patient-flow rebuild": "patient_flow_tests/e2e/test_foreign_producer.py",
    "uv run patient-flow replay-quarantine": "patient_flow_tests/e2e/test_foreign_producer.py",
    "uv run patient-flow erase --patient 4711 --dry-run": "patient_flow_tests/test_cli.py",
    "uv run patient-flow warehouse verify": "patient_flow_tests/e2e/test_foreign_producer.py",
    "uv run patient-flow warehouse reload": "patient_flow_tests/e2e/test_foreign_producer.py",
    "uv run patient-flow access-log verify": "patient_flow_tests/test_cli.py",
    "uv run patient-flow warehouse ddl --dialect synapse": "patient_flow_tests/test_cli.py",
}
"""Command → the file that runs it."""
OURS = "uv run patient-flow "
WORDS_OF_A_COMMAND = ("pip ", "uv ", "dagster ", "patient-flow ", "python ")


def fenced_lines() -> list[str]:
    """Lines of the fenced blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def commands() -> list[str]:
    """Commands of the fenced blocks, without their comments; diagrams hold none."""
    lines = (line.split(" #")[0].strip() for line in fenced_lines())
    found = (part.strip() for line in lines if line.startswith(WORDS_OF_A_COMMAND) for part in line.split("&&"))
    return list(dict.fromkeys(found))


def test_the_two_commands_of_a_newcomer_are_there() -> None:
    assert {"pip install uv", "uv run patient-flow demo", "uv run pytest"} <= set(commands())


@pytest.mark.parametrize("command", [command for command in commands() if command.startswith(OURS)])
def test_our_commands_exist_with_the_options_that_are_shown(command: str) -> None:
    words = shlex.split(command.removeprefix(OURS))
    shown = CliRunner().invoke(cli, [*words_before_options(words), "--help"])
    assert shown.exit_code == 0, shown.output
    assert all(word in shown.output for word in words if word.startswith("--"))


@pytest.mark.parametrize("command", commands())
def test_every_command_is_run_by_a_test_or_by_ci(command: str) -> None:
    """The file, or the helpers of ``processes``, contain the command's words; options and values may differ."""
    own = words_before_options(shlex.split(command.removeprefix("uv run ").removeprefix("patient-flow ")))
    text = (ROOT / RUN_BY[command]).read_text() + Path(processes.__file__).read_text()
    assert [word for word in own if word not in text] == []


def test_the_table_names_no_command_that_the_readme_no_longer_has() -> None:
    assert set(RUN_BY) <= set(commands())


def words_before_options(words: list[str]) -> list[str]:
    """Names of command and subcommand."""
    return words[: next((place for place, word in enumerate(words) if word.startswith("--")), len(words))]
