"""The pipeline and the systems it depends on: runs, checks, notices of the hub, stores that do not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from patient_flow.contracts.access_log import VIEWS, Review
from patient_flow.monitoring.finding import Finding, Row, Severity, error, ok
from patient_flow.monitoring.notices import EventsExpired, HubRecreated, Notice, describe

MICRO_BATCH = "micro_batch"
"""The job that patients' data waits for; a failure of another one can wait until the morning."""


@dataclass(frozen=True)
class FinishedRun:
    """The newest finished run of a job; ``cause`` names the step and the kind of error, never values."""

    job: str
    run_id: str
    succeeded: bool
    cause: str = ""


@dataclass(frozen=True)
class RetriedRun:
    """A running job with a step that failed and is tried again; ``cause`` as in :class:`FinishedRun`."""

    job: str
    run_id: str
    cause: str


@dataclass(frozen=True)
class CheckResult:
    """The newest evaluation of an asset check."""

    asset: str
    check: str
    severity: Severity
    message: str


LISTED_DAYS = 31


def access_log_intact(review: Review) -> Finding:
    """The access log shows no tampering. Rows: views per day and kind; names of viewers stay in the log."""
    figures = {
        "lines": review.lines,
        "chains": len(review.heads),
        "views": sum(review.views.values()),
        "chains without an end": len(review.unfinished),
    }
    days = sorted({day for day, _ in review.views}, reverse=True)[:LISTED_DAYS]
    rows: list[Row] = [
        {"date": day, **{kind.value: review.views.get((day, kind), 0) for kind in VIEWS}} for day in days
    ]
    if review.findings:
        return error(" ".join(review.findings[:3]), {**figures, "findings": len(review.findings)}, rows)
    return ok(
        f"{review.summary}.",
        figures,
        rows,
    )


def run_failed(runs: Sequence[FinishedRun]) -> list[Finding]:
    """Jobs whose newest finished run failed."""
    return [
        Finding(
            Severity.ERROR if run.job == MICRO_BATCH else Severity.WARNING,
            f"The newest run of {run.job} failed: {run.cause} (run {run.run_id}).",
            subject=run.job,
        )
        for run in runs
        if not run.succeeded
    ]


def run_retried(runs: Sequence[RetriedRun]) -> list[Finding]:
    """Jobs that are running and repeat a step: a warning, which becomes an error when the last attempt fails."""
    return [
        Finding(Severity.WARNING, f"A step of {run.job} is repeated: {run.cause} (run {run.run_id}).", subject=run.job)
        for run in runs
    ]


def separate_damage(findings: Sequence[Finding], page: str) -> tuple[list[Finding], list[Finding]]:
    """Findings about runs, and one instead of those that a damaged file causes, which name its ``page``."""
    of_damage = [finding for finding in findings if page in finding.message]
    others = [finding for finding in findings if page not in finding.message]
    worst = sorted(of_damage, key=lambda finding: finding.is_error)[-1:]
    return others, [replace(finding, subject="") for finding in worst]


def check_failed(results: Sequence[CheckResult]) -> list[Finding]:
    """Checks that failed, in their own words. The subject is ``asset/check``."""
    return [
        Finding(result.severity, f"{result.asset} fails the check {result.check}: {result.message}", subject=subject)
        for result in results
        if result.severity is not Severity.OK
        for subject in (f"{result.asset}/{result.check}",)
    ]


def noticed(notices: Sequence[Notice], kind: type) -> list[Finding]:
    """One finding for all notices of a ``kind``.

    What a hub deleted before the lake followed it was never ours to read: a warning, like a new partition.
    """
    found = [notice for notice in dict.fromkeys(notices) if isinstance(notice, kind)]
    if not found:
        return []
    is_error = any(
        isinstance(notice, HubRecreated) or (isinstance(notice, EventsExpired) and not notice.before_first_read)
        for notice in found
    )
    message = f"{'; '.join(sorted(describe(notice) for notice in found))}."
    return [Finding(Severity.ERROR if is_error else Severity.WARNING, message[:1].upper() + message[1:])]


def pseudonym_key_weak(why: str | None, new_key: str) -> list[Finding]:
    """A key that can be guessed. ``why`` ends the sentence about it, None for a strong key; ``new_key`` makes one."""
    if why is None:
        return []
    return [
        Finding(
            Severity.WARNING,
            f"PATIENT_FLOW_PSEUDONYM_KEY {why}: who has the lake and some patient numbers can find it. Turn the sensor "
            f"event_hub_backlog off, set a new key (`{new_key}`) and run `patient-flow rebuild`.",
        )
    ]


def unknown_names(sentence: str) -> list[Finding]:
    """Variables that look like settings and are none, in a ``sentence``; empty without any."""
    return [Finding(Severity.WARNING, f"{sentence}.", subject="names of settings")] if sentence else []


def unavailable(reason: str, subject: str = "", *, resolve_after: timedelta | None = None) -> Finding:
    """A system that does not answer or refuses; ``reason`` is for people and gets its full stop here."""
    message = reason if reason.endswith((".", "?", "!")) else f"{reason}."
    return Finding(Severity.ERROR, message, subject=subject, resolve_after=resolve_after)
