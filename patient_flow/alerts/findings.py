"""What is wrong now, from what was read of runs, hub, warehouse and checks. Each alert by the name of its page.

Not here: the reading, and what became of a finding since the last look (``ledger``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from patient_flow.alerts.ledger import CRITICAL, WARNING, Finding
from patient_flow.monitoring.notices import EventsExpired, HubRecreated, Notice, PartitionAdded, describe

RUN_FAILED = "run-failed"
STALE = "data-is-stale"
SILENCE = "no-events"
QUARANTINE = "quarantine-spike"
OCCUPANCY = "occupancy"
HUB_DOWN = "hub-down"
HUB_SLOW = "hub-slow"
HUB_REFUSED = "hub-refused"
HUB_RECREATED = "hub-recreated"
NEW_PARTITION = "new-partition"
EVENTS_LOST = "retention-overtook-us"
STORE_DOWN = "store-down"
SETTINGS = "settings-refused"
CHECK_FAILED = "check-failed"

PAGES = (
    RUN_FAILED,
    STALE,
    SILENCE,
    QUARANTINE,
    OCCUPANCY,
    HUB_DOWN,
    HUB_SLOW,
    HUB_REFUSED,
    HUB_RECREATED,
    NEW_PARTITION,
    EVENTS_LOST,
    STORE_DOWN,
    SETTINGS,
    CHECK_FAILED,
)
"""Every alert; each has a page ``infra/docs/runbook/<name>.md``. A check with a page of its own is sent there."""

ONCE = timedelta(hours=1)
"""How long something that happened once stays an alert."""
FLICKER = timedelta(minutes=5)
FEWEST_EVENTS = 100
"""Of fewer events in a quarter of an hour no share is worth waking somebody."""

MICRO_BATCH = "micro_batch"
"""The job that patients' data waits for; what another one failed to do can wait until the morning."""

_BY_NOTICE: dict[type, str] = {HubRecreated: HUB_RECREATED, EventsExpired: EVENTS_LOST, PartitionAdded: NEW_PARTITION}


@dataclass(frozen=True)
class FinishedRun:
    """The newest finished run of a job; ``cause`` names the step and the kind of error, never values."""

    job: str
    run_id: str
    succeeded: bool
    cause: str = ""


@dataclass(frozen=True)
class CheckResult:
    """The newest evaluation of an asset check, with its own sentence."""

    asset: str
    name: str
    passed: bool
    is_error: bool
    sentence: str


@dataclass(frozen=True)
class DepartmentHour:
    """Beds of a department at an hour (``time_key`` ascending in time)."""

    hospital: str
    department: str
    at: datetime
    occupancy_pct: float


@dataclass(frozen=True)
class OccupancyLimits:
    """Opens at ``high`` percent that last ``hours``, at once at ``critical``; closes below ``closes``."""

    high: float = 85.0
    critical: float = 95.0
    closes: float = 80.0
    hours: int = 2


def of_runs(runs: Sequence[FinishedRun]) -> list[Finding]:
    """Jobs whose newest finished run failed. One that fails every other time is one alert."""
    return [
        Finding(
            RUN_FAILED,
            run.job,
            CRITICAL if run.job == MICRO_BATCH else WARNING,
            f"The newest run of {run.job} failed: {run.cause} (run {run.run_id}).",
            FLICKER,
        )
        for run in runs
        if not run.succeeded
    ]


def of_checks(checks: Sequence[CheckResult]) -> list[Finding]:
    """Checks that do not hold, in their own words. The subject is ``asset/check``; one that flips is one alert."""
    return [
        Finding(
            CHECK_FAILED,
            f"{check.asset}/{check.name}",
            CRITICAL if check.is_error else WARNING,
            f"{check.asset} fails the check {check.name}: {check.sentence}",
            FLICKER,
        )
        for check in checks
        if not check.passed
    ]


def of_notices(notices: Iterable[Notice]) -> list[Finding]:
    """What happened once to the hub: recreated, a new partition, events dropped before they could be read."""
    by_page: dict[str, list[Notice]] = {}
    for notice in dict.fromkeys(notices):
        if type(notice) in _BY_NOTICE:
            by_page.setdefault(_BY_NOTICE[type(notice)], []).append(notice)
    return [
        Finding(
            page,
            "",
            CRITICAL if any(_is_critical(notice) for notice in found) else WARNING,
            f"{'; '.join(sorted(describe(notice) for notice in found))}.",
            ONCE,
        )
        for page, found in by_page.items()
    ]


