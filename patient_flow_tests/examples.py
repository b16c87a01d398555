"""How many Hypothesis examples a property test runs: all of them under ``--all``, a share of them otherwise."""

from __future__ import annotations

from hypothesis import settings

EVERY = 100
"""Examples of a test that names no number, under ``--all``."""
FEW = 25
"""The same without ``--all``."""


def max_examples(every: int) -> settings:
    """Decorator for a property test: ``every`` examples under ``--all``, a quarter of them otherwise, 3 at least."""
    return settings(max_examples=scaled(every))


def scaled(every: int) -> int:
    """The same as a number."""
    share: int = settings.default.max_examples  # of the profile that conftest has loaded
    return max(3, every * share // EVERY)
