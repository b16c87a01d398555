"""Errors of the lake, and how delta-rs's and Polars' errors become one of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import polars as pl
from deltalake.exceptions import CommitFailedError, DeltaError

from patient_flow.errors import DataError, OperatorError, PatientFlowError, TransientError

STORE_ERRORS = (DeltaError, OSError)
"""Raised by delta-rs and Polars when the storage fails. The methods of this package raise :class:`LakeError` instead;
whoever collects a LazyFrame of the lake gets the original error."""
UNDECODABLE = (pl.exceptions.PanicException, pl.exceptions.ComputeError)
"""Raised by Polars when a Parquet file cannot be decoded, where :func:`is_undecodable` agrees."""
_EXPIRED = (
    "Invalid table version",
    "not found",
    "No files in log segment",
    "No table metadata or protocol found",
    "not the same as the specified end version",
)
"""delta-rs has no error class for a log that was cleaned up, a file that was deleted or a table that was replaced, only
these messages. A network failure has others: after it a consumer must retry, not read the whole table."""
REPAIR = "Launch the job `lake_repair`, or run `patient-flow lake repair`"
_BRANCH = re.compile(r"\s*(?:\x1b\[\d*m)*↳(?:\x1b\[\d*m)*\s*")


class LakeError(PatientFlowError):
    """The lake cannot be read or written; raised as one of the subclasses. The message names the table."""


class LakeUnavailable(LakeError, TransientError):
    """The storage does not answer or failed."""


class CommitConflict(LakeError, TransientError):
    """Another writer committed first; nothing was written. Open the table again and recompute."""


class LakeMisconfigured(LakeError, OperatorError):
    """Settings or stored values do not allow the request; the message says what to change."""


class SchemaDrift(LakeError, OperatorError):
    """The stored columns of a table differ from the declared ones in a way that only ``migrate`` repairs."""


class LakeDamaged(LakeError, OperatorError):
    """A file of the lake is missing, torn or changed; the message names it and the command that repairs the table."""

    def __init__(self, message: str, why: str = "", path: str = "") -> None:
        super().__init__(message)
        self.why, self.path = why, path


class ChangeFeedExpired(LakeError, DataError):
    """The requested changes or version are no longer kept; read the whole table instead."""


@contextlib.contextmanager
def wrap_errors(action: str, target: str) -> Iterator[None]:
    """Raises errors of the storage as :class:`LakeUnavailable`: one line with the failed ``action`` and its ``target``.

    A commit that lost against another writer's is a :class:`CommitConflict`. Polars panics where a Parquet file cannot
    be decoded, which is no ``Exception``: that is :class:`LakeDamaged`.
    """
    try:
        yield
    except CommitFailedError as error:
        raise CommitConflict(f"another writer changed {target} at the same time: {_one_line(error)}") from error
    except UNDECODABLE as error:
        if not is_undecodable(error):
            raise
        raise LakeDamaged(
            f"cannot {action} {target}: a data file cannot be decoded. {REPAIR}, which names it"
        ) from error
    except STORE_ERRORS as error:
        raise LakeUnavailable(f"cannot {action} {target}: {_one_line(error)}") from error


def is_undecodable(error: BaseException) -> bool:
    """True when ``error`` says that a Parquet file cannot be decoded. Polars panics then, or fails to compute."""
    return isinstance(error, pl.exceptions.PanicException) or (
        isinstance(error, pl.exceptions.ComputeError) and "parquet" in str(error).casefold()
    )


def history_error(error: Exception, target: str) -> LakeError:
    """The error of a failed read of ``target``: :class:`ChangeFeedExpired` if that was cleaned up or deleted."""
    if any(message in str(error) for message in _EXPIRED):
        return ChangeFeedExpired(f"no longer kept: {target}")
    return LakeUnavailable(f"cannot read {target}: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    """delta-rs prints its chain of causes as a coloured tree."""
    return " ".join(_BRANCH.sub(": ", str(error)).split())
