"""Commit messages keep to the form of ``.github/CONTRIBUTING.md``, from the commit on that introduced it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAST_OF_THE_OLD_FORM = "names: use standard terms for shared names across rooms"
LANDED_IN_ANOTHER_FORM = {"access log: record who looked, in chains that show tampering"}
"""The area is a folder or module, without a blank; history is not rewritten for it."""
MAX_SUBJECT = 72
AREA = r"[a-z0-9][a-z0-9_./-]*"
SUBJECT = re.compile(rf"{AREA}(?:, {AREA})*: [^\sA-Z].*[^\s.]")


def faults(message: str) -> list[str]:
    """What a commit message lacks."""
    subject, _, rest = message.strip().partition("\n")
    return [
        fault
        for fault, is_there in (
            (f"more than {MAX_SUBJECT} characters", len(subject) > MAX_SUBJECT),
            ("not of the form `area: what it does`", not SUBJECT.fullmatch(subject)),
            ("no body after an empty line", not rest.startswith("\n") or not rest.strip()),
        )
        if is_there
    ]


def new_messages() -> list[str]:
    """Messages since the form was introduced; none where the history does not reach back to it."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return []
    log = subprocess.run(
        [git, "-c", "safe.directory=*", "log", "--no-merges", "--format=%B%x00"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    messages = [message.strip() for message in log.stdout.split("\0") if message.strip()]
    subjects = [message.partition("\n")[0] for message in messages]
    return messages[: subjects.index(LAST_OF_THE_OLD_FORM)] if LAST_OF_THE_OLD_FORM in subjects else []


def test_new_commits_keep_to_the_form() -> None:
    found = {message.partition("\n")[0]: faults(message) for message in new_messages()}
    assert {subject for subject, wrong in found.items() if wrong} <= LANDED_IN_ANOTHER_FORM


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("probe: apply the timeout to the lake read\n\nIt waited for ever.", 0),
        ("stores, pipeline: name the checkpoints\n\nOne name for one thing.", 0),
        ("probe: apply the timeout to the lake read", 1),
        ("What no retry heals is said in one place for every step\n\nWhy.", 1),
        ("probe: Apply the timeout.\n\nWhy.", 1),
        (f"probe: {'x' * 66}\n\nWhy.", 1),
        (f"Probe {'x' * 70}", 3),
    ],
)
def test_the_form_is_recognised(message: str, number: int) -> None:
    assert len(faults(message)) == number
