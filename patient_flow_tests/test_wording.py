"""Words agree with the number before them, in every message of the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import patient_flow
from patient_flow.wording import plural

ROOT = Path(patient_flow.__file__).parent
PLURALS = (
    "attendances|beds|bytes|chains|changes|characters|columns|corrections|days|deliveries|departments|differences|"
    "events|faults|files|forecasts|groups|hospitals|hours|kinds|lines|mappings|members|messages|minutes|months|"
    "numbers|partitions|patients|points|rows|runs|seconds|stays|tables|times|values|versions|visits|weeks|years|"
    "heures|jours|lits|semaines|services"
)
BEFORE_THEM = "accepted|different|event|free|more|occupied|open|patient|quarantined|sequence|visit"
AFTER_A_NUMBER = re.compile(rf" (?:of its )?(?:(?:{BEFORE_THEM}) )?(?:{PLURALS})\b")
IN_A_TEMPLATE = re.compile(
    rf"(?:%[ds]|{{(?!needed\b|days\b|years\b|points\b|band\b)[a-z]\w*}}){AFTER_A_NUMBER.pattern}"
)
"""Also in texts that are formatted later, but for five numbers that are always more than one."""
NO_NUMBER_OR_CONSTANT = re.compile(r"plural\(|(?:\w+\.)?_?[A-Z][A-Z_]+\b(?!\()")
EXCEPTIONS = {
    ("dashboard/access.py", "len(values)"): "two or more",
    ("monitoring/messages.py", "alert.returns"): "two or more",
    ("simulator/run.py", "self.days"): "journals hold the options of their feed in these words",
    ("transforms/details.py", "int(span.total_seconds() // 60)"): "the quarantine holds these details",
    ("trial/suggest.py", "form"): "a name",
}


def numbers_before_a_plural(module: Path) -> Iterator[str]:
    """Placeholders that a plural follows, but for constants and numbers in a column (``{rows:>12,}``)."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and IN_A_TEMPLATE.search(node.value):
            yield node.value
        if not isinstance(node, ast.JoinedStr):
            continue
        for shown, following in zip(node.values, node.values[1:], strict=False):
            if isinstance(shown, ast.FormattedValue) and isinstance(following, ast.Constant):
                value, spec = ast.unparse(shown.value), ast.unparse(shown.format_spec) if shown.format_spec else ""
                is_given = NO_NUMBER_OR_CONSTANT.match(value) or ">" in spec or "<" in spec
                if AFTER_A_NUMBER.match(str(following.value)) and not is_given:
                    yield value


@pytest.mark.parametrize("module", sorted(ROOT.rglob("*.py")), ids=lambda module: str(module.relative_to(ROOT)))
def test_no_message_has_a_plural_for_every_number(module: Path) -> None:
    """``plural(rows, "row")`` says ``1 row``; ``f"{rows} rows"`` does not."""
    name = module.relative_to(ROOT).as_posix()
    assert {value for value in numbers_before_a_plural(module) if (name, value) not in EXCEPTIONS} == set()


@pytest.mark.parametrize(
    ("number", "one", "several", "language", "text"),
    [
        (0, "event", "", "en", "0 events"),
        (1, "event", "", "en", "1 event"),
        (2_000, "event", "", "en", "2,000 events"),
        (12_345_678_901, "byte", "", "en", "12,345,678,901 bytes"),
        (1, "event is", "events are", "en", "1 event is"),
        (2, "event is", "events are", "en", "2 events are"),
        (1.0, "day", "", "en", "1 day"),
        (0.2, "day", "", "en", "0.2 days"),
        (0, "patient", "", "fr", "0 patient"),
        (1.5, "heure", "", "fr", "1,5 heure"),
        (2, "heure", "", "fr", "2 heures"),
        (1_200, "heure", "", "fr", "1\N{NARROW NO-BREAK SPACE}200 heures"),
    ],
)
def test_words_agree_with_their_number(number: float, one: str, several: str, language: str, text: str) -> None:
    assert plural(number, one, several, language=language) == text
