"""Numbers in a table's log that identify a secret key, and from which nobody can find the key by trying.

A fast hash would let whoever has the lake test millions of keys a second. This one takes a tenth of a second and 32 MiB
for each key and lake.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from patient_flow.stores.lake.table import LakeTable

COST = 2**15
"""Of scrypt, with blocks of 1 KiB."""
_BLOCK, _MAX_BYTES = 8, 2**26


def key_check(secret: str, purpose: str, table: LakeTable) -> int:
    """63-bit number of ``secret`` as it is used for ``purpose`` in ``table``; another table has another number."""
    return _number(secret, f"{purpose}\x1f{table.identity}", COST)


@lru_cache(maxsize=64)
def _number(secret: str, salt: str, cost: int) -> int:
    digest = hashlib.scrypt(secret.encode(), salt=salt.encode(), n=cost, r=_BLOCK, p=1, maxmem=_MAX_BYTES, dklen=8)
    return int.from_bytes(digest, "big") >> 1
