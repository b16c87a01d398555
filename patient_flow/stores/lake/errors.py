"""Errors of the lake, and how delta-rs's and Polars' errors become one of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from deltalake.exceptions import CommitFailedError, DeltaError

STORE_ERRORS = (DeltaError, OSError)
"""Raised by delta-rs and Polars when the storage fails. The methods of this package raise :class:`LakeError` instead;
whoever collects a LazyFrame of the lake gets the original error."""
_EXPIRED = (
    "Invalid table version",
    "not found",
    "No files in log segment",
    "No table metadata or protocol found",
    "not the same as the specified end version",
)
"""delta-rs has no error class for a log that was cleaned up, a file that was deleted or a table that was replaced, only
these messages. A network failure has others: after it a consumer must retry, not read the whole table."""
_BRANCH = re.compile(r"\s*(?:\x1b\[\d*m)*↳(?:\x1b\[\d*m)*\s*")


class LakeError(RuntimeError):
    """The lake cannot be read or written; the message names the table."""


class CommitConflict(LakeError):
    """Another writer committed first; nothing was written. Open the table again and recompute."""


class SchemaDrift(LakeError):
    """The stored columns of a table differ from the declared ones in a way that only ``migrate`` repairs."""


class ChangeFeedExpired(LakeError):
    """The requested changes or version are no longer kept; read the whole table instead."""


@contextlib.contextmanager
def wrap_errors(action: str, target: str) -> Iterator[None]:
    """Raises the storage's errors as :class:`LakeError`: one line that names the failed ``action`` and its ``target``.

    A commit that lost against another writer's is a :class:`CommitConflict`.
    """
    try:
        yield
    except CommitFailedError as error:
        raise CommitConflict(f"another writer changed {target} at the same time: {_one_line(error)}") from error
    except STORE_ERRORS as error:
        raise LakeError(f"cannot {action} {target}: {_one_line(error)}") from error


def history_error(error: Exception, target: str) -> LakeError:
    """:class:`ChangeFeedExpired` if ``target`` was cleaned up or deleted, :class:`LakeError` if a read failed."""
    if any(message in str(error) for message in _EXPIRED):
        return ChangeFeedExpired(f"no longer kept: {target}")
    return LakeError(f"cannot read {target}: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    """delta-rs prints its chain of causes as a coloured tree."""
    return " ".join(_BRANCH.sub(": ", str(error)).split())
