"""Whether a secret key is strong enough that nobody finds it by guessing.

An estimate, not a proof: it recognises short keys, repetitions, sequences and keys of few different characters.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Sequence

from patient_flow.wording import plural

MIN_CHARACTERS = 32
MIN_BITS = 78
"""Of estimated entropy. 32 random hexadecimal digits have 81 to 120."""
NEW_KEY = "python -c 'import secrets; print(secrets.token_hex(32))'"
"""The command that makes a strong key."""


def weakness(key: str) -> str | None:
    """Why ``key`` can be guessed, as the end of a sentence; None for a strong one. It never contains the key."""
    if len(key) < MIN_CHARACTERS:
        return f"has {plural(len(key), 'character')}; at least {MIN_CHARACTERS} are needed"
    if _bits(key) < MIN_BITS:
        return "repeats itself or has too few different characters"
    return None


def _bits(key: str) -> float:
    """The lowest of three estimates: by characters, by the steps between them, and without what repeats."""
    points = [ord(character) for character in key]
    steps = [later - earlier for earlier, later in itertools.pairwise(points)]
    unrepeated = len(zlib.compress(key.encode(), 9)) - len(zlib.compress(b""))
    return min(_entropy(points), _entropy(steps), unrepeated * _entropy(points) / len(key))


def _entropy(values: Sequence[int]) -> float:
    """Shannon entropy of ``values`` in bits, from their own frequencies."""
    total = len(values)
    return -sum(count * math.log2(count / total) for count in Counter(values).values())
