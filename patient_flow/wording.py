"""Numbers in sentences: words that agree with a number, and its digits as a language groups them."""

from __future__ import annotations

NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"


def plural(number: float, one: str, several: str = "", *, language: str = "en") -> str:
    """``1 event``, ``2,000 events``; ``several`` where it is more than ``one`` with an s.

    A verb comes along: ``plural(count, "event is", "events are")``. ``language`` is en or fr.
    """
    # 15 digits are what a float holds: 0.5 days are 0.5 days, and no count is rounded.
    digits = localized(f"{number:,.15g}", language)
    return f"{digits} {one if is_one(number, language) else several or f'{one}s'}"


def is_one(number: float, language: str) -> bool:
    """Whether the singular follows: in English with 1, in French with less than 2, also below 0."""
    return -2 < number < 2 if language == "fr" else number == 1


def localized(digits: str, language: str) -> str:
    """A number that is written as in English, ``1,234.5``, as ``language`` writes it: ``1 234,5`` in French."""
    return digits.replace(",", NARROW_SPACE).replace(".", ",") if language == "fr" else digits
