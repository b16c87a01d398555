"""Python imports this first, where the environment says so: it hides the modules that a plain installation lacks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

LACKING = frozenset(os.environ.get("PLAIN_INSTALL_LACKS", "").split(","))


class Hiding(MetaPathFinder):
    """Finds nothing, and says so before any other finder is asked."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Raises ``ModuleNotFoundError`` for hidden modules."""
        if fullname.partition(".")[0] in LACKING:
            raise ModuleNotFoundError(f"No module named {fullname!r} in a plain installation", name=fullname)


sys.meta_path.insert(0, Hiding())
