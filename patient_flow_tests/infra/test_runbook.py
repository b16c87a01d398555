"""The runbook has a page for whatever may call somebody at night, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from patient_flow.alerts.findings import PAGES as PAGES_OF_ALERTS
from patient_flow.health.catalogue import ALL_CHECKS, RUNBOOK

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / RUNBOOK

OTHER_PAGES = ("README", *PAGES_OF_ALERTS)
"""Pages that belong to no check: the first look, and those of alerts."""

PAGES = sorted(path.stem for path in FOLDER.glob("*.md"))
CHECK_NAMES = [check.name for check in ALL_CHECKS]


def test_every_check_has_its_page_and_every_page_belongs_to_a_check_or_an_alert() -> None:
    assert set(CHECK_NAMES) | set(OTHER_PAGES) == set(PAGES)


@pytest.mark.parametrize("name", CHECK_NAMES)
def test_a_page_says_what_it_means_how_to_see_more_what_to_do_and_when_it_is_over(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    assert headings == [name, "What it means", "How to see more", "What to do", "When it is over"]
    assert len(text.splitlines()) < 50, "short: somebody reads this at three in the morning"


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere_and_commands_exist(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text):
        assert (FOLDER / link).exists(), f"{name}.md links to {link}"
    commands = (ROOT / "patient_flow" / "cli.py").read_text()
    for command in re.findall(r"`patient-flow ([a-z-]+)", text):
        assert f'"{command}"' in commands or f"def {command.replace('-', '_')}" in commands, command
