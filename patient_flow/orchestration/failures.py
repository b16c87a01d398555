"""Errors of the pipeline as a run page shows them: one sentence, the page of the runbook, no chain of causes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg

from patient_flow.errors import OperatorError, PatientFlowError, TransientError
from patient_flow.monitoring import catalogue
from patient_flow.monitoring.rule import RUNBOOK
from patient_flow.monitoring.rules.disks import Disk
from patient_flow.pipeline.backlog import HubRefused
from patient_flow.settings import Settings
from patient_flow.stores.hub import HubUnavailable
from patient_flow.stores.lake.errors import STORE_ERRORS, LakeDamaged, LakeError, SchemaDrift
from patient_flow.stores.warehouse.errors import WarehouseError, WarehouseNotInitialised

MAX_RETRIES = 2
"""Retries of a step within a run; the last attempt shows its error as it is."""
_PAGES: tuple[tuple[type[Exception], str], ...] = (
    (HubRefused, catalogue.HUB_REFUSED.name),
    (HubUnavailable, catalogue.HUB_DOWN.name),
    (LakeDamaged, catalogue.DAMAGED_TABLE.name),
    (SchemaDrift, catalogue.SCHEMAS_MATCH.name),
    (WarehouseNotInitialised, catalogue.SCHEMAS_MATCH.name),
    (LakeError, catalogue.STORE_DOWN.name),
    (WarehouseError, catalogue.STORE_DOWN.name),
    (OperatorError, catalogue.SETTINGS_INVALID.name),
    *((error, catalogue.STORE_DOWN.name) for error in STORE_ERRORS),
)
"""Error → its page; the first that fits."""
_IS_FULL = (os.strerror(errno.ENOSPC).casefold(), os.strerror(errno.EDQUOT).casefold(), "disk is full", "os error 28")
_LACKS_A_COLUMN = re.compile("no such column|invalid column name|column .* does not exist", re.IGNORECASE)
_IS_DENIED = tuple(os.strerror(code).casefold() for code in (errno.EACCES, errno.EPERM, errno.EROFS))
_IS_LOCKED = ("database is locked", "database table is locked")


@contextmanager
def described(context: dg.OpExecutionContext | None = None, settings: Settings | None = None) -> Iterator[None]:
    """Raises errors of the package, and of its stores, as a Failure with one sentence and its page of the runbook.

    Transient ones may be retried, unless this is the step's last attempt. Bugs pass unchanged. ``settings`` name the
    disks whose free room an error about a full disk states.
    """
    try:
        yield
    except (PatientFlowError, *STORE_ERRORS) as error:
        may_pass = isinstance(error, TransientError) or not isinstance(error, PatientFlowError)
        attempts_left = context is None or context.retry_number < MAX_RETRIES
        disks = settings.disks if settings is not None and is_full(error) else ()
        raise failure_of(error, allow_retries=may_pass and attempts_left, disks=disks) from None


def failure_of(error: Exception, *, allow_retries: bool, disks: Sequence[Disk] = ()) -> dg.Failure:
    """The Failure that a run page shows for ``error``."""
    page = f"{RUNBOOK}/{page_of(error)}.md"
    return dg.Failure(
        f"{sentence_of(error, disks)} See {page}.",
        metadata={"runbook": dg.MetadataValue.text(page)},
        allow_retries=allow_retries,
    )


def page_of(error: Exception) -> str:
    """Name of the runbook page about ``error``."""
    if is_full(error):
        return catalogue.DISK_FULL.name
    return next((page for kind, page in _PAGES if isinstance(error, kind)), catalogue.RUN_FAILED.name)


def sentence_of(error: Exception, disks: Sequence[Disk] = ()) -> str:
    """What happened, and what to do where the error says it; ends with a full stop."""
    text = " ".join(str(error).split())
    if is_full(error):
        room = f" ({'; '.join(map(str, disks))})" if disks else ""
        text = f"The disk is full{room}: {text}"
    elif not isinstance(error, WarehouseError | HubUnavailable) and any(
        words in text.casefold() for words in _IS_DENIED
    ):
        text = (
            f"The account of the pipeline (user id {os.geteuid()}) may not read or write a file: give the permission "
            f"back, or mount the disk writable ({text})"
        )
    elif any(words in text for words in _IS_LOCKED):
        text = f"Another program has locked the warehouse, end it: {text}"
    elif isinstance(error, WarehouseError) and _LACKS_A_COLUMN.search(text):
        text = f"{text.rstrip('.')}: run `patient-flow warehouse migrate`"
    return text if text.endswith((".", "?", "!")) else f"{text}."


def is_full(error: Exception) -> bool:
    """True when a disk, or the share of it that is ours, has no room left."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error).casefold() for words in _IS_FULL)
