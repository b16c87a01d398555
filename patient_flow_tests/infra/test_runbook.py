"""The runbook has a page for whatever may call somebody at night, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from patient_flow.cli import cli
from patient_flow.monitoring.catalogue import ALERTS, RULES
from patient_flow.monitoring.rule import RUNBOOK

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / RUNBOOK

PAGES = sorted(path.stem for path in FOLDER.glob("*.md"))
HEADINGS = ["What it means", "How to see more", "What to do", "When it is over"]


WITHOUT_A_RULE = {"erasure"}
"""Pages that an error message leads to, not a check or an alert."""


def test_every_rule_has_its_page_and_every_page_belongs_to_a_rule() -> None:
    assert {rule.name for rule in RULES} | {"README", *WITHOUT_A_RULE} == set(PAGES)


def test_the_index_lists_every_alert() -> None:
    index = (FOLDER / "README.md").read_text()
    assert [rule.name for rule in ALERTS if f"[{rule.name}]({rule.name}.md)" not in index] == []


@pytest.mark.parametrize("name", [rule.name for rule in RULES])
def test_a_page_has_meaning_diagnosis_remedy_and_end(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    assert headings == [name, *HEADINGS]
    assert len(text.splitlines()) < 50, "short: somebody reads this at three in the morning"


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere_and_commands_exist(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text):
        assert (FOLDER / link).exists(), f"{name}.md links to {link}"
    for command in re.findall(r"`patient-flow ([a-z-]+)", text):
        assert command in cli.commands