def _is_critical(notice: Notice) -> bool:
    """What a hub deleted before the lake followed it was never ours to read."""
    return isinstance(notice, HubRecreated) or (isinstance(notice, EventsExpired) and not notice.before_first_read)


def staleness(
    watch: Mapping[str, Any],
    ends: Mapping[str, int],
    read: Mapping[str, int],
    loaded_at: datetime | None,
    now: datetime,
    limit: timedelta,
    *,
    newest: datetime | None = None,
) -> tuple[dict[str, Any], list[Finding]]:
    """Events that were in the hub at an earlier look and are not in the warehouse ``limit`` later.

    ``ends`` are the partitions' last sequence numbers, ``read`` those in bronze, ``loaded_at`` the warehouse's last
    load, ``newest`` when the hub's newest event came. ``watch`` (and what is returned) remembers which ends the
    warehouse is waited for to reach, and since when. Where few events come, the lake often has them before anybody
    looks: then a load that is older than the newest event is waited for. An idle hospital has nothing to wait for, and
    is never stale.
    """
    at = now.timestamp()
    waits_for = dict(watch.get("ends", {}))
    since = float(watch.get("since", at))
    is_in_bronze = all(read.get(part, -1) >= end for part, end in waits_for.items() if part in ends)
    is_loaded = loaded_at is not None and loaded_at.timestamp() >= since
    if not waits_for or (is_in_bronze and is_loaded) or any(end > ends.get(p, end) for p, end in waits_for.items()):
        behind = {part: end for part, end in ends.items() if end > read.get(part, -1)}
        if behind:
            return {"ends": behind, "since": at}, []
        if newest is not None and loaded_at is not None and loaded_at < newest:
            return {"ends": dict(ends), "since": newest.timestamp()}, []
        return {}, []
    waited = timedelta(seconds=at - since)
    if waited < limit:
        return {"ends": waits_for, "since": since}, []
    where = "are in the lake, but not in the warehouse" if is_in_bronze else "are in the hub, but not in the lake"
    sentence = f"Events accepted by the hub {_minutes(waited)} minutes ago {where}."
    return {"ends": waits_for, "since": since}, [Finding(STALE, "", CRITICAL, sentence)]


def silence(newest: datetime | None, now: datetime, limit: timedelta) -> list[Finding]:
    """No hospital has sent anything for ``limit``. A hub that never had an event says nothing."""
    if newest is None or now - newest < limit:
        return []
    hours = (now - newest).total_seconds() / 3600
    return [Finding(SILENCE, "", WARNING, f"No hospital has sent an event for {hours:.0f} hours.")]


def quarantine(accepted: int, quarantined: int, limit_pct: float) -> list[Finding]:
    """Too large a share of the last quarter of an hour's events was rejected."""
    total = accepted + quarantined
    share = 100 * quarantined / max(1, total)
    if total < FEWEST_EVENTS or share < limit_pct:
        return []
    sentence = f"{share:.0f} % of the {total:,} events of the last 15 minutes were quarantined (limit {limit_pct:g} %)."
    return [Finding(QUARANTINE, "", WARNING, sentence, FLICKER)]


def occupancy(hours: Sequence[DepartmentHour], already_open: Collection[str], limits: OccupancyLimits) -> list[Finding]:
    """Departments that are too full: long enough above ``high``, or ``critical``, or open and not yet below ``closes``.

    ``already_open`` are the subjects of open alerts.
    """
    by_department: dict[str, list[DepartmentHour]] = {}
    for hour in sorted(hours, key=lambda hour: hour.at):
        by_department.setdefault(f"{hour.hospital}/{hour.department}", []).append(hour)
    newest = max((hour.at for hour in hours), default=None)
    findings = []
    for subject, series in by_department.items():
        last = series[-1]
        if last.at != newest:
            continue
        recent = [hour for hour in series if hour.at >= last.at - timedelta(hours=limits.hours)]
        lasts = len(recent) > limits.hours and all(hour.occupancy_pct >= limits.high for hour in recent)
        is_critical = last.occupancy_pct >= limits.critical
        if is_critical or lasts or (subject in already_open and last.occupancy_pct >= limits.closes):
            where = f"{last.department} of {last.hospital}"
            for_how_long = f", for {limits.hours} hours or more above {limits.high:g} %" if lasts else ""
            sentence = f"{where} is {last.occupancy_pct:.0f} % full at {last.at:%H:%M} UTC{for_how_long}."
            findings.append(Finding(OCCUPANCY, subject, CRITICAL if is_critical else WARNING, sentence))
    return findings


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)
