"""Patterns in a mapping file: regular expressions whose cost stays bounded, whatever text they are tried on."""

from __future__ import annotations

import re

from patient_flow.dialects.mapping_checks import Place, expect_text
from patient_flow.wording import plural

MAX_REPETITIONS = 3
"""Repetitions without an upper limit: each one may multiply the steps by the length of the text."""

_QUANTIFIER = re.compile(r"[*+]|\{\d*(?P<comma>,)?\d*\}")
_UNBOUNDED = re.compile(r"[*+]|\{\d*,\}")


def parse_pattern(
    value: object, place: Place, *, groups: int | None = None, ignore_case: bool = False
) -> re.Pattern[str]:
    """The pattern ``value``, with as many ``groups`` as asked for.

    Raises ``MappingError`` for a text that is no pattern, or one whose cost can explode.
    """
    text = expect_text(value, place)
    try:
        pattern = re.compile(text, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise place.error(f"{text!r} is no pattern: {error}") from None
    if groups is not None and pattern.groups != groups:
        raise place.error(
            f"the pattern {text!r} has {plural(pattern.groups, 'group')}: put exactly one pair of parentheses around "
            "the part that counts, and write (?:...) for others"
        )
    plain = _without_literals(text)
    if _repeats_a_choice(plain) or len(_UNBOUNDED.findall(plain)) > MAX_REPETITIONS or re.search(r"\\[1-9]", text):
        raise place.error(
            f"the pattern {text!r} may take very long on some texts: no repetition of a group that holds a repetition "
            f"or a choice, at most {MAX_REPETITIONS} of * and +, and no reference to a group"
        )
    return pattern


def _without_literals(text: str) -> str:
    """``text`` with a letter in place of every escaped character and every set, and without marks after ``(?``."""
    plain = re.sub(r"\\.", "x", text, flags=re.DOTALL)
    plain = re.sub(r"\[\^?\]?[^\]]*\]", "x", plain)
    return re.sub(r"\(\?(P<\w+>|[:=!]|<[=!]|[a-zA-Z-]+:?)", "(", plain)


def _repeats_a_choice(plain: str) -> bool:
    """True where a group that holds a repetition or a choice is repeated itself."""
    opened: list[int] = []
    for place, character in enumerate(plain):
        if character == "(":
            opened.append(place)
        elif character == ")" and opened:
            inside = plain[opened.pop() + 1 : place]
            after = _QUANTIFIER.match(plain, place + 1)
            if after and (re.search(r"[*+?|]|\{", inside)):
                return True
    return False
